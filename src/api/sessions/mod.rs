//! Sessions: minted, listed, shown, revoked, and what happened in them.

mod list;
mod mint;
pub(super) mod operations;
mod revoke;
mod show;
mod timeline;

use std::collections::BTreeMap;

use proctor_domain::limits::SessionLimits;
use proctor_domain::session::Access;
use proctor_domain::{Micros, Position, SessionId, SubjectId};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

pub(super) use list::list;
pub(super) use mint::mint;
pub(super) use revoke::revoke;
pub(super) use show::show;
pub(super) use timeline::timeline;

use super::as_of::ShownMoment;
use super::openapi::words;
use super::opened::{self, Labels, Opener};
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

/// A session, with its user and labels.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
struct Shown {
    #[schema(value_type = String)]
    session_id: SessionId,
    #[schema(value_type = words::SessionState)]
    state: &'static str,
    ended: Option<End>,
    /// As your product knows them; `null` once that was erased.
    user: Option<String>,
    /// The reference by which the journal knows them.
    #[schema(value_type = String)]
    subject: SubjectId,
    #[schema(value_type = words::Name)]
    virtual_server: String,
    /// Of the virtual server, when it was opened.
    version: u32,
    #[schema(value_type = words::Access)]
    access: Access,
    /// The tools that it is confined to; all of its virtual server, when there is no list.
    #[schema(value_type = Option<Vec<String>>)]
    tools: Option<Value>,
    #[schema(value_type = BTreeMap<String, String>)]
    labels: Labels,
    #[schema(value_type = words::SessionLimits)]
    limits: SessionLimits,
    calls_admitted: u64,
    calls_refused: u64,
    #[schema(format = DateTime)]
    opened_at: String,
    #[schema(format = DateTime)]
    expires_at: String,
    #[schema(value_type = words::By)]
    opened_by: BTreeMap<String, String>,
    #[schema(value_type = u64)]
    position: Position,
    /// The moment in the past, where one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    as_of: Option<ShownMoment>,
}

/// What ended a session before its time: its own revocation, or a cut of many.
#[derive(Serialize, ToSchema)]
#[schema(as = SessionEnd)]
struct End {
    /// The event's type.
    #[serde(rename = "type")]
    kind: &'static str,
    #[schema(value_type = String)]
    reason: Value,
    #[schema(value_type = words::By)]
    by: Value,
    #[schema(format = DateTime)]
    at: String,
    #[schema(value_type = u64)]
    position: Position,
}

async fn shown(
    proctor: &Proctor,
    opener: &mut Opener<'_>,
    row: &SessionRow,
    at: Micros,
) -> Result<Shown, Problem> {
    let session = row.session.as_str();
    let state = row.state(at);
    let tools = row.tools.as_deref().map(serde_json::from_str::<Value>).transpose();
    Ok(Shown {
        session_id: row.session.clone(),
        state: state.code(),
        ended: ended(proctor, row, state).await?,
        user: opener.user(&row.subject).await?,
        subject: row.subject.clone(),
        virtual_server: row.virtual_server.clone(),
        version: row.version,
        access: row.access,
        tools: tools.map_err(|error| Problem::internal("read a session's tools", &error))?,
        labels: opener.labels(session, &row.subject, row.position).await?,
        limits: SessionLimits {
            calls_max: Some(row.calls_max),
            calls_per_minute_max: row.calls_per_minute_max,
        },
        calls_admitted: row.calls_admitted,
        calls_refused: row.calls_refused,
        opened_at: time::shown(row.opened_at),
        expires_at: time::shown(row.expires_at),
        opened_by: BTreeMap::from([(row.by_kind.clone(), row.by_id.clone())]),
        position: row.position,
        as_of: None,
    })
}

async fn ended(proctor: &Proctor, row: &SessionRow, state: SessionState) -> Result<Option<End>, Problem> {
    if state != SessionState::Revoked {
        return Ok(None);
    }
    let of_its_own = row.revoked_position.filter(|revoked| row.cut.is_none_or(|cut| *revoked < cut.position));
    let Some(position) = of_its_own.or(row.cut.map(|cut| cut.position)) else { return Ok(None) };
    let Some(event) = opened::at(proctor, position).await? else { return Ok(None) };
    let mut said: Value = serde_json::from_str(&event.payload).map_err(opened::unreadable)?;
    let said = &mut said[event.event.type_name()];
    Ok(Some(End {
        kind: event.event.type_name(),
        reason: said["reason"].take(),
        by: said["by"].take(),
        at: time::shown(event.place.recorded_at),
        position,
    }))
}
