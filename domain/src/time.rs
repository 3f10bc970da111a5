//! Points in time and places in the journal.

use serde::{Deserialize, Serialize};

/// Microseconds since the Unix epoch, UTC, by the database's clock once recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Micros(pub i64);

impl Micros {
    /// Before every moment that there was.
    pub const BEFORE_ALL: Self = Self(i64::MIN);

    /// One minute, the grain at which identical refusals and manifest reads coalesce.
    pub const MINUTE: i64 = 60_000_000;

    /// The minute that this moment lies in, counted from the epoch.
    #[must_use]
    pub fn minute(self) -> i64 {
        self.0.div_euclid(Self::MINUTE)
    }

    /// This moment and `seconds` more.
    #[must_use]
    pub fn plus_seconds(self, seconds: u32) -> Self {
        Self(self.0.saturating_add(i64::from(seconds) * 1_000_000))
    }
}

/// An event's place in the journal: consecutive from 1; 0 is before the first event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub u64);

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Where and when an event was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its place in the journal.
    pub position: Position,
    /// The database's time, never smaller than that of the event before.
    pub recorded_at: Micros,
}

impl Place {
    /// The place of an event that is not recorded yet: later than all that is.
    #[must_use]
    pub fn to_come(at: Micros) -> Self {
        Self { position: Position(u64::MAX), recorded_at: at }
    }

    /// Whether the event was recorded there.
    #[must_use]
    pub fn is_recorded(self) -> bool {
        self.position != Position(u64::MAX)
    }
}
