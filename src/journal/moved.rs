//! What a store knows of an installation that has gone to another one.
//!
//! **Invariants.** It is no part of the journal: no event is changed or added by a move.

use std::fmt;

use chrono::DateTime;
use proctor_domain::Micros;
use serde::Deserialize;

/// Where everything went that stands in a store, and is written there from then on.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct MovedAway {
    /// The other store, without user and password.
    pub to: String,
    /// When, by this store's clock.
    pub at: Micros,
}

impl fmt::Display for MovedAway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = DateTime::from_timestamp_micros(self.at.0).unwrap_or_default();
        write!(f, "moved to {} on {}", self.to, at.format("%Y-%m-%d at %H:%M:%S UTC"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_where_and_when() {
        let moved = MovedAway { to: "sqlite:/data/new.db".into(), at: Micros(1_793_707_200_000_000) };
        assert_eq!(moved.to_string(), "moved to sqlite:/data/new.db on 2026-11-03 at 12:00:00 UTC");
    }
}
