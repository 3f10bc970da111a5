//! `GET /sessions/{id}/timeline`: every event of a session, decoded, oldest first.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix_web::{HttpResponse, web};
use proctor_domain::api_key::Role;
use proctor_domain::session::{Session, SessionEvent};
use proctor_domain::{Event, Recorded, StreamId, SubjectId};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::super::answer;
use super::super::audit::on_the_record;
use super::super::caller::Caller;
use super::super::opened::{Labels, Opener, unreadable};
use super::super::page::{self, Page};
use super::super::problem::{Code, Problem};
use super::super::time;
use crate::payload::{Asked, Ended};
use crate::proctor::Proctor;

/// A page of what happened in a session.
#[derive(Serialize, ToSchema)]
pub(super) struct Timeline {
    session_id: String,
    items: Vec<Item>,
    next_cursor: Option<String>,
}

/// An event of a session.
#[derive(Serialize, ToSchema)]
#[schema(as = SessionEvent)]
struct Item {
    #[schema(value_type = u64)]
    position: proctor_domain::Position,
    /// Its place in the session.
    sequence: u64,
    #[schema(format = DateTime)]
    at: String,
    #[schema(value_type = String)]
    event_id: Arc<str>,
    #[serde(rename = "type")]
    kind: &'static str,
    /// What the event says, as it stands in the journal.
    #[schema(value_type = Object)]
    data: Value,
    #[serde(flatten)]
    #[schema(inline)]
    opened: Opened,
}

/// What was sealed beside an event, for those who may see it.
#[derive(Default, Serialize, ToSchema)]
#[schema(as = OpenedEvent)]
struct Opened {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<BTreeMap<String, String>>)]
    labels: Option<Labels>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    client_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>, required = false)]
    arguments: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>, required = false)]
    result: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>, required = false)]
    error: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// The keyed digest of what was not kept whole.
    #[schema(nullable = false)]
    digest: Option<String>,
}

pub(in crate::api) async fn timeline(
    proctor: web::Data<Proctor>,
    caller: Caller,
    id: web::Path<String>,
    query: web::Query<Page>,
) -> Result<HttpResponse, Problem> {
    let list = format!("timeline:{id}");
    let limit = page::limit(query.limit.as_deref())?;
    let after: Option<u64> = page::after(&proctor, &list, query.cursor.as_deref())?;
    let position = proctor.journal.confirm().await?;
    let stream = StreamId::of::<Session>(&id);
    let mut events = proctor.journal.reader().stream(&stream, after.unwrap_or(0)).await?;
    let subject = subject(&proctor, &id).await?;
    let more = events.len() > limit;
    events.truncate(limit);
    // What agents sent and got is the auditor's to read, not the minter's.
    let opens = matches!(caller.role, Role::Admin | Role::Auditor);
    let mut opener = Opener::new(&proctor);
    let mut items = Vec::with_capacity(events.len());
    for event in &events {
        items.push(item(&mut opener, event, &id, &subject, opens).await?);
    }
    if opens {
        let filters = BTreeMap::from([("session".to_owned(), id.to_string())]);
        on_the_record(&proctor, &caller, "timeline", filters, items.len()).await?;
    }
    let last = events.last().filter(|_| more).map(|event| event.sequence);
    let next_cursor = page::cursor(&proctor, &list, last)?;
    Ok(answer::ok(position, &Timeline { session_id: id.into_inner(), items, next_cursor }))
}

async fn subject(proctor: &Proctor, id: &str) -> Result<SubjectId, Problem> {
    let state = proctor.directory.fresh::<Session>(id).await?;
    state.terms().map(|terms| terms.subject.clone()).ok_or_else(|| {
        Problem::new(Code::SessionNotFound, "there is no such session: check its identifier, or list them")
    })
}

async fn item(
    opener: &mut Opener<'_>,
    recorded: &Recorded,
    session: &str,
    subject: &SubjectId,
    opens: bool,
) -> Result<Item, Problem> {
    let kind = recorded.event.type_name();
    let mut data: Value = serde_json::from_str(&recorded.payload).map_err(unreadable)?;
    let position = recorded.place.position;
    let opened = match &recorded.event {
        Event::Session(SessionEvent::SessionOpened { .. }) => {
            let labels = opener.labels(session, subject, position).await?;
            Opened { labels: Some(labels), ..Opened::default() }
        }
        Event::Session(SessionEvent::ToolCallAdmitted { .. } | SessionEvent::ToolCallRefused { .. })
            if opens =>
        {
            let bytes = opener.payload(session, subject, position).await?;
            bytes.as_deref().map(asked).transpose()?.unwrap_or_default()
        }
        Event::Session(SessionEvent::ToolCallEnded { .. }) if opens => {
            let bytes = opener.payload(session, subject, position).await?;
            bytes.as_deref().map(ended).transpose()?.unwrap_or_default()
        }
        _ => Opened::default(),
    };
    Ok(Item {
        position,
        sequence: recorded.sequence,
        at: time::shown(recorded.place.recorded_at),
        event_id: Arc::clone(&recorded.event_id),
        kind,
        data: data[kind].take(),
        opened,
    })
}

fn asked(bytes: &[u8]) -> Result<Opened, Problem> {
    let asked = Asked::read(bytes).map_err(unreadable)?;
    Ok(Opened {
        client_address: asked.address.map(Into::into),
        arguments: asked.arguments.map(ToOwned::to_owned),
        digest: asked.digest.map(Into::into),
        ..Opened::default()
    })
}

fn ended(bytes: &[u8]) -> Result<Opened, Problem> {
    let ended = Ended::read(bytes).map_err(unreadable)?;
    Ok(Opened {
        result: ended.result.map(ToOwned::to_owned),
        error: ended.error.map(ToOwned::to_owned),
        digest: ended.digest.map(Into::into),
        ..Opened::default()
    })
}
