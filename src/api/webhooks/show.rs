//! `GET /webhooks/{id}`: one webhook.

use actix_web::{HttpResponse, web};

use super::super::answer;
use super::super::problem::Problem;
use crate::proctor::Proctor;

pub(in crate::api) async fn show(
    proctor: web::Data<Proctor>,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let state = super::fresh(&proctor, &id).await?;
    Ok(answer::ok(proctor.journal.head().position(), &super::shown(&id, &state)))
}
