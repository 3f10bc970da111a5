//! One process: places, order, batches, side writes.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, mpsc};

use futures_util::future::join_all;
use proctor_domain::Position;

use super::note::count;
use super::*;
use crate::journal::{AppendError, Delivered, HEAD_AGE_MS_MAX, Listener, SideWrite, SubjectRow};

/// Keeps what it hears.
#[derive(Default)]
pub(super) struct Heard(Mutex<Vec<(Delivered, bool)>>);

impl Listener for Heard {
    fn deliver(&self, events: &[Delivered], foreign: bool) {
        self.0.lock().unwrap().extend(events.iter().map(|event| (event.clone(), foreign)));
    }
}

impl Heard {
    pub(super) fn positions(&self) -> Vec<u64> {
        self.0.lock().unwrap().iter().map(|(event, _)| event.place.position.0).collect()
    }

    pub(super) fn foreign(&self) -> Vec<bool> {
        self.0.lock().unwrap().iter().map(|(_, foreign)| *foreign).collect()
    }
}

pub(super) fn subject(subject: &str, index: &[u8]) -> SideWrite {
    SideWrite::Subject(SubjectRow {
        subject: subject.to_owned(),
        user_index: index.to_vec(),
        user_sealed: vec![1],
        wrapped_key: vec![2],
    })
}

async fn positions_have_no_gap_and_time_never_goes_back(site: Site) {
    let journal = site.open("rep_1").await;
    let heard = Arc::new(Heard::default());
    assert_eq!(journal.listen(Arc::clone(&heard) as _).await.unwrap(), Position(0));
    let appends = (0..40).map(|n| note(&format!("s{}", n % 4), 0, n).append(&journal));
    let answers = join_all(appends).await;
    let history = site.history().await;
    let positions: Vec<u64> = history.iter().map(|event| event.place.position.0).collect();
    assert_eq!(positions, (1..=40).collect::<Vec<_>>());
    assert_eq!(heard.positions(), positions);
    assert!(heard.foreign().iter().all(|foreign| !foreign));
    assert!(history.windows(2).all(|pair| pair[0].place.recorded_at <= pair[1].place.recorded_at));
    for id in ["s0", "s1", "s2", "s3"] {
        let sequences: Vec<u64> =
            history.iter().filter(|event| *event.stream.id == *id).map(|event| event.sequence).collect();
        assert_eq!(sequences, (1..=10).collect::<Vec<_>>());
    }
    // What each was told stands where it was told.
    for answer in answers {
        let [event] = &answer.committed()[..] else { panic!("not one event") };
        let stored = &history[usize::try_from(event.place.position.0).unwrap() - 1];
        assert_eq!(**stored, **event.recorded());
    }
    assert_eq!(journal.head().position(), Position(40));
}

async fn time_does_not_go_back_with_the_clock(site: Site) {
    let journal = site.open("rep_1").await;
    note("s", 0, 1).append(&journal).await.committed();
    journal.stop().await;
    let ahead = i64::MAX / 2;
    site.sql(&format!(
        "INSERT INTO events (position, aggregate_type, aggregate_id, sequence, event_type, event_version,
                 payload, metadata, event_id, recorded_at) SELECT 2, aggregate_type, 'other', 1, event_type, event_version, payload,
             metadata, 'evt_2', {ahead} FROM events"
    ));
    let journal = site.open("rep_1").await;
    let events = note("s", 1, 3).append(&journal).await.committed();
    assert_eq!(events[0].place.recorded_at.0, ahead);
}

async fn what_waits_is_written_in_one_transaction(site: Site) {
    let (journal, script) = site.open_faulty("rep_1").await;
    let (let_go, gate) = mpsc::channel();
    script.will([Fault::CommitHeld(gate)]);
    let first = note("first", 0, 0).hand_in(&journal);
    let waiting: Vec<_> = (0..300).map(|n| note(&format!("s{n}"), 0, n).hand_in(&journal)).collect();
    let_go.send(()).unwrap();
    first.await.unwrap().committed();
    let mut positions = Vec::new();
    for (n, answer) in waiting.into_iter().enumerate() {
        let events = answer.await.unwrap().committed();
        assert_eq!(count(&events[0]), n as u64);
        positions.push(events[0].place.position.0);
    }
    assert_eq!(positions, (2..=301).collect::<Vec<_>>(), "in the order in which they were handed in");
    // Those that came before the first was taken are with it, the others wait together.
    assert!(script.commits() <= 3, "{} transactions", script.commits());
}

async fn a_batch_has_a_limit(site: Site) {
    let (journal, script) = site.open_faulty("rep_1").await;
    let (let_go, gate) = mpsc::channel();
    script.will([Fault::CommitHeld(gate)]);
    let first = note("first", 0, 0).hand_in(&journal);
    let waiting: Vec<_> = (0..1_100).map(|n| note(&format!("s{n}"), 0, n).hand_in(&journal)).collect();
    let_go.send(()).unwrap();
    first.await.unwrap().committed();
    join_all(waiting).await.into_iter().for_each(|answer| drop(answer.unwrap().committed()));
    assert!((3..=5).contains(&script.commits()), "{} transactions", script.commits());
}

async fn side_writes_stand_and_fall_with_their_event(site: Site) {
    let (journal, script) = site.open_faulty("rep_1").await;
    note("s1", 0, 1).with(subject("sub_1", b"ann")).append(&journal).await.committed();
    let row = journal.reader().subject_by_index(b"ann").await.unwrap().unwrap();
    assert_eq!(row.subject, "sub_1");
    // The same user again, in one batch with others before and after.
    let (let_go, gate) = mpsc::channel();
    script.will([Fault::CommitHeld(gate)]);
    let first = note("first", 0, 0).hand_in(&journal);
    let before = note("s2", 0, 2).with(subject("sub_2", b"bob")).hand_in(&journal);
    let twice = note("s3", 0, 3).with(subject("sub_3", b"ann")).hand_in(&journal);
    let after = note("s4", 0, 4).with(subject("sub_4", b"cem")).hand_in(&journal);
    let commits = script.commits();
    let_go.send(()).unwrap();
    first.await.unwrap().committed();
    let before = before.await.unwrap().committed();
    assert_eq!((before[0].sequence, count(&before[0])), (1, 2), "as if it had never been tried before");
    let error = twice.await.unwrap().failed();
    assert!(matches!(&error, AppendError::SideWriteExists { stream } if *stream.id == *"s3"), "{error}");
    after.await.unwrap().committed();
    assert!(script.commits() - commits <= 2, "the others stayed together");
    let streams: Vec<_> = site.history().await.iter().map(|event| event.stream.id.to_string()).collect();
    assert_eq!(streams, ["s1", "first", "s2", "s4"]);
    let reader = journal.reader();
    assert!(reader.subject("sub_2").await.unwrap().is_some());
    assert!(reader.subject("sub_3").await.unwrap().is_none());
    assert!(reader.subject("sub_4").await.unwrap().is_some());
    // How many were written in vain depends on how the batches fell.
    assert!(script.inserts.load(Ordering::Relaxed) <= 8, "at most three were written in vain");
}

async fn whoever_is_told_that_a_row_exists_finds_it(site: Site) {
    let (journal, script) = site.open_faulty("rep_1").await;
    let (let_first_go, first_gate) = mpsc::channel();
    let (let_go, gate) = mpsc::channel();
    script.will([Fault::CommitHeld(first_gate)]);
    let first = note("first", 0, 0).hand_in(&journal);
    while !script.is_over() {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    // In one batch, whose transaction is then held before it is durable.
    script.will([Fault::CommitHeld(gate)]);
    let ann = note("s1", 0, 1).with(subject("sub_1", b"ann")).hand_in(&journal);
    let mut again = note("s2", 0, 2).with(subject("sub_2", b"ann")).hand_in(&journal);
    let_first_go.send(()).unwrap();
    first.await.unwrap().committed();
    let early = tokio::time::timeout(std::time::Duration::from_millis(100), &mut again).await;
    assert!(early.is_err(), "it was told before the row could be seen");
    let_go.send(()).unwrap();
    let error = again.await.unwrap().failed();
    assert!(matches!(error, AppendError::SideWriteExists { .. }), "{error}");
    assert_eq!(journal.reader().subject_by_index(b"ann").await.unwrap().unwrap().subject, "sub_1");
    ann.await.unwrap().committed();
}

async fn what_is_sealed_lies_beside_its_event(site: Site) {
    let journal = site.open("rep_1").await;
    let mut sealed = note("s", 0, 1);
    sealed.proposals[0].sealed = Some(bytes::Bytes::from_static(b"sealed"));
    let events = sealed.append(&journal).await.committed();
    assert_eq!(journal.reader().sealed(events[0].place.position).await.unwrap().unwrap(), b"sealed");
    assert!(journal.reader().sealed(Position(2)).await.unwrap().is_none());
}

async fn texts_are_kept_to_the_byte(site: Site) {
    let journal = site.open("rep_1").await;
    let mut odd = note("s", 0, 1);
    odd.proposals[0].metadata = "{ \"b\":1.0,  \"a\" : \"\\u0000é'\\\\\", \"b\":2 }".into();
    let told = odd.append(&journal).await.committed();
    let stored = site.history().await;
    assert_eq!(stored[0].metadata, told[0].metadata);
    assert_eq!(stored[0].payload, told[0].payload);
}

async fn a_key_that_a_session_has_already_fails_that_append_alone(site: Site) {
    let (journal, script) = site.open_faulty("rep_1").await;
    let key = |wrapped| SideWrite::SessionKey { session: "ses_1".into(), wrapped: vec![wrapped] };
    note("s1", 0, 1).with(key(1)).append(&journal).await.committed();
    let (let_go, gate) = mpsc::channel();
    script.will([Fault::CommitHeld(gate)]);
    let first = note("first", 0, 0).hand_in(&journal);
    let before = note("s2", 0, 2).hand_in(&journal);
    let again = note("s3", 0, 3).with(key(2)).hand_in(&journal);
    let after = note("s4", 0, 4).hand_in(&journal);
    let_go.send(()).unwrap();
    first.await.unwrap().committed();
    before.await.unwrap().committed();
    let error = again.await.unwrap().failed();
    assert!(matches!(&error, AppendError::SideWriteExists { stream } if *stream.id == *"s3"), "{error}");
    after.await.unwrap().committed();
    assert_eq!(site.history().await.len(), 4);
    assert_eq!(journal.reader().session_key("ses_1").await.unwrap().unwrap(), [1]);
}

async fn whoever_appends_after_the_end_is_told(site: Site) {
    let journal = site.open("rep_1").await;
    let last = note("s", 0, 1).hand_in(&journal);
    journal.stop().await;
    last.await.unwrap().committed();
    assert!(matches!(note("s", 1, 2).append(&journal).await.failed(), AppendError::Stopping));
    assert!(matches!(journal.confirm().await, Err(AppendError::Stopping)));
}

async fn whoever_asks_to_confirm_is_answered_under_load(site: Site) {
    let journal = site.open("rep_1").await;
    let load = async {
        for n in 0..40 {
            let waiting = (0..25).map(|m| note(&format!("s{m}"), n, n).append(&journal));
            join_all(waiting).await.into_iter().for_each(|answer| drop(answer.committed()));
        }
    };
    let confirms = async {
        let mut last = Position(0);
        for _ in 0..200 {
            let asked = std::time::Instant::now();
            let confirmed = journal.confirm().await.unwrap();
            assert!(confirmed >= last);
            // Unless this machine was too busy to look in time.
            let is_fresh = journal.head().is_fresh();
            assert!(is_fresh || asked.elapsed().as_millis() >= u128::from(HEAD_AGE_MS_MAX));
            last = confirmed;
        }
    };
    tokio::join!(load, confirms);
    assert_eq!(journal.confirm().await.unwrap(), Position(1_000));
}

on_both_stores!(
    async:
    positions_have_no_gap_and_time_never_goes_back,
    time_does_not_go_back_with_the_clock,
    what_waits_is_written_in_one_transaction,
    a_batch_has_a_limit,
    side_writes_stand_and_fall_with_their_event,
    whoever_is_told_that_a_row_exists_finds_it,
    what_is_sealed_lies_beside_its_event,
    texts_are_kept_to_the_byte,
    a_key_that_a_session_has_already_fails_that_append_alone,
    whoever_appends_after_the_end_is_told,
    whoever_asks_to_confirm_is_answered_under_load,
);
