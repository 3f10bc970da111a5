//! `proctor export`: writes what a server has, in the form that `proctor apply` reads.

use clap::Args;
use serde_json::{Map, Value, json};

use super::desired::Desired;
use super::plan::Current;
use crate::cli::remote::Remote;
use crate::cli::{Failure, document};

/// Members of an authorization server that are settings, and are not found or made by Proctor.
const OAUTH2_SETTINGS: [&str; 4] = ["scopes", "scope_descriptions", "revoke_replaced", "resource"];
/// The same where its client was registered beforehand.
const OAUTH2_BY_HAND: [&str; 5] =
    ["client_id", "issuer", "authorization_endpoint", "token_endpoint", "revocation_endpoint"];

#[derive(Debug, Args)]
pub(in crate::cli) struct Export {
    #[command(flatten)]
    remote: Remote,
}

pub(in crate::cli) async fn run(wanted: Export) -> Result<(), Failure> {
    let (client, shown) = wanted.remote.open()?;
    let current = Current::read(&client).await?;
    let in_use = |items: std::collections::BTreeMap<String, Value>| {
        items.into_values().filter(|item| item["state"] != "retired")
    };
    let written = json!({
        "connections": in_use(current.connections).map(connection).collect::<Vec<_>>(),
        "virtual_servers": in_use(current.virtual_servers).map(server).collect::<Vec<_>>(),
    });
    // It is what `apply` reads, or this is wrong.
    let desired: Desired = serde_json::from_value(written)?;
    shown.whole(&serde_json::to_value(&desired)?);
    Ok(())
}

fn connection(item: Value) -> Value {
    let name = item["name"].as_str().unwrap_or_default().to_owned();
    let item = document::with_variables(item, |name| json!({ "from_env": name }));
    let auth = auth(&name, &item["auth"]);
    only(&item, &["name", "transport", "private_network", "shared", "limits", "drift"], &[("auth", auth)])
}

/// Secrets are named as if they stood in the environment, by the connection's name.
fn auth(connection: &str, auth: &Value) -> Value {
    let secret = || {
        let name: String = connection
            .chars()
            .map(|char| if char.is_ascii_alphanumeric() { char.to_ascii_uppercase() } else { '_' })
            .collect();
        json!({ "from_env": format!("{name}_SECRET") })
    };
    match auth["type"].as_str() {
        Some("header") => only(auth, &["type", "name"], &[("value", secret())]),
        Some("oauth2") => {
            let by_hand = auth["registration"] == "pre_registered";
            let mut members = vec!["type"];
            members.extend(OAUTH2_SETTINGS);
            members.extend(OAUTH2_BY_HAND.into_iter().filter(|_| by_hand));
            let has_secret = by_hand && auth["client_auth"] != "none";
            let client_secret = [("client_secret", secret())];
            only(auth, &members, if has_secret { &client_secret } else { &[] })
        }
        _ => auth.clone(),
    }
}

fn server(item: Value) -> Value {
    let members = [
        "name",
        "description",
        "instructions",
        "tools",
        "capture",
        "missing_accounts",
        "return_url",
        "login",
        "limits",
        "session_limits",
    ];
    only(&item, &members, &[])
}

/// These members of an object as far as there are, and others.
fn only(object: &Value, members: &[&str], others: &[(&str, Value)]) -> Value {
    let there = members.iter().filter_map(|name| Some(((*name).to_owned(), object.get(name)?.clone())));
    let others = others.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    Value::Object(there.chain(others).collect::<Map<_, _>>())
}
