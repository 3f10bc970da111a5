//! How far this process has seen the journal, and how lately it made sure.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use proctor_domain::Position;

/// An admitted call leaves only if the head was confirmed within this time, in milliseconds.
pub const HEAD_AGE_MS_MAX: u64 = 500;

/// How long it counts that something written found no room, in milliseconds: only the next attempt can
/// tell otherwise. A lease of 30 s that finds none is tried again every 3 s.
const FULL_MS: u64 = 3_500;

/// Shared by the appender, which moves it, and everybody who asks. Times are monotonic.
pub struct Head {
    position: AtomicU64,
    confirmed_ms: AtomicU64,
    lease_ends_ms: AtomicU64,
    halted: AtomicBool,
    /// When something written found no room at last; 0 when none did.
    full_ms: AtomicU64,
    foreign: AtomicU64,
    epoch: Instant,
}

impl Head {
    pub(super) fn new(position: Position) -> Self {
        Self {
            position: AtomicU64::new(position.0),
            confirmed_ms: AtomicU64::new(0),
            lease_ends_ms: AtomicU64::new(0),
            halted: AtomicBool::new(false),
            full_ms: AtomicU64::new(0),
            foreign: AtomicU64::new(0),
            epoch: Instant::now(),
        }
    }

    /// The newest position that this process has seen.
    #[must_use]
    pub fn position(&self) -> Position {
        Position(self.position.load(Ordering::Acquire))
    }

    /// Whether the head was confirmed within [`HEAD_AGE_MS_MAX`] and this process's lease holds.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        let now = self.now_ms();
        !self.halted.load(Ordering::Acquire)
            && now.saturating_sub(self.confirmed_ms.load(Ordering::Acquire)) <= HEAD_AGE_MS_MAX
            && now < self.lease_ends_ms.load(Ordering::Acquire)
    }

    /// How long ago the head was confirmed.
    #[must_use]
    pub fn age(&self) -> Duration {
        Duration::from_millis(self.now_ms().saturating_sub(self.confirmed_ms.load(Ordering::Acquire)))
    }

    /// Whether the journal was found to be damaged.
    #[must_use]
    pub fn is_halted(&self) -> bool {
        self.halted.load(Ordering::Acquire)
    }

    /// Whether the database's disk is full, as far as was found lately. A lease may still find
    /// room, so that the head is fresh all the same.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let full_ms = self.full_ms.load(Ordering::Acquire);
        full_ms > 0 && self.now_ms().saturating_sub(full_ms) <= FULL_MS
    }

    /// Changes whenever events of other processes were delivered.
    #[must_use]
    pub fn foreign(&self) -> u64 {
        self.foreign.load(Ordering::Acquire)
    }

    pub(super) fn now_ms(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn moved_to(&self, position: Position, foreign: bool) {
        self.position.store(position.0, Ordering::Release);
        if foreign {
            self.foreign.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// `asked_ms` is when the question was put, not when it was answered.
    pub(super) fn confirmed(&self, asked_ms: u64) {
        self.confirmed_ms.fetch_max(asked_ms, Ordering::AcqRel);
    }

    pub(super) fn lease_holds_until(&self, ms: u64) {
        self.lease_ends_ms.store(ms, Ordering::Release);
    }

    pub(super) fn found_full(&self) {
        self.full_ms.store(self.now_ms().max(1), Ordering::Release);
    }

    pub(super) fn halt(&self) {
        self.halted.store(true, Ordering::Release);
    }
}
