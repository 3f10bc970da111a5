//! The cluster of a whole run of tests: prints its URL, and stops it when its input ends.

#![expect(clippy::print_stdout, reason = "whoever started it reads the URL")]

use std::io::{Read as _, Write as _};

use proctor_test_postgres::Database;

fn main() -> std::io::Result<()> {
    let cluster = Database::shared_cluster();
    println!("{}", cluster.url("postgres"));
    std::io::stdout().flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    drop(cluster);
    Ok(())
}
