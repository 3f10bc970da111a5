//! `proctor vault rotate`: seals everything anew under another master key.

use std::time::{Duration, Instant};

use proctor_domain::watch::{Notice, Watch, WatchEvent};
use proctor_domain::{By, ReplicaId};
use serde_json::json;

use super::opened::{Alive, Opened};
use crate::actors::{self, Directory};
use crate::cli::Failure;
use crate::cli::progress::Shown;
use crate::journal::{Journal, SealedRows};
use crate::vault::{KeyId, MasterKeys};

/// How often all rows are gone through. Whoever still seals under another key is said after that.
const PASSES_MAX: u32 = 5;
/// How long this command's only entity may idle.
const IDLE: Duration = Duration::from_secs(60);

/// What was done.
struct Done {
    rows: u64,
    total: u64,
}

pub(super) async fn run(opened: Opened, keys: &MasterKeys, as_json: bool) -> Result<(), Failure> {
    let began = Instant::now();
    let alive = Opened::alive(&*opened.reader).await?;
    if let Some(server) = alive.iter().find(|server| !server.opens(keys.id())) {
        return Err(cannot_open(server, keys.id()).into());
    }
    let replica = ReplicaId::from(actors::new_id("rep"));
    let (journal, reader, rows) = opened.join(replica.clone(), keys).await?;
    let done = rotate(&journal, &rows, keys, By::Replica(replica.clone())).await;
    // The lease is given back in any case; what was written before it is durable with it.
    journal.stop().await;
    let done = done?;
    let still: Vec<_> = Opened::alive(&*reader)
        .await?
        .into_iter()
        .filter(|server| server.replica != replica && !server.seals_with(keys.id()))
        .collect();
    if let Some(server) = still.first() {
        return Err(seals_with_another(server, keys.id()).into());
    }
    say(&done, keys.id(), began.elapsed(), as_json);
    Ok(())
}

async fn rotate(journal: &Journal, rows: &SealedRows, keys: &MasterKeys, by: By) -> Result<Done, Failure> {
    let directory = Directory::open(journal.clone(), IDLE).await?;
    let stream = format!("master_keys:{}", actors::day(actors::now()));
    let key = keys.id().to_string();
    let note = async |event| directory.tell::<Watch>(&stream, Notice(event)).await.map(drop);
    let mut shown = Shown::default();
    let mut survey = rows.survey().await?;
    let mut resealed = 0;
    if survey.not_under(keys.id()) > 0 {
        note(WatchEvent::MasterKeyRotationBegun { by: by.clone(), key: key.clone() }).await?;
    }
    for pass in 0..PASSES_MAX {
        let wanted = survey.not_under(keys.id());
        if wanted == 0 {
            break;
        }
        let mut show = |rows| shown.show(pass, rows >= wanted, |took| line(rows, wanted, took));
        let done = rows.reseal(keys, &mut show).await;
        shown.finish();
        let done = done.map_err(|error| {
            format!(
                "{error} (on PostgreSQL this takes the role that owns Proctor's tables). What was sealed anew \
                 stays so: run the same command again to go on"
            )
        })?;
        resealed += done.rows;
        if let Some(first) = done.because.first() {
            return Err(format!(
                "{} rows stay as they are, the first because: {first}. Set PROCTOR_MASTER_KEY_SECOND to the \
                 key that sealed it, and run the same command again; {resealed} rows were sealed anew",
                done.closed
            )
            .into());
        }
        survey = rows.survey().await?;
    }
    let left = survey.not_under(keys.id());
    if left > 0 {
        return Err(format!(
            "{left} rows were sealed under another key meanwhile: a server still seals with it (see `proctor \
             vault status`). Start it anew with PROCTOR_MASTER_KEY set to {key}, and run the same command again"
        )
        .into());
    }
    if resealed > 0 {
        note(WatchEvent::MasterKeyRotated { by, key, rows: resealed }).await?;
    }
    Ok(Done { rows: resealed, total: survey.total() })
}

fn cannot_open(server: &Alive, key: KeyId) -> String {
    let Alive { replica, ends_in_s, .. } = server;
    format!(
        "nothing was done: the server {replica} could not open what is sealed under master key {key}. Start \
         it anew with this key as PROCTOR_MASTER_KEY_SECOND or PROCTOR_MASTER_KEY, and run the same command \
         again (a server that is gone is forgotten within {ends_in_s} s)"
    )
}

fn seals_with_another(server: &Alive, key: KeyId) -> String {
    let Alive { replica, ends_in_s, .. } = server;
    format!(
        "everything is sealed under master key {key} now, but the server {replica} still seals with another \
         key: start it anew with PROCTOR_MASTER_KEY set to {key}, and run the same command again (a server \
         that is gone is forgotten within {ends_in_s} s)"
    )
}

fn line(rows: u64, wanted: u64, took: Duration) -> String {
    let percent = (rows * 100).checked_div(wanted).unwrap_or(100).min(100);
    let pace = u128::from(rows) * 1_000 / took.as_millis().max(1);
    format!("sealing anew: {percent} %, {rows} of {wanted} rows, {pace} rows/s")
}

fn say(done: &Done, key: KeyId, took: Duration, as_json: bool) {
    let Done { rows, total } = *done;
    let seconds = took.as_secs_f64();
    if as_json {
        let outcome = if rows > 0 { "rotated" } else { "nothing_to_do" };
        let said = json!({
            "outcome": outcome,
            "master_key": key.to_string(),
            "resealed": rows,
            "total": total,
            "seconds": seconds,
        });
        println!("{said}");
    } else if rows > 0 {
        println!(
            "{rows} rows were sealed anew in {seconds:.1} s: all {total} are under master key {key}, and so is \
             whatever servers seal from now on.\n\
             Next: start every server anew without PROCTOR_MASTER_KEY_SECOND, and keep the old key with the \
             backups that were made before."
        );
    } else {
        println!("Nothing was to do: all {total} rows are under master key {key}.");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_it_is_and_how_fast() {
        let line = |rows, wanted| line(rows, wanted, Duration::from_secs(2));
        assert_eq!(line(50, 200), "sealing anew: 25 %, 50 of 200 rows, 25 rows/s");
        assert_eq!(line(210, 200), "sealing anew: 100 %, 210 of 200 rows, 105 rows/s");
    }
}
