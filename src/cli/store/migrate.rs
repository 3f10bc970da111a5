//! `proctor store migrate`: brings the schema up to date, for servers whose role may not.

use super::{named_store, postgres_config, refuse_stray};
use crate::cli::Failure;
use crate::config::StoreConfig;
use crate::journal::{postgres, sqlite};

pub(super) fn run(stray: &[String]) -> Result<(), Failure> {
    refuse_stray(stray, "name the store with DATABASE_URL")?;
    let store = named_store("that is to be brought up to date")?;
    actix_web::rt::System::new().block_on(async {
        match &store {
            StoreConfig::Sqlite { path } => sqlite::open(path).map(drop),
            StoreConfig::Postgres { url, hosts } => postgres::migrate(&postgres_config(url, hosts)).await,
        }
    })?;
    println!("The schema is up to date.");
    Ok(())
}
