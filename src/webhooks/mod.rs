//! Tells backends what happens: messages that follow from the journal, signed, sent until they are
//! taken.
//!
//! One replica delivers at a time, whoever has said so in the database. It follows the journal and
//! enqueues deliveries in the transaction that moves each webhook's cursor; it sends what is due and
//! writes how that went. A crash in between repeats a message and loses none.
//!
//! **Invariants.** A call never waits for any of this. What a message says is put together when it is
//! sent: nothing about a person is stored here. A secret is in no log, error, event or answer but the
//! one that makes it.

mod attempt;
mod backoff;
mod courier;
mod follower;
mod inbox;
mod measures;
mod message;
mod quiet;
mod signature;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proctor_domain::Event;
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;

pub use backoff::Patience;
pub use courier::run;
pub use measures::Measures;
pub use signature::Secret;

use crate::journal::{Delivered, Deliveries, Listener};
use inbox::Inbox;

/// Bytes of a message's identifier.
const ID_BYTES: usize = 16;

/// What everybody knows of webhooks.
pub struct Webhooks {
    deliveries: Deliveries,
    inbox: Inbox,
    measures: Measures,
    /// Whether there is any: where there is none, nobody asks the database about them.
    there_are_some: AtomicBool,
    bell: Notify,
}

impl Webhooks {
    /// With the tables in the journal's database.
    #[must_use]
    pub fn new(deliveries: Deliveries) -> Arc<Self> {
        Arc::new(Self {
            deliveries,
            inbox: Inbox::default(),
            measures: Measures::default(),
            there_are_some: AtomicBool::new(false),
            bell: Notify::new(),
        })
    }

    /// The deliveries.
    #[must_use]
    pub fn deliveries(&self) -> &Deliveries {
        &self.deliveries
    }

    /// What is counted.
    #[must_use]
    pub fn measures(&self) -> &Measures {
        &self.measures
    }
}

impl Listener for Webhooks {
    fn deliver(&self, events: &[Delivered], _: bool) {
        if events.iter().any(|event| matches!(event.event, Event::Webhook(_))) {
            self.there_are_some.store(true, Ordering::Release);
        }
        if self.inbox.put(events) && self.there_are_some.load(Ordering::Acquire) {
            self.bell.notify_one();
        }
    }
}

/// The identifier of the message that tells a webhook of an event: the same whenever it is made.
#[must_use]
pub fn delivery_id(webhook: &str, event_id: &str) -> String {
    let hash = Sha256::new().chain_update(webhook).chain_update([0]).chain_update(event_id).finalize();
    format!("dlv_{}", hex::encode(&hash[..ID_BYTES]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_one_identifier_for_each_webhook_and_event() {
        assert_eq!(delivery_id("whk_1", "evt_1"), delivery_id("whk_1", "evt_1"));
        let others =
            [delivery_id("whk_2", "evt_1"), delivery_id("whk_1", "evt_2"), delivery_id("whk_1evt", "_1")];
        assert!(!others.contains(&delivery_id("whk_1", "evt_1")));
        assert_eq!(delivery_id("whk_1", "evt_1").len(), 4 + 2 * ID_BYTES);
    }
}
