//! How much may be used, where somebody has said so: of one session, and of what many sessions share.
//!
//! **Invariants.** What was not limited is not written down, so that events from before there were
//! limits are what they were.

use serde::{Deserialize, Serialize};

/// Most admitted calls that a session can be opened for: its stream is read as a whole.
pub const CALLS_MAX_MOST: u32 = 100_000;
/// Most calls a minute that a session can be opened for: it remembers the time of each.
pub const SESSION_CALLS_PER_MINUTE_MOST: u32 = 6_000;
/// Most calls in flight that a limit of a virtual server or connection can allow.
pub const CALLS_IN_FLIGHT_MOST: u32 = 1_000_000;
/// Most calls a minute that a limit of a virtual server or connection can allow.
pub const CALLS_PER_MINUTE_MOST: u32 = 10_000_000;
/// Smallest limit on results, in bytes.
pub const RESULT_BYTES_LEAST: u64 = 1_024;
/// Largest limit on results, in bytes.
pub const RESULT_BYTES_MOST: u64 = 256 * 1024 * 1024;
/// Longest deadline, in milliseconds.
pub const DEADLINE_MS_MOST: u64 = 600_000;

/// The limits of one session. They are exact: the session itself decides by them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionLimits {
    /// After how many admitted calls it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls_max: Option<u32>,
    /// How many calls are admitted in any 60 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls_per_minute_max: Option<u32>,
}

/// The limits of a virtual server or a connection. What counts calls is shared out among replicas and
/// approximate; the others hold for each call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// How many calls are on their way at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls_in_flight_max: Option<u32>,
    /// How many calls are made in any 60 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls_per_minute_max: Option<u32>,
    /// How large a call's result may be, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_bytes_max: Option<u64>,
    /// How long a call may take, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
}

/// A limit that nothing can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{within}.{limit} is {given}: choose {least} to {most}, or leave it out")]
pub struct InvalidLimit {
    within: &'static str,
    limit: &'static str,
    given: u64,
    least: u64,
    most: u64,
}

impl SessionLimits {
    /// Whether nothing is limited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Checks them; `within` is what they are called where they stand.
    ///
    /// # Errors
    /// The first that nothing can have.
    pub fn check(&self, within: &'static str) -> Result<(), InvalidLimit> {
        let most = (CALLS_MAX_MOST, SESSION_CALLS_PER_MINUTE_MOST);
        check(within, "calls_max", self.calls_max.map(u64::from), 1, most.0.into())?;
        check(within, "calls_per_minute_max", self.calls_per_minute_max.map(u64::from), 1, most.1.into())
    }
}

impl Limits {
    /// Whether nothing is limited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether calls are counted for them.
    #[must_use]
    pub fn counts_calls(&self) -> bool {
        self.calls_in_flight_max.is_some() || self.calls_per_minute_max.is_some()
    }

    /// Checks them.
    ///
    /// # Errors
    /// The first that nothing can have.
    pub fn check(&self) -> Result<(), InvalidLimit> {
        let (in_flight, per_minute) = (self.calls_in_flight_max, self.calls_per_minute_max);
        let check = |limit, given, least, most| check("limits", limit, given, least, most);
        check("calls_in_flight_max", in_flight.map(u64::from), 1, CALLS_IN_FLIGHT_MOST.into())?;
        check("calls_per_minute_max", per_minute.map(u64::from), 1, CALLS_PER_MINUTE_MOST.into())?;
        check("result_bytes_max", self.result_bytes_max, RESULT_BYTES_LEAST, RESULT_BYTES_MOST)?;
        check("deadline_ms", self.deadline_ms, 1, DEADLINE_MS_MOST)
    }
}

fn check(
    within: &'static str,
    limit: &'static str,
    given: Option<u64>,
    least: u64,
    most: u64,
) -> Result<(), InvalidLimit> {
    match given {
        Some(given) if !(least..=most).contains(&given) => {
            Err(InvalidLimit { within, limit, given, least, most })
        }
        Some(_) | None => Ok(()),
    }
}
