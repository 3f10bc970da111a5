//! The appender alone, on both stores, beside SQLite alone, with events as a tool call makes them.

use std::sync::Arc;

use proctor::journal::postgres::{self, PostgresConfig};
use proctor::journal::{
    AppendError, Decision, Delivered, Journal, JournalConfig, Proposal, Reader, Stale, Store, sqlite,
};
use proctor_domain::session::{Client, Route, SessionEvent};
use proctor_domain::virtual_server::Method;
use proctor_domain::{Event, Micros, Name, Recorded, StreamId};
use proctor_test_postgres::{Cluster, Database};
use rusqlite::Connection;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use tokio::sync::mpsc;

use crate::Failure;
use crate::measure::{Folder, Stopwatch};

/// Bytes sealed beside each event: 200 bytes of arguments and what sealing adds.
const SEALED_BYTES: usize = 240;

fn events_for(together: usize) -> usize {
    if together == 1 { 4_000 } else { 100_000 }
}

fn event(n: usize) -> Result<Event, Failure> {
    let digest = "0f".repeat(32);
    Ok(Event::Session(SessionEvent::ToolCallAdmitted {
        call: format!("call_{n:032}").into(),
        method: Method::ToolsCall,
        tool: "search_notes".to_owned(),
        route: Route {
            version: 1,
            connection: Name::new("notes")?,
            tool: "search_notes".to_owned(),
            definition: Some(digest.clone()),
            catalog: digest,
            generation: 1,
            user_generation: None,
        },
        replica: "rep_00000000000000000000000000000000".into(),
        request: Some("0f".repeat(16)),
        client: Client { name: "bench".into(), version: "1".into(), protocol: "2026-07-28".into() },
        trace: None,
        arguments_bytes: 200,
        continues: None,
    }))
}

/// What an entity does for one event: an identifier, the texts.
fn proposal(n: usize) -> Result<Proposal, Failure> {
    let event = event(n)?;
    Ok(Proposal {
        event_id: proctor::actors::new_id("evt").into(),
        payload: event.payload()?.into(),
        metadata: format!("{{\"sealed\":\"{}\"}}", "0f".repeat(32)).into(),
        sealed: Some(vec![7; SEALED_BYTES].into()),
        side_writes: Vec::new(),
        event,
    })
}

struct Append {
    stream: StreamId,
    version: u64,
    proposals: Vec<Proposal>,
    done: mpsc::UnboundedSender<usize>,
    number: usize,
}

impl Decision for Append {
    fn stream(&self) -> &StreamId {
        &self.stream
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn grounds(&self) -> &[(StreamId, u64)] {
        &[]
    }

    fn valid_until(&self) -> Option<Micros> {
        None
    }

    fn proposals(&mut self) -> &mut Vec<Proposal> {
        &mut self.proposals
    }

    fn decide_again(&mut self, _: &[Arc<Recorded>], _: Micros) {}

    fn committed(self: Box<Self>, _: Vec<Delivered>) {
        let _ = self.done.send(self.number);
    }

    fn stale(self: Box<Self>, _: Stale) {}

    fn failed(self: Box<Self>, error: AppendError) {
        println!("{error}");
    }
}

/// The appender on a SQLite file.
pub fn on_sqlite(together: usize) -> Result<(), Failure> {
    let folder = Folder::new()?;
    let (store, reader) = sqlite::open(&folder.file("journal.db"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(through(store, reader, together, "SQLite"))
}

/// The appender on a PostgreSQL database of this machine.
pub fn on_postgres(cluster: &Cluster, together: usize) -> Result<(), Failure> {
    let database = Database::inside(cluster);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (store, reader) = postgres::open(&PostgresConfig::new(database.url())).await?;
        through(store, reader, together, "PostgreSQL").await
    })
}

/// The same rows written by PostgreSQL alone on one connection, so many in each statement and
/// transaction.
pub fn plain_postgres(cluster: &Cluster, together: usize) -> Result<(), Failure> {
    let database = Database::inside(cluster);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        drop(postgres::open(&PostgresConfig::new(database.url())).await?);
        let mut connection = PgConnection::connect(&database.url()).await?;
        let events = events_for(together);
        let watch = Stopwatch::start();
        for first in (1..=events).step_by(together) {
            let (mut positions, mut ids, mut streams, mut sequences) = (vec![], vec![], vec![], vec![]);
            let (mut types, mut payloads, mut metadata, mut sealed) = (vec![], vec![], vec![], vec![]);
            for n in first..(first + together).min(events + 1) {
                let proposal = proposal(n)?;
                positions.push(n as i64);
                ids.push(proposal.event_id.to_string());
                streams.push(format!("ses_{:032}", n % together));
                sequences.push(n.div_ceil(together) as i64);
                types.push(proposal.event.type_name());
                payloads.push(proposal.payload.into_string());
                metadata.push(proposal.metadata.into_string());
                sealed.extend(proposal.sealed.map(|sealed| sealed.to_vec()));
            }
            sqlx::query(PLAIN)
                .bind(positions)
                .bind(ids)
                .bind(streams)
                .bind(sequences)
                .bind(types)
                .bind(payloads)
                .bind(metadata)
                .bind(sealed)
                .execute(&mut connection)
                .await?;
        }
        println!("plain PostgreSQL, {together:>3} together:      {}", watch.per_event(events));
        Ok(())
    })
}

/// Both tables in one statement, which is a transaction.
const PLAIN: &str = "
WITH new_events AS (
    INSERT INTO events (position, recorded_at, event_id, aggregate_type, aggregate_id, sequence,
                        event_type, event_version, payload, metadata)
    SELECT position, position, event_id, 'session', stream, sequence, type, '1', payload::json, metadata::json
    FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[])
      AS new (position, event_id, stream, sequence, type, payload, metadata)
)
INSERT INTO payloads (position, sealed) SELECT * FROM unnest($1::bigint[], $8::bytea[])";

/// `together` appends that wait at any time, each on a stream of its own.
async fn through<S: Store>(
    store: S,
    reader: Arc<dyn Reader>,
    together: usize,
    name: &str,
) -> Result<(), Failure> {
    let config = JournalConfig {
        replica: "rep_1".into(),
        lease_ms: 30_000,
        data_dir: None,
        master_keys: String::new(),
    };
    let journal = Journal::open(store, reader, config).await?;
    let (done, mut settled) = mpsc::unbounded_channel();
    let mut versions = vec![0; together];
    let mut hand_in = |number: usize, n: usize| -> Result<(), Failure> {
        let stream = StreamId { kind: "session", id: format!("ses_{number:032}").into() };
        let version = versions[number];
        versions[number] += 1;
        let proposals = vec![proposal(n)?];
        journal.append(Box::new(Append { stream, version, proposals, done: done.clone(), number }));
        Ok(())
    };
    let events = events_for(together);
    let watch = Stopwatch::start();
    (0..together).try_for_each(|number| hand_in(number, number))?;
    for n in together..events {
        hand_in(settled.recv().await.ok_or("the appender has ended")?, n)?;
    }
    for _ in 0..together {
        settled.recv().await.ok_or("the appender has ended")?;
    }
    println!("appender on {name:<10}, {together:>3} waiting: {}", watch.per_event(events));
    journal.stop().await;
    Ok(())
}

/// The same rows written by SQLite alone, so many in each transaction.
pub fn plain(together: usize) -> Result<(), Failure> {
    let folder = Folder::new()?;
    drop(sqlite::open(&folder.file("journal.db"))?);
    let mut file = Connection::open(folder.file("journal.db"))?;
    file.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000",
    )?;
    let events = events_for(together);
    let watch = Stopwatch::start();
    for first in (1..=events).step_by(together) {
        let transaction = file.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        {
            let mut insert = transaction.prepare_cached(
                "INSERT INTO events (position, recorded_at, event_id, aggregate_type, aggregate_id, sequence,
                 event_type, event_version, payload, metadata) VALUES (?1, ?2, ?3, 'session', ?4, ?5, ?6, '1', ?7, ?8)",
            )?;
            let mut seal =
                transaction.prepare_cached("INSERT INTO payloads (position, sealed) VALUES (?1, ?2)")?;
            for n in first..(first + together).min(events + 1) {
                let proposal = proposal(n)?;
                let stream = format!("ses_{:032}", n % together);
                insert.execute((
                    n as i64,
                    n as i64,
                    &*proposal.event_id,
                    stream,
                    (n.div_ceil(together)) as i64,
                    proposal.event.type_name(),
                    &*proposal.payload,
                    &*proposal.metadata,
                ))?;
                seal.execute((n as i64, proposal.sealed.as_deref()))?;
            }
        }
        transaction.commit()?;
    }
    println!("plain SQLite, {together:>3} together:          {}", watch.per_event(events));
    Ok(())
}
