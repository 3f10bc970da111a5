//! From events to deliveries: what each webhook is to be told.
//!
//! **Invariants.** A webhook is told what matches its settings at the event's place in the journal,
//! from its creation on. The same events give the same deliveries under the same identifiers, so
//! that a part of the journal may be gone through twice.

use std::collections::BTreeMap;
use std::sync::Arc;

use proctor_domain::webhook::{Topic, Webhook, WebhookEvent};
use proctor_domain::{Decider as _, Event, Position, Recorded, StreamId};

use super::delivery_id;
use crate::journal::{Deliveries, Reader, Step, StoreError, Waiting};

/// Why a message was given up whose webhook is not sent to any more.
pub(super) const GONE: &str = "gone";
const RETIRED: &str = "webhook_retired";
const TOO_MANY: &str = "too_many_waiting";
/// Messages that wait for one webhook; what comes beyond is given up at once, and can be asked for.
const WAITING_MAX: u64 = 100_000;

/// One webhook as it stood at its cursor.
#[derive(Default)]
struct Hook {
    state: Webhook,
    cursor: Position,
    /// Messages that waited when they were last counted, and those enqueued since.
    waiting: u64,
}

/// See the module.
#[derive(Default)]
pub(super) struct Follower {
    hooks: BTreeMap<Arc<str>, Hook>,
    /// How far all of them are, at least.
    position: Position,
}

impl Follower {
    /// Goes on where the cursors say.
    pub(super) async fn load(reader: &dyn Reader, deliveries: &Deliveries) -> Result<Self, StoreError> {
        let head = reader.head().await?;
        let cursors: BTreeMap<String, Position> = deliveries.cursors().await?.into_iter().collect();
        let mut hooks = BTreeMap::new();
        for id in reader.stream_ids("webhook").await? {
            let events = reader.stream(&StreamId::of::<Webhook>(&id), 0).await?;
            let Some(first) = events.first() else { continue };
            // One whose cursor was never written begins with its creation.
            let cursor = cursors.get(&id).copied().unwrap_or(first.place.position).max(first.place.position);
            let mut hook = Hook { cursor, ..Hook::default() };
            for event in events.iter().filter(|event| event.place.position <= cursor) {
                hook.evolve(event);
            }
            if !hook.is_over() {
                hooks.insert(Arc::from(id), hook);
            }
        }
        let position = hooks.values().map(|hook: &Hook| hook.cursor).min().unwrap_or(head);
        Ok(Self { hooks, position })
    }

    /// How far it is.
    pub(super) fn position(&self) -> Position {
        self.position
    }

    /// The webhooks that messages are sent to.
    pub(super) fn active(&self) -> impl Iterator<Item = &str> {
        self.hooks.iter().filter(|(_, hook)| hook.state.is_active()).map(|(id, _)| &**id)
    }

    /// How many messages wait for each, as it was last counted.
    pub(super) fn set_waiting(&mut self, waiting: &Waiting) {
        for (id, hook) in &mut self.hooks {
            hook.waiting = waiting.pending.get(&**id).copied().unwrap_or_default();
        }
    }

    /// What follows from the events up to `to`, of which `events` has all that matter.
    pub(super) fn follow(&mut self, events: &[Arc<Recorded>], to: Position) -> Vec<Step> {
        let mut steps = Vec::new();
        for event in events {
            match &event.event {
                Event::Webhook(of_webhook) => self.follow_webhook(event, of_webhook, &mut steps),
                _ => self.tell(event, &mut steps),
            }
        }
        for hook in self.hooks.values_mut() {
            hook.cursor = hook.cursor.max(to);
        }
        self.position = self.position.max(to);
        steps
    }

    /// What says how far all of them are. Webhooks that are over are forgotten.
    pub(super) fn reach(&mut self) -> Vec<Step> {
        let reach = |(webhook, hook): (&Arc<str>, &Hook)| Step::Reach {
            webhook: Arc::clone(webhook),
            position: hook.cursor,
        };
        let steps = self.hooks.iter().map(reach).collect();
        self.hooks.retain(|_, hook| !hook.is_over());
        steps
    }

    fn follow_webhook(&mut self, event: &Recorded, of_webhook: &WebhookEvent, steps: &mut Vec<Step>) {
        let webhook = &event.stream.id;
        let hook = self.hooks.entry(Arc::clone(webhook)).or_default();
        // Of one that was retired and forgotten nothing comes any more, but it may be gone through again.
        if event.place.position <= hook.cursor || event.sequence != hook.state.version() + 1 {
            return;
        }
        hook.evolve(event);
        steps.extend(match of_webhook {
            WebhookEvent::WebhookCreated { .. }
            | WebhookEvent::WebhookRevised { .. }
            | WebhookEvent::WebhookSecretRotated { .. } => None,
            WebhookEvent::WebhookTested { .. } => Some(enqueue(webhook, event, Topic::Test, None)),
            WebhookEvent::WebhookRedelivered { delivery, .. } => {
                Some(Step::Again { webhook: Arc::clone(webhook), id: delivery.clone() })
            }
            WebhookEvent::WebhookGone { .. } => {
                Some(Step::GiveUp { webhook: Arc::clone(webhook), failure: GONE })
            }
            WebhookEvent::WebhookRetired { .. } => {
                Some(Step::GiveUp { webhook: Arc::clone(webhook), failure: RETIRED })
            }
        });
    }

    fn tell(&mut self, event: &Recorded, steps: &mut Vec<Step>) {
        let Some(topic) = Topic::of(&event.event) else { return };
        for (webhook, hook) in &mut self.hooks {
            let subscribes = || hook.state.settings().is_some_and(|settings| settings.subscribes_to(topic));
            if hook.cursor < event.place.position && hook.state.is_active() && subscribes() {
                let failure = (hook.waiting >= WAITING_MAX).then_some(TOO_MANY);
                hook.waiting += 1;
                steps.push(enqueue(webhook, event, topic, failure));
            }
        }
    }
}

impl Hook {
    fn evolve(&mut self, event: &Recorded) {
        if let Event::Webhook(of_webhook) = &event.event {
            self.state.evolve(of_webhook, event.place);
        }
    }

    fn is_over(&self) -> bool {
        self.state.state() == "retired"
    }
}

fn enqueue(webhook: &Arc<str>, event: &Recorded, topic: Topic, failure: Option<&'static str>) -> Step {
    Step::Enqueue {
        webhook: Arc::clone(webhook),
        position: event.place.position,
        id: delivery_id(webhook, &event.event_id),
        topic: topic.code(),
        failure,
    }
}
