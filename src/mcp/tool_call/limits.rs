//! The limits of what a call uses, its virtual server and its connection.
//!
//! **Invariants.** Of two limits the smaller one holds. What a refused call had taken is given back
//! before its agent is told.

use std::time::Duration;

use proctor_domain::limits::Limits;
use proctor_domain::session::{HeldBack, Refusal};
use proctor_domain::{Micros, Name};

use super::ask::{Gathered, Sent};
use crate::actors::{Limited, Share, now};
use crate::config::Config;
use crate::mcp::Knock;

const MICROSECONDS_PER_SECOND: i64 = 1_000_000;
/// The longest that an agent is told to wait, in seconds: no limit counts more than a minute, and a bit.
const RETRY_SECONDS_MAX: i64 = 61;

/// Takes the call's share of what its virtual server and its connection allow.
///
/// # Errors
/// Which limit is reached.
pub(super) fn share(knock: &Knock, gathered: &Gathered<'_>) -> Result<Option<Share>, HeldBack> {
    let server = gathered.grounds.server.definition().limits;
    let settings = gathered.grounds.connection.as_ref().and_then(|connection| connection.settings());
    let connection = settings.map(|settings| settings.limits).unwrap_or_default();
    if !server.counts_calls() && !connection.counts_calls() {
        return Ok(None);
    }
    // What is not exposed uses nothing; it is refused for that.
    let Some(name) = gathered.connection_name() else { return Ok(None) };
    let used: [(Limited, &Name, Limits); 2] =
        [(Limited::VirtualServer, knock.caller.server(), server), (Limited::Connection, name, connection)];
    knock.proctor.shares.take(used)
}

/// What each call of its kind has to keep to.
pub(super) struct Bounds {
    pub deadline: Duration,
    pub result_bytes_max: usize,
}

impl Bounds {
    pub fn of(sent: &Sent<'_>, config: &Config) -> Self {
        let connection = sent.connection.as_ref().and_then(|connection| connection.settings());
        let limits =
            [sent.server.definition().limits].into_iter().chain(connection.map(|settings| settings.limits));
        let mut bounds = Self { deadline: config.call_deadline, result_bytes_max: config.result_bytes_max };
        for Limits { deadline_ms, result_bytes_max, .. } in limits {
            if let Some(deadline_ms) = deadline_ms {
                bounds.deadline = bounds.deadline.min(Duration::from_millis(deadline_ms));
            }
            if let Some(bytes_max) = result_bytes_max {
                let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
                bounds.result_bytes_max = bounds.result_bytes_max.min(bytes_max);
            }
        }
        bounds
    }
}

/// After how many seconds an agent may try again. `recorded_at` is when the refusal was recorded,
/// where it was just now.
pub(super) fn retry_after_seconds(
    reason: Refusal,
    retry_at: Option<Micros>,
    recorded_at: Option<Micros>,
) -> Option<u32> {
    // A session goes by the journal's time, a process by its own.
    let journal_time = recorded_at.filter(|_| reason == Refusal::CallsPerMinuteMaxReached);
    let from = journal_time.unwrap_or_else(now);
    let wait = retry_at?.0.saturating_sub(from.0).clamp(1, RETRY_SECONDS_MAX * MICROSECONDS_PER_SECOND);
    u32::try_from((wait + MICROSECONDS_PER_SECOND - 1) / MICROSECONDS_PER_SECOND).ok()
}
