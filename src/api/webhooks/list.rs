//! `GET /webhooks`: all webhooks, in the order in which they were made.

use actix_web::{HttpResponse, web};
use futures_util::future::try_join_all;
use proctor_domain::webhook::Webhook;

use super::super::answer;
use super::super::page::{self, Page};
use super::super::problem::Problem;
use crate::proctor::Proctor;

const LIST: &str = "webhooks";

pub(in crate::api) async fn list(
    proctor: web::Data<Proctor>,
    query: web::Query<Page>,
) -> Result<HttpResponse, Problem> {
    let limit = page::limit(query.limit.as_deref())?;
    let after: Option<String> = page::after(&proctor, LIST, query.cursor.as_deref())?;
    let position = proctor.journal.confirm().await?;
    let ids = proctor.journal.reader().stream_ids("webhook").await?;
    let (ids, more) = page::of_names(ids, after.as_deref(), limit);
    let states = try_join_all(ids.iter().map(|id| proctor.directory.fresh::<Webhook>(id))).await?;
    let items = ids.iter().zip(&states).map(|(id, state)| super::shown(id, state)).collect();
    let cursor = page::cursor(&proctor, LIST, ids.last().filter(|_| more))?;
    Ok(answer::ok(position, &page::shown(items, cursor.as_deref(), position)))
}
