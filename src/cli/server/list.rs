//! `proctor server list`: all virtual servers, by name.

use crate::cli::Failure;
use crate::cli::remote::{Client, Wanted};
use crate::cli::shown::Shown;

pub(super) async fn run(opened: &(Client, Shown), wanted: &Wanted) -> Result<(), Failure> {
    let columns =
        [("NAME", "/name"), ("STATE", "/state"), ("VERSION", "/version"), ("DESCRIPTION", "/description")];
    wanted.show(opened, "/api/v1/virtual-servers", &[], &columns).await
}
