//! `proctor store copy`: moves an installation to another store.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Copy, postgres_config, refuse_stray};
use crate::cli::Failure;
use crate::cli::progress::Shown;
use crate::config::{Ends, StoreConfig};
use crate::journal::copying::{self, Copied, CopyError, Done, End, Outcome, Progress, Stage, Then};
use crate::journal::postgres;
use crate::journal::{MovedAway, StoreError, sqlite};

pub(super) fn run(wanted: &Copy) -> Result<(), Failure> {
    refuse_stray(&wanted.stray, "name the stores with --from and --to")?;
    let ends = Ends::read(|name| std::env::var_os(name), wanted.from.as_deref(), wanted.to.as_deref())?;
    let then = if wanted.leave_open { Then::LeaveOpen } else { Then::MarkMoved };
    let began = Instant::now();
    let done = actix_web::rt::System::new().block_on(async {
        let mut source = source(&ends.from).await.map_err(CopyError::Source)?;
        let mut destination = destination(&ends.to).await.map_err(CopyError::Destination)?;
        let mut shown = Shown::default();
        let mut show = |progress: Progress| {
            let is_done = progress.rows >= progress.rows_total;
            shown.show(progress.stage, is_done, |took| line(progress, took));
        };
        let done = copying::copy(&mut *source, &mut *destination, then, &mut show).await;
        shown.finish();
        done
    });
    let done = done.map_err(|error| format!("failed to copy the store: {error}"))?;
    let seconds = began.elapsed().as_secs_f64();
    if wanted.json {
        println!("{}", as_json(&done, &ends, seconds));
    } else {
        println!("{}", as_text(&done, seconds));
    }
    Ok(())
}

async fn source(store: &StoreConfig) -> Result<Box<dyn End>, StoreError> {
    match store {
        StoreConfig::Sqlite { path } => sqlite::source(path),
        StoreConfig::Postgres { url, hosts } => postgres::source(&postgres_config(url, hosts)).await,
    }
}

async fn destination(store: &StoreConfig) -> Result<Box<dyn End>, StoreError> {
    match store {
        StoreConfig::Sqlite { path } => sqlite::destination(path),
        StoreConfig::Postgres { url, hosts } => postgres::destination(&postgres_config(url, hosts)).await,
    }
}

fn kind(store: &StoreConfig) -> &'static str {
    match store {
        StoreConfig::Sqlite { .. } => "sqlite",
        StoreConfig::Postgres { .. } => "postgres",
    }
}

fn as_json(done: &Done, ends: &Ends, seconds: f64) -> Value {
    let outcome = match done.outcome {
        Outcome::Copied(_) => "copied",
        Outcome::WasThere(_) => "was_there",
        Outcome::HasGoneOn { .. } => "has_gone_on",
    };
    let mut said = json!({
        "outcome": outcome,
        "from": kind(&ends.from),
        "to": kind(&ends.to),
        "source_moved_to": done.moved.as_ref().map(|moved| &moved.to),
        "seconds": seconds,
    });
    match &done.outcome {
        Outcome::Copied(copied) | Outcome::WasThere(copied) => {
            let tables: serde_json::Map<_, _> = copied
                .tables
                .iter()
                .map(|table| {
                    let what = json!({ "rows": table.rows, "sha256": hex::encode(table.sha256) });
                    (table.name.to_owned(), what)
                })
                .collect();
            said["head"] = copied.head.0.into();
            said["head_leaf"] = hex::encode(copied.head_leaf).into();
            said["sealed"] = copied.sealed.into();
            said["tables"] = tables.into();
        }
        Outcome::HasGoneOn { head, there } => {
            said["head"] = head.0.into();
            said["head_there"] = there.0.into();
        }
    }
    said
}

fn as_text(done: &Done, seconds: f64) -> String {
    let what = match &done.outcome {
        Outcome::Copied(copied) => {
            format!("Copied, compared and committed in {seconds:.1} s:\n{}", compared(copied))
        }
        Outcome::WasThere(copied) => format!(
            "Nothing was copied: the destination holds all of the source already, as it was compared just \
             now:\n{}",
            compared(copied)
        ),
        Outcome::HasGoneOn { head, there } => format!(
            "Nothing was copied: the destination holds all {head} events of the source already, with the \
             same leaf hashes, and has gone on since, to position {there}."
        ),
    };
    format!("{what}\n\n{}", next(done.moved.as_ref()))
}

fn compared(copied: &Copied) -> String {
    let others: Vec<String> = copied
        .tables
        .iter()
        .filter(|table| table.name != "events")
        .map(|table| {
            format!("  {:<20}{:>10} rows, sha256 {}", table.name, table.rows, hex::encode(table.sha256))
        })
        .collect();
    format!(
        "  {head} events: the leaf hash of each is the same on both sides, the last is {leaf}\n\
         \x20 {sealed} sealed payloads: each has the SHA-256 that its event's metadata names\n\
         {others}\n\
         Every other table has the same rows on both sides, byte for byte.",
        head = copied.head,
        leaf = hex::encode(copied.head_leaf),
        sealed = copied.sealed,
        others = others.join("\n"),
    )
}

fn next(moved: Option<&MovedAway>) -> String {
    match moved {
        Some(moved) => format!(
            "The source is marked as {moved}: no Proctor starts on it any more.\n\
             Next: start Proctor with DATABASE_URL set to the destination, with the same \
             PROCTOR_MASTER_KEY and PROCTOR_PUBLIC_URL."
        ),
        None => "The source was left open: a Proctor that is started on it writes a history of its own, \
                 which the destination lacks."
            .to_owned(),
    }
}

fn line(progress: Progress, took: Duration) -> String {
    let percent = (progress.rows * 100).checked_div(progress.rows_total).unwrap_or(100).min(100);
    let stage = match progress.stage {
        Stage::Copying => "copying",
        Stage::Comparing => "comparing",
        // Of how far that is nobody hears.
        Stage::Committing => return "committing".to_owned(),
    };
    let took_ms = took.as_millis().max(1);
    let pace = u128::from(progress.events) * 1_000 / took_ms;
    format!("{stage}: {percent} %, {} events, {pace} events/s", progress.events)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_it_is_and_how_fast() {
        let progress = Progress { stage: Stage::Copying, rows: 50, rows_total: 200, events: 40 };
        assert_eq!(line(progress, Duration::from_secs(2)), "copying: 25 %, 40 events, 20 events/s");
        let nothing = Progress { stage: Stage::Comparing, rows: 0, rows_total: 0, events: 0 };
        assert_eq!(line(nothing, Duration::ZERO), "comparing: 100 %, 0 events, 0 events/s");
        let last = Progress { stage: Stage::Committing, ..progress };
        assert_eq!(line(last, Duration::from_secs(2)), "committing");
    }
}
