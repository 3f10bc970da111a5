//! `proctor user accounts`: what a user has connected.

use clap::Args;

use super::path;
use crate::cli::Failure;
use crate::cli::remote::{Client, Wanted};
use crate::cli::shown::Shown;

#[derive(Debug, Args)]
pub(super) struct Accounts {
    /// The user, as your product knows them.
    user: String,
    #[command(flatten)]
    wanted: Wanted,
}

pub(super) async fn run(opened: &(Client, Shown), wanted: &Accounts) -> Result<(), Failure> {
    let columns = [
        ("CONNECTION", "/connection"),
        ("STATE", "/state"),
        ("TAKES", "/takes"),
        ("GENERATION", "/generation"),
        ("SINCE", "/since"),
        ("REASON", "/reason"),
    ];
    wanted.wanted.show(opened, &path(&wanted.user, "/connections"), &[], &columns).await
}
