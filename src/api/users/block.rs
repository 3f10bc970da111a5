//! `POST /users/{user}/block` and `/unblock`: whether a user may have sessions. Blocking ends those that
//! there are, and cancels what is on its way in them.

use actix_web::{HttpResponse, web};
use proctor_domain::Position;
use proctor_domain::subject::{Subject, SubjectCommand};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::answer;
use super::super::body::{Body, BodyOrNothing};
use super::super::caller::Caller;
use super::super::confirmation::{Confirmation, Wait, confirmed};
use super::super::problem::{Code, Problem};
use super::super::reason::{Reason, ReasonIfAny};
use super::super::revocations::count;
use super::reference;
use crate::opening::{USER_CHARS_MAX, user_fits};
use crate::proctor::Proctor;
use crate::views::SessionsOf;

/// A user who may not have sessions.
#[derive(Serialize, ToSchema)]
#[schema(as = BlockedUser)]
pub(super) struct Blocked {
    user: String,
    blocked: bool,
    /// How many sessions were open; `null` when that could not be told.
    sessions: Option<u64>,
    #[schema(value_type = u64)]
    position: Position,
    #[serde(flatten)]
    #[schema(inline)]
    confirmation: Confirmation,
}

/// A user who may have sessions again.
#[derive(Serialize, ToSchema)]
#[schema(as = UnblockedUser)]
pub(super) struct Unblocked {
    user: String,
    blocked: bool,
    #[schema(value_type = u64)]
    position: Position,
}

pub(in crate::api) async fn block(
    proctor: web::Data<Proctor>,
    caller: Caller,
    user: web::Path<String>,
    wait: web::Query<Wait>,
    Body(body): Body<Reason>,
) -> Result<HttpResponse, Problem> {
    let (user, reason) = (user.into_inner(), body.checked()?);
    if !user_fits(&user) {
        let detail = format!("the user must have 1 to {USER_CHARS_MAX} characters");
        return Err(Problem::new(Code::InvalidQuery, detail));
    }
    // Also somebody who was never seen: they are not to be the first to come.
    let subject = reference(&proctor, &caller, &user).await?;
    let sessions = count(&proctor, SessionsOf::Subject(subject.clone())).await;
    let command = SubjectCommand::Block { by: caller.by(), reason };
    let events = caller.tell::<Subject>(&proctor, subject.as_str(), command).await?;
    let position = proctor.directory.position_of(&events);
    let confirmation = confirmed(&proctor, &wait, position).await?;
    Ok(answer::ok(position, &Blocked { user, blocked: true, sessions, position, confirmation }))
}

pub(in crate::api) async fn unblock(
    proctor: web::Data<Proctor>,
    caller: Caller,
    user: web::Path<String>,
    BodyOrNothing(body): BodyOrNothing<ReasonIfAny>,
) -> Result<HttpResponse, Problem> {
    let (user, reason) = (user.into_inner(), body.checked()?);
    let subject = proctor.keyring.subject_of(&user).await?.ok_or_else(unknown)?;
    let command = SubjectCommand::Unblock { by: caller.by(), reason };
    let events = caller.tell::<Subject>(&proctor, subject.as_str(), command).await?;
    let position = proctor.directory.position_of(&events);
    Ok(answer::ok(position, &Unblocked { user, blocked: false, position }))
}

pub(super) fn unknown() -> Problem {
    Problem::new(Code::UserNotFound, "no such user was ever seen here: check the identifier")
}
