//! One attempt at one delivery: put together, signed, sent, and written down how it went.
//!
//! **Invariants.** What is not written down is sent again. A delivery is not counted as an attempt
//! before it was tried: where the database or the views fail, it waits.

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use proctor_domain::webhook::{Settings, Webhook, WebhookCommand, WebhookError};
use proctor_domain::{By, Position, Recorded};

use super::backoff::Patience;
use super::follower::GONE;
use super::message;
use super::signature::{Secret, header};
use crate::actors::{AskError, now};
use crate::journal::{Attempt, Delivery, DeliveryState};
use crate::proctor::Proctor;
use crate::upstream::{Fetch, Reach};

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// Why an attempt was not made, or what became of it is not written down. It is tried again soon.
type NotNow = Box<dyn std::error::Error>;

/// What a receiver's answer means.
enum Answer {
    Taken(u16),
    NotTaken(Option<u16>, &'static str),
    Gone(u16),
}

/// Tries one delivery.
///
/// # Errors
/// When it could not be tried, or what became of it could not be written down.
pub(super) async fn attempt(proctor: &Proctor, delivery: &Delivery) -> Result<(), NotNow> {
    let webhook = proctor.directory.state::<Webhook>(&delivery.webhook).await?;
    let Some(settings) = webhook.settings().filter(|_| webhook.is_active()) else {
        return Err("the webhook is not in use any more".into());
    };
    let answer = match prepared(proctor, &webhook, delivery).await? {
        Ok(message) => send(proctor, settings, message).await,
        Err(code) => Answer::NotTaken(None, code),
    };
    let answer = match answer {
        Answer::Gone(status) => match disable(proctor, delivery, webhook.revision()).await? {
            true => Answer::Gone(status),
            false => Answer::NotTaken(Some(status), "status"),
        },
        answer => answer,
    };
    settle(proctor, delivery, &answer).await
}

struct Message {
    headers: HeaderMap,
    body: Bytes,
}

/// The message, or a code that says why there never will be one as the webhook is set.
async fn prepared(
    proctor: &Proctor,
    webhook: &Webhook,
    delivery: &Delivery,
) -> Result<Result<Message, &'static str>, NotNow> {
    let event = event_at(proctor, delivery.position).await?;
    let Some(event) = event else { return Ok(Err("event_missing")) };
    let body = message::body(proctor, &delivery.topic, &event).await?;
    let body = Bytes::from(body.to_string());
    let at = now();
    let mut secrets = Vec::new();
    for generation in webhook.signing(at) {
        let sealed = proctor.webhooks.deliveries().secret(&delivery.webhook, generation).await?;
        let Some(sealed) = sealed else { return Ok(Err("secret_missing")) };
        let text = proctor.vault.open_webhook_secret(&delivery.webhook, generation, &sealed);
        match text.ok().as_deref().and_then(|text| Secret::read(text)) {
            Some(secret) => secrets.push(secret),
            None => {
                tracing::error!(webhook = delivery.webhook, generation, "a webhook's secret does not open");
                return Ok(Err("secret_missing"));
            }
        }
    }
    let timestamp = at.0.div_euclid(1_000_000);
    let mut headers = HeaderMap::new();
    headers.insert(SIGNATURE, header(&secrets, &delivery.id, timestamp, &body).parse()?);
    headers.insert(ID, delivery.id.parse()?);
    headers.insert(TIMESTAMP, HeaderValue::from(timestamp));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(Ok(Message { headers, body }))
}

async fn event_at(proctor: &Proctor, position: Position) -> Result<Option<Arc<Recorded>>, NotNow> {
    let before = Position(position.0.saturating_sub(1));
    let events = proctor.journal.reader().read(before, 1).await?;
    Ok(events.into_iter().next().filter(|event| event.place.position == position))
}

async fn send(proctor: &Proctor, settings: &Settings, message: Message) -> Answer {
    let reach = if settings.private_network { Reach::Private } else { Reach::Global };
    let Message { headers, body } = message;
    let request = Fetch { method: Method::POST, url: &settings.url, reach, headers, body };
    match proctor.upstreams.tell(request).await.map(|status| status.as_u16()) {
        Ok(status @ 200..=299) => Answer::Taken(status),
        Ok(410) => Answer::Gone(410),
        Ok(status @ 300..=399) => Answer::NotTaken(Some(status), "redirect"),
        Ok(status) => Answer::NotTaken(Some(status), "status"),
        Err(error) => Answer::NotTaken(None, error.code()),
    }
}

/// Sends nothing more to a receiver that is gone. Answers no where the webhook was set anew since.
async fn disable(proctor: &Proctor, delivery: &Delivery, revision: u32) -> Result<bool, NotNow> {
    let command = WebhookCommand::Disable { by: By::Replica(proctor.replica.clone()), revision };
    match proctor.directory.tell::<Webhook>(&delivery.webhook, command).await {
        Ok(_) => {
            tracing::warn!(
                webhook = delivery.webhook,
                "the receiver of a webhook is gone: nothing is sent to it"
            );
            Ok(true)
        }
        Err(AskError::Nonsense(WebhookError::Overtaken)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

async fn settle(proctor: &Proctor, delivery: &Delivery, answer: &Answer) -> Result<(), NotNow> {
    let at = now();
    let patience =
        Patience { first: proctor.config.webhook_retry_first, lasts: proctor.config.webhook_retry_for };
    let ended = |state, status, failure| Attempt { at, state, due_at: at, status, failure };
    let attempt = match *answer {
        Answer::Taken(status) => ended(DeliveryState::Delivered, Some(status), None),
        Answer::Gone(status) => ended(DeliveryState::Dead, Some(status), Some(GONE)),
        Answer::NotTaken(status, code) => {
            match patience.next(delivery.attempts.saturating_add(1), at, delivery.since) {
                Some(due_at) => {
                    Attempt { at, state: DeliveryState::Pending, due_at, status, failure: Some(code) }
                }
                None => ended(DeliveryState::Dead, status, Some(code)),
            }
        }
    };
    let (webhook, id) = (&*delivery.webhook, &*delivery.id);
    let counts = proctor.webhooks.deliveries().settle(delivery, &attempt).await?;
    if !counts {
        tracing::debug!(webhook, id, "a delivery was changed while it was sent");
        return Ok(());
    }
    let measures = proctor.webhooks.measures();
    match attempt.state {
        DeliveryState::Delivered => measures.was_delivered(),
        DeliveryState::Pending => measures.has_failed(),
        DeliveryState::Dead => {
            measures.was_given_up();
            let (failure, status) = (attempt.failure, attempt.status);
            tracing::warn!(webhook, id, failure, status, "a delivery was given up");
        }
    }
    Ok(())
}
