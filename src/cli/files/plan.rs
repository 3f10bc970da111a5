//! What is to be done so that a server is as desired.

use std::collections::BTreeMap;

use serde_json::Value;

use super::desired::{Connection, Desired, VirtualServer};
use super::differences;
use crate::cli::remote::Client;
use crate::cli::{Failure, document};

/// What a server has.
pub(super) struct Current {
    pub(super) connections: BTreeMap<String, Value>,
    pub(super) virtual_servers: BTreeMap<String, Value>,
}

/// The kinds of things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Connection,
    VirtualServer,
}

/// What is to be done with one thing.
#[derive(Debug)]
pub(super) enum Action {
    /// It is made, from this body.
    Create(Value),
    /// It is changed to this body, in these respects.
    Change(Value, Vec<String>),
    /// It is taken out of use.
    Retire,
}

#[derive(Debug)]
pub(super) struct Step {
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) action: Action,
}

/// Whether secrets are sent where nothing else has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Secrets {
    Keep,
    Renew,
}

impl Kind {
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Connection => "/api/v1/connections",
            Self::VirtualServer => "/api/v1/virtual-servers",
        }
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::VirtualServer => "virtual server",
        }
    }
}

impl Current {
    /// Asks the server.
    pub(super) async fn read(client: &Client) -> Result<Self, Failure> {
        let all = async |kind: Kind| -> Result<BTreeMap<String, Value>, Failure> {
            let (items, _) = client.list(kind.path(), &[], usize::MAX).await?;
            let named = |item: Value| Some((item["name"].as_str()?.to_owned(), item));
            Ok(items.into_iter().filter_map(named).collect())
        };
        Ok(Self {
            connections: all(Kind::Connection).await?,
            virtual_servers: all(Kind::VirtualServer).await?,
        })
    }
}

/// What is to be done, in an order in which it can be done: connections before the virtual servers that
/// name them, and the other way round where they go.
pub(super) fn plan(
    current: &Current,
    desired: &Desired,
    prune: bool,
    secrets: Secrets,
) -> Result<Vec<Step>, Failure> {
    let mut steps = Vec::new();
    for connection in &desired.connections {
        let there = current.connections.get(&connection.name);
        steps.extend(of_connection(connection, there, secrets)?);
    }
    for server in &desired.virtual_servers {
        let there = current.virtual_servers.get(&server.name);
        steps.extend(of_server(server, there)?);
    }
    if prune {
        let wanted: Vec<&str> = desired.virtual_servers.iter().map(|server| server.name.as_str()).collect();
        steps.extend(unwanted(Kind::VirtualServer, &current.virtual_servers, &wanted));
        let wanted: Vec<&str> =
            desired.connections.iter().map(|connection| connection.name.as_str()).collect();
        steps.extend(unwanted(Kind::Connection, &current.connections, &wanted));
    }
    Ok(steps)
}

fn unwanted<'a>(
    kind: Kind,
    there: &'a BTreeMap<String, Value>,
    wanted: &'a [&str],
) -> impl Iterator<Item = Step> + 'a {
    there
        .iter()
        .filter(|(name, item)| item["state"] != "retired" && !wanted.contains(&name.as_str()))
        .map(move |(name, _)| Step { kind, name: name.clone(), action: Action::Retire })
}

fn of_connection(
    connection: &Connection,
    there: Option<&Value>,
    secrets: Secrets,
) -> Result<Option<Step>, Failure> {
    let step = |action| Some(Step { kind: Kind::Connection, name: connection.name.clone(), action });
    let body = serde_json::to_value(connection)?;
    let Some(there) = in_use(Kind::Connection, &connection.name, there)? else {
        return Ok(step(Action::Create(body)));
    };
    let open = document::without_secrets(&body);
    let differences = differences::of(there, &open);
    let of_secrets = differences.iter().any(|line| line.starts_with("auth") || line.starts_with("transport"));
    Ok(match (differences.is_empty(), secrets) {
        (true, Secrets::Keep) => None,
        (true, Secrets::Renew) if document::secrets(&body).next().is_none() => None,
        (true, Secrets::Renew) => step(Action::Change(body, vec!["its secrets are sent anew".to_owned()])),
        (false, Secrets::Keep) if !of_secrets => step(Action::Change(keeping_secrets(open), differences)),
        (false, _) => step(Action::Change(body, differences)),
    })
}

fn of_server(server: &VirtualServer, there: Option<&Value>) -> Result<Option<Step>, Failure> {
    let step = |action| Some(Step { kind: Kind::VirtualServer, name: server.name.clone(), action });
    let body = serde_json::to_value(server)?;
    let Some(there) = in_use(Kind::VirtualServer, &server.name, there)? else {
        return Ok(step(Action::Create(body)));
    };
    let differences = differences::of(there, &body);
    Ok(if differences.is_empty() { None } else { step(Action::Change(body, differences)) })
}

fn in_use<'a>(kind: Kind, name: &str, there: Option<&'a Value>) -> Result<Option<&'a Value>, Failure> {
    match there {
        Some(item) if item["state"] == "retired" => {
            let words = kind.words();
            Err(format!("{words} {name} is retired, and its name is never used again: choose another name")
                .into())
        }
        there => Ok(there),
    }
}

/// As a server takes it whose secrets stay as they are.
fn keeping_secrets(open: Value) -> Value {
    document::with_variables(open, |_| Value::Null)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What is done about a connection that is there as the file says.
    fn of_the_same(connection: Value, shown: Value) -> Option<Vec<String>> {
        let connection: Connection = serde_json::from_value(connection).unwrap();
        match of_connection(&connection, Some(&shown), Secrets::Renew).unwrap()?.action {
            Action::Change(_, differences) => Some(differences),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn secrets_are_sent_anew_only_where_there_are_any() {
        let stdio = |env: Value| json!({ "type": "stdio", "command": "notes", "args": [], "env": env });
        let connection = |transport: Value| json!({ "name": "notes", "transport": transport });
        assert_eq!(of_the_same(connection(stdio(json!({}))), shown_as(stdio(json!([])))), None);
        let with = stdio(json!({ "TOKEN": { "from_env": "NOTES_TOKEN" } }));
        assert_eq!(
            of_the_same(connection(with), shown_as(stdio(json!(["TOKEN"])))),
            Some(vec!["its secrets are sent anew".to_owned()])
        );
        let http = json!({ "type": "http", "url": "https://notes.example" });
        assert_eq!(of_the_same(connection(http.clone()), shown_as(http)), None);
    }

    /// As a server shows such a connection.
    fn shown_as(transport: Value) -> Value {
        json!({
            "name": "notes", "state": "registered", "transport": transport, "auth": { "type": "none" },
            "private_network": false, "shared": false, "limits": {}, "drift": "hold",
        })
    }
}
