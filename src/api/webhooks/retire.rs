//! `POST /webhooks/{id}/retire`: takes a webhook out of use for good.

use actix_web::{HttpResponse, web};
use proctor_domain::webhook::{Webhook, WebhookCommand};

use super::super::answer;
use super::super::body::BodyOrNothing;
use super::super::caller::Caller;
use super::super::problem::Problem;
use super::super::reason::ReasonIfAny;
use crate::proctor::Proctor;

pub(in crate::api) async fn retire(
    proctor: web::Data<Proctor>,
    caller: Caller,
    id: web::Path<String>,
    BodyOrNothing(body): BodyOrNothing<ReasonIfAny>,
) -> Result<HttpResponse, Problem> {
    super::fresh(&proctor, &id).await?;
    let command = WebhookCommand::Retire { by: caller.by(), reason: body.checked()? };
    let events = caller.tell::<Webhook>(&proctor, &id, command).await?;
    let position = proctor.directory.position_of(&events);
    let state = super::fresh(&proctor, &id).await?;
    Ok(answer::ok(position, &super::shown(&id, &state)))
}
