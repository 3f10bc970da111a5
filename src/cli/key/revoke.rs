//! `proctor key revoke`: takes an API key out of use.

use clap::Args;
use serde_json::json;

use super::PATH;
use crate::cli::Failure;
use crate::cli::remote::{Client, part};
use crate::cli::shown::Shown;

#[derive(Debug, Args)]
pub(super) struct Revoke {
    /// The key's identifier, as `proctor key list` shows it.
    id: String,
    /// Why, for the audit trail.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

pub(super) async fn run((client, shown): &(Client, Shown), wanted: &Revoke) -> Result<(), Failure> {
    let path = format!("{PATH}/{}/revoke", part(&wanted.id));
    let revoked = client.post(&path, &json!({ "reason": wanted.reason })).await?;
    shown.done(&revoked, || {
        format!(
            "The key {} is revoked: nothing is taken from it any more.",
            revoked["name"].as_str().unwrap_or_default()
        )
    });
    Ok(())
}
