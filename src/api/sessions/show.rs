//! `GET /sessions/{id}`: one session, how it stands and what it has used; with `at`, how it stood at a
//! moment in the past.

use actix_web::{HttpResponse, web};
use proctor_domain::session::{Session, SessionEvent};
use proctor_domain::{Event, Recorded, StreamId};
use serde::Deserialize;
use utoipa::IntoParams;

use super::super::answer;
use super::super::as_of::Moment;
use super::super::filters::views_at_head;
use super::super::opened::Opener;
use super::super::problem::{Code, Problem};
use crate::actors::now;
use crate::proctor::Proctor;
use crate::views::SessionRow;

/// When.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Query {
    /// As it stood then: at a position in the journal, or an RFC 3339 time; now, when it is left out.
    at: Option<String>,
}

pub(in crate::api) async fn show(
    proctor: web::Data<Proctor>,
    id: web::Path<String>,
    query: web::Query<Query>,
) -> Result<HttpResponse, Problem> {
    let head = views_at_head(&proctor).await?;
    let row = super::row(&proctor, &id).await?;
    let mut opener = Opener::new(&proctor);
    let Some(moment) = Moment::read(&proctor, query.at.as_deref(), head).await? else {
        return Ok(answer::ok(head, &super::shown(&proctor, &mut opener, &row, now()).await?));
    };
    if row.position > moment.position {
        let detail = format!("the session was opened later than that, at position {}", row.position);
        return Err(Problem::new(Code::SessionNotFound, detail));
    }
    let events = proctor.journal.reader().stream(&StreamId::of::<Session>(&id), 0).await?;
    let row = as_of(row, &events, moment);
    let mut shown = super::shown(&proctor, &mut opener, &row, moment.at).await?;
    shown.as_of = Some(moment.shown());
    Ok(answer::ok(head, &shown))
}

/// A session without what happened after a moment.
fn as_of(mut row: SessionRow, events: &[impl AsRef<Recorded>], moment: Moment) -> SessionRow {
    (row.calls_admitted, row.calls_refused) = (0, 0);
    for event in events.iter().map(AsRef::as_ref).filter(|event| event.place.position <= moment.position) {
        let Event::Session(event) = &event.event else { continue };
        match event {
            SessionEvent::ToolCallAdmitted { .. } => row.calls_admitted += 1,
            SessionEvent::ToolCallRefused { .. } => row.calls_refused += 1,
            SessionEvent::ToolCallRefusedAgain { times, .. } => row.calls_refused += times,
            SessionEvent::SessionOpened { .. }
            | SessionEvent::SessionRevoked { .. }
            | SessionEvent::ManifestServed { .. }
            | SessionEvent::ToolCallCancelRequested { .. }
            | SessionEvent::InputRequested { .. }
            | SessionEvent::InputGiven { .. }
            | SessionEvent::LogLevelSet { .. }
            | SessionEvent::ToolCallEnded { .. }
            | SessionEvent::ToolCallAbandoned { .. } => {}
        }
    }
    row.revoked_position = row.revoked_position.filter(|revoked| *revoked <= moment.position);
    // Of several cuts the row holds the first one.
    row.cut = row.cut.filter(|cut| cut.position <= moment.position);
    row
}
