//! `PUT /webhooks/{id}`: sets a webhook anew. One whose receiver was gone is sent to again.

use actix_web::{HttpResponse, web};
use proctor_domain::webhook::{Webhook, WebhookCommand};

use super::super::answer;
use super::super::body::Body;
use super::super::caller::Caller;
use super::super::problem::Problem;
use super::settings::WebhookBody;
use crate::proctor::Proctor;

pub(in crate::api) async fn revise(
    proctor: web::Data<Proctor>,
    caller: Caller,
    id: web::Path<String>,
    Body(body): Body<WebhookBody>,
) -> Result<HttpResponse, Problem> {
    super::fresh(&proctor, &id).await?;
    let command = WebhookCommand::Revise { by: caller.by(), settings: body.settings()? };
    let events = caller.tell::<Webhook>(&proctor, &id, command).await?;
    let position = proctor.directory.position_of(&events);
    let state = super::fresh(&proctor, &id).await?;
    Ok(answer::ok(position, &super::shown(&id, &state)))
}
