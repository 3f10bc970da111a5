//! `proctor user show`: whether a user may have sessions.

use super::path;
use crate::cli::Failure;
use crate::cli::remote::Client;
use crate::cli::shown::Shown;

pub(super) async fn run((client, shown): &(Client, Shown), user: &str) -> Result<(), Failure> {
    shown.whole(&client.get(&path(user, "")).await?);
    Ok(())
}
