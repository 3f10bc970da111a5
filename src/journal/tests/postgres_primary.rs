//! A primary and its standbys: what is read, what is followed, what is not believed any more.

use std::time::{Duration, Instant};

use proctor_domain::Position;
use proctor_test_postgres::{Cluster, Database};

use super::*;
use crate::journal::Journal;
use crate::journal::postgres::{self, PostgresConfig};

/// Standbys have what was acknowledged, as somebody demands who cannot lose a thing.
const SYNCHRONOUS: &str = "ALTER SYSTEM SET synchronous_standby_names = '*'";

async fn works_again(journal: &Journal, version: u64) {
    let started = Instant::now();
    loop {
        match note("s", version, 1).append(journal).await {
            Became::Committed(_) => return,
            Became::Failed(error) => assert!(started.elapsed() < Duration::from_secs(15), "still: {error}"),
            Became::Stale(stale) => panic!("{stale:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_standby_alone_is_refused() {
    let cluster = Cluster::start(&[]);
    let standby = cluster.standby();
    let Err(error) = postgres::open(&PostgresConfig::new(standby.url("postgres"))).await else {
        panic!("it was opened")
    };
    assert!(error.to_string().contains("is a standby"), "{error}");
}

#[tokio::test]
async fn a_promoted_standby_is_followed_and_the_old_primary_not_believed() {
    let old = Cluster::start(&[]);
    let database = Database::inside(&old);
    let new = old.standby();
    old.sql("postgres", SYNCHRONOUS);
    old.sql("postgres", "SELECT pg_reload_conf()");
    let hosts = vec![new.host(), old.host()];
    let config = PostgresConfig { hosts, ..PostgresConfig::new(database.url()) };
    let (store, reader) = postgres::open(&config).await.unwrap();
    let site = Site::new(Some(database));
    let journal = Journal::open(store, reader, site.config("rep_1")).await.unwrap();
    for n in 0..10 {
        note("s", n, n).append(&journal).await.committed();
    }
    // It is cut off, and does not know that it is none any more. No connection to it ends.
    journal.reader().head().await.unwrap();
    old.pause();
    new.promote();
    works_again(&journal, 10).await;
    assert_eq!(journal.head().position(), Position(11));
    old.resume();
    let (started, mut read) = (Instant::now(), 0);
    while read < 20 {
        match journal.reader().head().await {
            Ok(head) => {
                assert_eq!(head, Position(11), "read from the past");
                read += 1;
            }
            Err(error) => assert!(started.elapsed() < Duration::from_secs(10), "still: {error}"),
        }
    }
    // Now it alone is there, and would take everything.
    old.sql("postgres", "ALTER SYSTEM RESET synchronous_standby_names");
    old.sql("postgres", "SELECT pg_reload_conf()");
    new.stop();
    let error = note("s", 11, 11).append(&journal).await.failed();
    tokio::time::sleep(Duration::from_millis(600)).await;
    let again = note("s", 11, 11).append(&journal).await.failed();
    assert!(again.to_string().contains("nothing was done"), "{error}; {again}");
    // What was on its way when it was cut off may stand there, and nobody was told of it.
    assert_eq!(old.sql(site.database().name(), "SELECT count(*) FROM events WHERE position > 11"), "0");
    new.start_again();
    works_again(&journal, 11).await;
    assert_eq!(new.sql(site.database().name(), "SELECT max(position) FROM events"), "12");
    assert!(!journal.head().is_halted());
}
