//! `proctor audit acts`: administrative acts, newest first.

use clap::Args;

use crate::cli::Failure;
use crate::cli::remote::{Client, Period, Wanted};
use crate::cli::shown::Shown;

#[derive(Debug, Args)]
pub(super) struct Filter {
    /// About this user.
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// By the key, replica or identity provider of this identifier.
    #[arg(long, value_name = "ID")]
    by: Option<String>,
    /// Of this type, as events are named, such as SessionRevoked.
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// About this kind of thing, such as connection.
    #[arg(long, value_name = "KIND")]
    object_kind: Option<String>,
    /// About the thing of this name or identifier.
    #[arg(long, value_name = "ID")]
    object_id: Option<String>,
    #[command(flatten)]
    period: Period,
    #[command(flatten)]
    wanted: Wanted,
}

pub(super) async fn run(opened: &(Client, Shown), filter: &Filter) -> Result<(), Failure> {
    let of_these = [
        ("user", filter.user.as_deref()),
        ("by", filter.by.as_deref()),
        ("type", filter.kind.as_deref()),
        ("object_kind", filter.object_kind.as_deref()),
        ("object_id", filter.object_id.as_deref()),
    ];
    let query = [&of_these[..], &filter.period.query()].concat();
    let columns = [
        ("POSITION", "/position"),
        ("AT", "/at"),
        ("ACT", "/type"),
        ("BY", "/by"),
        ("KIND", "/object/kind"),
        ("OBJECT", "/object/id"),
        ("USER", "/user"),
        ("REASON", "/reason"),
    ];
    filter.wanted.show(opened, "/api/v1/audit/acts", &query, &columns).await
}
