//! `GET /users/{user}`: whether a user may have sessions.

use actix_web::{HttpResponse, web};
use proctor_domain::subject::Subject;
use serde_json::json;

use super::super::answer;
use super::super::problem::Problem;
use super::super::time;
use super::block::unknown;
use crate::proctor::Proctor;

pub(in crate::api) async fn user(
    proctor: web::Data<Proctor>,
    user: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let user = user.into_inner();
    let subject = proctor.keyring.subject_of(&user).await?.ok_or_else(unknown)?;
    let state = proctor.directory.fresh::<Subject>(subject.as_str()).await?;
    let blocked = state.blocked();
    let shown = json!({
        "user": user,
        "blocked": blocked.is_some(),
        "since": blocked.map(|blocked| time::shown(blocked.since)),
        "reason": blocked.map(|blocked| &blocked.reason),
    });
    Ok(answer::ok(proctor.journal.head().position(), &shown))
}
