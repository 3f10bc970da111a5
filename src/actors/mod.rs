//! The entities in memory: found or started by the directory, moved only by delivered events.
//!
//! **Invariants.** An entity has at most one append outstanding. Its state moves only by delivered
//! events, in position order. Nobody decides on a state that an entity has not published.

mod api_keys;
mod ask;
mod batch;
mod calls;
mod directory;
mod entity;
mod failures;
mod keyring;
mod kind;
mod settled;
mod sweeper;
#[cfg(test)]
mod tests;

pub use api_keys::ApiKeys;
pub use ask::{Answer, Ask, AskError, Prepared, Sealed};
pub use calls::{Calls, Flight};
pub use directory::Directory;
pub use failures::{FailureCounter, day};
pub use keyring::{Keyring, KeyringError};
pub use kind::Kind;
pub use sweeper::sweep;

/// A new identifier: a prefix and a UUIDv7, which sorts by time.
#[must_use]
pub fn new_id(prefix: &str) -> String {
    format!("{prefix}_{}", uuid::Uuid::now_v7().simple())
}

/// This machine's time. Decisions that time matters to are made again under the journal's lock, by
/// the database's time, when the two disagree about them.
#[must_use]
pub fn now() -> proctor_domain::Micros {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    proctor_domain::Micros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
}
