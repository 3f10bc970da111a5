//! `proctor user list`: the users that were seen here.

use crate::cli::Failure;
use crate::cli::remote::{Client, Wanted};
use crate::cli::shown::Shown;

pub(super) async fn run(opened: &(Client, Shown), wanted: &Wanted) -> Result<(), Failure> {
    let columns = [("USER", "/user"), ("BLOCKED", "/blocked"), ("SUBJECT", "/subject")];
    wanted.show(opened, "/api/v1/users", &[], &columns).await
}
