//! What becomes of decisions whose streams have moved, or whose time is over.

use std::sync::mpsc;

use proctor_domain::{Micros, Position};

use super::note::{count, proposal};
use super::*;

async fn a_decision_whose_own_stream_moved_is_made_again_under_the_lock(site: Site) {
    let journal = site.open("rep_1").await;
    note("s", 0, 1).append(&journal).await.committed();
    note("s", 1, 2).append(&journal).await.committed();
    let events = note("s", 0, 7).append(&journal).await.committed();
    assert_eq!(count(&events[0]), 2_007, "decided again after the two newer events");
    assert_eq!(events[0].sequence, 3);
}

async fn a_decision_made_again_sees_what_stands_before_it_in_its_own_batch(site: Site) {
    let (journal, script) = site.open_faulty("rep_1").await;
    let (let_go, gate) = mpsc::channel();
    script.will([Fault::CommitHeld(gate)]);
    let first = note("first", 0, 0).hand_in(&journal);
    let one = note("s", 0, 1).hand_in(&journal);
    let two = note("s", 0, 2).hand_in(&journal);
    let_go.send(()).unwrap();
    first.await.unwrap().committed();
    assert_eq!(count(&one.await.unwrap().committed()[0]), 1);
    assert_eq!(count(&two.await.unwrap().committed()[0]), 1_002);
}

async fn a_decision_made_again_may_come_to_nothing(site: Site) {
    let (journal, script) = site.open_faulty("rep_1").await;
    note("s", 0, 1).append(&journal).await.committed();
    let commits = script.commits();
    let mut nothing = note("s", 0, 2);
    nothing.again = Box::new(|_, _| Vec::new());
    assert!(nothing.append(&journal).await.committed().is_empty());
    assert_eq!(script.commits(), commits);
    let mut several = note("s", 0, 2);
    several.again = Box::new(|_, _| vec![proposal(5), proposal(6)]);
    let events = several.append(&journal).await.committed();
    let places: Vec<_> = events.iter().map(|e| (e.place.position.0, e.sequence, count(e))).collect();
    assert_eq!(places, [(2, 2, 5), (3, 3, 6)]);
}

async fn a_decision_whose_grounds_moved_is_handed_back_unwritten(site: Site) {
    let journal = site.open("rep_1").await;
    note("ground", 0, 1).append(&journal).await.committed();
    let stale = note("s", 0, 2).resting_on("still", 0).resting_on("ground", 0).append(&journal).await.stale();
    assert_eq!(stale.0, [(stream("ground"), 1)]);
    assert_eq!(site.history().await.len(), 1);
    note("s", 0, 2).resting_on("ground", 1).append(&journal).await.committed();
}

async fn grounds_that_move_in_the_same_batch_have_moved(site: Site) {
    let (journal, script) = site.open_faulty("rep_1").await;
    let (let_go, gate) = mpsc::channel();
    script.will([Fault::CommitHeld(gate)]);
    let first = note("first", 0, 0).hand_in(&journal);
    let before = note("s1", 0, 1).resting_on("ground", 0).hand_in(&journal);
    let cut = note("ground", 0, 2).hand_in(&journal);
    let after = note("s2", 0, 3).resting_on("ground", 0).hand_in(&journal);
    let_go.send(()).unwrap();
    first.await.unwrap().committed();
    before.await.unwrap().committed();
    cut.await.unwrap().committed();
    assert_eq!(after.await.unwrap().stale().0, [(stream("ground"), 1)]);
}

async fn what_is_over_by_the_recorded_time_is_decided_again(site: Site) {
    let journal = site.open("rep_1").await;
    // After that of every recorded event so far, and before that of the next one.
    let now = journal.reader().now().await.unwrap();
    let again = |n: u64| Box::new(move |_: &[_], at: Micros| vec![proposal(n + u64::from(at >= now))]);
    let mut over = note("s", 0, 1);
    (over.valid_until, over.again) = (Some(now), again(10));
    assert_eq!(count(&over.append(&journal).await.committed()[0]), 11, "with the database's time");
    let mut holds = note("s", 1, 1);
    (holds.valid_until, holds.again) = (Some(Micros(i64::MAX)), again(10));
    assert_eq!(count(&holds.append(&journal).await.committed()[0]), 1, "as it was decided");
}

async fn what_only_the_databases_clock_can_tell_is_decided_again_and_nothing_else_with_it(site: Site) {
    let (journal, script) = site.open_faulty("rep_1").await;
    let (let_go, gate) = mpsc::channel();
    script.will([Fault::CommitHeld(gate)]);
    let first = note("first", 0, 0).hand_in(&journal);
    let now = journal.reader().now().await.unwrap();
    let again = |n: u64| Box::new(move |_: &[_], at: Micros| vec![proposal(n + u64::from(at >= now))]);
    let (mut unsure, mut sure) = (note("unsure", 0, 1), note("sure", 0, 1));
    (unsure.valid_until, unsure.again) = (Some(Micros::BEFORE_ALL), again(10));
    (sure.valid_until, sure.again) = (Some(Micros(i64::MAX)), again(20));
    let (unsure, sure) = (unsure.hand_in(&journal), sure.hand_in(&journal));
    let_go.send(()).unwrap();
    first.await.unwrap().committed();
    assert_eq!(count(&unsure.await.unwrap().committed()[0]), 11, "with the database's time");
    assert_eq!(count(&sure.await.unwrap().committed()[0]), 1, "as it was decided");
}

async fn a_journal_that_lost_the_end_of_a_stream_halts(site: Site) {
    let journal = site.open("rep_1").await;
    let error = note("s", 4, 1).append(&journal).await.failed();
    assert!(error.to_string().contains("watch/s ends at its event 0"), "{error}");
    assert!(journal.head().is_halted());
    assert_eq!(journal.reader().head().await.unwrap(), Position(0));
}

on_both_stores!(
    async:
    a_decision_whose_own_stream_moved_is_made_again_under_the_lock,
    a_decision_made_again_sees_what_stands_before_it_in_its_own_batch,
    a_decision_made_again_may_come_to_nothing,
    a_decision_whose_grounds_moved_is_handed_back_unwritten,
    grounds_that_move_in_the_same_batch_have_moved,
    what_is_over_by_the_recorded_time_is_decided_again,
    what_only_the_databases_clock_can_tell_is_decided_again_and_nothing_else_with_it,
    a_journal_that_lost_the_end_of_a_stream_halts,
);
