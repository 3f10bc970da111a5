//! What a definition rests on: the connections that it names, and the tools' own definitions.
//!
//! **Invariants.** A definition is checked against the same states of its connections that its
//! command is decided on.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures_util::future::try_join_all;
use proctor_domain::connection::{Connection, Feature};
use proctor_domain::identity_provider::IdentityProvider;
use proctor_domain::virtual_server::{
    Connections, Definition, Providers, VirtualServer, VirtualServerCommand,
};
use proctor_domain::{Decider as _, Name, StreamId};
use proctor_projections::manifest::{CatalogDefinition, Manifest};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::problem::{Code, Problem};
use crate::actors::Prepared;
use crate::proctor::Proctor;

/// Names that an error lists at most.
const LISTED_MAX: usize = 100;

/// A command about `definition` with all that it rests on.
pub(super) async fn prepare(
    proctor: &Proctor,
    definition: &Definition,
    command: impl FnOnce(Connections, Providers) -> VirtualServerCommand,
) -> Result<Prepared<VirtualServer>, Problem> {
    let connections = connections(proctor).await?;
    check(proctor, definition, &connections).await?;
    let mut grounds: Vec<(StreamId, u64)> = Vec::new();
    let used = definition.connections();
    for (name, connection) in &connections {
        if used.contains(name) {
            grounds.push((StreamId::of::<Connection>(name.as_str()), connection.version()));
        }
    }
    let providers = match &definition.login {
        Some(_) => providers(proctor).await?,
        None => Providers::new(),
    };
    for (name, provider) in &providers {
        if definition.login.as_ref().is_some_and(|login| login.provider == *name) {
            grounds.push((StreamId::of::<IdentityProvider>(name.as_str()), provider.version()));
        }
    }
    Ok(Prepared { grounds, ..Prepared::alone(command(connections, providers)) })
}

async fn connections(proctor: &Proctor) -> Result<Connections, Problem> {
    proctor.journal.confirm().await?;
    let ids = proctor.journal.reader().stream_ids("connection").await?;
    let states = try_join_all(ids.iter().map(|id| proctor.directory.fresh::<Connection>(id))).await?;
    Ok(ids.iter().zip(states).filter_map(|(id, state)| Some((Name::new(id).ok()?, state))).collect())
}

async fn providers(proctor: &Proctor) -> Result<Providers, Problem> {
    proctor.journal.confirm().await?;
    let ids = proctor.journal.reader().stream_ids("identity_provider").await?;
    let states = try_join_all(ids.iter().map(|id| proctor.directory.fresh::<IdentityProvider>(id))).await?;
    Ok(ids.iter().zip(states).filter_map(|(id, state)| Some((Name::new(id).ok()?, state))).collect())
}

/// Checks what needs the tools' own definitions; all else is the domain's to judge.
async fn check(proctor: &Proctor, definition: &Definition, connections: &Connections) -> Result<(), Problem> {
    let pinned = |connection: &Name, feature: &Feature| {
        let connection = connections.get(connection).filter(|connection| connection.is_usable())?;
        connection.catalog()?.features.get(feature)
    };
    let mut definitions: HashMap<String, Arc<RawValue>> = HashMap::new();
    for (connection, feature) in definition.features() {
        if let Some(pinned) = pinned(connection, &feature) {
            let text = proctor.manifests.definition(&pinned.digest).await?;
            definitions.insert(pinned.digest.clone(), text);
        }
    }
    for exposed in &definition.tools {
        let Some(fixed) = &exposed.fixed_arguments else { continue };
        let pinned = pinned(&exposed.connection, &Feature::Tool(exposed.tool.clone()));
        if let Some(text) = pinned.and_then(|pinned| definitions.get(&pinned.digest)) {
            check_fixed(&exposed.connection, &exposed.tool, fixed.keys(), text)?;
        }
    }
    let manifest = Manifest::of(definition, |connection, feature| {
        let pinned = pinned(connection, feature)?;
        Some(CatalogDefinition {
            definition: definitions.get(&pinned.digest)?,
            digest: &pinned.digest,
            read_only: pinned.read_only,
        })
    });
    manifest.map(|_| ()).map_err(|error| Problem::new(Code::InvalidDefinition, error.to_string()))
}

#[derive(Deserialize)]
struct Tool {
    #[serde(rename = "inputSchema")]
    input_schema: Option<Schema>,
}

#[derive(Deserialize)]
struct Schema {
    #[serde(default)]
    properties: BTreeMap<String, serde::de::IgnoredAny>,
}

fn check_fixed<'a>(
    connection: &Name,
    tool: &str,
    fixed: impl Iterator<Item = &'a String>,
    definition: &RawValue,
) -> Result<(), Problem> {
    let schema = serde_json::from_str::<Tool>(definition.get()).ok().and_then(|tool| tool.input_schema);
    let properties = schema.map(|schema| schema.properties).unwrap_or_default();
    for argument in fixed {
        if !properties.contains_key(argument) {
            let known: Vec<_> =
                properties.keys().take(LISTED_MAX).map(|name| name.escape_debug().to_string()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let detail = format!(
                "tool \"{}\" of connection \"{connection}\" has no argument \"{}\" to fix; it has: {known}",
                tool.escape_debug(),
                argument.escape_debug(),
            );
            return Err(Problem::new(Code::UnknownArgument, detail));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_that_a_tool_does_not_have_cannot_be_fixed() {
        let definition =
            r#"{"name":"echo","inputSchema":{"type":"object","properties":{"text":{},"to":true}}}"#;
        let definition = RawValue::from_string(definition.to_owned()).unwrap();
        let name = Name::new("notes").unwrap();
        let check = |arguments: &[&str]| {
            let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
            check_fixed(&name, "echo", arguments.iter(), &definition)
        };
        assert!(check(&["text", "to"]).is_ok());
        let problem = check(&["text", "tenant"]).unwrap_err();
        assert_eq!(problem.code, Code::UnknownArgument);
        assert!(problem.detail.contains("tenant") && problem.detail.contains("text, to"), "{problem}");
    }
}
