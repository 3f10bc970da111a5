//! `GET /connections/{name}/catalog`: the tools in force, with their definitions as the upstream
//! gave them, and which are held; `…/diff` says what is offered instead.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use proctor_domain::connection::ToolStanding;
use serde::Serialize;
use serde_json::value::RawValue;

use super::super::answer;
use super::super::problem::{Code, Problem};
use crate::proctor::Proctor;

#[derive(Serialize)]
struct Shown<'a> {
    connection: &'a str,
    digest: &'a str,
    era: proctor_domain::connection::Era,
    protocol_version: &'a str,
    /// The digest of what is offered, which is another where anything is held or gone.
    offered: String,
    tools: Vec<Tool<'a>>,
    /// Tools that are offered and were never in force.
    new: Vec<&'a String>,
}

#[derive(Serialize)]
struct Tool<'a> {
    name: &'a str,
    digest: &'a str,
    read_only: bool,
    /// `in_force`, `held` (it is offered otherwise) or `gone` (it is offered no more).
    standing: &'static str,
    definition: Arc<RawValue>,
}

pub(in crate::api) async fn catalog(
    proctor: web::Data<Proctor>,
    name: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let name = super::named(&name)?;
    let state = super::fresh(&proctor, &name).await?;
    let Some(catalog) = state.catalog() else {
        let detail = format!("the catalog of connection \"{name}\" was never read: refresh it first");
        return Err(Problem::new(Code::CatalogNotFound, detail));
    };
    let mut tools = Vec::with_capacity(catalog.tools.len());
    for (tool, pinned) in &catalog.tools {
        let definition = proctor.manifests.definition(&pinned.digest).await?;
        let standing = match state.standing(tool) {
            ToolStanding::InForce(_) => "in_force",
            ToolStanding::Held { .. } => "held",
            ToolStanding::Gone(_) | ToolStanding::Unknown => "gone",
        };
        let read_only = pinned.read_only;
        tools.push(Tool { name: tool, digest: &pinned.digest, read_only, standing, definition });
    }
    let shown = Shown {
        connection: name.as_str(),
        digest: &catalog.digest,
        era: catalog.era,
        protocol_version: &catalog.protocol_version,
        offered: state.offered_digest(),
        tools,
        new: state.offered().into_iter().flat_map(|offered| offered.new.keys()).collect(),
    };
    Ok(answer::ok(proctor.journal.head().position(), &shown))
}
