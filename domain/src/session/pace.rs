//! How many calls a session makes in a minute, exactly.
//!
//! It remembers when its last calls were admitted, as many as may be in a minute; one more is admitted
//! once the first of them is 60 seconds ago. So no 60 seconds, wherever they begin, hold more than the
//! limit, and nothing is refused that would not have been one too many. (Minutes of the clock would
//! let twice the limit through around each full minute.)
//!
//! **Invariants.** The times are those at which the journal recorded the admissions, which never
//! decrease; they are as many as the limit at most.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::Micros;

/// The times of the last admissions, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Pace(VecDeque<Micros>);

impl Pace {
    /// A call was admitted at this time; at the time of the one before, where that is later: what is
    /// not recorded yet has the time of a process's clock.
    pub fn admitted(&mut self, at: Micros, calls_max: u32) {
        let at = self.0.back().map_or(at, |last| at.max(*last));
        if self.0.len() >= size(calls_max) {
            self.0.pop_front();
        }
        self.0.push_back(at);
    }

    /// From when on another call may be admitted; `None` when it may be at `at`, or at the time of
    /// the last one, which no admission to come is earlier than.
    pub fn free_at(&self, at: Micros, calls_max: u32) -> Option<Micros> {
        let first = self.0.get(self.0.len().checked_sub(size(calls_max))?)?;
        let free_at = first.plus_seconds(60);
        let at = self.0.back().map_or(at, |last| at.max(*last));
        (at < free_at).then_some(free_at)
    }

    /// Whether another call is admitted whatever the time is by now, after up to `ahead` others.
    pub fn is_free_at_any_time(&self, ahead: usize, calls_max: u32) -> bool {
        match (self.0.len() + ahead).checked_sub(size(calls_max)) {
            None => true,
            Some(index) => {
                let first = self.0.get(index);
                first.zip(self.0.back()).is_some_and(|(first, last)| first.plus_seconds(60) <= *last)
            }
        }
    }
}

fn size(calls_max: u32) -> usize {
    usize::try_from(calls_max).unwrap_or(usize::MAX).max(1)
}
