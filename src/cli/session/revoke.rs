//! `proctor session revoke`: ends a session at once.

use clap::Args;
use serde_json::json;

use super::{path, seen_by_all};
use crate::cli::Failure;
use crate::cli::remote::{Client, with_query};
use crate::cli::shown::Shown;

#[derive(Debug, Args)]
pub(super) struct Revoke {
    /// The session's identifier, `ses_…`.
    id: String,
    /// Why, for the audit trail.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Wait until every replica has seen it.
    #[arg(long)]
    wait: bool,
}

pub(super) async fn run((client, shown): &(Client, Shown), wanted: &Revoke) -> Result<(), Failure> {
    let path = with_query(&path(&wanted.id, "/revoke"), &[("wait", wanted.wait.then_some("true"))]);
    let revoked = client.post(&path, &json!({ "reason": wanted.reason })).await?;
    shown.done(&revoked, || format!("Session {} is revoked{}.", wanted.id, seen_by_all(&revoked)));
    Ok(())
}
