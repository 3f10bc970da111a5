//! `proctor audit …`: what happened. Every read is itself on the record.

mod acts;
mod search;
mod show;

use clap::{Args, Subcommand};

use super::Failure;
use super::connection::example;
use super::remote::Remote;

#[derive(Debug, Args)]
pub(super) struct AuditCommand {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Search the tool calls, newest first.
    #[command(after_help = example("proctor audit search --user ada --outcome refused --from 2026-11-30T00:00:00Z"))]
    Search(search::Filter),
    /// Show one tool call with its arguments and result.
    #[command(after_help = example("proctor audit show call_0190a5b1000070008000000000000000"))]
    Show(show::Call),
    /// List administrative acts, newest first.
    #[command(after_help = example("proctor audit acts --type SessionRevoked --limit 20"))]
    Acts(acts::Filter),
}

pub(super) async fn run(command: AuditCommand) -> Result<(), Failure> {
    let opened = command.remote.open()?;
    match command.verb {
        Verb::Search(filter) => search::run(&opened, &filter).await,
        Verb::Show(call) => show::run(&opened, &call).await,
        Verb::Acts(filter) => acts::run(&opened, &filter).await,
    }
}
