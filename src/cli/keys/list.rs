//! `proctor keys list`: which keys there are, and how each is used.

use crate::cli::Failure;
use crate::cli::remote::{Client, Wanted};
use crate::cli::shown::Shown;

pub(super) async fn run(opened: &(Client, Shown), wanted: &Wanted) -> Result<(), Failure> {
    let columns =
        [("PURPOSE", "/purpose"), ("KEY", "/kid"), ("STATE", "/state"), ("IN FORCE FROM", "/active_at")];
    wanted.show(opened, "/api/v1/purpose-keys", &[], &columns).await
}
