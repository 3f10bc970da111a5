//! Where backends are told what happens: created, set anew, tried, retired, and what was sent there.

mod create;
mod deliveries;
mod list;
mod redeliver;
mod retire;
mod revise;
mod rotate_secret;
mod settings;
mod show;
mod test;

use std::sync::Arc;

use proctor_domain::webhook::Webhook;
use serde_json::{Value, json};

pub(super) use create::create;
pub(super) use deliveries::deliveries;
pub(super) use list::list;
pub(super) use redeliver::redeliver;
pub(super) use retire::retire;
pub(super) use revise::revise;
pub(super) use rotate_secret::rotate_secret;
pub(super) use show::show;
pub(super) use test::test;

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

/// A webhook as it is shown: without its secret.
fn shown(id: &str, webhook: &Webhook) -> Value {
    let settings = webhook.settings();
    json!({
        "id": id,
        "state": webhook.state(),
        "url": settings.map(|settings| &settings.url),
        "events": settings.map(|settings| &settings.events),
        "description": settings.and_then(|settings| settings.description.as_ref()),
        "private_network": settings.is_some_and(|settings| settings.private_network),
        "secret_generation": webhook.generation(),
    })
}

/// A delivery as it is shown.
fn shown_delivery(delivery: &Delivery) -> Value {
    json!({
        "id": delivery.id,
        "webhook": delivery.webhook,
        "position": delivery.position,
        "type": delivery.topic,
        "state": delivery.state.code(),
        "attempts": delivery.attempts,
        "since": time::shown(delivery.since),
        "next_attempt_at": (delivery.ended_at.is_none()).then(|| time::shown(delivery.due_at)),
        "last_attempt_at": delivery.attempted_at.map(time::shown),
        "ended_at": delivery.ended_at.map(time::shown),
        "last_status": delivery.status,
        "last_failure": delivery.failure,
    })
}
