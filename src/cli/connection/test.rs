//! `proctor connection test`: tries to reach an upstream.

use clap::Args;
use serde_json::json;

use super::path;
use crate::cli::Failure;
use crate::cli::remote::{Client, with_query};
use crate::cli::shown::Shown;

#[derive(Debug, Args)]
pub(super) struct Test {
    /// The connection's name.
    name: String,
    /// With whose account, where every user brings one.
    #[arg(long, value_name = "USER")]
    user: Option<String>,
}

pub(super) async fn run((client, shown): &(Client, Shown), wanted: &Test) -> Result<(), Failure> {
    let path = with_query(&path(&wanted.name, "/test"), &[("user", wanted.user.as_deref())]);
    let found = client.post(&path, &json!({})).await?;
    shown.done(&found, || {
        let text = |place: &str| found.pointer(place).and_then(|value| value.as_str()).unwrap_or("?");
        format!(
            "Connection {} answers: {} {}, protocol {} ({} era).",
            wanted.name,
            text("/server_info/name"),
            text("/server_info/version"),
            text("/protocol_version"),
            text("/era"),
        )
    });
    Ok(())
}
