//! `proctor session …`: agent runs.

mod list;
mod mint;
mod revoke;
mod show;
mod timeline;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::Failure;
use super::connection::example;
use super::remote::{Remote, part};

#[derive(Debug, Args)]
pub(super) struct SessionCommand {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Open a session for a user, and print its URL and token for the agent.
    #[command(after_help = example("proctor session mint researcher ada --ttl 900 --label run=42"))]
    Mint(mint::Mint),
    /// List sessions, newest first.
    #[command(after_help = example("proctor session list --user ada --state open"))]
    List(list::Filter),
    /// Show one session.
    #[command(after_help = example("proctor session show ses_0190a5b1000070008000000000000000 --at 2026-11-22T09:30:00Z"))]
    Show(show::Show),
    /// Show everything that happened in a session, in order.
    #[command(after_help = example("proctor session timeline ses_0190a5b1000070008000000000000000 --json"))]
    Timeline(timeline::Timeline),
    /// End a session at once: nothing more is admitted, and calls on their way are cancelled.
    #[command(after_help = example("proctor session revoke ses_0190a5b1000070008000000000000000 --reason 'gone wrong' --wait"))]
    Revoke(revoke::Revoke),
}

/// All sessions.
pub(super) const PATH: &str = "/api/v1/sessions";
/// A table of sessions.
pub(super) const COLUMNS: [(&str, &str); 7] = [
    ("SESSION", "/session_id"),
    ("STATE", "/state"),
    ("USER", "/user"),
    ("SERVER", "/virtual_server"),
    ("CALLS", "/calls_admitted"),
    ("REFUSED", "/calls_refused"),
    ("OPENED", "/opened_at"),
];

/// How a revocation's answer says whether every replica has seen it, where that was waited for.
pub(super) fn seen_by_all(revoked: &Value) -> String {
    match revoked["confirmed"].as_bool() {
        None => String::new(),
        Some(true) => ", and every replica has seen it".to_owned(),
        Some(false) => format!(
            ", but these replicas have not said that they have seen it: {}",
            revoked["unconfirmed_replicas"]
        ),
    }
}

fn path(id: &str, more: &str) -> String {
    format!("{PATH}/{}{more}", part(id))
}

pub(super) async fn run(command: SessionCommand) -> Result<(), Failure> {
    let opened = command.remote.open()?;
    match command.verb {
        Verb::Mint(wanted) => mint::run(&opened, &wanted).await,
        Verb::List(filter) => list::run(&opened, &filter).await,
        Verb::Show(wanted) => show::run(&opened, &wanted).await,
        Verb::Timeline(wanted) => timeline::run(&opened, &wanted).await,
        Verb::Revoke(wanted) => revoke::run(&opened, &wanted).await,
    }
}
