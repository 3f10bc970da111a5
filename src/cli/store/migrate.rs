//! `proctor store migrate`: brings the schema up to date, for servers whose role may not.

use super::refuse_stray;
use crate::cli::Failure;
use crate::config::StoreConfig;
use crate::journal::postgres::{self, PostgresConfig};
use crate::journal::sqlite;

pub(super) fn run(stray: &[String]) -> Result<(), Failure> {
    refuse_stray(stray, "name the store with DATABASE_URL")?;
    let store = StoreConfig::read(|name| std::env::var_os(name))?;
    let Some(store) = store else {
        return Err(
            "failed to read the configuration: DATABASE_URL is missing: set it to the store that is \
                    to be brought up to date"
                .into(),
        );
    };
    actix_web::rt::System::new().block_on(async {
        match &store {
            StoreConfig::Sqlite { path } => sqlite::open(path).map(drop),
            StoreConfig::Postgres { url, hosts } => {
                let settings = PostgresConfig { hosts: hosts.clone(), ..PostgresConfig::new(url.expose()) };
                postgres::migrate(&settings).await
            }
        }
    })?;
    println!("The schema is up to date.");
    Ok(())
}
