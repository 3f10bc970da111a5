//! Where backends are told what happens: created, set anew, tried, retired, and what was sent there.

mod create;
mod deliveries;
mod list;
pub(super) mod operations;
mod redeliver;
mod retire;
mod revise;
mod rotate_secret;
mod settings;
mod show;
mod test;

use std::sync::Arc;

use proctor_domain::Position;
use proctor_domain::webhook::Webhook;
use serde::Serialize;
use utoipa::ToSchema;

pub(super) use create::create;
pub(super) use deliveries::deliveries;
pub(super) use list::list;
pub(super) use redeliver::redeliver;
pub(super) use retire::retire;
pub(super) use revise::revise;
pub(super) use rotate_secret::rotate_secret;
pub(super) use show::show;
pub(super) use test::test;

use super::openapi::words;
use super::problem::{Code, Problem};
use super::time;
use crate::journal::Delivery;
use crate::proctor::Proctor;

/// The webhook as all processes have made it so far.
async fn fresh(proctor: &Proctor, id: &str) -> Result<Arc<Webhook>, Problem> {
    let unknown = || Problem::new(Code::WebhookNotFound, "there is no such webhook: list them, or create it");
    // What cannot be an identifier starts no entity.
    if !id.starts_with("whk_") || id.len() > 64 {
        return Err(unknown());
    }
    let state = proctor.directory.fresh::<Webhook>(id).await?;
    if state.settings().is_none() {
        return Err(unknown());
    }
    Ok(state)
}

/// A webhook. Its secret is shown once, to whoever makes it.
#[derive(Serialize, ToSchema)]
#[schema(as = Webhook)]
struct Shown<'a> {
    id: &'a str,
    #[schema(value_type = words::WebhookState)]
    state: &'static str,
    url: Option<&'a str>,
    /// What it is told of.
    #[schema(value_type = Option<Vec<words::Topics>>)]
    events: Option<&'a [String]>,
    description: Option<&'a str>,
    /// Whether its receiver is in a private network.
    private_network: bool,
    /// Of the secret in force.
    secret_generation: u32,
}

/// A webhook with its secret, which is shown once.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookWithSecret)]
struct WithSecret<'a> {
    #[serde(flatten)]
    #[schema(inline)]
    webhook: Shown<'a>,
    /// What its messages are signed with.
    secret: &'a str,
}

fn shown<'a>(id: &'a str, webhook: &'a Webhook) -> Shown<'a> {
    let settings = webhook.settings();
    Shown {
        id,
        state: webhook.state(),
        url: settings.map(|settings| settings.url.as_str()),
        events: settings.map(|settings| settings.events.as_slice()),
        description: settings.and_then(|settings| settings.description.as_deref()),
        private_network: settings.is_some_and(|settings| settings.private_network),
        secret_generation: webhook.generation(),
    }
}

/// What is sent to a webhook because of one event.
#[derive(Serialize, ToSchema)]
#[schema(as = Delivery)]
struct ShownDelivery<'a> {
    /// The same however often it is sent.
    id: &'a str,
    webhook: &'a str,
    /// Where the event stands that it tells of.
    #[schema(value_type = u64)]
    position: Position,
    /// What it tells of.
    #[serde(rename = "type")]
    topic: &'a str,
    #[schema(value_type = words::DeliveryStatus)]
    state: &'static str,
    /// How often it was sent, since it was enqueued or last asked for by hand.
    attempts: i64,
    /// When that was.
    #[schema(format = DateTime)]
    since: String,
    #[schema(format = DateTime)]
    next_attempt_at: Option<String>,
    #[schema(format = DateTime)]
    last_attempt_at: Option<String>,
    /// When it was delivered or given up.
    #[schema(format = DateTime)]
    ended_at: Option<String>,
    /// What the receiver last answered.
    last_status: Option<u16>,
    /// Why the last attempt failed, as a stable code.
    last_failure: Option<&'a str>,
}

fn shown_delivery(delivery: &Delivery) -> ShownDelivery<'_> {
    ShownDelivery {
        id: &delivery.id,
        webhook: &delivery.webhook,
        position: delivery.position,
        topic: &delivery.topic,
        state: delivery.state.code(),
        attempts: delivery.attempts,
        since: time::shown(delivery.since),
        next_attempt_at: (delivery.ended_at.is_none()).then(|| time::shown(delivery.due_at)),
        last_attempt_at: delivery.attempted_at.map(time::shown),
        ended_at: delivery.ended_at.map(time::shown),
        last_status: delivery.status,
        last_failure: delivery.failure.as_deref(),
    }
}

/// A message that is going to be sent.
#[derive(Serialize, ToSchema)]
struct Enqueued<'a> {
    webhook: &'a str,
    /// The message's identifier.
    delivery: Option<&'a str>,
}
