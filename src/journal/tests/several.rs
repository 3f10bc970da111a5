//! Several processes on one file.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use proctor_domain::Position;

use super::appending::Heard;
use super::note::count;
use super::*;
use crate::journal::{AppendError, Journal};

async fn listening(site: &Site, replica: &str) -> (Journal, Arc<Heard>) {
    let journal = site.open(replica).await;
    let heard = Arc::new(Heard::default());
    journal.listen(Arc::clone(&heard) as _).await.unwrap();
    (journal, heard)
}

async fn each_sees_everything_in_the_same_order(site: Site) {
    let (one, heard_by_one) = listening(&site, "rep_1").await;
    let (two, heard_by_two) = listening(&site, "rep_2").await;
    let of = |journal: Journal, id: &'static str| async move {
        for n in 0..60 {
            let waiting = (0..5).map(|m| note(&format!("{id}{m}"), n, n).append(&journal));
            join_all(waiting).await.into_iter().for_each(|answer| drop(answer.committed()));
        }
    };
    tokio::join!(of(one.clone(), "a"), of(two.clone(), "b"));
    one.confirm().await.unwrap();
    two.confirm().await.unwrap();
    let all: Vec<u64> = (1..=600).collect();
    assert_eq!(heard_by_one.positions(), all);
    assert_eq!(heard_by_two.positions(), all);
    let swapped: Vec<bool> = heard_by_two.foreign().into_iter().map(|foreign| !foreign).collect();
    assert_eq!(heard_by_one.foreign(), swapped, "each event is somebody's own");
    let history = site.history().await;
    assert!(history.windows(2).all(|pair| pair[0].place.recorded_at <= pair[1].place.recorded_at));
}

async fn both_may_append_to_one_stream(site: Site) {
    let (one, two) = (site.open("rep_1").await, site.open("rep_2").await);
    note("s", 0, 1).append(&one).await.committed();
    // It has not seen the first, and decides again before it is told anything.
    assert_eq!(count(&note("s", 0, 2).append(&two).await.committed()[0]), 1_002);
    assert_eq!(count(&note("s", 1, 3).append(&one).await.committed()[0]), 1_003);
    let stale = note("t", 0, 4).resting_on("s", 2).append(&two).await.stale();
    assert_eq!(stale.0, [(stream("s"), 3)]);
}

async fn confirming_delivers_what_others_wrote_before(site: Site) {
    let (one, (two, heard)) = (site.open("rep_1").await, listening(&site, "rep_2").await);
    for n in 0..20 {
        let at = note("s", n, n).append(&one).await.committed()[0].place.position;
        assert!(two.confirm().await.unwrap() >= at);
        assert_eq!(heard.positions().last(), Some(&at.0));
    }
}

async fn an_idle_process_hears_of_others_by_itself(site: Site) {
    let (one, (two, heard)) = (site.open("rep_1").await, listening(&site, "rep_2").await);
    note("s", 0, 1).append(&one).await.committed();
    for _ in 0..200 {
        if heard.positions() == [1] {
            assert_eq!(two.head().position(), Position(1));
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never looked");
}

async fn a_process_far_behind_catches_up_before_it_writes(site: Site) {
    let (two, heard) = listening(&site, "rep_2").await;
    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
                INSERT INTO events (position, aggregate_type, aggregate_id, sequence, event_type, event_version,
                 payload, metadata, event_id, recorded_at) SELECT i, 'watch', 'many', i, 'ReplicaStarted', '1',
                    '{\"ReplicaStarted\":{\"by\":{\"replica\":\"r\"},\"program\":\"1\"}}', '{}', 'evt_' || i, i FROM n";
    site.sql(many);
    let events = note("s", 0, 1).append(&two).await.committed();
    assert_eq!(events[0].place.position, Position(5_001));
    assert_eq!(heard.positions(), (1..=5_001).collect::<Vec<_>>());
}

async fn neither_is_kept_from_the_lock_by_the_other(site: Site) {
    let (one, two) = (site.open("rep_1").await, site.open("rep_2").await);
    let busy = tokio::spawn(async move {
        let mut n = 0;
        loop {
            // Always somebody waiting: the lock is free only between two transactions.
            let waiting = (0..50).map(|m| note(&format!("a{m}"), n, n).append(&one));
            join_all(waiting).await;
            n += 1;
        }
    });
    for n in 0..60 {
        // Whoever waits too long is told that the lock cannot be had.
        note("b", n, n).append(&two).await.committed();
    }
    busy.abort();
}

async fn an_event_that_cannot_be_read_halts(site: Site) {
    let (one, heard) = listening(&site, "rep_1").await;
    note("s", 0, 1).append(&one).await.committed();
    site.sql(
        "INSERT INTO events (position, aggregate_type, aggregate_id, sequence, event_type, event_version,
                 payload, metadata, event_id, recorded_at) SELECT 2, aggregate_type, aggregate_id, 2, 'FromTheFuture', '1', payload,
             metadata, 'evt_2', recorded_at FROM events",
    );
    let error = note("t", 0, 1).append(&one).await.failed();
    assert!(matches!(error, AppendError::Halted(_)), "{error}");
    assert!(error.to_string().contains("watch/FromTheFuture"), "{error}");
    assert!(error.to_string().contains("position 2"), "{error}");
    assert_eq!(heard.positions(), [1], "it is never skipped");
    assert!(one.head().is_halted());
}

async fn a_gap_halts(site: Site) {
    let one = site.open("rep_1").await;
    note("s", 0, 1).append(&one).await.committed();
    site.sql(
        "INSERT INTO events (position, aggregate_type, aggregate_id, sequence, event_type, event_version,
                 payload, metadata, event_id, recorded_at) SELECT 3, aggregate_type, aggregate_id, 2, event_type, event_version, payload,
             metadata, 'evt_3', recorded_at FROM events",
    );
    let error = one.confirm().await.unwrap_err();
    assert!(error.to_string().contains("events are missing after position 1"), "{error}");
}

async fn several_may_make_the_journal_at_the_same_time(site: Site) {
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                assert_eq!(
                    runtime.block_on(async { site.reader().await.head().await.unwrap() }),
                    Position(0)
                );
            });
        }
    });
}

on_both_stores!(
    async:
    each_sees_everything_in_the_same_order,
    both_may_append_to_one_stream,
    confirming_delivers_what_others_wrote_before,
    an_idle_process_hears_of_others_by_itself,
    a_process_far_behind_catches_up_before_it_writes,
    neither_is_kept_from_the_lock_by_the_other,
    an_event_that_cannot_be_read_halts,
    a_gap_halts,
    several_may_make_the_journal_at_the_same_time,
);
