//! `GET /api-keys/{id}`: one key.

use actix_web::{HttpResponse, web};

use super::super::answer;
use super::super::problem::Problem;
use crate::proctor::Proctor;

pub(in crate::api) async fn show(
    proctor: web::Data<Proctor>,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let state = super::fresh(&proctor, &id).await?;
    let position = proctor.journal.head().position();
    Ok(answer::ok(position, &super::shown_alone(&proctor, &id, &state).await?))
}
