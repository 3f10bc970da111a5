//! `POST /webhooks/{id}/deliveries/{delivery}/redeliver`: has a message sent once more.

use actix_web::{HttpResponse, web};
use proctor_domain::webhook::{Webhook, WebhookCommand};

use super::super::answer;
use super::super::caller::Caller;
use super::super::problem::{Code, Problem};
use super::Enqueued;
use crate::proctor::Proctor;

pub(in crate::api) async fn redeliver(
    proctor: web::Data<Proctor>,
    caller: Caller,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let (id, delivery) = path.into_inner();
    super::fresh(&proctor, &id).await?;
    if proctor.webhooks.deliveries().of(&id, &delivery).await?.is_none() {
        let detail = "there is no such delivery of this webhook, or not any more: list them";
        return Err(Problem::new(Code::DeliveryNotFound, detail));
    }
    let command = WebhookCommand::Redeliver { by: caller.by(), delivery: delivery.clone() };
    let events = caller.tell::<Webhook>(&proctor, &id, command).await?;
    let shown = Enqueued { webhook: &id, delivery: Some(&delivery) };
    Ok(answer::accepted(proctor.directory.position_of(&events), &shown))
}
