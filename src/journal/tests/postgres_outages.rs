//! A database that is lost for a while: nothing acknowledged is lost with it, nobody waits long, and
//! all goes on by itself when it is back.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use proctor_domain::Position;
use proctor_test_postgres::{Cluster, Database};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::*;
use crate::journal::postgres::{self, PostgresConfig};
use crate::journal::{AppendError, Journal, Store as _};

/// What a caller may wait for who asks in the worst moment.
const ANSWERED_WITHIN: Duration = Duration::from_secs(4);

const END_ALL: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                       WHERE application_name = 'proctor' AND datname = current_database()";

/// Appends until it works again, as callers do who were told to try again soon.
async fn works_again(journal: &Journal, id: &str) {
    let started = Instant::now();
    loop {
        match note(id, 0, 1).append(journal).await {
            Became::Committed(_) => return,
            Became::Failed(error) => assert!(started.elapsed() < Duration::from_secs(15), "still: {error}"),
            Became::Stale(stale) => panic!("{stale:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_connections_are() {
    let site = Site::postgres();
    let (one, two) = (site.open("rep_1").await, site.open("rep_2").await);
    let until = Instant::now() + Duration::from_secs(3);
    let asking = |journal: Journal, id: &'static str| async move {
        let (mut acknowledged, mut refused, mut doubtful) = (Vec::new(), HashSet::new(), HashSet::new());
        let mut n = 0;
        while Instant::now() < until {
            let notes: Vec<_> = (0..10).map(|m| note(&format!("{id}_{n}_{m}"), 0, m)).collect();
            n += 1;
            let ids: Vec<_> = notes.iter().map(|note| Arc::clone(&note.proposals[0].event_id)).collect();
            let answers = join_all(notes.into_iter().map(|note| note.append(&journal))).await;
            for (id, became) in ids.into_iter().zip(answers) {
                match became {
                    Became::Committed(events) => acknowledged.extend(events),
                    Became::Failed(AppendError::InDoubt(_)) => drop(doubtful.insert(id)),
                    Became::Failed(_) => drop(refused.insert(id)),
                    Became::Stale(stale) => panic!("{stale:?}"),
                }
            }
        }
        (acknowledged, refused, doubtful)
    };
    let ending = async {
        let mut ended = 0;
        while Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(40)).await;
            ended += site.database().sql(END_ALL).parse::<u32>().unwrap();
        }
        ended
    };
    let (one, two, ended) = tokio::join!(asking(one, "a"), asking(two, "b"), ending);
    let history = site.history().await;
    assert!(history.iter().map(|event| event.place.position.0).eq(1..=history.len() as u64));
    for (acknowledged, refused, doubtful) in [&one, &two] {
        println!(
            "{} acknowledged, {} refused, {} in doubt",
            acknowledged.len(),
            refused.len(),
            doubtful.len()
        );
        assert!(acknowledged.len() > 50);
        for event in acknowledged {
            let stored = &history[usize::try_from(event.place.position.0).unwrap() - 1];
            assert_eq!(**stored, **event.recorded());
        }
        assert!(
            history.iter().all(|event| !refused.contains(&event.event_id)),
            "nothing was done, it was said"
        );
    }
    let told: usize =
        [&one, &two].iter().map(|(acknowledged, _, doubtful)| acknowledged.len() + doubtful.len()).sum();
    assert!(told >= history.len(), "everybody was told of theirs");
    assert!(ended > 20, "{ended} connections were ended");
}

/// Hands everything on to the database, until it has handed on a commit: its answer is lost, with
/// the connection.
async fn lose_one_answer(server: String) -> (u16, Arc<tokio::sync::Notify>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let lose = Arc::new(tokio::sync::Notify::new());
    let losing = Arc::clone(&lose);
    tokio::spawn(async move {
        let mut armed = false;
        loop {
            let (mut client, _) = tokio::select! {
                accepted = listener.accept() => accepted.unwrap(),
                () = losing.notified() => { armed = true; continue; }
            };
            let mut server = TcpStream::connect(&server).await.unwrap();
            let losing = Arc::clone(&losing);
            let was_armed = std::mem::take(&mut armed);
            tokio::spawn(async move {
                let (mut armed, mut is_open) = (was_armed, false);
                let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
                loop {
                    tokio::select! {
                        read = client.read(&mut up) => {
                            let Ok(length @ 1..) = read else { return };
                            let says = |text: &[u8]| up[..length].windows(text.len()).any(|part| part == text);
                            is_open |= says(b"BEGIN");
                            // Also what is written in one journey, without a transaction around it.
                            let commits = says(b"COMMIT\0") || !is_open && says(b"evt_");
                            is_open &= !commits && !says(b"ROLLBACK\0");
                            server.write_all(&up[..length]).await.unwrap();
                            if commits && armed {
                                // The server has done it when it answers.
                                let _ = server.read(&mut down).await;
                                return;
                            }
                        }
                        read = server.read(&mut down) => {
                            let Ok(length @ 1..) = read else { return };
                            client.write_all(&down[..length]).await.unwrap();
                        }
                        () = losing.notified() => armed = true,
                    }
                }
            });
        }
    });
    (port, lose)
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_with_the_connection_is_found() {
    let site = Site::postgres();
    let url = site.database().url();
    let (host, path) = url.split_once('@').unwrap().1.split_once('/').unwrap();
    let (port, lose) = lose_one_answer(host.to_owned()).await;
    let config = PostgresConfig::new(format!("postgres://postgres@127.0.0.1:{port}/{path}"));
    let (store, reader) = postgres::open(&config).await.unwrap();
    let journal = Journal::open(store, reader, site.config("rep_1")).await.unwrap();
    let heard = Arc::new(appending::Heard::default());
    journal.listen(Arc::clone(&heard) as _).await.unwrap();
    note("s", 0, 1).append(&journal).await.committed();
    lose.notify_waiters();
    let events = note("s", 1, 2).append(&journal).await.committed();
    assert_eq!(events[0].place.position, Position(2));
    assert_eq!(heard.positions(), [1, 2], "each once");
    assert!(heard.foreign().iter().all(|foreign| !foreign));
    note("s", 2, 3).append(&journal).await.committed();
    assert_eq!(site.history().await.len(), 3);
}

#[tokio::test]
async fn a_database_that_crashes_takes_nothing_with_it() {
    let cluster = Cluster::start(&[]);
    let site = Site::new(Some(Database::inside(&cluster)));
    let journal = site.open("rep_1").await;
    for n in 0..20 {
        note("s", n, n).append(&journal).await.committed();
    }
    cluster.crash();
    let asked = Instant::now();
    let error = note("s", 20, 20).append(&journal).await.failed();
    assert!(matches!(error, AppendError::Store(_)), "{error}");
    assert!(journal.reader().head().await.is_err());
    assert!(asked.elapsed() < ANSWERED_WITHIN, "it took {:?}", asked.elapsed());
    cluster.start_again();
    works_again(&journal, "t").await;
    assert_eq!(journal.reader().head().await.unwrap(), Position(21));
    assert_eq!(site.history().await.len(), 21);
    assert!(!journal.head().is_halted());
}

#[tokio::test]
async fn a_database_that_does_not_answer_keeps_nobody_waiting_long() {
    let cluster = Cluster::start(&[]);
    let site = Site::new(Some(Database::inside(&cluster)));
    let journal = site.open("rep_1").await;
    note("s", 0, 0).append(&journal).await.committed();
    cluster.pause();
    let began = Instant::now();
    let asking = (0..30).map(|n| {
        let journal = &journal;
        async move {
            // Some while others wait already, in whatever state the connection is by then.
            tokio::time::sleep(Duration::from_millis(n * 200)).await;
            let asked = Instant::now();
            let became = note(&format!("t{n}"), 0, n).append(journal).await;
            assert!(matches!(became, Became::Failed(_)), "{became:?}");
            asked.elapsed()
        }
    });
    let reading = (0..30).map(|_| async {
        let asked = Instant::now();
        assert!(journal.reader().head().await.is_err());
        asked.elapsed()
    });
    let (asked, read) = tokio::join!(join_all(asking), join_all(reading));
    let worst = asked.iter().chain(&read).max().unwrap();
    println!("30 appends and 30 reads: at most {worst:?}, all within {:?}", began.elapsed());
    assert!(*worst < ANSWERED_WITHIN, "{worst:?}");
    assert!(!journal.head().is_fresh());
    cluster.resume();
    works_again(&journal, "u").await;
    assert!(journal.head().is_fresh());
    let history = site.history().await;
    assert!(history.iter().map(|event| event.place.position.0).eq(1..=history.len() as u64));
    journal.confirm().await.unwrap();
    assert_eq!(journal.head().position().0, history.len() as u64, "what was in doubt was delivered");
}

/// Waits for the bell, and fails where only looking would find something.
async fn rings(store: &mut postgres::PostgresStore, why: &str) {
    timeout(Duration::from_secs(10), store.changed()).await.unwrap_or_else(|_| panic!("not heard: {why}"));
}

#[tokio::test]
async fn others_are_heard_and_heard_again_when_the_connection_was_lost() {
    let site = Site::postgres();
    let journal = site.open("rep_1").await;
    let (mut other, _) = postgres::open(&site.postgres_config()).await.unwrap();
    rings(&mut other, "at first, for what was missed").await;
    assert!(timeout(Duration::from_millis(600), other.changed()).await.is_err(), "for nothing");
    note("s", 0, 1).append(&journal).await.committed();
    rings(&mut other, "an append").await;
    site.database().sql(END_ALL);
    rings(&mut other, "for what was missed meanwhile").await;
    // The other's bell may have been lost as well, and rings late.
    works_again(&journal, "t").await;
    rings(&mut other, "an append after the connection was lost").await;
}
