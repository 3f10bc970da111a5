//! The views in the journal's own database, in a schema that is named by their shape.
//!
//! The schema's name says what stands in it, so two versions of the program with different views
//! live side by side during an upgrade, each with rows of its own. A schema that nobody has written
//! for a day is dropped by whoever writes another one.
//!
//! **Invariants.** One process writes: the one whose connection holds the schema's advisory lock,
//! which ends with the connection. Should two believe it, the checkpoint's row decides: it is locked
//! first and moved only from what was read. All others only read.

mod lead;
mod line;
mod read;
mod schema;
mod write;

pub(super) use lead::{Watch, open};
pub(super) use line::Dial;
pub(super) use read::Pool;

#[cfg(test)]
pub(super) use lead::usurp;
#[cfg(test)]
pub(super) use read::begin;
#[cfg(test)]
pub(super) use schema::Schema;
