//! `GET /identity-providers`: all identity providers, by name.

use actix_web::{HttpResponse, web};
use futures_util::future::try_join_all;
use proctor_domain::identity_provider::IdentityProvider;

use super::super::answer;
use super::super::page::{self, Page};
use super::super::problem::Problem;
use crate::proctor::Proctor;

const LIST: &str = "identity_providers";

pub(in crate::api) async fn list(
    proctor: web::Data<Proctor>,
    query: web::Query<Page>,
) -> Result<HttpResponse, Problem> {
    let limit = page::limit(query.limit.as_deref())?;
    let after: Option<String> = page::after(&proctor, LIST, query.cursor.as_deref())?;
    let position = proctor.journal.confirm().await?;
    let names = proctor.journal.reader().stream_ids("identity_provider").await?;
    let (names, more) = page::of_names(names, after.as_deref(), limit);
    let states = names.iter().map(|name| proctor.directory.fresh::<IdentityProvider>(name));
    let states = try_join_all(states).await?;
    let items = names.iter().zip(&states).map(|(name, state)| super::shown(name, state)).collect();
    let cursor = page::cursor(&proctor, LIST, names.last().filter(|_| more))?;
    Ok(answer::ok(position, &page::shown(items, cursor.as_deref(), position)))
}
