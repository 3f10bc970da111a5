//! `proctor user block` and `proctor user unblock`: whether a user may have sessions.

use clap::Args;
use serde_json::json;

use super::path;
use crate::cli::Failure;
use crate::cli::remote::{Client, with_query};
use crate::cli::session::seen_by_all;
use crate::cli::shown::Shown;

#[derive(Debug, Args)]
pub(super) struct Block {
    /// The user, as your product knows them.
    user: String,
    /// Why, for the audit trail.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Wait until every replica has seen it.
    #[arg(long)]
    wait: bool,
}

#[derive(Debug, Args)]
pub(super) struct Unblock {
    /// The user, as your product knows them.
    user: String,
    /// Why, for the audit trail.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

pub(super) async fn block((client, shown): &(Client, Shown), wanted: &Block) -> Result<(), Failure> {
    let path = with_query(&path(&wanted.user, "/block"), &[("wait", wanted.wait.then_some("true"))]);
    let blocked = client.post(&path, &json!({ "reason": wanted.reason })).await?;
    shown.done(&blocked, || {
        let seen = seen_by_all(&blocked);
        format!("{} is blocked, and all sessions are ended{seen}.", wanted.user)
    });
    Ok(())
}

pub(super) async fn unblock((client, shown): &(Client, Shown), wanted: &Unblock) -> Result<(), Failure> {
    let body = wanted.reason.as_ref().map_or_else(|| json!({}), |reason| json!({ "reason": reason }));
    let unblocked = client.post(&path(&wanted.user, "/unblock"), &body).await?;
    shown.done(&unblocked, || format!("{} may have sessions again.", wanted.user));
    Ok(())
}
