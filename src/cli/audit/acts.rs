//! `proctor audit acts`: administrative acts, newest first.

use clap::Args;

use crate::cli::Failure;
use crate::cli::remote::{Client, Wanted};
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
    /// From then on (RFC 3339, such as 2026-11-30T12:00:00Z).
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Before then.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    #[command(flatten)]
    wanted: Wanted,
}

pub(super) async fn run(opened: &(Client, Shown), filter: &Filter) -> Result<(), Failure> {
    let query = [
        ("user", filter.user.as_deref()),
        ("by", filter.by.as_deref()),
        ("type", filter.kind.as_deref()),
        ("object_kind", filter.object_kind.as_deref()),
        ("object_id", filter.object_id.as_deref()),
        ("from", filter.from.as_deref()),
        ("to", filter.to.as_deref()),
    ];
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
