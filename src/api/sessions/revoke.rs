//! `POST /sessions/{id}/revoke`: ends one session.

use actix_web::{HttpResponse, web};
use proctor_domain::Position;
use proctor_domain::session::{Session, SessionCommand};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::answer;
use super::super::body::Body;
use super::super::caller::Caller;
use super::super::confirmation::{Confirmation, Wait, confirmed};
use super::super::openapi::words;
use super::super::problem::Problem;
use super::super::reason::Reason;
use crate::proctor::Proctor;

/// A session that has ended.
#[derive(Serialize, ToSchema)]
#[schema(as = RevokedSession)]
pub(super) struct Revoked {
    session_id: String,
    #[schema(value_type = words::SessionState)]
    state: &'static str,
    #[schema(value_type = u64)]
    position: Position,
    #[serde(flatten)]
    #[schema(inline)]
    confirmation: Confirmation,
}

pub(in crate::api) async fn revoke(
    proctor: web::Data<Proctor>,
    caller: Caller,
    id: web::Path<String>,
    wait: web::Query<Wait>,
    Body(body): Body<Reason>,
) -> Result<HttpResponse, Problem> {
    let command = SessionCommand::Revoke { by: caller.by(), reason: body.checked()? };
    let events = caller.tell::<Session>(&proctor, &id, command).await?;
    // One that was revoked before was so at the head at the latest.
    let position = proctor.directory.position_of(&events);
    let confirmation = confirmed(&proctor, &wait, position).await?;
    let shown = Revoked { session_id: id.into_inner(), state: "revoked", position, confirmation };
    Ok(answer::ok(position, &shown))
}
