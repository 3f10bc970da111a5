//! When a message that was not taken is sent again, and when it is given up.

use std::time::Duration;

use proctor_domain::Micros;

/// The pauses after each failed attempt, in seconds; the last one repeats.
const PAUSES_SECONDS: [f64; 8] = [5.0, 30.0, 120.0, 600.0, 3_600.0, 14_400.0, 28_800.0, 43_200.0];
/// A pause is by so much longer or shorter, at random: what failed together does not come back
/// together.
const JITTER: f64 = 0.1;

/// How patient deliveries are.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// The first pause; the others grow in proportion.
    pub first: Duration,
    /// For how long it is tried.
    pub lasts: Duration,
}

impl Patience {
    /// When a message is sent again that has failed `attempts` times, the last time at `at`, and is
    /// tried since `since`. `None` when it is given up.
    #[must_use]
    pub fn next(&self, attempts: i64, at: Micros, since: Micros) -> Option<Micros> {
        self.next_by(attempts, at, since, rand::random())
    }

    fn next_by(&self, attempts: i64, at: Micros, since: Micros, dice: f64) -> Option<Micros> {
        let index = usize::try_from(attempts.saturating_sub(1)).unwrap_or_default();
        let usual = PAUSES_SECONDS[index.min(PAUSES_SECONDS.len() - 1)];
        let seconds = usual * self.first.as_secs_f64() / PAUSES_SECONDS[0];
        let pause = Duration::from_secs_f64(seconds * (1.0 - JITTER + 2.0 * JITTER * dice));
        let next = plus(at, pause);
        (next <= plus(since, self.lasts)).then_some(next)
    }
}

/// A moment so much later.
pub(super) fn plus(at: Micros, pause: Duration) -> Micros {
    Micros(at.0.saturating_add(i64::try_from(pause.as_micros()).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIDDLE: f64 = 0.5;

    fn patience(first_seconds: u64) -> Patience {
        Patience { first: Duration::from_secs(first_seconds), lasts: Duration::from_secs(73 * 3_600) }
    }

    #[test]
    fn it_is_tried_for_three_days_in_pauses_that_grow_to_half_a_day() {
        let (mut at, mut pauses) = (Micros(0), Vec::new());
        while let Some(next) = patience(5).next_by(pauses.len() as i64 + 1, at, Micros(0), MIDDLE) {
            pauses.push((next.0 - at.0) / 1_000_000);
            at = next;
        }
        let grown = [5, 30, 120, 600, 3_600, 14_400, 28_800, 43_200];
        assert_eq!(pauses[..8], grown);
        assert_eq!(pauses[8..], [43_200; 3]);
        assert!(at.0 / 3_600_000_000 >= 60, "{at:?}");
    }

    #[test]
    fn pauses_grow_in_proportion_to_the_first_one() {
        let pause = |attempts| patience(1).next_by(attempts, Micros(0), Micros(0), MIDDLE).unwrap().0;
        assert_eq!([pause(1), pause(2), pause(3)], [1_000_000, 6_000_000, 24_000_000]);
    }

    #[test]
    fn what_failed_together_does_not_come_back_together() {
        let pause = |dice| patience(5).next_by(1, Micros(0), Micros(0), dice).unwrap().0;
        assert_eq!((pause(0.0), pause(1.0)), (4_500_000, 5_500_000));
    }

    #[test]
    fn a_message_that_was_asked_for_again_is_tried_from_the_start() {
        let days = Micros(10 * 86_400 * 1_000_000);
        assert_eq!(patience(5).next_by(1, days, Micros(0), MIDDLE), None);
        assert!(patience(5).next_by(1, days, days, MIDDLE).is_some());
    }
}
