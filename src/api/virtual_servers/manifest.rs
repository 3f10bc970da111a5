//! `GET /virtual-servers/{name}/manifest`: what its agents see, and what that costs their models.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use proctor_domain::session::Access;
use proctor_projections::manifest::{ManifestEntry, ManifestTool};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::super::answer;
use super::super::openapi::words;
use super::super::problem::Problem;
use crate::manifests::Shown;
use crate::proctor::Proctor;

/// What the manifest is asked for.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Query {
    /// For sessions with this access; full when nothing is said.
    #[param(value_type = Option<words::Access>, inline)]
    access: Option<Access>,
}

/// What agents see.
#[derive(Serialize, ToSchema)]
#[schema(as = Manifest)]
pub(super) struct Answer<'a> {
    #[schema(value_type = words::Name)]
    virtual_server: &'a str,
    version: u32,
    #[schema(value_type = words::Access)]
    access: Access,
    digest: &'a str,
    /// What the definitions cost a model, in tokens of o200k_base.
    tokens: usize,
    /// What all tools of its connections would cost.
    whole_connections_tokens: usize,
    tools: Vec<Tool<'a>>,
    prompts: Vec<Prompt<'a>>,
    resource_templates: Vec<Template<'a>>,
}

/// A prompt as agents see it.
#[derive(Serialize, ToSchema)]
#[schema(as = ManifestPrompt)]
struct Prompt<'a> {
    name: &'a str,
    /// The connection that offers it.
    #[schema(value_type = words::Name)]
    connection: &'a str,
    /// Its name there.
    prompt: &'a str,
    /// As `prompts/list` has it.
    #[schema(value_type = Object)]
    definition: &'a RawValue,
}

/// A resource template as agents see it.
#[derive(Serialize, ToSchema)]
#[schema(as = ManifestResourceTemplate)]
struct Template<'a> {
    uri_template: &'a str,
    /// The connection that offers it.
    #[schema(value_type = words::Name)]
    connection: &'a str,
    /// As `resources/templates/list` has it.
    #[schema(value_type = Object)]
    definition: &'a RawValue,
}

/// A tool as agents see it.
#[derive(Serialize, ToSchema)]
#[schema(as = ManifestTool)]
struct Tool<'a> {
    name: &'a str,
    /// The connection that offers it.
    #[schema(value_type = words::Name)]
    connection: &'a str,
    /// Its name there.
    tool: &'a str,
    read_only: bool,
    /// SHA-256 of the definition.
    digest: &'a str,
    /// What the definition costs a model, in tokens of o200k_base.
    tokens: usize,
    /// As `tools/list` has it.
    #[schema(value_type = Object)]
    definition: &'a RawValue,
}

pub(in crate::api) async fn manifest(
    proctor: web::Data<Proctor>,
    name: web::Path<String>,
    query: web::Query<Query>,
) -> Result<HttpResponse, Problem> {
    let name = super::named(&name)?;
    let access = query.access.unwrap_or_default();
    super::fresh(&proctor, &name).await?;
    let position = proctor.journal.head().position();
    let shown = proctor.manifests.of(&name).await?;
    let manifest = shown.manifest.narrowed(|tool| access == Access::Full || tool.read_only);
    let whole = whole_connections(&proctor, &shown).await?;
    let (tokens, whole_connections_tokens) = count(&proctor, &manifest.tools, whole).await?;
    let tools = manifest.tools.iter().zip(&tokens).map(|(tool, tokens)| Tool {
        name: &tool.name,
        connection: tool.connection.as_str(),
        tool: &tool.tool,
        read_only: tool.read_only,
        digest: &tool.served_digest,
        tokens: *tokens,
        definition: &tool.definition,
    });
    let answer = Answer {
        virtual_server: name.as_str(),
        version: shown.server.revision(),
        access,
        digest: &manifest.digest,
        tokens: tokens.iter().sum(),
        whole_connections_tokens,
        tools: tools.collect(),
        prompts: manifest.prompts.entries.iter().map(prompt).collect(),
        resource_templates: manifest.resource_templates.entries.iter().map(template).collect(),
    };
    Ok(answer::ok(position, &answer))
}

fn prompt(entry: &ManifestEntry) -> Prompt<'_> {
    let ManifestEntry { name, connection, feature, definition, .. } = entry;
    Prompt { name, connection: connection.as_str(), prompt: feature.name(), definition }
}

fn template(entry: &ManifestEntry) -> Template<'_> {
    let ManifestEntry { name, connection, definition, .. } = entry;
    Template { uri_template: name, connection: connection.as_str(), definition }
}

/// All definitions of the connections that the virtual server draws on, each with its digest.
async fn whole_connections(
    proctor: &Proctor,
    shown: &Shown,
) -> Result<Vec<(String, Arc<RawValue>)>, Problem> {
    let mut whole = Vec::new();
    for connection in shown.connections.values() {
        let tools = connection.catalog().into_iter().flat_map(|catalog| catalog.tools());
        // A definition that two tools share costs twice, as it would in a list.
        for (_, tool) in tools {
            whole.push((tool.digest.clone(), proctor.manifests.definition(&tool.digest).await?));
        }
    }
    Ok(whole)
}

/// The tokens of each tool, and of all of `whole`. Counting takes a while, and the vocabulary may
/// still be loading, so it is done where nobody else waits.
async fn count(
    proctor: &Proctor,
    tools: &[Arc<ManifestTool>],
    whole: Vec<(String, Arc<RawValue>)>,
) -> Result<(Vec<usize>, usize), Problem> {
    let counts = Arc::clone(&proctor.token_counts);
    let tools = tools.to_vec();
    let counted = web::block(move || {
        let tokens = tools.iter().map(|tool| counts.of(&tool.served_digest, tool.definition.get())).collect();
        (tokens, whole.iter().map(|(digest, text)| counts.of(digest, text.get())).sum())
    });
    counted.await.map_err(|error| Problem::internal("count tokens", &error))
}
