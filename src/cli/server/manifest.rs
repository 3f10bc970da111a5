//! `proctor server manifest`: what its agents see.

use clap::Args;

use super::path;
use crate::cli::Failure;
use crate::cli::remote::{Client, with_query};
use crate::cli::shown::Shown;

#[derive(Debug, Args)]
pub(super) struct Manifest {
    /// The virtual server's name.
    name: String,
    /// As a session sees it that may only read.
    #[arg(long)]
    read_only: bool,
}

pub(super) async fn run((client, shown): &(Client, Shown), wanted: &Manifest) -> Result<(), Failure> {
    let query = [("access", wanted.read_only.then_some("read_only"))];
    let manifest = client.get(&with_query(&path(&wanted.name, "/manifest"), &query)).await?;
    if shown.is_json() {
        shown.whole(&manifest);
        return Ok(());
    }
    let tools = manifest["tools"].as_array().map(Vec::as_slice).unwrap_or_default();
    let columns = [
        ("TOOL", "/name"),
        ("CONNECTION", "/connection"),
        ("READ ONLY", "/read_only"),
        ("TOKENS", "/tokens"),
        ("DESCRIPTION", "/definition/description"),
    ];
    shown.table(tools, &columns);
    let columns =
        [("PROMPT", "/name"), ("CONNECTION", "/connection"), ("DESCRIPTION", "/definition/description")];
    shown.table_if_any(&manifest["prompts"], &columns);
    let columns = [
        ("RESOURCE TEMPLATE", "/uri_template"),
        ("CONNECTION", "/connection"),
        ("DESCRIPTION", "/definition/description"),
    ];
    shown.table_if_any(&manifest["resource_templates"], &columns);
    println!(
        "\nVersion {}: {} tools cost a model {} tokens; all tools of their connections would cost {}.",
        manifest["version"],
        tools.len(),
        manifest["tokens"],
        manifest["whole_connections_tokens"],
    );
    Ok(())
}
