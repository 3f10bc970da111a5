//! `GET /virtual-servers/{name}/versions`: every version that there was, newest first.

use actix_web::{HttpResponse, web};
use proctor_domain::virtual_server::{VirtualServer, VirtualServerEvent};
use proctor_domain::{By, Event, Position, Recorded, StreamId};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::answer;
use super::super::openapi::words;
use super::super::page::{self, Page};
use super::super::problem::Problem;
use super::super::time;
use super::Written;
use crate::proctor::Proctor;

const LIST: &str = "versions";

/// A version of a virtual server.
#[derive(Serialize, ToSchema)]
#[schema(as = Version)]
pub(super) struct Shown<'a> {
    version: usize,
    #[schema(value_type = u64)]
    position: Position,
    #[schema(format = DateTime)]
    at: String,
    #[schema(value_type = words::By)]
    by: &'a By,
    definition: Written<'a>,
}

pub(in crate::api) async fn versions(
    proctor: web::Data<Proctor>,
    name: web::Path<String>,
    query: web::Query<Page>,
) -> Result<HttpResponse, Problem> {
    let name = super::named(&name)?;
    let list = format!("{LIST}:{name}");
    let limit = page::limit(query.limit.as_deref())?;
    let before: Option<usize> = page::after(&proctor, &list, query.cursor.as_deref())?;
    super::fresh(&proctor, &name).await?;
    let position = proctor.journal.head().position();
    let stream = StreamId::of::<VirtualServer>(name.as_str());
    let events = proctor.journal.reader().stream(&stream, 0).await?;
    let all: Vec<_> =
        events.iter().filter_map(|event| version(event).map(|version| (event, version))).collect();
    let end = before.map_or(all.len(), |before| before.saturating_sub(1).min(all.len()));
    let start = end.saturating_sub(limit);
    let numbered = all.into_iter().enumerate().take(end).skip(start).rev();
    let items = numbered.map(|(index, (event, (by, definition)))| Shown {
        version: index + 1,
        position: event.place.position,
        at: time::shown(event.place.recorded_at),
        by,
        definition,
    });
    let items = items.collect();
    let cursor = page::cursor(&proctor, &list, (start > 0).then_some(start + 1))?;
    Ok(answer::ok(position, &page::shown(items, cursor.as_deref(), position)))
}

fn version(event: &Recorded) -> Option<(&By, Written<'_>)> {
    match &event.event {
        Event::VirtualServer(
            VirtualServerEvent::VirtualServerDefined { by, definition }
            | VirtualServerEvent::VirtualServerRevised { by, definition },
        ) => Some((by, super::written(definition))),
        _ => None,
    }
}
