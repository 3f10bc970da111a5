//! Sessions: minted, listed, shown, revoked, and what happened in them.

mod list;
mod mint;
mod revoke;
mod show;
mod timeline;

use proctor_domain::limits::SessionLimits;
use proctor_domain::{Micros, SessionId};
use serde_json::{Value, json};

pub(super) use list::list;
pub(super) use mint::mint;
pub(super) use revoke::revoke;
pub(super) use show::show;
pub(super) use timeline::timeline;

use super::opened::{self, Opener};
use super::problem::{Code, Problem};
use super::time;
use crate::proctor::Proctor;
use crate::views::{SessionRow, SessionState};

/// One session, as it stood when the request came.
async fn row(proctor: &Proctor, id: &str) -> Result<SessionRow, Problem> {
    proctor.views.session(SessionId::from(id)).await?.ok_or_else(|| {
        Problem::new(Code::SessionNotFound, "there is no such session: check its identifier, or list them")
    })
}

/// A session as it is shown: with its user and labels.
async fn shown(
    proctor: &Proctor,
    opener: &mut Opener<'_>,
    row: &SessionRow,
    at: Micros,
) -> Result<Value, Problem> {
    let session = row.session.as_str();
    let state = row.state(at);
    let tools = row.tools.as_deref().map(serde_json::from_str::<Value>).transpose();
    Ok(json!({
        "session_id": session,
        "state": state.code(),
        "ended": ended(proctor, row, state).await?,
        "user": opener.user(&row.subject).await?,
        "subject": row.subject,
        "virtual_server": row.virtual_server,
        "version": row.version,
        "access": row.access,
        "tools": tools.map_err(|error| Problem::internal("read a session's tools", &error))?,
        "labels": opener.labels(session, &row.subject, row.position).await?,
        "limits": SessionLimits {
            calls_max: Some(row.calls_max),
            calls_per_minute_max: row.calls_per_minute_max,
        },
        "calls_admitted": row.calls_admitted,
        "calls_refused": row.calls_refused,
        "opened_at": time::shown(row.opened_at),
        "expires_at": time::shown(row.expires_at),
        "opened_by": { &row.by_kind: row.by_id },
        "position": row.position,
    }))
}

/// What ended a session before its time: its own revocation, or a cut of many.
async fn ended(proctor: &Proctor, row: &SessionRow, state: SessionState) -> Result<Option<Value>, Problem> {
    if state != SessionState::Revoked {
        return Ok(None);
    }
    let of_its_own = row.revoked_position.filter(|revoked| row.cut.is_none_or(|cut| *revoked < cut.position));
    let Some(position) = of_its_own.or(row.cut.map(|cut| cut.position)) else { return Ok(None) };
    let Some(event) = opened::at(proctor, position).await? else { return Ok(None) };
    let said: Value = serde_json::from_str(&event.payload).map_err(opened::unreadable)?;
    let said = &said[event.event.type_name()];
    Ok(Some(json!({
        "type": event.event.type_name(),
        "reason": said["reason"],
        "by": said["by"],
        "at": time::shown(event.place.recorded_at),
        "position": position,
    })))
}
