//! `GET /webhooks/{id}/deliveries`: what was and is to be sent, newest first.

use actix_web::{HttpResponse, web};
use proctor_domain::Position;
use serde::Deserialize;
use utoipa::IntoParams;

use super::super::answer;
use super::super::filters::wrong;
use super::super::openapi::words;
use super::super::page::{self, given};
use super::super::problem::Problem;
use crate::journal::DeliveryState;
use crate::proctor::Proctor;

const LIST: &str = "deliveries";

/// What the list is filtered by.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Query {
    /// Only those that stand so.
    #[param(value_type = Option<words::DeliveryStatus>, inline)]
    state: Option<String>,
    /// How many items the page has at most: 50 when nothing is said.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500)]
    limit: Option<String>,
    /// `next_cursor` of the page before, as it is.
    cursor: Option<String>,
}

pub(in crate::api) async fn deliveries(
    proctor: web::Data<Proctor>,
    id: web::Path<String>,
    query: web::Query<Query>,
) -> Result<HttpResponse, Problem> {
    let limit = page::limit(query.limit.as_deref())?;
    let before: Option<Position> = page::after(&proctor, LIST, query.cursor.as_deref())?;
    let state = state(query.state.as_deref())?;
    super::fresh(&proctor, &id).await?;
    let mut found = proctor.webhooks.deliveries().list(&id, state, before, limit + 1).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let cursor = page::cursor(&proctor, LIST, found.last().filter(|_| more).map(|last| last.position))?;
    let items = found.iter().map(super::shown_delivery).collect();
    let position = proctor.journal.head().position();
    Ok(answer::ok(position, &page::shown(items, cursor.as_deref(), position)))
}

fn state(text: Option<&str>) -> Result<Option<DeliveryState>, Problem> {
    let Some(text) = given(text) else { return Ok(None) };
    let found = DeliveryState::ALL.into_iter().find(|state| state.code() == text);
    found.map(Some).ok_or_else(|| wrong(format!("state is {text:?}: choose pending, delivered or dead")))
}
