//! `proctor connection show`: one connection.

use super::path;
use crate::cli::Failure;
use crate::cli::remote::Client;
use crate::cli::shown::Shown;

pub(super) async fn run((client, shown): &(Client, Shown), name: &str) -> Result<(), Failure> {
    shown.whole(&client.get(&path(name, "")).await?);
    Ok(())
}
