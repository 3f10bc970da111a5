//! `proctor server versions`: every version that there was.

use clap::Args;

use super::path;
use crate::cli::Failure;
use crate::cli::remote::{Client, Wanted};
use crate::cli::shown::Shown;

#[derive(Debug, Args)]
pub(super) struct Versions {
    /// The virtual server's name.
    name: String,
    #[command(flatten)]
    wanted: Wanted,
}

pub(super) async fn run(opened: &(Client, Shown), wanted: &Versions) -> Result<(), Failure> {
    let columns = [
        ("VERSION", "/version"),
        ("AT", "/at"),
        ("BY", "/by"),
        ("POSITION", "/position"),
        ("DESCRIPTION", "/definition/description"),
    ];
    wanted.wanted.show(opened, &path(&wanted.name, "/versions"), &[], &columns).await
}
