//! `proctor store copy`: moves an installation to another store.

use std::time::Instant;

use serde_json::{Value, json};

use super::progress::Shown;
use super::{Copy, refuse_stray};
use crate::cli::Failure;
use crate::config::StoreConfig;
use crate::journal::copying::{self, Copied, CopyError, End};
use crate::journal::postgres::{self, PostgresConfig};
use crate::journal::{StoreError, sqlite};

pub(super) fn run(wanted: &Copy) -> Result<(), Failure> {
    refuse_stray(&wanted.stray, "name the stores with --from and --to")?;
    let from = store("--from", wanted.from.as_deref())?;
    let to = store("--to", wanted.to.as_deref())?;
    let began = Instant::now();
    let copied = actix_web::rt::System::new().block_on(async {
        let mut source = source(&from).await.map_err(CopyError::Source)?;
        let mut destination = destination(&to).await.map_err(CopyError::Destination)?;
        let mut shown = Shown::default();
        let copied =
            copying::copy(&mut *source, &mut *destination, &mut |progress| shown.show(progress)).await;
        shown.finish();
        copied
    });
    let copied = copied.map_err(|error| format!("failed to copy the store: {error}"))?;
    let seconds = began.elapsed().as_secs_f64();
    if wanted.json {
        println!("{}", as_json(&copied, &from, &to, seconds));
    } else {
        println!("{}", as_text(&copied, seconds));
    }
    Ok(())
}

fn store(flag: &str, url: Option<&str>) -> Result<StoreConfig, Failure> {
    let url = url.unwrap_or_default();
    let parsed = if url.is_empty() {
        Err("it is missing: set sqlite:PATH or postgres://…".to_owned())
    } else {
        StoreConfig::of_url(url)
    };
    parsed.map_err(|wrong| format!("failed to read the command line: {flag}: {wrong}").into())
}

async fn source(store: &StoreConfig) -> Result<Box<dyn End>, StoreError> {
    match store {
        StoreConfig::Sqlite { path } => sqlite::source(path),
        StoreConfig::Postgres { url, .. } => postgres::source(&PostgresConfig::new(url.expose())).await,
    }
}

async fn destination(store: &StoreConfig) -> Result<Box<dyn End>, StoreError> {
    match store {
        StoreConfig::Sqlite { path } => sqlite::destination(path),
        StoreConfig::Postgres { url, .. } => postgres::destination(&PostgresConfig::new(url.expose())).await,
    }
}

fn kind(store: &StoreConfig) -> &'static str {
    match store {
        StoreConfig::Sqlite { .. } => "sqlite",
        StoreConfig::Postgres { .. } => "postgres",
    }
}

fn as_json(copied: &Copied, from: &StoreConfig, to: &StoreConfig, seconds: f64) -> Value {
    let tables: serde_json::Map<_, _> = copied
        .tables
        .iter()
        .map(|table| {
            let what = json!({ "rows": table.rows, "sha256": hex::encode(table.sha256) });
            (table.name.to_owned(), what)
        })
        .collect();
    json!({
        "from": kind(from),
        "to": kind(to),
        "head": copied.head.0,
        "head_leaf": hex::encode(copied.head_leaf),
        "sealed": copied.sealed,
        "tables": tables,
        "seconds": seconds,
    })
}

fn as_text(copied: &Copied, seconds: f64) -> String {
    let others: Vec<String> = copied
        .tables
        .iter()
        .filter(|table| table.name != "events")
        .map(|table| {
            format!("  {:<20}{:>10} rows, sha256 {}", table.name, table.rows, hex::encode(table.sha256))
        })
        .collect();
    format!(
        "Copied, compared and committed in {seconds:.1} s:\n\
         \x20 {head} events: the leaf hash of each is the same on both sides, the last is {leaf}\n\
         \x20 {sealed} sealed payloads: each has the SHA-256 that its event's metadata names\n\
         {others}\n\
         Every other table has the same rows on both sides, byte for byte.",
        head = copied.head,
        leaf = hex::encode(copied.head_leaf),
        sealed = copied.sealed,
        others = others.join("\n"),
    )
}
