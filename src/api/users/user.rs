//! `GET /users/{user}`: whether a user may have sessions.

use actix_web::{HttpResponse, web};
use proctor_domain::subject::Subject;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::answer;
use super::super::problem::Problem;
use super::super::time;
use super::block::unknown;
use crate::proctor::Proctor;

/// Whether a user may have sessions.
#[derive(Serialize, ToSchema)]
#[schema(as = UserStanding)]
pub(super) struct Shown<'a> {
    user: &'a str,
    blocked: bool,
    #[schema(format = DateTime)]
    since: Option<String>,
    reason: Option<&'a str>,
}

pub(in crate::api) async fn user(
    proctor: web::Data<Proctor>,
    user: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let user = user.into_inner();
    let subject = proctor.keyring.subject_of(&user).await?.ok_or_else(unknown)?;
    let state = proctor.directory.fresh::<Subject>(subject.as_str()).await?;
    let blocked = state.blocked();
    let shown = Shown {
        user: &user,
        blocked: blocked.is_some(),
        since: blocked.map(|blocked| time::shown(blocked.since)),
        reason: blocked.map(|blocked| blocked.reason.as_str()),
    };
    Ok(answer::ok(proctor.journal.head().position(), &shown))
}
