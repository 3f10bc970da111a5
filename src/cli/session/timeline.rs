//! `proctor session timeline`: everything that happened in a session.

use clap::Args;

use super::path;
use crate::cli::Failure;
use crate::cli::remote::{Client, Wanted};
use crate::cli::shown::Shown;

#[derive(Debug, Args)]
pub(super) struct Timeline {
    /// The session's identifier, `ses_…`.
    id: String,
    #[command(flatten)]
    wanted: Wanted,
}

pub(super) async fn run(opened: &(Client, Shown), wanted: &Timeline) -> Result<(), Failure> {
    let columns = [
        ("POSITION", "/position"),
        ("AT", "/at"),
        ("EVENT", "/type"),
        ("TOOL", "/data/tool"),
        ("REASON", "/data/reason"),
        ("CALL", "/data/call"),
    ];
    wanted.wanted.show(opened, &path(&wanted.id, "/timeline"), &[], &columns).await
}
