//! `proctor audit show`: one tool call in full.

use clap::Args;

use crate::cli::Failure;
use crate::cli::remote::{Client, part};
use crate::cli::shown::Shown;

#[derive(Debug, Args)]
pub(super) struct Call {
    /// The call's identifier, `call_…`.
    id: String,
}

pub(super) async fn run((client, shown): &(Client, Shown), call: &Call) -> Result<(), Failure> {
    shown.whole(&client.get(&format!("/api/v1/audit/tool-calls/{}", part(&call.id))).await?);
    Ok(())
}
