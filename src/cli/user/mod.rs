//! `proctor user …`: the users of your product.

mod accounts;
mod block;
mod list;
mod revoke;
mod sessions;
mod show;

use clap::{Args, Subcommand};

use super::Failure;
use super::connection::example;
use super::remote::{self, Remote, part};

#[derive(Debug, Args)]
pub(super) struct UserCommand {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the users that were seen here.
    #[command(after_help = example("proctor user list --all --json"))]
    List(remote::Wanted),
    /// Show whether a user may have sessions.
    #[command(after_help = example("proctor user show ada"))]
    Show(Named),
    /// List a user's accounts at connections.
    #[command(after_help = example("proctor user accounts ada"))]
    Accounts(accounts::Accounts),
    /// List a user's sessions, newest first.
    #[command(after_help = example("proctor user sessions ada"))]
    Sessions(sessions::Sessions),
    /// End all sessions that a user has now; new ones may be opened.
    #[command(after_help = example("proctor user revoke ada --reason 'lost laptop' --wait"))]
    Revoke(revoke::Revoke),
    /// End all sessions of a user, and let none be opened until the user is unblocked.
    #[command(after_help = example("proctor user block ada --reason 'left the company' --wait"))]
    Block(block::Block),
    /// Let a user have sessions again.
    #[command(after_help = example("proctor user unblock ada --reason 'is back'"))]
    Unblock(block::Unblock),
}

/// One user.
#[derive(Debug, Args)]
struct Named {
    /// The user, as your product knows them.
    user: String,
}

fn path(user: &str, more: &str) -> String {
    format!("/api/v1/users/{}{more}", part(user))
}

pub(super) async fn run(command: UserCommand) -> Result<(), Failure> {
    let opened = command.remote.open()?;
    match command.verb {
        Verb::List(wanted) => list::run(&opened, &wanted).await,
        Verb::Show(Named { user }) => show::run(&opened, &user).await,
        Verb::Accounts(wanted) => accounts::run(&opened, &wanted).await,
        Verb::Sessions(wanted) => sessions::run(&opened, &wanted).await,
        Verb::Revoke(wanted) => revoke::run(&opened, &wanted).await,
        Verb::Block(wanted) => block::block(&opened, &wanted).await,
        Verb::Unblock(wanted) => block::unblock(&opened, &wanted).await,
    }
}
