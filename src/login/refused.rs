//! Counts good logins that opened no session, so that a flood of them is a few events.
//!
//! **Invariants.** No more than [`COUNTED_MAX`] are told apart in a minute; what is beyond them is
//! counted as a failed authentication alone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use proctor_domain::watch::{Notice, Watch, WatchEvent};
use proctor_domain::{Micros, Name, SubjectId};

use crate::actors::{Directory, day, now};

/// How many users, servers and reasons are told apart between two flushes.
const COUNTED_MAX: usize = 4_096;

type Key = (Name, Name, SubjectId, &'static str, i64);

/// See the module.
#[derive(Debug, Default)]
pub struct RefusedLogins(Mutex<BTreeMap<Key, u64>>);

impl RefusedLogins {
    /// Counts one login of `subject` at `server`, refused for the reason of this stable code.
    pub fn count(&self, provider: &Name, server: &Name, subject: &SubjectId, reason: &'static str) {
        self.add((provider.clone(), server.clone(), subject.clone(), reason, now().minute()), 1);
    }

    fn add(&self, key: Key, count: u64) {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.len() < COUNTED_MAX || counted.contains_key(&key) {
            *counted.entry(key).or_default() += count;
        }
    }

    /// Records what was counted since the last time. Called once a minute and at the end. What
    /// cannot be written is counted on and recorded the next time.
    pub async fn flush(&self, directory: &Arc<Directory>) {
        let counted = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for (key, count) in counted {
            let (provider, virtual_server, subject, reason, minute) = key.clone();
            let stream = format!("login:{provider}:{}", day(Micros(minute.saturating_mul(Micros::MINUTE))));
            let reason = reason.to_owned();
            let event = WatchEvent::LoginRefused { provider, virtual_server, subject, reason, minute, count };
            if let Err(error) = directory.tell::<Watch>(&stream, Notice(event)).await {
                tracing::warn!(%error, "failed to record refused logins; it is tried again");
                self.add(key, count);
            }
        }
    }
}
