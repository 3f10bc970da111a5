//! `proctor connection approve`: puts in force what is held.

use clap::Args;
use serde_json::{Value, json};

use super::{diff, path};
use crate::cli::Failure;
use crate::cli::remote::Client;
use crate::cli::shown::Shown;

#[derive(Debug, Args)]
pub(super) struct Approve {
    /// The connection's name.
    name: String,
    /// These of the tools; all that are held or gone when absent. A prompt is prompt:NAME, a resource
    /// template resource_template:TEMPLATE, as `proctor connection diff` shows them.
    tool: Vec<String>,
    /// The digest that `proctor connection diff` showed. Without it the difference is shown first, and
    /// exactly what was shown is approved.
    #[arg(long, value_name = "DIGEST")]
    digest: Option<String>,
}

pub(super) async fn run((client, shown): &(Client, Shown), wanted: &Approve) -> Result<(), Failure> {
    let name = &wanted.name;
    let digest = match &wanted.digest {
        Some(digest) => json!(digest),
        None => {
            let difference = client.get(&path(name, "/diff")).await?;
            if !shown.is_json() {
                diff::show(shown, name, &difference);
            }
            difference["offered"].clone()
        }
    };
    let mut body = json!({ "digest": digest });
    if !wanted.tool.is_empty() {
        body["tools"] = json!(wanted.tool);
    }
    let left = client.post(&path(name, "/approve"), &body).await?;
    shown.done(&left, || match left["tools"].as_array().map_or(0, Vec::len) {
        0 => format!("Approved: connection {name} is in force as its upstream offers it."),
        _ => format!("Approved. Still held or gone: {}.", names(&left).join(", ")),
    });
    Ok(())
}

fn names(difference: &Value) -> Vec<&str> {
    difference["tools"].as_array().into_iter().flatten().filter_map(|tool| tool["tool"].as_str()).collect()
}
