//! What is written for keys: users who may be there under another one, Proctor's own, and when API keys
//! were used.

use std::collections::BTreeMap;
use std::sync::mpsc;

use proctor_domain::Micros;

use super::appending::subject;
use super::note::Note;
use super::*;
use crate::journal::{AppendError, KeyUses, SideWrite};
use crate::vault::PurposeKeyRow;

/// Registers a user, who is found by `index` and may be there by `other`.
fn registered(stream: &str, index: &[u8], other: &[u8]) -> Note {
    note(stream, 0, 1).with(SideWrite::UserIndexesFree(vec![other.to_vec()])).with(subject(stream, index))
}

async fn a_user_who_is_there_by_another_key_is_not_there_twice(site: Site) {
    let (journal, script) = site.open_faulty("rep_1").await;
    registered("sub_1", b"ann by the old key", b"ann by the new key").append(&journal).await.committed();
    let twice = registered("sub_2", b"ann by the new key", b"ann by the old key");
    let error = twice.append(&journal).await.failed();
    assert!(matches!(&error, AppendError::SideWriteExists { stream } if *stream.id == *"sub_2"), "{error}");
    // Nor where both are written in one transaction.
    let (let_go, gate) = mpsc::channel();
    script.will([Fault::CommitHeld(gate)]);
    let first = note("first", 0, 0).hand_in(&journal);
    let one = registered("sub_3", b"bob by the old key", b"bob by the new key").hand_in(&journal);
    let other = registered("sub_4", b"bob by the new key", b"bob by the old key").hand_in(&journal);
    let_go.send(()).unwrap();
    first.await.unwrap().committed();
    one.await.unwrap().committed();
    let error = other.await.unwrap().failed();
    assert!(matches!(&error, AppendError::SideWriteExists { stream } if *stream.id == *"sub_4"), "{error}");
    let reader = journal.reader();
    assert_eq!(reader.subject_by_index(b"ann by the new key").await.unwrap(), None);
    assert_eq!(reader.subject_by_index(b"bob by the old key").await.unwrap().unwrap().subject, "sub_3");
}

async fn a_key_is_written_with_its_event_and_comes_back_with_its_time(site: Site) {
    let journal = site.open("rep_1").await;
    let key = PurposeKeyRow {
        purpose: "cursors".to_owned(),
        kid: "kid_1".to_owned(),
        sealed: vec![1, 2],
        created_at_us: 3,
        active_at_us: 4,
    };
    note("s", 0, 1).with(SideWrite::PurposeKey(key.clone())).append(&journal).await.committed();
    assert_eq!(journal.reader().purpose_keys().await.unwrap(), std::slice::from_ref(&key));
    // What names a key that is there leaves no event.
    let again = note("s", 1, 2).with(SideWrite::PurposeKey(key)).append(&journal).await.failed();
    assert!(matches!(again, AppendError::SideWriteExists { .. }), "{again}");
    assert_eq!(site.history().await.len(), 1);
}

async fn the_latest_use_of_a_key_stands(site: Site) {
    site.open("rep_1").await.stop().await;
    let uses = KeyUses::new(site.rows().await);
    assert_eq!(uses.read().await.unwrap(), BTreeMap::new());
    uses.write(&BTreeMap::new()).await.unwrap();
    uses.write(&BTreeMap::from([("one".into(), Micros(5))])).await.unwrap();
    uses.write(&BTreeMap::from([("one".into(), Micros(3)), ("two".into(), Micros(4))])).await.unwrap();
    let expected = BTreeMap::from([("one".into(), Micros(5)), ("two".into(), Micros(4))]);
    assert_eq!(uses.read().await.unwrap(), expected);
}

on_both_stores!(async:
    a_user_who_is_there_by_another_key_is_not_there_twice,
    a_key_is_written_with_its_event_and_comes_back_with_its_time,
    the_latest_use_of_a_key_stands,
);
