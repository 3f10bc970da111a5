//! Purpose keys come into use: taken in when they are made, at any replica, and put in force when their
//! time has come.
//!
//! **Invariants.** A key that was announced and is not taken in yet is known to be missing: what it may
//! have signed is not refused, but put off.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proctor_domain::purpose_keys::PurposeKeys;
use proctor_domain::{Decider as _, Event, StreamId};
use tokio::sync::Notify;

use super::ask::AskError;
use super::directory::Directory;
use super::keyring::{Keyring, KeyringError};
use crate::journal::{Delivered, Journal, Listener, SideWrite, SubjectRow};
use crate::vault::{Purpose, Vault};

/// How often the keys are looked at without anything having happened: tokens' keys end by themselves.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How long after a failure.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How many keys were announced, and how many of them taken in.
pub struct PurposeKeysInUse {
    announced: AtomicU64,
    taken_in: AtomicU64,
    bell: Notify,
}

impl Default for PurposeKeysInUse {
    /// One is missing until they are looked at for the first time: nobody listened before.
    fn default() -> Self {
        Self { announced: AtomicU64::new(1), taken_in: AtomicU64::new(0), bell: Notify::new() }
    }
}

impl PurposeKeysInUse {
    /// Whether this process may lack a key that another one uses: one that it has heard of, or, where its
    /// head is old, one that it has not.
    #[must_use]
    pub fn may_lack_some(&self, journal: &Journal) -> bool {
        self.taken_in.load(Ordering::Acquire) < self.announced.load(Ordering::Acquire)
            || !journal.head().is_fresh()
    }

    /// Takes keys in for as long as it is run.
    pub async fn follow(&self, keyring: &Keyring) {
        loop {
            let announced = self.announced.load(Ordering::Acquire);
            let wait = match keyring.take_in_purpose_keys().await {
                Ok((rows, now)) => {
                    self.taken_in.fetch_max(announced, Ordering::AcqRel);
                    let next = rows.iter().map(|row| row.active_at_us - now.0).filter(|wait| *wait > 0).min();
                    let next = next.and_then(|wait_us| u64::try_from(wait_us).ok());
                    next.map_or(LOOK_EVERY, |wait_us| LOOK_EVERY.min(Duration::from_micros(wait_us)))
                }
                Err(error) => {
                    tracing::error!(%error, "failed to take in Proctor's own keys; it is tried again");
                    LOOK_AGAIN
                }
            };
            // Either way it is looked again.
            let _ = tokio::time::timeout(wait, self.bell.notified()).await;
        }
    }
}

impl Listener for PurposeKeysInUse {
    fn deliver(&self, events: &[Delivered], _: bool) {
        let made = events.iter().filter(|event| matches!(event.event, Event::PurposeKeys(_))).count();
        if made > 0 {
            self.announced.fetch_add(made as u64, Ordering::AcqRel);
            self.bell.notify_one();
        }
    }
}

/// What is written with the registration of a user, and what it rests on: that there is no key under
/// which the user may be registered already, but those that were looked at.
///
/// # Errors
/// When the keys cannot be had.
pub async fn registration<E: std::error::Error + 'static>(
    directory: &Arc<Directory>,
    keyring: &Keyring,
    user: &str,
    row: &SubjectRow,
) -> Result<(Vec<SideWrite>, (StreamId, u64)), AskError<E>> {
    let purpose = Purpose::BlindIndexes.name();
    let stream = StreamId::of::<PurposeKeys>(purpose);
    let state = directory.state::<PurposeKeys>(purpose).await;
    let state = state.map_err(|_| AskError::Unavailable(stream.clone()))?;
    let knows_all = |vault: &Vault| state.keys().iter().all(|(kid, _)| vault.knows(kid));
    let taken_in: Result<_, KeyringError> = match knows_all(keyring.vault()) {
        true => Ok(()),
        false => keyring.take_in_purpose_keys().await.map(drop),
    };
    if let Err(error) = taken_in {
        tracing::error!(%error, "failed to take in the keys by which users are found");
    }
    if !knows_all(keyring.vault()) {
        return Err(AskError::Unavailable(stream));
    }
    let mut indexes = keyring.vault().user_indexes(user).into_iter().map(|index| index.to_vec());
    let user_index = indexes.next().unwrap_or_default();
    let others: Vec<_> = indexes.collect();
    let mut writes = vec![SideWrite::Subject(SubjectRow { user_index, ..row.clone() })];
    if !others.is_empty() {
        writes.insert(0, SideWrite::UserIndexesFree(others));
    }
    Ok((writes, (stream, state.version())))
}
