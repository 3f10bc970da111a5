//! `proctor server …`: virtual servers.

mod define;
mod list;
mod manifest;
mod retire;
mod show;
mod versions;

use clap::{Args, Subcommand};

use super::Failure;
use super::connection::example;
use super::remote::{self, Remote, part};

#[derive(Debug, Args)]
pub(super) struct ServerCommand {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Define a virtual server: which tools of which connections its agents see.
    #[command(after_help = example(define::EXAMPLE))]
    Define(define::Definition),
    /// Make a new version of a virtual server; what is left out is as if it were defined anew.
    #[command(after_help = example("proctor server revise researcher --tool notes/notes_search --tool notes/notes_read"))]
    Revise(define::Definition),
    /// List all virtual servers.
    #[command(after_help = example("proctor server list"))]
    List(remote::Wanted),
    /// Show one virtual server, at its newest version.
    #[command(after_help = example("proctor server show researcher"))]
    Show(Named),
    /// List the versions of a virtual server, newest first.
    #[command(after_help = example("proctor server versions researcher"))]
    Versions(versions::Versions),
    /// Show what its agents see, and what that costs their models in tokens.
    #[command(after_help = example("proctor server manifest researcher --read-only"))]
    Manifest(manifest::Manifest),
    /// Take a virtual server out of use, for good; its sessions end.
    #[command(after_help = example("proctor server retire researcher --reason 'replaced'"))]
    Retire(retire::Retire),
}

/// One virtual server.
#[derive(Debug, Args)]
struct Named {
    /// The virtual server's name.
    name: String,
}

fn path(name: &str, more: &str) -> String {
    format!("/api/v1/virtual-servers/{}{more}", part(name))
}

pub(super) async fn run(command: ServerCommand) -> Result<(), Failure> {
    let opened = command.remote.open()?;
    match command.verb {
        Verb::Define(wanted) => define::define(&opened, &wanted).await,
        Verb::Revise(wanted) => define::revise(&opened, &wanted).await,
        Verb::List(wanted) => list::run(&opened, &wanted).await,
        Verb::Show(Named { name }) => show::run(&opened, &name).await,
        Verb::Versions(wanted) => versions::run(&opened, &wanted).await,
        Verb::Manifest(wanted) => manifest::run(&opened, &wanted).await,
        Verb::Retire(wanted) => retire::run(&opened, &wanted).await,
    }
}
