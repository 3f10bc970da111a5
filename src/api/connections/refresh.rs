//! `POST /connections/{name}/catalog/refresh`: puts in force what the upstream offers now; with
//! `hold=true` it is only looked at, as Proctor does by itself, and the difference is held.

use actix_web::{HttpResponse, web};
use serde_json::json;

use super::super::answer;
use super::super::caller::Caller;
use super::super::problem::Problem;
use super::{Refreshing, diff, discovery};
use crate::proctor::Proctor;

pub(in crate::api) async fn refresh(
    proctor: web::Data<Proctor>,
    caller: Caller,
    name: web::Path<String>,
    query: web::Query<Refreshing>,
) -> Result<HttpResponse, Problem> {
    let name = super::named(&name)?;
    if query.hold {
        let position = discovery::observe(&proctor, &caller, &name, query.user.as_deref()).await?;
        return Ok(answer::ok(position, &diff::shown(&proctor, &name).await?));
    }
    let found = discovery::refresh(&proctor, &caller, &name, query.user.as_deref()).await?;
    let (changes, catalog) = (&found.changes, &found.catalog);
    let rejected: Vec<_> =
        found.rejected.iter().map(|tool| json!({ "name": tool.name, "reason": tool.reason })).collect();
    let shown = json!({
        "connection": name,
        "digest": catalog.digest,
        "era": catalog.era,
        "protocol_version": catalog.protocol_version,
        "tools": catalog.tools.len(),
        "added": changes.added,
        "changed": changes.changed,
        "removed": changes.removed,
        "rejected": rejected,
    });
    Ok(answer::ok(found.position, &shown))
}
