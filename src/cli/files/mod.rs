//! Files under version control that say what is to be there: read, compared, put in force, written.

mod apply;
mod desired;
mod differences;
mod export;
mod plan;
mod schema;
mod source;

pub(super) use apply::Apply;
pub(super) use export::Export;

pub(super) use apply::run as apply;
pub(super) use export::run as export;
pub(super) use schema::run as schema;
