//! `proctor key list`: API keys.

use super::PATH;
use crate::cli::Failure;
use crate::cli::remote::{Client, Wanted};
use crate::cli::shown::Shown;

pub(super) async fn run(opened: &(Client, Shown), wanted: &Wanted) -> Result<(), Failure> {
    let columns = [
        ("NAME", "/name"),
        ("ROLE", "/role"),
        ("STATE", "/state"),
        ("EXPIRES", "/expires_at"),
        ("LAST USED", "/last_used_at"),
        ("ID", "/id"),
    ];
    wanted.show(opened, PATH, &[], &columns).await
}
