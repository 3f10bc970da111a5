//! `GET /users`: everybody who was seen here, in the order of their references, which says nothing.

use actix_web::{HttpResponse, web};
use futures_util::future::try_join_all;
use proctor_domain::SubjectId;
use proctor_domain::subject::Subject;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::opened::Opener;
use super::super::page::{self, Page};
use super::super::problem::Problem;
use super::super::{answer, time};
use crate::proctor::Proctor;

const LIST: &str = "users";

/// A user, and whether they may have sessions.
#[derive(Serialize, ToSchema)]
#[schema(as = User)]
pub(super) struct Shown {
    /// As your product knows them; `null` once that was erased.
    user: Option<String>,
    /// The reference by which the journal knows them.
    #[schema(value_type = String)]
    subject: SubjectId,
    blocked: bool,
    #[schema(format = DateTime)]
    since: Option<String>,
    reason: Option<String>,
}

pub(in crate::api) async fn all(
    proctor: web::Data<Proctor>,
    query: web::Query<Page>,
) -> Result<HttpResponse, Problem> {
    let limit = page::limit(query.limit.as_deref())?;
    let after: Option<String> = page::after(&proctor, LIST, query.cursor.as_deref())?;
    let position = proctor.journal.confirm().await?;
    let mut rows = proctor.journal.reader().subjects(after.as_deref().unwrap_or_default(), limit + 1).await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let states =
        try_join_all(rows.iter().map(|row| proctor.directory.fresh::<Subject>(&row.subject))).await?;
    let mut opener = Opener::new(&proctor);
    let mut items = Vec::with_capacity(rows.len());
    for (row, state) in rows.iter().zip(&states) {
        let blocked = state.blocked();
        items.push(Shown {
            user: opener.user(&row.subject.as_str().into()).await?,
            subject: row.subject.as_str().into(),
            blocked: blocked.is_some(),
            since: blocked.map(|blocked| time::shown(blocked.since)),
            reason: blocked.map(|blocked| blocked.reason.clone()),
        });
    }
    let last = rows.last().filter(|_| more).map(|row| row.subject.clone());
    let cursor = page::cursor(&proctor, LIST, last)?;
    Ok(answer::ok(position, &page::shown(items, cursor.as_deref(), position)))
}
