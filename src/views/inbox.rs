//! What is handed to the projector's thread, and the bell that wakes it.
//!
//! Waking a thread costs more than taking in an event. So the thread is woken by the first event after
//! a rest, by as many as make a batch, and by whoever waits for rows; otherwise it looks by itself
//! when its batch is due.
//!
//! **Invariants.** Whoever hands over never waits for the thread's work. What is kept is bounded.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use proctor_domain::Recorded;

use super::projector::BATCH_EVENTS;

/// Events handed over and not yet taken in. What does not fit is read from the journal.
pub(super) const EVENTS_WAITING_MAX: usize = 8 * BATCH_EVENTS;

/// See the module.
#[derive(Default)]
pub(super) struct Inbox {
    queue: Mutex<Queue>,
    bell: Condvar,
}

#[derive(Default)]
struct Queue {
    events: Vec<Arc<Recorded>>,
    /// The thread has nothing, and waits for the first event.
    rests: bool,
    rung: bool,
}

impl Inbox {
    /// Hands over events, all or none; says whether there was room.
    pub(super) fn put(&self, batch: &[Arc<Recorded>]) -> bool {
        let mut queue = self.lock();
        let fits = queue.events.len() + batch.len() <= EVENTS_WAITING_MAX;
        if fits {
            queue.events.extend_from_slice(batch);
        }
        if queue.rests || queue.events.len() >= BATCH_EVENTS {
            self.ring_in(queue);
        }
        fits
    }

    /// Wakes the thread.
    pub(super) fn ring(&self) {
        self.ring_in(self.lock());
    }

    /// Waits until `until` (without: for ever), for the bell or for a whole batch, and for the first
    /// event where the thread `rests`. Takes at most `room` events, and says whether that is all.
    pub(super) fn wait(
        &self,
        until: Option<Instant>,
        rests: bool,
        room: usize,
    ) -> (Vec<Arc<Recorded>>, bool) {
        let mut queue = self.lock();
        queue.rests = rests;
        loop {
            let ready = queue.rung || queue.events.len() >= room.max(1) || rests && !queue.events.is_empty();
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if ready || left.is_some_and(|left| left.is_zero()) {
                break;
            }
            queue = match left {
                None => self.bell.wait(queue).unwrap_or_else(PoisonError::into_inner),
                Some(left) => self.bell.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
        queue.rests = false;
        queue.rung = false;
        let taken = room.min(queue.events.len());
        let events = queue.events.drain(..taken).collect();
        (events, queue.events.is_empty())
    }

    fn ring_in(&self, mut queue: MutexGuard<'_, Queue>) {
        let asleep = !queue.rung;
        queue.rung = true;
        queue.rests = false;
        drop(queue);
        if asleep {
            self.bell.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // A queue is whole between two calls of its methods.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
