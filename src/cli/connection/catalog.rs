//! `proctor connection catalog`: what is in force, and reading it anew.

use clap::Args;
use serde_json::{Value, json};

use super::{diff, path};
use crate::cli::Failure;
use crate::cli::remote::{Client, with_query};
use crate::cli::shown::Shown;

#[derive(Debug, Args)]
pub(super) struct Catalog {
    /// The connection's name.
    name: String,
    /// Read what the upstream offers now, and put it in force.
    #[arg(long)]
    refresh: bool,
    /// Only look: what differs is held until it is approved.
    #[arg(long, requires = "refresh")]
    hold: bool,
    /// With whose account they are read, where every user brings one.
    #[arg(long, value_name = "USER", requires = "refresh")]
    user: Option<String>,
}

pub(super) async fn run((client, shown): &(Client, Shown), wanted: &Catalog) -> Result<(), Failure> {
    if wanted.refresh {
        let query = [("user", wanted.user.as_deref()), ("hold", wanted.hold.then_some("true"))];
        let read =
            client.post(&with_query(&path(&wanted.name, "/catalog/refresh"), &query), &json!({})).await?;
        if wanted.hold {
            diff::show(shown, &wanted.name, &read);
        } else {
            shown.done(&read, || changes(&wanted.name, &read));
        }
        return Ok(());
    }
    let catalog = client.get(&path(&wanted.name, "/catalog")).await?;
    if shown.is_json() {
        shown.whole(&catalog);
        return Ok(());
    }
    let tools = catalog["tools"].as_array().map(Vec::as_slice).unwrap_or_default();
    let columns = [
        ("TOOL", "/name"),
        ("READ ONLY", "/read_only"),
        ("STANDING", "/standing"),
        ("DESCRIPTION", "/definition/description"),
    ];
    shown.table(tools, &columns);
    let columns =
        [("PROMPT", "/name"), ("STANDING", "/standing"), ("DESCRIPTION", "/definition/description")];
    shown.table_if_any(&catalog["prompts"], &columns);
    let columns = [
        ("RESOURCE TEMPLATE", "/uri_template"),
        ("STANDING", "/standing"),
        ("DESCRIPTION", "/definition/description"),
    ];
    shown.table_if_any(&catalog["resource_templates"], &columns);
    Ok(())
}

fn changes(name: &str, read: &Value) -> String {
    let names = |member: &str| -> Vec<String> {
        let items = read[member].as_array().into_iter().flatten();
        items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
    };
    let mut has = format!("Connection {name} has {} tools", read["tools"]);
    for (member, words) in [("prompts", "prompts"), ("resource_templates", "resource templates")] {
        if read[member].as_u64() > Some(0) {
            has.push_str(&format!(", {} {words}", read[member]));
        }
    }
    let mut lines = vec![format!("{has} now.")];
    for (member, words) in [("added", "new"), ("changed", "changed"), ("removed", "gone")] {
        let names = names(member);
        if !names.is_empty() {
            lines.push(format!("  {words}: {}", names.join(", ")));
        }
    }
    for tool in read["rejected"].as_array().into_iter().flatten() {
        let text = |member: &str| tool[member].as_str().unwrap_or_default();
        lines.push(format!("  not taken: {}: {}", text("name"), text("reason")));
    }
    lines.join("\n")
}
