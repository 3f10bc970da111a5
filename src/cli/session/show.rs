//! `proctor session show`: one session.

use clap::Args;

use super::path;
use crate::cli::Failure;
use crate::cli::remote::{Client, with_query};
use crate::cli::shown::Shown;

#[derive(Debug, Args)]
pub(super) struct Show {
    /// The session's identifier, `ses_…`.
    id: String,
    /// As it stood then: at a position in the journal, or an RFC 3339 time.
    #[arg(long, value_name = "POSITION|TIME")]
    at: Option<String>,
}

pub(super) async fn run((client, shown): &(Client, Shown), wanted: &Show) -> Result<(), Failure> {
    let Show { id, at } = wanted;
    shown.whole(&client.get(&with_query(&path(id, ""), &[("at", at.as_deref())])).await?);
    Ok(())
}
