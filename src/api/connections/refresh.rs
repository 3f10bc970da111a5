//! `POST /connections/{name}/catalog/refresh`: puts in force what the upstream offers now; with
//! `hold=true` it is only looked at, as Proctor does by itself, and the difference is held.

use actix_web::{HttpResponse, web};
use proctor_domain::Name;
use proctor_domain::connection::{Era, Feature};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::answer;
use super::super::caller::Caller;
use super::super::openapi::words;
use super::super::problem::Problem;
use super::diff::{self, Difference};
use super::{Refreshing, discovery};
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
    /// How many.
    prompts: usize,
    /// How many.
    resource_templates: usize,
    /// Tools by their names; `prompt:` and a prompt's name; `resource_template:` and the template.
    #[schema(value_type = Vec<String>)]
    added: &'a [Feature],
    #[schema(value_type = Vec<String>)]
    changed: &'a [Feature],
    #[schema(value_type = Vec<String>)]
    removed: &'a [Feature],
    /// Those that cannot be used.
    rejected: Vec<Rejected<'a>>,
}

/// What came of it.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = CatalogLook)]
pub(super) enum Looked<'a> {
    /// It is in force.
    Refreshed(Refreshed<'a>),
    /// What differs is held.
    Held(Difference),
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
    query: web::Query<Refreshing>,
) -> Result<HttpResponse, Problem> {
    let name = super::named(&name)?;
    if query.hold {
        let position = discovery::observe(&proctor, &caller, &name, query.user.as_deref()).await?;
        return Ok(answer::ok(position, &Looked::Held(diff::shown(&proctor, &name).await?)));
    }
    let found = discovery::refresh(&proctor, &caller, &name, query.user.as_deref()).await?;
    let (changes, catalog) = (&found.changes, &found.catalog);
    let rejected = found.rejected.iter().map(|tool| Rejected { name: &tool.name, reason: &tool.reason });
    let counted = super::counted(catalog);
    let shown = Refreshed {
        connection: &name,
        digest: &catalog.digest,
        era: catalog.era,
        protocol_version: &catalog.protocol_version,
        tools: counted.tools,
        prompts: counted.prompts,
        resource_templates: counted.resource_templates,
        added: &changes.added,
        changed: &changes.changed,
        removed: &changes.removed,
        rejected: rejected.collect(),
    };
    Ok(answer::ok(found.position, &Looked::Refreshed(shown)))
}
