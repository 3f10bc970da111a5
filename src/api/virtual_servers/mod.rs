//! Virtual servers: defined, revised, shown, retired.

mod check;
mod define;
mod definition;
mod list;
mod manifest;
pub(super) mod operations;
mod readiness;
mod retire;
mod revise;
mod show;
mod versions;

use std::sync::Arc;

use proctor_domain::Name;
use proctor_domain::limits::{Limits, SessionLimits};
use proctor_domain::virtual_server::{
    Capture, Definition, ExposedPrompt, ExposedResource, ExposedResourceTemplate, ExposedTool, Login,
    MissingAccounts, VirtualServer,
};
use serde::Serialize;
use utoipa::ToSchema;

pub(super) use define::define;
pub(super) use list::list;
pub(super) use manifest::manifest;
pub(super) use readiness::readiness;
pub(super) use retire::retire;
pub(super) use revise::revise;
pub(super) use show::show;
pub(super) use versions::versions;

use super::openapi::words;
use super::problem::{Code, Problem};
use crate::proctor::Proctor;

/// The name of a virtual server in an address.
fn named(name: &str) -> Result<Name, Problem> {
    Name::new(name).map_err(|error| {
        Problem::new(Code::VirtualServerNotFound, format!("there is no such virtual server: {error}"))
    })
}

/// The virtual server as all processes have made it so far.
async fn fresh(proctor: &Proctor, name: &Name) -> Result<Arc<VirtualServer>, Problem> {
    let state = proctor.directory.fresh::<VirtualServer>(name.as_str()).await?;
    if !state.is_known() {
        let detail = format!("there is no virtual server \"{name}\": list them, or define it");
        return Err(Problem::new(Code::VirtualServerNotFound, detail));
    }
    Ok(state)
}

/// A virtual server.
#[derive(Serialize, ToSchema)]
#[schema(as = VirtualServer)]
struct Shown<'a> {
    #[schema(value_type = words::Name)]
    name: &'a str,
    /// Of its definition: every change makes a new one.
    version: u32,
    #[schema(value_type = words::Standing)]
    state: &'static str,
    #[serde(flatten)]
    #[schema(inline)]
    definition: Written<'a>,
}

/// A definition as an administrator writes it.
#[derive(Serialize, ToSchema)]
#[schema(as = WrittenDefinition)]
struct Written<'a> {
    /// For people.
    description: &'a str,
    /// For agents.
    instructions: &'a str,
    /// The tools that are exposed; nothing else is.
    #[schema(value_type = Vec<words::ExposedTool>)]
    tools: &'a [ExposedTool],
    /// The prompts that are exposed.
    #[schema(value_type = Vec<words::ExposedPrompt>)]
    prompts: &'a [ExposedPrompt],
    /// The resources that are exposed, each by its URI.
    #[schema(value_type = Vec<words::ExposedResource>)]
    resources: &'a [ExposedResource],
    /// The resource templates of which every resource is exposed.
    #[schema(value_type = Vec<words::ExposedResourceTemplate>)]
    resource_templates: &'a [ExposedResourceTemplate],
    #[schema(value_type = words::Capture)]
    capture: Capture,
    #[schema(value_type = words::MissingAccounts)]
    missing_accounts: &'static str,
    /// Where users come back to who are asked to connect an account.
    return_url: Option<&'a str>,
    #[schema(value_type = Option<words::Login>)]
    login: Option<&'a Login>,
    #[schema(value_type = words::Limits)]
    limits: Limits,
    #[schema(value_type = words::SessionLimits)]
    session_limits: SessionLimits,
}

fn shown<'a>(name: &'a str, server: &'a VirtualServer) -> Shown<'a> {
    Shown {
        name,
        version: server.revision(),
        state: if server.is_retired() { "retired" } else { "defined" },
        definition: written(server.definition()),
    }
}

fn written(definition: &Definition) -> Written<'_> {
    let (missing_accounts, return_url) = match &definition.missing_accounts {
        MissingAccounts::Refuse => ("refuse", None),
        MissingAccounts::Ask { return_url } => ("ask", Some(return_url.as_str())),
    };
    Written {
        description: &definition.description,
        instructions: &definition.instructions,
        tools: &definition.tools,
        prompts: &definition.prompts,
        resources: &definition.resources,
        resource_templates: &definition.resource_templates,
        capture: definition.capture,
        missing_accounts,
        return_url,
        login: definition.login.as_ref(),
        limits: definition.limits,
        session_limits: definition.session_limits,
    }
}
