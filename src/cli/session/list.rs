//! `proctor session list`: sessions, newest first.

use clap::Args;

use super::{COLUMNS, PATH};
use crate::cli::Failure;
use crate::cli::remote::{Client, Wanted};
use crate::cli::shown::Shown;

#[derive(Debug, Args)]
pub(super) struct Filter {
    /// Of this user.
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// On this virtual server.
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// In this state: open, expired or revoked.
    #[arg(long, value_name = "STATE", value_parser = ["open", "expired", "revoked"])]
    state: Option<String>,
    /// With this label.
    #[arg(long, value_name = "KEY=VALUE")]
    label: Option<String>,
    /// Opened from then on (RFC 3339, such as 2026-11-30T12:00:00Z).
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Opened before then.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    #[command(flatten)]
    wanted: Wanted,
}

pub(super) async fn run(opened: &(Client, Shown), filter: &Filter) -> Result<(), Failure> {
    let query = [
        ("user", filter.user.as_deref()),
        ("virtual_server", filter.server.as_deref()),
        ("state", filter.state.as_deref()),
        ("label", filter.label.as_deref()),
        ("from", filter.from.as_deref()),
        ("to", filter.to.as_deref()),
    ];
    filter.wanted.show(opened, PATH, &query, &COLUMNS).await
}
