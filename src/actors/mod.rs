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
mod inputs;
mod keyring;
mod kind;
mod purpose_keys;
mod settled;
mod shares;
mod sweeper;
#[cfg(test)]
mod tests;

pub use api_keys::ApiKeys;
pub use ask::{Answer, Ask, AskError, Prepared, Sealed};
pub use calls::{Calls, Flight};
pub use directory::Directory;
pub use failures::{FailureCounter, day};
pub use inputs::{Given, Inputs, Wait};
pub use keyring::{Keyring, KeyringError};
pub use kind::Kind;
pub use purpose_keys::{PurposeKeysInUse, registration};
pub use shares::{Limited, Share, Shares};
pub use sweeper::sweep;

use uuid::fmt::Simple;

/// A new identifier: a prefix and a UUIDv7, which sorts by time (RFC 9562, section 5.7, with the
/// parts of a millisecond in the 12 bits after it: method 3 of section 6.2).
#[must_use]
pub fn new_id(prefix: &str) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let mut random: [u8; 10] = rand::random();
    let parts_of_4096 = u64::from(now.subsec_nanos() % 1_000_000) * 4_096 / 1_000_000;
    let [.., high, low] = parts_of_4096.to_be_bytes();
    (random[0], random[1]) = (high, low);
    let millis = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    let uuid = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
    let mut text = String::with_capacity(prefix.len() + 1 + Simple::LENGTH);
    text.push_str(prefix);
    text.push('_');
    text.push_str(uuid.simple().encode_lower(&mut [0; Simple::LENGTH]));
    text
}

/// This machine's time. Decisions that time matters to are made again under the journal's lock, by
/// the database's time, when the two disagree about them.
#[must_use]
pub fn now() -> proctor_domain::Micros {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    proctor_domain::Micros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
}
