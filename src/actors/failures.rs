//! Counts failed authentications, so that a flood of them is a few events.
//!
//! **Invariants.** Nothing of what was presented is kept: only at which door, why and how often.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::DateTime;
use proctor_domain::Micros;
use proctor_domain::watch::{Door, Notice, Watch, WatchEvent};

use super::directory::Directory;

type Counted = BTreeMap<(Door, &'static str, i64), u64>;

/// See the module.
#[derive(Debug, Default)]
pub struct FailureCounter {
    counted: Mutex<Counted>,
    /// Since this process began.
    total: Mutex<BTreeMap<Door, u64>>,
}

impl FailureCounter {
    /// Counts one failure at `door`, for the reason of this stable code.
    pub fn count(&self, door: Door, reason: &'static str) {
        self.add((door, reason, super::now().minute()), 1);
        *self.total.lock().unwrap_or_else(PoisonError::into_inner).entry(door).or_default() += 1;
    }

    /// How many there were at a door since this process began.
    #[must_use]
    pub fn total(&self, door: Door) -> u64 {
        self.total.lock().unwrap_or_else(PoisonError::into_inner).get(&door).copied().unwrap_or_default()
    }

    /// Records what was counted since the last time. Called once a minute and at the end. What
    /// cannot be written is counted on and recorded the next time.
    pub async fn flush(&self, directory: &Arc<Directory>) {
        let counted = std::mem::take(&mut *self.counted.lock().unwrap_or_else(PoisonError::into_inner));
        for ((door, reason, minute), count) in counted {
            let event = WatchEvent::AuthenticationsFailed { door, reason: reason.to_owned(), minute, count };
            if let Err(error) = directory.tell::<Watch>(&stream(door, minute), Notice(event)).await {
                tracing::warn!(%error, "failed to record failed authentications; it is tried again");
                self.add((door, reason, minute), count);
            }
        }
    }

    fn add(&self, key: (Door, &'static str, i64), count: u64) {
        *self.counted.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default() += count;
    }
}

/// One stream per door and day.
fn stream(door: Door, minute: i64) -> String {
    let door = match door {
        Door::Mcp => "mcp",
        Door::Api => "api",
    };
    format!("authentication:{door}:{}", day(Micros(minute.saturating_mul(Micros::MINUTE))))
}

/// The day in UTC that a moment lies in, as `2026-11-22`.
#[must_use]
pub fn day(at: Micros) -> String {
    DateTime::from_timestamp_micros(at.0).unwrap_or_default().date_naive().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_holds_one_day_of_one_door() {
        // 2026-11-22T00:00Z is the minute 29_921_760.
        let midnight = 29_921_760;
        assert_eq!(stream(Door::Api, midnight), "authentication:api:2026-11-22");
        assert_eq!(stream(Door::Mcp, midnight - 1), "authentication:mcp:2026-11-21");
    }
}
