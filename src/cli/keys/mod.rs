//! `proctor keys …`: the keys that Proctor makes for its own purposes.
//!
//! It speaks to the REST API, so that whoever rotates keys needs an administrator's key and neither the
//! master key nor the database.

mod list;
mod rotate;

use clap::{Args, Subcommand};

use super::Failure;
use super::connection::example;
use super::remote::{self, Remote};

#[derive(Debug, Args)]
pub(super) struct KeysCommand {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make new keys, while servers run.
    ///
    /// A new key is taken in by every server first, and signs and seals only after that. What older keys
    /// have signed and sealed stays good: tokens to their end, cursors, links, and users and labels,
    /// which are found under any key. Interrupted, or where a server is killed meanwhile, each purpose
    /// has its new key or has not: run it again. A purpose whose last new key still waits is left alone,
    /// and that is said.
    #[command(after_help = example("proctor keys rotate --purpose token_signing"))]
    Rotate(rotate::Rotate),
    /// Say which keys there are, and how each is used. Their names say nothing about them.
    #[command(after_help = example("proctor keys list"))]
    List(remote::Wanted),
}

pub(super) async fn run(command: KeysCommand) -> Result<(), Failure> {
    let opened = command.remote.open()?;
    match command.verb {
        Verb::Rotate(wanted) => rotate::run(&opened, &wanted).await,
        Verb::List(wanted) => list::run(&opened, &wanted).await,
    }
}
