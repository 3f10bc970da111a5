//! `POST /webhooks/{id}/test`: has a message of no meaning sent.

use actix_web::{HttpResponse, web};
use proctor_domain::webhook::{Webhook, WebhookCommand};

use super::super::answer;
use super::super::caller::Caller;
use super::super::problem::Problem;
use super::Enqueued;
use crate::proctor::Proctor;
use crate::webhooks::delivery_id;

pub(in crate::api) async fn test(
    proctor: web::Data<Proctor>,
    caller: Caller,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    super::fresh(&proctor, &id).await?;
    let events = caller.tell::<Webhook>(&proctor, &id, WebhookCommand::Test { by: caller.by() }).await?;
    let delivery = events.last().map(|event| delivery_id(&id, &event.event_id));
    let shown = Enqueued { webhook: &id, delivery: delivery.as_deref() };
    Ok(answer::accepted(proctor.directory.position_of(&events), &shown))
}
