//! `GET /sessions`: sessions, newest first.

use actix_web::{HttpResponse, web};
use proctor_domain::{Micros, Position};
use serde::Deserialize;
use utoipa::IntoParams;

use super::super::answer;
use super::super::filters;
use super::super::openapi::words;
use super::super::opened::Opener;
use super::super::page::{self, given};
use super::super::problem::Problem;
use crate::actors::now;
use crate::proctor::Proctor;
use crate::views::{SessionFilter, SessionRow, SessionState};

const LIST: &str = "sessions";
/// Rows that one request looks at to fill its page with sessions of one state.
const SCANNED_MAX: usize = 5_000;

/// What the list is filtered by.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Query {
    user: Option<String>,
    virtual_server: Option<String>,
    #[param(value_type = Option<words::SessionState>, inline)]
    state: Option<String>,
    /// A label, written as `key:value`.
    label: Option<String>,
    /// Recorded at this time or later.
    #[param(format = DateTime)]
    from: Option<String>,
    /// Recorded before this time.
    #[param(format = DateTime)]
    to: Option<String>,
    /// How many items the page has at most: 50 when nothing is said.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500)]
    limit: Option<String>,
    /// `next_cursor` of the page before, as it is.
    cursor: Option<String>,
}

pub(in crate::api) async fn list(
    proctor: web::Data<Proctor>,
    query: web::Query<Query>,
) -> Result<HttpResponse, Problem> {
    let limit = page::limit(query.limit.as_deref())?;
    let before: Option<Position> = page::after(&proctor, LIST, query.cursor.as_deref())?;
    let state = state(query.state.as_deref())?;
    let filter = SessionFilter {
        subjects: filters::subjects(&proctor, query.user.as_deref()).await?,
        label_index: None,
        virtual_server: given(query.virtual_server.as_deref()).map(str::to_owned),
        from_us: filters::at("from", query.from.as_deref())?,
        to_us: filters::at("to", query.to.as_deref())?,
    };
    let position = filters::views_at_head(&proctor).await?;
    let labels = filters::label_indexes(&proctor, query.label.as_deref()).await?;
    let at = now();
    let (rows, next) = read(&proctor, (filter, labels), state, before, limit, at).await?;
    let mut opener = Opener::new(&proctor);
    let mut items = Vec::with_capacity(rows.len());
    for row in &rows {
        items.push(super::shown(&proctor, &mut opener, row, at).await?);
    }
    let cursor = page::cursor(&proctor, LIST, next)?;
    Ok(answer::ok(position, &page::shown(items, cursor.as_deref(), position)))
}

/// The rows of a page, and where the next one begins. A session's state follows from the time, which
/// no index knows, so that rows of another state are read and left out.
async fn read(
    proctor: &Proctor,
    (filter, labels): (SessionFilter, Vec<Option<String>>),
    state: Option<SessionState>,
    mut before: Option<Position>,
    limit: usize,
    at: Micros,
) -> Result<(Vec<SessionRow>, Option<Position>), Problem> {
    let mut page = Vec::new();
    let mut scanned = 0;
    loop {
        let read = |label_index| {
            proctor.views.sessions(SessionFilter { label_index, ..filter.clone() }, before, limit + 1)
        };
        let position = |row: &SessionRow| row.position;
        let rows = filters::with_any_label(&labels, limit + 1, position, read).await?;
        let more = rows.len() > limit;
        scanned += rows.len();
        for row in rows.into_iter().take(limit) {
            if page.len() == limit {
                return Ok((page, before));
            }
            before = Some(row.position);
            if state.is_none_or(|state| row.state(at) == state) {
                page.push(row);
            }
        }
        if !more {
            return Ok((page, None));
        }
        if page.len() == limit || scanned >= SCANNED_MAX {
            return Ok((page, before));
        }
    }
}

fn state(text: Option<&str>) -> Result<Option<SessionState>, Problem> {
    let Some(text) = given(text) else { return Ok(None) };
    let states = [SessionState::Open, SessionState::Expired, SessionState::Revoked];
    states
        .into_iter()
        .find(|state| state.code() == text)
        .map(Some)
        .ok_or_else(|| filters::wrong(format!("state is {text:?}: choose open, expired or revoked")))
}
