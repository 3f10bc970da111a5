//! `proctor server retire`: takes a virtual server out of use.

use clap::Args;
use serde_json::json;

use super::path;
use crate::cli::Failure;
use crate::cli::remote::Client;
use crate::cli::shown::Shown;

#[derive(Debug, Args)]
pub(super) struct Retire {
    /// The virtual server's name. It is never used again.
    name: String,
    /// Why, for the audit trail.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

pub(super) async fn run((client, shown): &(Client, Shown), wanted: &Retire) -> Result<(), Failure> {
    let body = wanted.reason.as_ref().map_or_else(|| json!({}), |reason| json!({ "reason": reason }));
    let retired = client.post(&path(&wanted.name, "/retire"), &body).await?;
    shown.done(&retired, || {
        format!(
            "Virtual server {} is retired: its sessions admit nothing more, and its name is not used again.",
            wanted.name
        )
    });
    Ok(())
}
