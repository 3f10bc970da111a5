//! `POST /sessions/{id}/revoke`: ends one session.

use actix_web::{HttpResponse, web};
use proctor_domain::session::{Session, SessionCommand};
use serde_json::json;

use super::super::answer;
use super::super::body::Body;
use super::super::caller::Caller;
use super::super::confirmation::{Wait, confirmed};
use super::super::problem::Problem;
use super::super::reason::Reason;
use crate::proctor::Proctor;

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
    let mut shown = json!({ "session_id": *id, "state": "revoked", "position": position });
    confirmed(&proctor, &wait, position, &mut shown).await?;
    Ok(answer::ok(position, &shown))
}
