//! `proctor user sessions`: a user's sessions.

use clap::Args;

use crate::cli::Failure;
use crate::cli::remote::{Client, Wanted};
use crate::cli::session;
use crate::cli::shown::Shown;

#[derive(Debug, Args)]
pub(super) struct Sessions {
    /// The user, as your product knows them.
    user: String,
    #[command(flatten)]
    wanted: Wanted,
}

pub(super) async fn run(opened: &(Client, Shown), wanted: &Sessions) -> Result<(), Failure> {
    let query = [("user", Some(wanted.user.as_str()))];
    wanted.wanted.show(opened, session::PATH, &query, &session::COLUMNS).await
}
