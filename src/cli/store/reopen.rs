//! `proctor store reopen`: takes a store that `store copy` has left behind back into use.

use super::{named_store, postgres_config, refuse_stray};
use crate::cli::Failure;
use crate::config::StoreConfig;
use crate::journal::{copying, postgres, sqlite};

pub(super) fn run(stray: &[String]) -> Result<(), Failure> {
    refuse_stray(stray, "name the store with DATABASE_URL")?;
    let store = named_store("that is to be opened again")?;
    let reopened = actix_web::rt::System::new().block_on(async {
        let mut end = match &store {
            StoreConfig::Sqlite { path } => sqlite::source(path)?,
            StoreConfig::Postgres { url, hosts } => postgres::source(&postgres_config(url, hosts)).await?,
        };
        copying::reopen(&mut *end).await
    });
    match reopened.map_err(|error| format!("failed to reopen the store: {error}"))? {
        Some(moved) => println!(
            "The store is open again: Proctor starts on it. It was {moved}, and lacks whatever has been \
             written there since. Do not go on with both."
        ),
        None => println!("The store is not marked as moved: nothing was done."),
    }
    Ok(())
}
