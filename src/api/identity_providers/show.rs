//! `GET /identity-providers/{name}`: one identity provider.

use actix_web::{HttpResponse, web};

use super::super::answer;
use super::super::problem::Problem;
use crate::proctor::Proctor;

pub(in crate::api) async fn show(
    proctor: web::Data<Proctor>,
    name: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let name = super::named(&name)?;
    let state = super::fresh(&proctor, &name).await?;
    Ok(answer::ok(proctor.journal.head().position(), &super::shown(name.as_str(), &state)))
}
