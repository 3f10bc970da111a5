//! What the database itself refuses, and who may do what in it.

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use proctor_domain::{Micros, Position};
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Executor as _};

use super::*;
use crate::journal::postgres::{self, PostgresConfig};
use crate::journal::{
    AppendError, Deliveries, Journal, KeyUses, Reader as _, SideWrite, Step, Store as _, StoreError,
};
use crate::vault::PurposeKeyRow;

/// The append lock, held by nobody that Proctor knows.
async fn hold_the_lock(site: &Site) -> PgConnection {
    let mut other = PgConnection::connect(&site.database().url()).await.unwrap();
    let lock = i64::from_be_bytes(*b"proctorJ");
    other.execute(&*format!("BEGIN; SELECT pg_advisory_xact_lock({lock})")).await.unwrap();
    other
}

async fn refusal(config: &PostgresConfig) -> String {
    let Err(error) = postgres::open(config).await else { panic!("it was opened") };
    error.to_string()
}

#[tokio::test]
async fn events_are_neither_changed_nor_deleted_nor_truncated() {
    let site = Site::postgres();
    let journal = site.open("rep_1").await;
    note("s", 0, 1).append(&journal).await.committed();
    for statement in [
        "UPDATE events SET payload = '{}'",
        "UPDATE events SET payload = '{}' WHERE false",
        "DELETE FROM events",
        "TRUNCATE events",
        "TRUNCATE events CASCADE",
        "SET session_replication_role = replica; DELETE FROM events",
    ] {
        let error = site.database().try_sql(statement).unwrap_err();
        assert!(error.contains("events are never"), "{statement}: {error}");
    }
    assert_eq!(site.history().await.len(), 1);
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_whoever_runs_goes_on() {
    let site = Site::postgres();
    let journal = site.open("rep_1").await;
    site.sql("INSERT INTO proctor_migrations (number) VALUES (99)");
    let error = refusal(&site.postgres_config()).await;
    assert!(error.contains("upgrade this one"), "{error}");
    note("s", 0, 1).append(&journal).await.committed();
}

#[tokio::test]
async fn a_lock_that_another_keeps_is_waited_for() {
    let site = Site::postgres();
    let journal = site.open("rep_1").await;
    let other = hold_the_lock(&site).await;
    let waiting = note("s", 0, 1).hand_in(&journal);
    tokio::time::sleep(Duration::from_millis(300)).await;
    other.close().await.unwrap();
    waiting.await.unwrap().committed();
}

#[tokio::test]
async fn a_lock_that_is_never_given_back_is_said() {
    let site = Site::postgres();
    let journal = site.open("rep_1").await;
    let other = hold_the_lock(&site).await;
    let asked = Instant::now();
    let error = note("s", 0, 1).append(&journal).await.failed();
    assert!(matches!(&error, AppendError::Store(cause) if cause.to_string().contains("timeout")), "{error}");
    assert!(asked.elapsed() < Duration::from_secs(3), "it took {:?}", asked.elapsed());
    assert!(!journal.head().is_halted());
    other.close().await.unwrap();
    let events = note("s", 0, 1).append(&journal).await.committed();
    assert_eq!(events[0].place.position, Position(1), "the one before was not written after all");
}

#[tokio::test]
async fn a_process_that_stands_still_keeps_nobody_waiting_and_commits_nothing() {
    let site = Site::postgres();
    let journal = site.open("rep_1").await;
    let (mut still, _) = postgres::open(&site.postgres_config()).await.unwrap();
    still.begin().await.unwrap();
    let key = SideWrite::SessionKey { session: "ses_1".into(), wrapped: vec![1] };
    still.side_write(&key).await.unwrap();
    still.flush().await.unwrap();
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    note("s", 0, 1).append(&journal).await.committed();
    assert!(still.commit().await.is_err());
    assert!(journal.reader().session_key("ses_1").await.unwrap().is_none());
    still.begin().await.expect("and it goes on with another connection");
    still.rollback().await;
}

#[tokio::test]
async fn what_belongs_to_a_lost_transaction_is_not_written_outside_of_it() {
    let site = Site::postgres();
    let (mut store, reader) = postgres::open(&site.postgres_config()).await.unwrap();
    store.begin().await.unwrap();
    site.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'proctor'
              AND datname = current_database()",
    );
    let key = SideWrite::SessionKey { session: "ses_1".into(), wrapped: vec![1] };
    store.side_write(&key).await.unwrap();
    assert!(store.flush().await.is_err());
    store.side_write(&key).await.unwrap();
    assert!(store.flush().await.unwrap_err().to_string().contains("its connection was lost"));
    assert!(store.commit().await.is_err());
    assert!(reader.session_key("ses_1").await.unwrap().is_none());
    store.rollback().await;
}

#[tokio::test]
async fn what_was_kept_is_committed_also_when_nobody_sent_it_before() {
    let site = Site::postgres();
    let (mut store, reader) = postgres::open(&site.postgres_config()).await.unwrap();
    for (session, commits) in [("ses_1", false), ("ses_2", true)] {
        store.begin().await.unwrap();
        let key = SideWrite::SessionKey { session: session.into(), wrapped: vec![1] };
        store.side_write(&key).await.unwrap();
        if commits { store.commit().await.unwrap() } else { store.rollback().await }
    }
    assert!(reader.session_key("ses_1").await.unwrap().is_none(), "it was rolled back");
    assert!(reader.session_key("ses_2").await.unwrap().is_some());
}

#[tokio::test]
async fn what_the_database_refuses_fails_alone_among_many() {
    let site = Site::postgres();
    let (journal, script) = site.open_faulty("rep_1").await;
    let (let_go, gate) = mpsc::channel();
    script.will([Fault::CommitHeld(gate)]);
    let first = note("first", 0, 0).hand_in(&journal);
    let good: Vec<_> = (0..20).map(|n| note(&format!("s{n}"), 0, n).hand_in(&journal)).collect();
    let mut bad = note("bad", 0, 1);
    bad.proposals[0].metadata = "this is no JSON".into();
    let bad = bad.hand_in(&journal);
    let better = note("better", 0, 1).hand_in(&journal);
    let_go.send(()).unwrap();
    first.await.unwrap().committed();
    for (n, answer) in good.into_iter().enumerate() {
        let events = answer.await.unwrap().committed();
        assert_eq!(events[0].place.position.0, n as u64 + 2, "in the order in which they were handed in");
    }
    better.await.unwrap().committed();
    assert!(matches!(bad.await.unwrap().failed(), AppendError::Store(_)));
    assert_eq!(site.history().await.len(), 22);
}

#[tokio::test]
async fn a_head_that_went_backwards_halts() {
    let site = Site::postgres();
    let journal = site.open("rep_1").await;
    note("s", 0, 1).append(&journal).await.committed();
    note("s", 1, 2).append(&journal).await.committed();
    site.sql(
        "ALTER TABLE events DISABLE TRIGGER ALL; DELETE FROM events WHERE position = 2;
         ALTER TABLE events ENABLE TRIGGER ALL",
    );
    let error = note("s", 1, 3).append(&journal).await.failed();
    assert!(matches!(error, AppendError::Halted(_)), "{error}");
    assert!(error.to_string().contains("its last position is 1, but this process has seen 2"), "{error}");
    assert!(journal.head().is_halted() && !journal.head().is_fresh());
}

#[tokio::test]
async fn a_member_of_the_writers_runs_proctor_and_cannot_change_what_has_happened() {
    let site = Site::postgres();
    let database = site.database();
    let role = format!("writer_{}", database.name());
    site.sql(&format!("CREATE ROLE {role} LOGIN"));
    let config = PostgresConfig::new(database.url_as(&role));
    let error = refusal(&config).await;
    assert!(error.contains("permission denied"), "it may not make the schema: {error}");
    drop(postgres::open(&site.postgres_config()).await.unwrap());
    site.sql(&format!("GRANT proctor_writer TO {role}"));

    let (mut store, reader) = postgres::open(&config).await.unwrap();
    store.add_purpose_keys(&[purpose_key("cursors", "kid_1")]).await.unwrap();
    let deliveries = Deliveries::new(Arc::clone(&reader) as _);
    let uses = KeyUses::new(Arc::clone(&reader) as _);
    let journal = Journal::open(store, reader, site.config("rep_1")).await.unwrap();
    let mut full = note("s", 0, 1)
        .with(SideWrite::UserIndexesFree(vec![vec![9]]))
        .with(appending::subject("sub_1", b"ann"))
        .with(SideWrite::PurposeKey(purpose_key("cursors", "kid_2")))
        .with(SideWrite::Definition { digest: "d".into(), json: "{}".into() })
        .with(SideWrite::SessionKey { session: "ses_1".into(), wrapped: vec![1] })
        .with(SideWrite::ConnectionSecret { connection: "c".into(), generation: 1, sealed: vec![1] });
    full.proposals[0].side_writes.push(SideWrite::WebhookSecret {
        webhook: "whk_1".into(),
        generation: 1,
        sealed: vec![1],
    });
    full.proposals[0].sealed = Some(bytes::Bytes::from_static(b"sealed"));
    full.append(&journal).await.committed();
    let reader = journal.reader();
    assert_eq!(reader.definition("d").await.unwrap().unwrap(), "{}");
    assert_eq!(reader.connection_secret("c", 1).await.unwrap().unwrap(), [1]);
    assert_eq!(reader.stream_ids("watch").await.unwrap(), ["s"]);
    assert_eq!(deliveries.secret("whk_1", 1).await.unwrap().unwrap(), [1]);
    for at in [1, 2] {
        uses.write(&BTreeMap::from([("key".into(), Micros(at))])).await.unwrap();
    }
    let step = Step::Reach { webhook: "whk_1".into(), position: Position(1) };
    deliveries.take(&[step], Micros(1)).await.unwrap();
    assert!(deliveries.lead(&"rep_1".into(), Micros(1), Micros(2)).await.unwrap());
    deliveries.give_lead_back(&"rep_1".into()).await.unwrap();
    deliveries.prune(Micros(1), Micros(1)).await.unwrap();
    journal.stop().await;
    journal.forget_lease(&"rep_1".into()).await.unwrap_err();

    let mut session = PgConnection::connect(&config.url).await.unwrap();
    for statement in [
        "UPDATE events SET payload = '{}'",
        "DELETE FROM events",
        "TRUNCATE events",
        "ALTER TABLE events DISABLE TRIGGER ALL",
        "DROP TABLE events",
        "DROP FUNCTION events_are_never_changed CASCADE",
        "SET session_replication_role = replica",
        "UPDATE proctor_migrations SET number = 0",
    ] {
        let error = session.execute(statement).await.unwrap_err().to_string();
        assert!(
            error.contains("permission denied") || error.contains("must be owner"),
            "{statement}: {error}"
        );
    }
    assert_eq!(site.history().await.len(), 1);
    session.execute("CREATE SCHEMA the_views").await.expect("that is where the views stand");
}

fn purpose_key(purpose: &str, kid: &str) -> PurposeKeyRow {
    PurposeKeyRow {
        purpose: purpose.into(),
        kid: kid.into(),
        sealed: vec![1],
        created_at_us: 1,
        active_at_us: 1,
    }
}

#[tokio::test]
async fn two_that_start_together_agree_on_the_keys() {
    let site = Site::postgres();
    let start = |kid: &'static str| {
        let config = site.postgres_config();
        async move {
            let (mut store, reader) = postgres::open(&config).await.unwrap();
            store
                .add_purpose_keys(&[purpose_key("cursors", kid), purpose_key("digests", kid)])
                .await
                .unwrap();
            reader.purpose_keys().await.unwrap()
        }
    };
    let (one, two) = tokio::join!(start("kid_1"), start("kid_2"));
    assert_eq!(one, two);
    assert_eq!(one.len(), 2);
    assert_eq!(one[0].kid, one[1].kid, "both of the same");
}

#[tokio::test]
async fn a_password_is_in_no_error() {
    let config = PostgresConfig::new("postgres://somebody:swordfish@127.0.0.1:1/journal");
    let Err(error) = postgres::open(&config).await else { panic!("it was opened") };
    assert!(matches!(error, StoreError::Database { .. }));
    assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
    let bad = PostgresConfig::new("postgres://somebody:swordfish@127.0.0.1:port/journal");
    for text in [error.to_string(), format!("{error:?}"), format!("{config:?}"), refusal(&bad).await] {
        assert!(!text.contains("swordfish"), "{text}");
    }
}
