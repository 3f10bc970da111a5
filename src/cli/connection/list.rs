//! `proctor connection list`: all connections, by name.

use crate::cli::Failure;
use crate::cli::remote::{Client, Wanted};
use crate::cli::shown::Shown;

pub(super) async fn run(opened: &(Client, Shown), wanted: &Wanted) -> Result<(), Failure> {
    let columns = [
        ("NAME", "/name"),
        ("STATE", "/state"),
        ("TRANSPORT", "/transport/type"),
        ("AUTH", "/auth/type"),
        ("TOOLS", "/catalog/tools"),
        ("ERA", "/catalog/era"),
    ];
    wanted.show(opened, "/api/v1/connections", &[], &columns).await
}
