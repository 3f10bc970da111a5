//! `POST /webhooks/{id}/rotate-secret`: puts a new signing secret in force, and shows it, once. The
//! one before signs beside it for a while.

use actix_web::{HttpResponse, web};
use proctor_domain::webhook::{Webhook, WebhookCommand};
use serde::Deserialize;
use utoipa::ToSchema;

use super::super::answer;
use super::super::body::BodyOrNothing;
use super::super::caller::Caller;
use super::super::problem::Problem;
use super::WithSecret;
use crate::actors::Prepared;
use crate::journal::SideWrite;
use crate::proctor::Proctor;
use crate::webhooks::Secret;

/// How long the secret before goes on signing when nothing is said: a day.
const OVERLAP_SECONDS_DEFAULT: u32 = 86_400;

/// How the old secret ends.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SecretRotation)]
pub(in crate::api) struct Rotation {
    /// How long the secret before goes on signing: a day when nothing is said.
    #[schema(maximum = 604_800)]
    overlap_seconds: Option<u32>,
}

pub(in crate::api) async fn rotate_secret(
    proctor: web::Data<Proctor>,
    caller: Caller,
    id: web::Path<String>,
    BodyOrNothing(body): BodyOrNothing<Rotation>,
) -> Result<HttpResponse, Problem> {
    let secret = Secret::new_text();
    let overlap_seconds = body.overlap_seconds.unwrap_or(OVERLAP_SECONDS_DEFAULT);
    let events = caller
        .act::<Webhook, _>(&proctor, &id, || async {
            let generation = super::fresh(&proctor, &id).await?.generation() + 1;
            let sealed = SideWrite::WebhookSecret {
                webhook: id.to_string(),
                generation,
                sealed: proctor.vault.seal_webhook_secret(&id, generation, &secret),
            };
            let command = WebhookCommand::RotateSecret { by: caller.by(), generation, overlap_seconds };
            Ok(Prepared { side_writes: vec![sealed], ..Prepared::alone(command) })
        })
        .await?;
    let position = proctor.directory.position_of(&events);
    let state = super::fresh(&proctor, &id).await?;
    let shown = WithSecret { webhook: super::shown(&id, &state), secret: &secret };
    Ok(answer::ok(position, &shown))
}
