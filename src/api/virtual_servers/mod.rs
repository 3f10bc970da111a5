//! Virtual servers: defined, revised, shown, retired.

mod check;
mod define;
mod definition;
mod list;
mod manifest;
mod readiness;
mod retire;
mod revise;
mod show;
mod versions;

use std::sync::Arc;

use proctor_domain::Name;
use proctor_domain::virtual_server::{Definition, MissingAccounts, VirtualServer};
use serde_json::{Value, json};

pub(super) use define::define;
pub(super) use list::list;
pub(super) use manifest::manifest;
pub(super) use readiness::readiness;
pub(super) use retire::retire;
pub(super) use revise::revise;
pub(super) use show::show;
pub(super) use versions::versions;

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

/// A virtual server as it is shown.
fn shown(name: &str, server: &VirtualServer) -> Value {
    let mut shown = json!({
        "name": name,
        "version": server.revision(),
        "state": if server.is_retired() { "retired" } else { "defined" },
    });
    if let (Value::Object(shown), Value::Object(definition)) = (&mut shown, written(server.definition())) {
        shown.extend(definition);
    }
    shown
}

/// A definition as an administrator writes it.
fn written(definition: &Definition) -> Value {
    let (missing_accounts, return_url) = match &definition.missing_accounts {
        MissingAccounts::Refuse => ("refuse", None),
        MissingAccounts::Ask { return_url } => ("ask", Some(return_url)),
    };
    json!({
        "description": definition.description,
        "instructions": definition.instructions,
        "tools": definition.tools,
        "capture": definition.capture,
        "missing_accounts": missing_accounts,
        "return_url": return_url,
        "login": definition.login,
        "limits": definition.limits,
        "session_limits": definition.session_limits,
    })
}
