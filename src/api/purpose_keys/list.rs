//! `GET /purpose-keys`: the keys that Proctor made for its own purposes, by purpose, newest first.

use actix_web::{HttpResponse, web};

use super::super::answer;
use super::super::page::{self, Page};
use super::super::problem::Problem;
use crate::proctor::Proctor;
use crate::vault::uses;

const LIST: &str = "purpose-keys";

pub(in crate::api) async fn list(
    proctor: web::Data<Proctor>,
    query: web::Query<Page>,
) -> Result<HttpResponse, Problem> {
    let limit = page::limit(query.limit.as_deref())?;
    // Keys are only added, each before those of its purpose: whoever turns pages meanwhile may see one
    // twice, and misses none but new ones.
    let after: usize = page::after(&proctor, LIST, query.cursor.as_deref())?.unwrap_or_default();
    let position = proctor.journal.confirm().await?;
    let reader = proctor.journal.reader();
    let (rows, now) = (reader.purpose_keys().await?, reader.now().await?);
    let used = uses(&rows, now.0);
    let items: Vec<_> =
        used.iter().skip(after).take(limit).map(|(row, how)| super::shown(row, *how)).collect();
    let next = after + items.len();
    let cursor = page::cursor(&proctor, LIST, (next < used.len()).then_some(next))?;
    Ok(answer::ok(position, &page::shown(items, cursor.as_deref(), position)))
}
