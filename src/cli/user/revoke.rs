//! `proctor user revoke`: ends all sessions that a user has now.

use clap::Args;
use serde_json::json;

use crate::cli::Failure;
use crate::cli::remote::{Client, with_query};
use crate::cli::session::seen_by_all;
use crate::cli::shown::Shown;

#[derive(Debug, Args)]
pub(super) struct Revoke {
    /// The user, as your product knows them.
    user: String,
    /// Why, for the audit trail.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Wait until every replica has seen it.
    #[arg(long)]
    wait: bool,
}

pub(super) async fn run((client, shown): &(Client, Shown), wanted: &Revoke) -> Result<(), Failure> {
    let path = with_query("/api/v1/revocations", &[("wait", wanted.wait.then_some("true"))]);
    let revoked = client.post(&path, &json!({ "user": wanted.user, "reason": wanted.reason })).await?;
    shown.done(&revoked, || {
        let seen = seen_by_all(&revoked);
        format!("The sessions of {} are ended{seen}. (Open before: {}.)", wanted.user, revoked["sessions"])
    });
    Ok(())
}
