//! `proctor session list`: sessions, newest first.

use clap::Args;

use super::{COLUMNS, PATH};
use crate::cli::Failure;
use crate::cli::remote::{Client, Period, Wanted};
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
    #[command(flatten)]
    period: Period,
    #[command(flatten)]
    wanted: Wanted,
}

pub(super) async fn run(opened: &(Client, Shown), filter: &Filter) -> Result<(), Failure> {
    let of_these = [
        ("user", filter.user.as_deref()),
        ("virtual_server", filter.server.as_deref()),
        ("state", filter.state.as_deref()),
        ("label", filter.label.as_deref()),
    ];
    let query = [&of_these[..], &filter.period.query()].concat();
    filter.wanted.show(opened, PATH, &query, &COLUMNS).await
}
