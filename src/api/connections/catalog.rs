//! `GET /connections/{name}/catalog`: the tools, prompts and resource templates in force, with their
//! definitions as the upstream gave them, and which are held; `…/diff` says what is offered instead.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use proctor_domain::connection::{Abilities, Feature, Standing};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::super::answer;
use super::super::openapi::words;
use super::super::problem::{Code, Problem};
use crate::proctor::Proctor;

/// The definitions in force.
#[derive(Serialize, ToSchema)]
#[schema(as = Catalog)]
pub(super) struct Shown<'a> {
    #[schema(value_type = words::Name)]
    connection: &'a str,
    /// SHA-256 over the names and definitions.
    digest: &'a str,
    #[schema(value_type = words::Era)]
    era: proctor_domain::connection::Era,
    protocol_version: &'a str,
    /// The digest of what is offered, which is another where anything is held or gone.
    offered: String,
    tools: Vec<Tool<'a>>,
    prompts: Vec<Prompt<'a>>,
    resource_templates: Vec<Template<'a>>,
    #[schema(value_type = words::Abilities)]
    abilities: Abilities,
    /// What is offered and was never in force: tools by their names, `prompt:` and a prompt's name, or
    /// `resource_template:` and the template.
    #[schema(value_type = Vec<String>)]
    new: Vec<&'a Feature>,
}

/// A tool as its upstream offers it.
#[derive(Serialize, ToSchema)]
#[schema(as = CatalogTool)]
struct Tool<'a> {
    name: &'a str,
    /// SHA-256 of the definition.
    digest: &'a str,
    /// Whether its upstream says that it only reads.
    read_only: bool,
    #[schema(value_type = words::ToolStanding)]
    standing: &'static str,
    /// As the upstream gave it.
    #[schema(value_type = Object)]
    definition: Arc<RawValue>,
}

/// A prompt as its upstream offers it.
#[derive(Serialize, ToSchema)]
#[schema(as = CatalogPrompt)]
struct Prompt<'a> {
    name: &'a str,
    /// SHA-256 of the definition.
    digest: &'a str,
    #[schema(value_type = words::ToolStanding)]
    standing: &'static str,
    /// As the upstream gave it.
    #[schema(value_type = Object)]
    definition: Arc<RawValue>,
}

/// A resource template as its upstream offers it.
#[derive(Serialize, ToSchema)]
#[schema(as = CatalogResourceTemplate)]
struct Template<'a> {
    uri_template: &'a str,
    /// SHA-256 of the definition.
    digest: &'a str,
    #[schema(value_type = words::ToolStanding)]
    standing: &'static str,
    /// As the upstream gave it.
    #[schema(value_type = Object)]
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
    let (mut tools, mut prompts, mut resource_templates) = (Vec::new(), Vec::new(), Vec::new());
    for (feature, pinned) in &catalog.features {
        let definition = proctor.manifests.definition(&pinned.digest).await?;
        let standing = match state.standing(feature) {
            Standing::InForce(_) => "in_force",
            Standing::Held { .. } => "held",
            Standing::Gone(_) | Standing::Unknown => "gone",
        };
        let (digest, read_only) = (pinned.digest.as_str(), pinned.read_only);
        match feature {
            Feature::Tool(name) => tools.push(Tool { name, digest, read_only, standing, definition }),
            Feature::Prompt(name) => prompts.push(Prompt { name, digest, standing, definition }),
            Feature::ResourceTemplate(uri_template) => {
                resource_templates.push(Template { uri_template, digest, standing, definition });
            }
        }
    }
    let shown = Shown {
        connection: name.as_str(),
        digest: &catalog.digest,
        era: catalog.era,
        protocol_version: &catalog.protocol_version,
        offered: state.offered_digest(),
        tools,
        prompts,
        resource_templates,
        abilities: catalog.abilities,
        new: state.offered().into_iter().flat_map(|offered| offered.new.keys()).collect(),
    };
    Ok(answer::ok(proctor.journal.head().position(), &shown))
}
