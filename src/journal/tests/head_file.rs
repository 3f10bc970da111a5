//! What is remembered in the data site, and journals that went backwards.

use std::fs;
use std::path::PathBuf;

use proctor_domain::Position;

use super::*;
use crate::journal::{AppendError, Journal};

async fn open_remembering(site: &Site) -> Journal {
    let mut config = site.config("rep_1");
    config.data_dir = Some(site.path().to_owned());
    site.open_with(config).await
}

fn remembered(site: &Site) -> serde_json::Value {
    serde_json::from_slice(&fs::read(site.path().join("head.json")).unwrap()).unwrap()
}

/// Takes a whole copy of the journal, which nobody uses.
fn copy(site: &Site, name: &str) -> PathBuf {
    let copy = site.path().join(name);
    rusqlite::Connection::open(site.journal_file())
        .unwrap()
        .execute("VACUUM INTO ?1", [copy.to_str().unwrap()])
        .unwrap();
    copy
}

/// Puts a copy in the journal's place, as an administrator does who restores a backup.
fn put_in_place(site: &Site, copy: &PathBuf) {
    for extra in ["-wal", "-shm"] {
        let mut path = site.journal_file().into_os_string();
        path.push(extra);
        // It may be gone already.
        let _ = fs::remove_file(path);
    }
    fs::rename(copy, site.journal_file()).unwrap();
}

async fn is_halted(journal: &Journal, says: &str) {
    let error = note("s9", 0, 1).append(journal).await.failed();
    assert!(matches!(error, AppendError::Halted(_)) && error.to_string().contains(says), "{error}");
    assert!(matches!(journal.confirm().await, Err(AppendError::Halted(_))));
    assert!(journal.head().is_halted() && !journal.head().is_fresh());
}

async fn the_head_is_remembered_at_the_end(site: Site) {
    let journal = open_remembering(&site).await;
    for n in 0..3 {
        note("s", n, n).append(&journal).await.committed();
    }
    journal.stop().await;
    let known = remembered(&site);
    assert_eq!(known["position"], 3);
    let last = site.history().await[2].clone();
    assert_eq!(known["leaf"], hex::encode(proctor_domain::leaf::leaf_hash(&last)));
    let files = fs::read_dir(site.path()).unwrap().map(|file| file.unwrap().file_name());
    assert_eq!(files.filter(|name| name.to_string_lossy().contains("draft")).count(), 0);
    let journal = open_remembering(&site).await;
    assert!(!journal.head().is_halted());
    note("s", 3, 3).append(&journal).await.committed();
    journal.stop().await;
    assert_eq!(remembered(&site)["position"], 4);
}

async fn the_head_is_remembered_while_it_runs(site: Site) {
    let journal = open_remembering(&site).await;
    note("s", 0, 1).append(&journal).await.committed();
    let started = std::time::Instant::now();
    while !site.path().join("head.json").exists() {
        assert!(started.elapsed().as_secs() < 10, "never remembered");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(remembered(&site)["position"], 1);
}

#[tokio::test]
async fn a_journal_older_than_remembered_opens_halted_and_can_be_read() {
    let site = Site::sqlite();
    let journal = open_remembering(&site).await;
    note("s", 0, 1).append(&journal).await.committed();
    journal.stop().await;
    let old = copy(&site, "old.db");
    let journal = open_remembering(&site).await;
    note("s", 1, 1).append(&journal).await.committed();
    journal.stop().await;
    put_in_place(&site, &old);
    let journal = open_remembering(&site).await;
    is_halted(&journal, "the journal ends at position 1, but 2 was seen here").await;
    is_halted(&journal, "remove").await;
    assert_eq!(journal.reader().read(Position(0), 10).await.unwrap().len(), 1);
    // The one in the old copy has ended; it is kept until its calls have been swept.
    let leases = journal.reader().leases().await.unwrap();
    let now_us = std::time::UNIX_EPOCH.elapsed().unwrap().as_micros();
    let alive = leases.iter().filter(|lease| lease.ends_at.0.unsigned_abs() as u128 > now_us).count();
    assert_eq!(alive, 0, "it confirms nothing to others");
    journal.stop().await;
    assert_eq!(remembered(&site)["position"], 2, "it forgets nothing");
    fs::remove_file(site.path().join("head.json")).unwrap();
    let journal = open_remembering(&site).await;
    note("s", 1, 1).append(&journal).await.committed();
}

#[tokio::test]
async fn another_journal_of_the_same_length_opens_halted() {
    let site = Site::sqlite();
    let journal = open_remembering(&site).await;
    let empty = copy(&site, "empty.db");
    note("s", 0, 1).append(&journal).await.committed();
    journal.stop().await;
    put_in_place(&site, &empty);
    let journal = site.open("rep_2").await;
    note("s", 0, 1).append(&journal).await.committed();
    note("s", 1, 1).append(&journal).await.committed();
    journal.stop().await;
    let journal = open_remembering(&site).await;
    is_halted(&journal, "the event at position 1 is another one").await;
}

async fn a_head_file_that_cannot_be_read_halts(site: Site) {
    fs::write(site.path().join("head.json"), "{").unwrap();
    let journal = open_remembering(&site).await;
    is_halted(&journal, "head.json").await;
}

#[tokio::test]
async fn a_running_process_halts_when_an_old_copy_is_put_in_place() {
    let site = Site::sqlite();
    let journal = site.open("rep_1").await;
    note("s", 0, 1).append(&journal).await.committed();
    let old = copy(&site, "old.db");
    note("s", 1, 1).append(&journal).await.committed();
    put_in_place(&site, &old);
    is_halted(&journal, "its last position is 1, but this process has seen 2").await;
    assert_eq!(site.history().await.len(), 1);
}

#[tokio::test]
async fn a_running_process_makes_no_empty_journal_where_one_is_gone() {
    let site = Site::sqlite();
    let journal = site.open("rep_1").await;
    note("s", 0, 1).append(&journal).await.committed();
    let away = site.path().join("away.db");
    let copied = copy(&site, "copy.db");
    fs::rename(site.journal_file(), &away).unwrap();
    let error = note("s", 1, 1).append(&journal).await.failed();
    assert!(matches!(error, AppendError::Store(_)), "{error}");
    assert!(!site.journal_file().exists());
    put_in_place(&site, &copied);
    note("s", 1, 1).append(&journal).await.committed();
}

on_both_stores!(
    async:
    the_head_is_remembered_at_the_end,
    the_head_is_remembered_while_it_runs,
    a_head_file_that_cannot_be_read_halts,
);
