//! Upstream MCP servers: registered, set anew, looked into, retired.

mod approve;
mod catalog;
mod diff;
mod discovery;
mod list;
mod reconfigure;
mod refresh;
mod register;
mod retire;
mod settings;
mod show;
mod test;

use proctor_domain::connection::{AuthMethod, Catalog, Connection, Transport};
use proctor_domain::{InvalidName, Name};
use serde::Deserialize;
use serde_json::{Value, json};

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

use super::problem::{Code, Problem};
use crate::proctor::Proctor;

/// Whose credential is used to look at an upstream, where every user brings one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AsUser {
    user: Option<String>,
}

/// The same, and whether what is found is only looked at.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Refreshing {
    user: Option<String>,
    #[serde(default)]
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
fn shown(name: &str, connection: &Connection) -> Value {
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
    json!({
        "name": name,
        "state": if connection.is_retired() { "retired" } else { "registered" },
        "transport": transport,
        "auth": auth,
        "private_network": settings.is_some_and(|settings| settings.private_network),
        "shared": settings.is_some_and(|settings| settings.shared),
        "limits": settings.map(|settings| settings.limits).unwrap_or_default(),
        "drift": settings.map(|settings| settings.drift).unwrap_or_default(),
        "generation": connection.generation(),
        "catalog": connection.catalog().map(|catalog| summary(catalog)),
        "held": connection.offered().map_or(0, |offered| offered.changed.len() + offered.new.len()),
    })
}

/// What a catalog is, without its tools.
fn summary(catalog: &Catalog) -> Value {
    json!({
        "digest": catalog.digest,
        "era": catalog.era,
        "protocol_version": catalog.protocol_version,
        "tools": catalog.tools.len(),
    })
}
