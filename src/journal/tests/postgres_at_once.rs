//! Batches in one journey: what keeps them from being written, and what comes back with them.

use std::time::{Duration, Instant};

use proctor_domain::{Micros, Place, Position};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::*;
use crate::journal::postgres::{self, PostgresConfig, PostgresStore};
use crate::journal::{AppendFailure, Appended, Batch, Store as _};

/// A store that appends under this name, through whatever stands at the URL.
async fn store(url: &str, replica: &str) -> PostgresStore {
    let (mut store, _) = postgres::open(&PostgresConfig::new(url)).await.unwrap();
    store.renew_lease(&replica.into(), 30_000, Position(0), 1, "").await.unwrap();
    assert!(store.appends_at_once());
    store
}

/// What a batch rests on, besides its streams.
#[derive(Clone, Copy)]
struct Terms {
    known: u64,
    foreign_max: u64,
    valid_until: Option<Micros>,
}

const FROM_ZERO: Terms = Terms { known: 0, foreign_max: 1_000, valid_until: None };

/// One event for each of these streams, after so many that it has.
async fn append(
    store: &mut PostgresStore,
    terms: Terms,
    streams: &[(&str, u64)],
) -> Result<Option<Appended>, AppendFailure> {
    let expected: Vec<_> = streams.iter().map(|(id, version)| (stream(id), *version)).collect();
    let proposals: Vec<_> = streams.iter().map(|_| note::proposal(1)).collect();
    let rows: Vec<_> = expected
        .iter()
        .zip(&proposals)
        .zip(1..)
        .map(|(((stream, version), proposal), position)| {
            let place = Place { position: Position(position), recorded_at: Micros(0) };
            proposal.row(stream, place, version + 1, Position(0))
        })
        .collect();
    let Terms { known, foreign_max, valid_until } = terms;
    let batch = Batch {
        known: Position(known),
        foreign_max,
        expected: &expected,
        valid_until,
        rows: &rows,
        side_writes: &[],
    };
    store.append(&batch).await
}

fn answered(answer: Result<Option<Appended>, AppendFailure>) -> (bool, u64, Vec<u64>) {
    let Ok(Some(Appended { written, head, foreign, .. })) = answer else { panic!("not answered") };
    (written, head.0, foreign.iter().map(|event| event.place.position.0).collect())
}

#[tokio::test]
async fn what_others_wrote_comes_back_with_it_and_places_are_counted_on() {
    let site = Site::postgres();
    let (url, mut expected) = (site.database().url(), Vec::new());
    let (mut one, mut two) = (store(&url, "rep_1").await, store(&url, "rep_2").await);
    assert_eq!(answered(append(&mut one, FROM_ZERO, &[("a", 0), ("b", 0)]).await), (true, 0, vec![]));
    expected.extend([("a", 1), ("b", 1)]);
    assert_eq!(answered(append(&mut two, FROM_ZERO, &[("c", 0)]).await), (true, 2, vec![1, 2]));
    expected.push(("c", 1));
    let known = Terms { known: 2, ..FROM_ZERO };
    assert_eq!(answered(append(&mut one, known, &[("a", 1), ("d", 0)]).await), (true, 3, vec![3]));
    expected.extend([("a", 2), ("d", 1)]);
    let history = site.history().await;
    let written: Vec<_> = history.iter().map(|event| (&*event.stream.id, event.sequence)).collect();
    assert_eq!(written, expected);
    assert!(history.iter().map(|event| event.place.position.0).eq(1..=5));
    assert!(history.windows(2).all(|pair| pair[0].place.recorded_at <= pair[1].place.recorded_at));
}

#[tokio::test]
async fn a_batch_is_not_written_when_anything_is_not_as_it_was() {
    let site = Site::postgres();
    let url = site.database().url();
    let (mut one, mut two) = (store(&url, "rep_1").await, store(&url, "rep_2").await);
    answered(append(&mut one, FROM_ZERO, &[("a", 0), ("b", 0)]).await);
    // A stream has moved, one of several.
    let moved = append(&mut two, FROM_ZERO, &[("c", 0), ("a", 0)]).await;
    assert_eq!(answered(moved), (false, 2, vec![1, 2]));
    // More has come than is wanted back.
    let few = Terms { foreign_max: 1, ..FROM_ZERO };
    assert_eq!(answered(append(&mut two, few, &[("c", 0)]).await), (false, 2, vec![1]));
    // Time is up, by the database's clock.
    let past = Terms { known: 2, valid_until: Some(site.reader().await.now().await.unwrap()), ..FROM_ZERO };
    assert_eq!(answered(append(&mut two, past, &[("c", 0)]).await), (false, 2, vec![]));
    // The journal went back.
    let ahead = Terms { known: 3, ..FROM_ZERO };
    assert_eq!(answered(append(&mut two, ahead, &[("c", 0)]).await), (false, 2, vec![]));
    assert_eq!(site.history().await.len(), 2);
}

#[tokio::test]
async fn a_connection_that_was_silent_takes_the_lock_first() {
    let site = Site::postgres();
    let mut store = store(&site.database().url(), "rep_1").await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert!(!store.appends_at_once());
    store.head().await.unwrap();
    assert!(store.appends_at_once());
}

/// Hands everything on, except that it keeps the next append until it is let go, also when the
/// client does not wait for it.
async fn delays_an_append(server: String) -> (u16, watch::Sender<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (keeps, kept) = watch::channel(false);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&server).await.unwrap();
            let mut kept = kept.clone();
            tokio::spawn(async move {
                let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
                    (client.into_split(), server.into_split());
                tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
                let mut asked = vec![0; 65_536];
                while let Ok(length @ 1..) = from_client.read(&mut asked).await {
                    if asked[..length].windows(4).any(|text| text == b"evt_") {
                        kept.wait_for(|keeps| !keeps).await.unwrap();
                    }
                    to_server.write_all(&asked[..length]).await.unwrap();
                }
            });
        }
    });
    (port, keeps)
}

#[tokio::test]
async fn an_append_that_arrives_after_it_was_given_up_is_not_executed() {
    an_append_arrives_late(false).await;
}

#[tokio::test]
async fn nor_is_one_that_arrives_when_the_lease_was_forgotten_and_made_anew() {
    an_append_arrives_late(true).await;
}

async fn an_append_arrives_late(forgotten: bool) {
    let site = Site::postgres();
    let url = site.database().url();
    let (host, path) = url.split_once('@').unwrap().1.split_once('/').unwrap();
    let (port, keeps) = delays_an_append(host.to_owned()).await;
    let delayed = format!("postgres://postgres@127.0.0.1:{port}/{path}");
    let mut store = store(&delayed, "rep_1").await;
    answered(append(&mut store, FROM_ZERO, &[("a", 0)]).await);
    keeps.send_replace(true);
    let known = Terms { known: 1, ..FROM_ZERO };
    let given_up = append(&mut store, known, &[("b", 0)]).await;
    assert!(matches!(given_up, Err(AppendFailure::Unknown(_))));
    // What the appender does to learn what became of it.
    store.reopen().await.unwrap();
    store.harden().await.unwrap();
    assert_eq!(store.begin().await.unwrap().0, Position(1), "it was not written yet");
    store.rollback().await;
    if forgotten {
        site.sql("DELETE FROM leases");
        store.renew_lease(&"rep_1".into(), 30_000, Position(1), 1, "").await.unwrap();
    }
    keeps.send_replace(false);
    let asleep = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                  AND query LIKE '%proctor_append%' AND state = 'idle'";
    let began = Instant::now();
    while site.database().sql(asleep).trim() == "0" {
        assert!(began.elapsed() < Duration::from_secs(10), "the late append never arrived");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(site.history().await.len(), 1, "nothing comes of what was given up");
    let answer = append(&mut store, known, &[("b", 0)]).await;
    assert_eq!(answered(answer), (true, 1, vec![]), "and this one goes on");
}

#[tokio::test]
async fn a_decision_of_two_processes_on_one_stream_stands_once() {
    let site = Site::postgres();
    let (one, two) = (site.open("rep_1").await, site.open("rep_2").await);
    for n in 0..50 {
        let both = tokio::join!(note("s", 2 * n, 1).append(&one), note("s", 2 * n, 2).append(&two));
        for became in [both.0, both.1] {
            became.committed();
        }
    }
    let history = site.history().await;
    assert!(history.iter().map(|event| event.sequence).eq(1..=100));
    let again = history.iter().filter(|event| event.payload.contains("\"count\":100")).count();
    assert_eq!(again, 50, "one of each two was decided again");
}
