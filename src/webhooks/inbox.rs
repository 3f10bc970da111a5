//! What was just written and may have to be told, so that nobody reads it from the database again.
//!
//! **Invariants.** Its memory is bounded: what does not fit is read from the journal.

use std::sync::{Arc, Mutex, PoisonError};

use proctor_domain::webhook::Topic;
use proctor_domain::{Event, Position, Recorded};

use crate::journal::Delivered;

/// Events that are kept for whoever delivers.
const EVENTS_MAX: usize = 4_096;

/// See the module.
#[derive(Default)]
pub(super) struct Inbox(Mutex<Option<Kept>>);

struct Kept {
    /// Whatever matters after this and up to `to` is in `events`.
    from: Position,
    to: Position,
    events: Vec<Arc<Recorded>>,
}

/// Whether webhooks are concerned by an event.
pub(super) fn matters(recorded: &Recorded) -> bool {
    matches!(recorded.event, Event::Webhook(_)) || Topic::of(&recorded.event).is_some()
}

impl Inbox {
    /// Keeps what matters. Answers whether anything does.
    pub(super) fn put(&self, delivered: &[Delivered]) -> bool {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut any = false;
        for event in delivered {
            let at = event.place.position;
            let kept = kept.get_or_insert_with(|| {
                let before = Position(at.0.saturating_sub(1));
                Kept { from: before, to: before, events: Vec::new() }
            });
            if kept.events.len() >= EVENTS_MAX {
                *kept = Kept { from: kept.to, to: kept.to, events: Vec::new() };
            }
            kept.to = at;
            if matters(event) {
                any = true;
                kept.events.push(Arc::clone(event.recorded()));
            }
        }
        any
    }

    /// All that matters after a position, and up to where that is all. `None` where it is to be read.
    pub(super) fn take(&self, after: Position) -> Option<(Vec<Arc<Recorded>>, Position)> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = kept.as_mut().filter(|kept| after >= kept.from)?;
        let mut events = std::mem::take(&mut kept.events);
        kept.from = kept.to;
        events.retain(|event| event.place.position > after);
        Some((events, kept.to.max(after)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_known_before_anything_came() {
        assert!(Inbox::default().take(Position(0)).is_none());
    }
}
