//! `POST /connections/{name}/catalog/refresh`: puts in force what the upstream offers now.

use actix_web::{HttpResponse, web};
use proctor_domain::Name;
use proctor_domain::connection::Era;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::answer;
use super::super::caller::Caller;
use super::super::openapi::words;
use super::super::problem::Problem;
use super::{AsUser, discovery};
use crate::proctor::Proctor;

/// A catalog that is in force now, and in what it differs from the one before.
#[derive(Serialize, ToSchema)]
#[schema(as = RefreshedCatalog)]
pub(super) struct Refreshed<'a> {
    #[schema(value_type = words::Name)]
    connection: &'a Name,
    digest: &'a str,
    #[schema(value_type = words::Era)]
    era: Era,
    protocol_version: &'a str,
    /// How many.
    tools: usize,
    added: &'a [String],
    changed: &'a [String],
    removed: &'a [String],
    /// Those that cannot be used.
    rejected: Vec<Rejected<'a>>,
}

/// A tool that is offered in a form that cannot be used.
#[derive(Serialize, ToSchema)]
#[schema(as = RejectedTool)]
struct Rejected<'a> {
    name: &'a str,
    reason: &'a str,
}

pub(in crate::api) async fn refresh(
    proctor: web::Data<Proctor>,
    caller: Caller,
    name: web::Path<String>,
    query: web::Query<AsUser>,
) -> Result<HttpResponse, Problem> {
    let name = super::named(&name)?;
    let found = discovery::refresh(&proctor, &caller, &name, query.user.as_deref()).await?;
    let (changes, catalog) = (&found.changes, &found.catalog);
    let rejected = found.rejected.iter().map(|tool| Rejected { name: &tool.name, reason: &tool.reason });
    let shown = Refreshed {
        connection: &name,
        digest: &catalog.digest,
        era: catalog.era,
        protocol_version: &catalog.protocol_version,
        tools: catalog.tools.len(),
        added: &changes.added,
        changed: &changes.changed,
        removed: &changes.removed,
        rejected: rejected.collect(),
    };
    Ok(answer::ok(found.position, &shown))
}
