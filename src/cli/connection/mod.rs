//! `proctor connection …`: upstream MCP servers.

mod add;
mod approve;
mod catalog;
mod diff;
mod list;
mod retire;
mod show;
mod test;

use clap::{Args, Subcommand};

use super::Failure;
use super::remote::{self, Remote, part};

#[derive(Debug, Args)]
pub(super) struct ConnectionCommand {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Register an upstream, and read its catalog.
    #[command(after_help = example(add::EXAMPLE))]
    Add(Box<add::Add>),
    /// List all connections.
    #[command(after_help = example("proctor connection list"))]
    List(remote::Wanted),
    /// Show one connection, without its secrets.
    #[command(after_help = example("proctor connection show gmail"))]
    Show(Named),
    /// Try whether an upstream can be reached.
    #[command(after_help = example("proctor connection test gmail --user ada"))]
    Test(test::Test),
    /// Show the tools that are in force, or read them anew.
    #[command(after_help = example("proctor connection catalog gmail --refresh"))]
    Catalog(catalog::Catalog),
    /// Show in what the upstream differs from what is in force, and what is suspicious in it.
    #[command(after_help = example("proctor connection diff gmail"))]
    Diff(Named),
    /// Put in force what is held.
    #[command(after_help = example("proctor connection approve gmail search_threads"))]
    Approve(approve::Approve),
    /// Take a connection out of use, for good.
    #[command(after_help = example("proctor connection retire gmail --reason 'replaced by mail'"))]
    Retire(retire::Retire),
}

/// One connection.
#[derive(Debug, Args)]
struct Named {
    /// The connection's name.
    name: String,
}

pub(super) fn example(lines: &str) -> String {
    format!("Example:\n  {lines}\n\n{}", remote::SETTINGS)
}

fn path(name: &str, more: &str) -> String {
    format!("/api/v1/connections/{}{more}", part(name))
}

pub(super) async fn run(command: ConnectionCommand) -> Result<(), Failure> {
    let opened = command.remote.open()?;
    match command.verb {
        Verb::Add(wanted) => add::run(&opened, &wanted).await,
        Verb::List(wanted) => list::run(&opened, &wanted).await,
        Verb::Show(Named { name }) => show::run(&opened, &name).await,
        Verb::Test(wanted) => test::run(&opened, &wanted).await,
        Verb::Catalog(wanted) => catalog::run(&opened, &wanted).await,
        Verb::Diff(Named { name }) => diff::run(&opened, &name).await,
        Verb::Approve(wanted) => approve::run(&opened, &wanted).await,
        Verb::Retire(wanted) => retire::run(&opened, &wanted).await,
    }
}
