//! What the file itself refuses.

use super::*;
use crate::journal::{AppendError, sqlite};

#[tokio::test]
async fn events_are_neither_changed_nor_deleted() {
    let site = Site::sqlite();
    let journal = site.open("rep_1").await;
    note("s", 0, 1).append(&journal).await.committed();
    let file = rusqlite::Connection::open(site.journal_file()).unwrap();
    for statement in ["UPDATE events SET payload = '{}'", "DELETE FROM events"] {
        let error = file.execute_batch(statement).unwrap_err();
        assert!(error.to_string().contains("events are never"), "{error}");
    }
}

#[test]
fn a_newer_schema_is_refused() {
    let site = Site::sqlite();
    drop(sqlite::open(&site.journal_file()).unwrap());
    rusqlite::Connection::open(site.journal_file())
        .unwrap()
        .execute_batch("PRAGMA user_version = 99")
        .unwrap();
    let Err(error) = sqlite::open(&site.journal_file()) else { panic!("it was opened") };
    assert!(error.to_string().contains("upgrade this one"), "{error}");
}

#[tokio::test]
async fn a_lock_that_another_process_keeps_is_waited_for() {
    let site = Site::sqlite();
    let journal = site.open("rep_1").await;
    let other = rusqlite::Connection::open(site.journal_file()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let waiting = note("s", 0, 1).hand_in(&journal);
    std::thread::sleep(std::time::Duration::from_millis(300));
    other.execute_batch("COMMIT").unwrap();
    waiting.await.unwrap().committed();
}

#[tokio::test]
async fn a_lock_that_is_never_given_back_is_said() {
    let site = Site::sqlite();
    let journal = site.open("rep_1").await;
    let other = rusqlite::Connection::open(site.journal_file()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = note("s", 0, 1).append(&journal).await.failed();
    assert!(matches!(&error, AppendError::Store(cause) if cause.to_string().contains("locked")), "{error}");
    assert!(!journal.head().is_halted());
    other.execute_batch("COMMIT").unwrap();
    note("s", 0, 1).append(&journal).await.committed();
}

#[tokio::test]
async fn a_full_disk_fails_appends_and_reads_go_on() {
    let site = Site::sqlite();
    let (mut store, reader) = sqlite::open(&site.journal_file()).unwrap();
    store.limit_pages(60);
    let journal = crate::journal::Journal::open(store, reader, site.config("rep_1")).await.unwrap();
    let mut written = 0;
    let error = loop {
        let mut big = note("s", written, written);
        big.proposals[0].sealed = Some(vec![7; 20_000].into());
        match big.append(&journal).await {
            Became::Committed(_) => written += 1,
            Became::Failed(error) => break error,
            Became::Stale(stale) => panic!("{stale:?}"),
        }
        assert!(written < 100);
    };
    assert!(matches!(&error, AppendError::Store(cause) if cause.to_string().contains("full")), "{error}");
    assert_eq!(site.history().await.len() as u64, written);
    // The connection made anew has no such limit: the disk has room again.
    note("s", written, 1).append(&journal).await.committed();
    assert_eq!(journal.confirm().await.unwrap().0, written + 1);
}

#[tokio::test]
async fn a_stream_whose_chain_is_broken_is_not_read_as_if_it_were_whole() {
    let site = Site::sqlite();
    let journal = site.open("rep_1").await;
    for n in 0..3 {
        note("s", n, n).append(&journal).await.committed();
        note("t", n, n).append(&journal).await.committed();
    }
    let file = rusqlite::Connection::open(site.journal_file()).unwrap();
    let reader = site.reader().await;
    assert_eq!(reader.stream(&stream("s"), 1).await.unwrap().len(), 2);
    // Where a stream ends is not part of the journal, and can be changed.
    for (sequence, position) in [(2, 5), (3, 6), (4, 5), (3, 99)] {
        let change = format!(
            "UPDATE streams SET sequence = {sequence}, position = {position} WHERE aggregate_id = 's'"
        );
        file.execute_batch(&change).unwrap();
        let error = reader.stream(&stream("s"), 0).await.unwrap_err();
        assert!(error.to_string().contains(&format!("event {sequence} of watch/s is not at")), "{error}");
    }
}

#[tokio::test]
async fn nothing_is_written_to_a_stream_that_has_another_end() {
    let site = Site::sqlite();
    let journal = site.open("rep_1").await;
    note("s", 0, 1).append(&journal).await.committed();
    let file = rusqlite::Connection::open(site.journal_file()).unwrap();
    file.execute_batch("UPDATE streams SET position = 7").unwrap();
    let error = note("s", 1, 2).append(&journal).await.failed();
    assert!(
        matches!(&error, AppendError::Store(cause) if cause.to_string().contains("is not at")),
        "{error}"
    );
    assert_eq!(site.history().await.len(), 1);
    file.execute_batch("UPDATE streams SET position = 1").unwrap();
    note("s", 1, 2).append(&journal).await.committed();
}
