//! `proctor session show`: one session.

use super::path;
use crate::cli::Failure;
use crate::cli::remote::Client;
use crate::cli::shown::Shown;

pub(super) async fn run((client, shown): &(Client, Shown), id: &str) -> Result<(), Failure> {
    shown.whole(&client.get(&path(id, "")).await?);
    Ok(())
}
