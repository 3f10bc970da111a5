//! `POST /webhooks`: makes a webhook, and shows its signing secret, once.

use std::future::ready;

use actix_web::{HttpResponse, web};
use futures_util::future::try_join_all;
use proctor_domain::webhook::{Webhook, WebhookCommand};

use super::super::answer;
use super::super::body::Body;
use super::super::caller::Caller;
use super::super::problem::{Code, Problem};
use super::WithSecret;
use super::settings::WebhookBody;
use crate::actors::{Prepared, new_id};
use crate::journal::SideWrite;
use crate::proctor::Proctor;
use crate::webhooks::Secret;

/// The generation of a webhook's first secret.
const FIRST_GENERATION: u32 = 1;
/// Webhooks in use at the same time. Each is asked about whenever something is due.
const WEBHOOKS_MAX: usize = 64;

pub(in crate::api) async fn create(
    proctor: web::Data<Proctor>,
    caller: Caller,
    Body(body): Body<WebhookBody>,
) -> Result<HttpResponse, Problem> {
    let settings = body.settings()?;
    refuse_too_many(&proctor).await?;
    let id = new_id("whk");
    let secret = Secret::new_text();
    let sealed = proctor.vault.seal_webhook_secret(&id, FIRST_GENERATION, &secret);
    let events = caller
        .act::<Webhook, _>(&proctor, &id, || {
            let command = WebhookCommand::Create { by: caller.by(), settings: settings.clone() };
            let secret = SideWrite::WebhookSecret {
                webhook: id.clone(),
                generation: FIRST_GENERATION,
                sealed: sealed.clone(),
            };
            ready(Ok(Prepared { side_writes: vec![secret], ..Prepared::alone(command) }))
        })
        .await?;
    let state = super::fresh(&proctor, &id).await?;
    let shown = WithSecret { webhook: super::shown(&id, &state), secret: &secret };
    let position = proctor.directory.position_of(&events);
    Ok(answer::created(position, &format!("/api/v1/webhooks/{id}"), &shown))
}

async fn refuse_too_many(proctor: &Proctor) -> Result<(), Problem> {
    let ids = proctor.journal.reader().stream_ids("webhook").await?;
    if ids.len() < WEBHOOKS_MAX {
        return Ok(());
    }
    let states = try_join_all(ids.iter().map(|id| proctor.directory.state::<Webhook>(id))).await?;
    if states.iter().filter(|state| state.state() != "retired").count() < WEBHOOKS_MAX {
        return Ok(());
    }
    let detail = format!("there are {WEBHOOKS_MAX} webhooks already: retire one first");
    Err(Problem::new(Code::TooManyWebhooks, detail))
}
