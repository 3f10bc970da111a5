//! `GET /sessions/{id}`: one session, how it stands and what it has used.

use actix_web::{HttpResponse, web};

use super::super::answer;
use super::super::filters::views_at_head;
use super::super::opened::Opener;
use super::super::problem::Problem;
use crate::actors::now;
use crate::proctor::Proctor;

pub(in crate::api) async fn show(
    proctor: web::Data<Proctor>,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let position = views_at_head(&proctor).await?;
    let row = super::row(&proctor, &id).await?;
    let shown = super::shown(&proctor, &mut Opener::new(&proctor), &row, now()).await?;
    Ok(answer::ok(position, &shown))
}
