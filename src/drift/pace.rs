//! When a connection is looked at next.
//!
//! **Invariants.** An upstream that cannot be reached is asked ever more rarely, and so is one that says
//! all the time that it has changed: neither costs more than the schedule for long.

use std::time::{Duration, Instant};

/// A failing upstream is looked at at least so often, unless the schedule is slower.
const FAILING_EVERY_MAX: Duration = Duration::from_secs(3_600);
/// Between two looks, whatever is said.
const GAP_MIN: Duration = Duration::from_secs(1);
/// Between two looks at an upstream that changes with each, at most, unless the schedule is faster.
const GAP_MAX: Duration = Duration::from_secs(300);
/// After a change it is looked again, where the schedule is slower: a tool that was missing for a moment
/// is to be back soon. Each further change in a row doubles it.
const AGAIN_MIN: Duration = Duration::from_secs(10);

/// How a look ended, as far as it matters for the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// What is offered was known.
    Same,
    /// Something was written.
    Changed,
    /// It could not be looked at.
    Failed,
}

#[derive(Clone, Debug)]
pub(super) struct Pace {
    failures: u32,
    changes: u32,
    looked_at: Option<Instant>,
    due: Option<Instant>,
    hinted: bool,
}

impl Pace {
    /// Of a connection that is first looked at somewhere within the first half of the schedule; `dice` is
    /// from 0 to 1.
    pub(super) fn new(now: Instant, every: Option<Duration>, dice: f64) -> Self {
        let due = every.map(|every| now + every.mul_f64(0.1 + 0.4 * dice));
        Self { failures: 0, changes: 0, looked_at: None, due, hinted: false }
    }

    /// When it is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Whether it is due because something was said.
    pub(super) fn is_hinted(&self) -> bool {
        self.hinted
    }

    /// Something was said that makes a look worth while.
    pub(super) fn hint(&mut self, now: Instant) {
        let doublings = self.changes.min(16);
        let gap = GAP_MIN.saturating_mul(1 << doublings).min(GAP_MAX);
        let soon = self.looked_at.map_or(now, |at| (at + gap).max(now));
        self.due = Some(self.due.map_or(soon, |due| due.min(soon)));
        self.hinted = true;
    }

    /// Nothing is due while somebody looks.
    pub(super) fn begin(&mut self) {
        (self.due, self.hinted) = (None, false);
    }

    /// A look has ended.
    pub(super) fn end(&mut self, now: Instant, ended: Ended, every: Option<Duration>, dice: f64) {
        self.looked_at = Some(now);
        match ended {
            Ended::Same => (self.failures, self.changes) = (0, 0),
            Ended::Changed => (self.failures, self.changes) = (0, self.changes.saturating_add(1)),
            Ended::Failed => self.failures = self.failures.saturating_add(1),
        }
        let next = every.map(|every| {
            let wait = match ended {
                Ended::Changed => AGAIN_MIN.saturating_mul(1 << (self.changes - 1).min(16)).min(every),
                Ended::Same | Ended::Failed => {
                    every.saturating_mul(1 << self.failures.min(16)).min(FAILING_EVERY_MAX.max(every))
                }
            };
            // A tenth more or less, so that replicas and connections do not keep step.
            now + wait.mul_f64(0.9 + 0.2 * dice)
        });
        self.due = match (self.due, next) {
            (Some(hinted), Some(next)) => Some(hinted.min(next)),
            (hinted, next) => hinted.or(next),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Option<Duration> = Some(Duration::from_secs(100));

    fn after(pace: &Pace, now: Instant) -> f64 {
        pace.due().unwrap().duration_since(now).as_secs_f64()
    }

    #[test]
    fn a_schedule_is_kept_within_a_tenth_and_slows_down_for_what_fails() {
        let now = Instant::now();
        let mut pace = Pace::new(now, EVERY, 1.0);
        assert!((after(&pace, now) - 50.0).abs() < 0.01);
        pace.begin();
        pace.end(now, Ended::Same, EVERY, 0.0);
        assert!((after(&pace, now) - 90.0).abs() < 0.01);
        for (dice, expected) in [(0.5, 200.0), (0.5, 400.0), (0.5, 800.0), (0.5, 1600.0), (0.5, 3200.0)] {
            pace.begin();
            pace.end(now, Ended::Failed, EVERY, dice);
            assert!((after(&pace, now) - expected).abs() < 0.01, "{pace:?}");
        }
        pace.begin();
        pace.end(now, Ended::Failed, EVERY, 0.5);
        assert!((after(&pace, now) - 3_600.0).abs() < 0.01, "{pace:?}");
        pace.begin();
        pace.end(now, Ended::Same, EVERY, 0.5);
        assert!((after(&pace, now) - 100.0).abs() < 0.01, "{pace:?}");
    }

    #[test]
    fn after_a_change_it_is_looked_again_soon() {
        let now = Instant::now();
        let mut pace = Pace::new(now, EVERY, 0.0);
        for expected in [10.0, 20.0, 40.0, 80.0, 100.0, 100.0] {
            pace.begin();
            pace.end(now, Ended::Changed, EVERY, 0.5);
            assert!((after(&pace, now) - expected).abs() < 0.01, "{pace:?}");
        }
        pace.begin();
        pace.end(now, Ended::Same, EVERY, 0.5);
        assert!((after(&pace, now) - 100.0).abs() < 0.01, "{pace:?}");
    }

    #[test]
    fn a_hint_is_followed_at_once_and_ever_later_where_each_look_finds_a_change() {
        let now = Instant::now();
        let mut pace = Pace::new(now, None, 0.0);
        assert_eq!(pace.due(), None, "without a schedule nothing is due");
        pace.hint(now);
        assert_eq!(pace.due(), Some(now));
        for gap in [2, 4, 8] {
            pace.begin();
            pace.end(now, Ended::Changed, None, 0.0);
            pace.hint(now);
            assert_eq!(pace.due(), Some(now + Duration::from_secs(gap)));
        }
        for _ in 0..20 {
            pace.begin();
            pace.end(now, Ended::Changed, None, 0.0);
        }
        pace.hint(now);
        assert_eq!(pace.due(), Some(now + GAP_MAX));
        pace.begin();
        pace.end(now, Ended::Same, None, 0.0);
        pace.hint(now);
        assert_eq!(pace.due(), Some(now + GAP_MIN));
    }

    #[test]
    fn what_is_said_during_a_look_is_not_forgotten_by_its_end() {
        let now = Instant::now();
        let mut pace = Pace::new(now, EVERY, 0.0);
        pace.begin();
        pace.hint(now);
        pace.end(now, Ended::Same, EVERY, 0.0);
        assert_eq!(pace.due(), Some(now));
    }
}
