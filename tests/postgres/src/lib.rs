//! PostgreSQL for tests: private clusters, and databases of a test's own in them.
//!
//! **Invariants.** No server that happens to run is used. Nothing runs as root. What is started
//! here stops when the process that started it ends, however it ends.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cluster;
mod database;
mod programs;
mod volume;

pub use cluster::Cluster;
pub use database::Database;
pub use volume::Volume;
