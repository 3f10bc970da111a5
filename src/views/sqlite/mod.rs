//! The views in a file of their own, `views.db`, which may be deleted: it is filled anew.
//!
//! **Invariants.** Every process that uses the file may write it: each transaction takes the file's
//! write lock first and reads the checkpoint under it.

mod read;
mod schema;
mod write;

pub(super) use read::Pool;
pub(super) use write::{open, open_again};
