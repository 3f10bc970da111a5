//! `proctor key …`: the keys of administrators, backends and auditors.

mod create;
mod list;
mod revoke;

use clap::{Args, Subcommand};

use super::Failure;
use super::connection::example;
use super::remote::{self, Remote};

const PATH: &str = "/api/v1/api-keys";

#[derive(Debug, Args)]
pub(super) struct KeyCommand {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make an API key, and print it: it is never shown again.
    #[command(after_help = example("proctor key create backend --role minter --expires 2027-12-01T00:00:00Z"))]
    Create(create::Create),
    /// List API keys, without the keys themselves.
    #[command(after_help = example("proctor key list"))]
    List(remote::Wanted),
    /// Revoke an API key, at once on every replica.
    #[command(after_help = example("proctor key revoke 5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8 --reason 'left the company'"))]
    Revoke(revoke::Revoke),
}

pub(super) async fn run(command: KeyCommand) -> Result<(), Failure> {
    let opened = command.remote.open()?;
    match command.verb {
        Verb::Create(wanted) => create::run(&opened, &wanted).await,
        Verb::List(wanted) => list::run(&opened, &wanted).await,
        Verb::Revoke(wanted) => revoke::run(&opened, &wanted).await,
    }
}
