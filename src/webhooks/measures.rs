//! How deliveries go, for whoever watches.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::journal::Waiting;

/// Counts since the process started, and what waits while it is the one that delivers.
#[derive(Debug, Default)]
pub struct Measures {
    delivered: AtomicU64,
    failed: AtomicU64,
    dead: AtomicU64,
    looks: AtomicU64,
    waiting_pending: AtomicU64,
    waiting_dead: AtomicU64,
}

impl Measures {
    /// Attempts by how they ended: taken, to be tried again, and given up.
    #[must_use]
    pub fn attempts(&self) -> [(&'static str, u64); 3] {
        [("delivered", &self.delivered), ("failed", &self.failed), ("dead", &self.dead)]
            .map(|(outcome, count)| (outcome, count.load(Ordering::Relaxed)))
    }

    /// What waits and what was given up; nothing where another replica delivers.
    #[must_use]
    pub fn waiting(&self) -> [(&'static str, u64); 2] {
        [("pending", &self.waiting_pending), ("dead", &self.waiting_dead)]
            .map(|(state, count)| (state, count.load(Ordering::Relaxed)))
    }

    /// How often the database was asked what is due.
    #[must_use]
    pub fn looks(&self) -> u64 {
        self.looks.load(Ordering::Relaxed)
    }

    pub(super) fn has_looked(&self, times: usize) {
        self.looks.fetch_add(times as u64, Ordering::Relaxed);
    }

    pub(super) fn was_delivered(&self) {
        self.delivered.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn has_failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn was_given_up(&self) {
        self.dead.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn set_waiting(&self, waiting: &Waiting) {
        self.waiting_pending.store(waiting.pending.values().sum(), Ordering::Relaxed);
        self.waiting_dead.store(waiting.dead, Ordering::Relaxed);
    }
}
