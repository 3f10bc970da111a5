//! A store that fails: nothing is answered as done that is not durable, and it works again after.

use std::sync::mpsc;

use proctor_domain::Position;

use super::note::count;
use super::*;
use crate::journal::{AppendError, StoreError};

async fn a_failed_lock_fails_what_waits_and_the_next_append_works(site: Site) {
    let (journal, script) = site.open_faulty("rep_1").await;
    script.will([Fault::Begin]);
    let error = note("s", 0, 1).append(&journal).await.failed();
    assert!(matches!(error, AppendError::Store(_)), "{error}");
    assert_eq!(note("s", 0, 2).append(&journal).await.committed()[0].place.position, Position(1));
}

async fn a_failed_commit_answers_nobody_as_done(site: Site) {
    let (journal, script) = site.open_faulty("rep_1").await;
    let heard = std::sync::Arc::new(appending::Heard::default());
    journal.listen(std::sync::Arc::clone(&heard) as _).await.unwrap();
    let (let_go, gate) = mpsc::channel();
    script.will([Fault::CommitHeld(gate), Fault::Commit]);
    let first = note("first", 0, 0).hand_in(&journal);
    let_go.send(()).unwrap();
    assert!(matches!(first.await.unwrap().failed(), AppendError::Store(_)));
    assert!(heard.positions().is_empty());
    assert_eq!(journal.head().position(), Position(0));
    assert!(site.history().await.is_empty());
    assert_eq!(note("first", 0, 1).append(&journal).await.committed()[0].sequence, 1);
    assert_eq!(heard.positions(), [1]);
}

async fn a_commit_whose_answer_was_lost_is_found_and_answered_as_done(site: Site) {
    let (journal, script) = site.open_faulty("rep_1").await;
    note("ground", 0, 0).append(&journal).await.committed();
    let heard = std::sync::Arc::new(appending::Heard::default());
    journal.listen(std::sync::Arc::clone(&heard) as _).await.unwrap();
    let ((let_go, gate), (let_go_on, next_gate)) = (mpsc::channel(), mpsc::channel());
    script.will([Fault::CommitHeld(gate), Fault::CommitHeld(next_gate)]);
    let first = note("first", 0, 1).hand_in(&journal);
    // Otherwise the appender may find all four waiting, and commit them together.
    script.comes_down_to(1).await;
    // What stands first in the next batch is not written: it must not be mistaken for the batch.
    let stale = note("s1", 0, 2).resting_on("ground", 0).hand_in(&journal);
    let written = note("s2", 0, 3).hand_in(&journal);
    let more = note("s3", 0, 4).hand_in(&journal);
    let_go.send(()).unwrap();
    first.await.unwrap().committed();
    script.comes_down_to(0).await;
    script.will([Fault::CommitAnswerLost]);
    let_go_on.send(()).unwrap();
    stale.await.unwrap().stale();
    assert_eq!(count(&written.await.unwrap().committed()[0]), 3);
    assert_eq!(count(&more.await.unwrap().committed()[0]), 4);
    assert!(script.is_over());
    assert_eq!(heard.positions(), [2, 3, 4], "each once");
    assert!(heard.foreign().iter().all(|foreign| !foreign));
    assert_eq!(site.history().await.len(), 4);
}

async fn what_cannot_be_looked_up_is_in_doubt_and_delivered_once_it_can(site: Site) {
    let (journal, script) = site.open_faulty("rep_1").await;
    let heard = std::sync::Arc::new(appending::Heard::default());
    journal.listen(std::sync::Arc::clone(&heard) as _).await.unwrap();
    script.will([Fault::CommitAnswerLost]);
    script.will(std::iter::repeat_with(|| Fault::Reopen).take(4));
    let error = note("s", 0, 1).append(&journal).await.failed();
    assert!(matches!(error, AppendError::InDoubt(_)), "{error}");
    assert!(script.is_over());
    assert_eq!(journal.confirm().await.unwrap(), Position(1));
    assert_eq!((heard.positions(), heard.foreign()), (vec![1], vec![true]));
    assert_eq!(count(&note("s", 0, 2).append(&journal).await.committed()[0]), 1_002);
}

async fn one_event_that_cannot_be_written_fails_alone(site: Site) {
    let (journal, script) = site.open_faulty("rep_1").await;
    let (let_go, gate) = mpsc::channel();
    script.will([Fault::CommitHeld(gate)]);
    let first = note("first", 0, 0).hand_in(&journal);
    let good = note("s1", 0, 1).hand_in(&journal);
    let bad = note("s2", 0, 2);
    script.forbid(&bad.proposals[0].event_id);
    let bad = bad.hand_in(&journal);
    let better = note("s3", 0, 3).hand_in(&journal);
    let_go.send(()).unwrap();
    first.await.unwrap().committed();
    good.await.unwrap().committed();
    assert!(matches!(bad.await.unwrap().failed(), AppendError::Store(_)));
    better.await.unwrap().committed();
    assert_eq!(site.history().await.len(), 3);
}

async fn an_event_that_fails_once_is_written_when_tried_alone(site: Site) {
    let (journal, script) = site.open_faulty("rep_1").await;
    script.will([Fault::Insert]);
    note("s", 0, 1).append(&journal).await.committed();
}

async fn a_store_that_fails_throughout_fails_everybody_soon(site: Site) {
    let (journal, script) = site.open_faulty("rep_1").await;
    let (let_go, gate) = mpsc::channel();
    script.will([Fault::CommitHeld(gate)]);
    let first = note("first", 0, 0).hand_in(&journal);
    let waiting: Vec<_> = (0..200).map(|n| note(&format!("s{n}"), 0, n).hand_in(&journal)).collect();
    script.will(std::iter::repeat_with(|| Fault::Insert).take(50));
    let_go.send(()).unwrap();
    drop(first);
    let mut failed = 0;
    for became in waiting {
        failed += usize::from(matches!(became.await.unwrap(), Became::Failed(AppendError::Store(_))));
    }
    // Some may have been with the first, before the test forbade anything.
    assert!(failed > 0);
    assert!(!script.is_over(), "it was not tried for every single one");
}

async fn a_full_disk_fails_at_once_what_finds_no_room_and_is_seen(site: Site) {
    let (journal, script) = site.open_faulty("rep_1").await;
    assert!(!journal.head().is_full());
    script.will([Fault::Full]);
    // Tried a second time it would be written.
    let error = note("s", 0, 1).append(&journal).await.failed();
    let AppendError::Store(cause) = error else { panic!("{error}") };
    assert!(matches!(*cause, StoreError::Full { .. }), "{cause}");
    assert!(journal.head().is_full());
    assert_eq!(note("s", 0, 2).append(&journal).await.committed()[0].place.position, Position(1));
}

async fn whoever_confirms_is_told_when_the_head_cannot_be_read(site: Site) {
    let (journal, script) = site.open_faulty("rep_1").await;
    script.will([Fault::Head]);
    // The poll may have met it first.
    while !script.is_over() {
        let _ = journal.confirm().await;
    }
    assert_eq!(journal.confirm().await.unwrap(), Position(0));
}

async fn an_appender_that_panics_leaves_a_halted_journal(site: Site) {
    let (journal, script) = site.open_faulty("rep_1").await;
    script.will([Fault::Panic]);
    let lost = note("s", 0, 1).hand_in(&journal);
    assert!(lost.await.is_err());
    assert!(matches!(journal.confirm().await, Err(AppendError::Stopping)));
    assert!(journal.head().is_halted());
    assert!(!journal.head().is_fresh());
}

on_both_stores!(
    async:
    a_failed_lock_fails_what_waits_and_the_next_append_works,
    a_failed_commit_answers_nobody_as_done,
    a_commit_whose_answer_was_lost_is_found_and_answered_as_done,
    what_cannot_be_looked_up_is_in_doubt_and_delivered_once_it_can,
    one_event_that_cannot_be_written_fails_alone,
    an_event_that_fails_once_is_written_when_tried_alone,
    a_store_that_fails_throughout_fails_everybody_soon,
    a_full_disk_fails_at_once_what_finds_no_room_and_is_seen,
    whoever_confirms_is_told_when_the_head_cannot_be_read,
    an_appender_that_panics_leaves_a_halted_journal,
);
