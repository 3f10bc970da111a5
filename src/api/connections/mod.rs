//! Upstream MCP servers: registered, set anew, looked into, retired.

mod approve;
mod catalog;
mod diff;
mod discovery;
mod list;
pub(super) mod operations;
mod reconfigure;
mod refresh;
mod register;
mod retire;
mod settings;
mod show;
mod test;

use proctor_domain::connection::{AuthMethod, Catalog, Connection, Drift, Era, Feature, Transport};
use proctor_domain::limits::Limits;
use proctor_domain::{InvalidName, Name};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

pub(super) use approve::approve;
pub(super) use catalog::catalog;
pub(super) use diff::diff;
pub(super) use list::list;
pub(super) use reconfigure::reconfigure;
pub(super) use refresh::refresh;
pub(super) use register::register;
pub(super) use retire::retire;
pub(super) use show::show;
pub(super) use test::test;

use super::openapi::words;
use super::problem::{Code, Problem};
use crate::proctor::Proctor;

/// Whose credential is used to look at an upstream, where every user brings one.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct AsUser {
    /// Whose credential is used to look, where every user brings one.
    user: Option<String>,
}

/// The same, and whether what is found is only looked at.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Refreshing {
    /// Whose credential is used to look, where every user brings one.
    user: Option<String>,
    /// Whether what is found is only looked at: what differs is held, and shown as a difference.
    #[serde(default)]
    #[param(required = false)]
    hold: bool,
}

/// The name of a connection in an address.
fn named(name: &str) -> Result<Name, Problem> {
    Name::new(name).map_err(|error: InvalidName| {
        Problem::new(Code::ConnectionNotFound, format!("there is no such connection: {error}"))
    })
}

/// The connection as all processes have made it so far.
async fn fresh(proctor: &Proctor, name: &Name) -> Result<std::sync::Arc<Connection>, Problem> {
    let state = proctor.directory.fresh::<Connection>(name.as_str()).await?;
    if state.settings().is_none() {
        let detail = format!("there is no connection \"{name}\": list them, or register it");
        return Err(Problem::new(Code::ConnectionNotFound, detail));
    }
    Ok(state)
}

/// A connection as it is shown: without its secrets.
#[derive(Serialize, ToSchema)]
#[schema(as = Connection)]
struct Shown<'a> {
    #[schema(value_type = words::Name)]
    name: &'a str,
    #[schema(value_type = words::InUse)]
    state: &'static str,
    #[schema(value_type = Option<words::Transport>)]
    transport: Option<Value>,
    #[schema(value_type = Option<words::Auth>)]
    auth: Option<Value>,
    /// Whether it is in a private network.
    private_network: bool,
    /// Whether all users may share connections and child processes.
    shared: bool,
    #[schema(value_type = words::Limits)]
    limits: Limits,
    #[schema(value_type = words::Drift)]
    drift: Drift,
    /// Of its settings: each change makes the next.
    generation: u32,
    /// `null` until it was read.
    catalog: Option<Summary<'a>>,
    /// How many of its tools, prompts and resource templates are held until an administrator approves them.
    held: usize,
}

/// What a catalog is, without its definitions.
#[derive(Serialize, ToSchema)]
#[schema(as = CatalogSummary)]
struct Summary<'a> {
    /// SHA-256 over the names and definitions.
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
}

/// How many there are of each kind.
#[derive(Default)]
struct Counted {
    tools: usize,
    prompts: usize,
    resource_templates: usize,
}

fn counted(catalog: &Catalog) -> Counted {
    let mut counted = Counted::default();
    for feature in catalog.features.keys() {
        *match feature {
            Feature::Tool(_) => &mut counted.tools,
            Feature::Prompt(_) => &mut counted.prompts,
            Feature::ResourceTemplate(_) => &mut counted.resource_templates,
        } += 1;
    }
    counted
}

fn shown<'a>(name: &'a str, connection: &'a Connection) -> Shown<'a> {
    let settings = connection.settings();
    let transport = settings.map(|settings| match &settings.transport {
        Transport::Http { url } => json!({ "type": "http", "url": url }),
        Transport::Stdio { command, args, env } => {
            json!({ "type": "stdio", "command": command, "args": args, "env": env })
        }
    });
    let auth = settings.map(|settings| match &settings.auth {
        AuthMethod::None => json!({ "type": "none" }),
        AuthMethod::Header { name } => json!({ "type": "header", "name": name }),
        AuthMethod::ApiKey { header, format } => {
            json!({ "type": "api_key", "header": header, "format": format })
        }
        AuthMethod::Bearer { header, format } => {
            json!({ "type": "bearer", "header": header, "format": format })
        }
        auth @ (AuthMethod::Basic | AuthMethod::Oauth2(_) | AuthMethod::Environment { .. }) => json!(auth),
    });
    Shown {
        name,
        state: if connection.is_retired() { "retired" } else { "registered" },
        transport,
        auth,
        private_network: settings.is_some_and(|settings| settings.private_network),
        shared: settings.is_some_and(|settings| settings.shared),
        limits: settings.map(|settings| settings.limits).unwrap_or_default(),
        drift: settings.map(|settings| settings.drift).unwrap_or_default(),
        generation: connection.generation(),
        catalog: connection.catalog().map(|catalog| summary(catalog)),
        held: connection.held(),
    }
}

fn summary(catalog: &Catalog) -> Summary<'_> {
    let Counted { tools, prompts, resource_templates } = counted(catalog);
    Summary {
        digest: &catalog.digest,
        era: catalog.era,
        protocol_version: &catalog.protocol_version,
        tools,
        prompts,
        resource_templates,
    }
}
