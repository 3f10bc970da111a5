//! `GET /api-keys`: all keys that were ever created, by identifier.

use actix_web::{HttpResponse, web};
use futures_util::future::try_join_all;
use proctor_domain::KeyId;
use proctor_domain::api_key::ApiKey;

use super::super::answer;
use super::super::page::{self, Page};
use super::super::problem::Problem;
use crate::proctor::Proctor;

const LIST: &str = "api-keys";

pub(in crate::api) async fn list(
    proctor: web::Data<Proctor>,
    query: web::Query<Page>,
) -> Result<HttpResponse, Problem> {
    let limit = page::limit(query.limit.as_deref())?;
    let after: Option<String> = page::after(&proctor, LIST, query.cursor.as_deref())?;
    let position = proctor.journal.confirm().await?;
    let ids = proctor.journal.reader().stream_ids("api_key").await?;
    let (ids, more) = page::of_names(ids, after.as_deref(), limit);
    let states = try_join_all(ids.iter().map(|id| proctor.directory.fresh::<ApiKey>(id))).await?;
    let last_used = proctor.api_keys.last_used().await?;
    let items = ids.iter().zip(&states).map(|(id, state)| {
        let used = last_used.get(&KeyId::from(id.as_str())).copied();
        super::shown(id, state, used)
    });
    let items = items.collect();
    let cursor = page::cursor(&proctor, LIST, ids.last().filter(|_| more))?;
    Ok(answer::ok(position, &page::shown(items, cursor.as_deref(), position)))
}
