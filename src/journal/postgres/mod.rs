//! PostgreSQL: one primary, which several processes share, with its standbys.
//!
//! **Invariants.** Only the primary is read and written: a standby may show another order. Nothing
//! waits without an end for a database that does not answer. A password is in no error and no log.

mod doorbell;
mod end;
mod migrate;
mod outbox;
mod primary;
mod read;
mod repository;
mod rows;
mod write;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use proctor_domain::{Event, Micros, Place, Position, Recorded, StreamId};
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgDatabaseError, PgPoolOptions, PgRow, PgSeverity};

pub use end::{destination, source};
pub use read::PostgresReader;
pub use write::PostgresStore;

use super::moved::MovedAway;
use super::store::StoreError;
use primary::Primary;

/// What the server lets a statement, a lock or an idle transaction take.
const SERVER_WAIT: &str = "2s";
/// How long an answer is waited for: a little longer, so that the server's own reason comes first.
const ANSWER_WAIT: Duration = Duration::from_millis(2_500);
/// How long a connection is waited for, with the question whether it is the primary's.
const CONNECT_WAIT: Duration = Duration::from_secs(2);
/// Connections for reading, unless the configuration says otherwise.
const READS_AT_ONCE_MAX: u32 = 8;

/// As in SQLite, so that both stores read rows alike. The cast keeps the exact text.
const COLUMNS: &str = "position, recorded_at, event_id, aggregate_type, aggregate_id, sequence, \
                       event_type, event_version, payload::text, metadata::text";

/// The code of what finds no room.
const DISK_FULL: &str = "53100";
/// The code of what a trigger refuses when the installation has gone.
const MOVED: &str = "PR001";

/// The database's clock, also in the middle of a transaction.
const CLOCK: &str = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint";

/// Where the journal is.
#[derive(Clone)]
pub struct PostgresConfig {
    /// `postgres://user:password@host:port/database`, with the parameters that libpq knows.
    pub url: String,
    /// All hosts that may be the primary, as `host` or `host:port`, in place of the one in the URL.
    pub hosts: Vec<String>,
    /// Connections for reading at the same time.
    pub reads_at_once_max: u32,
}

impl PostgresConfig {
    /// One host, the one in the URL.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), hosts: Vec::new(), reads_at_once_max: READS_AT_ONCE_MAX }
    }
}

impl fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may hold a password.
        f.debug_struct("PostgresConfig").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

/// Opens the journal in a database, making it if it is not there.
///
/// # Errors
/// When no primary answers, when a newer version has changed the schema, or when an older one made
/// it and this role may not bring it up to date.
pub async fn open(config: &PostgresConfig) -> Result<(PostgresStore, Arc<PostgresReader>), StoreError> {
    let primary = Arc::new(Primary::new(config)?);
    let mut connection = primary.connect().await?;
    migrate::up_to_date(&mut connection).await?;
    primary::close(connection).await;
    let known = Arc::clone(&primary);
    let pool = PgPoolOptions::new()
        .max_connections(config.reads_at_once_max.max(1))
        .acquire_timeout(CONNECT_WAIT)
        .after_connect(|connection, _| Box::pin(primary::refuse_standby(connection)))
        .before_acquire(move |_, about| {
            let is_of_now = known.is_of_now(about.age);
            Box::pin(std::future::ready(Ok(is_of_now)))
        })
        .connect_lazy_with(primary.options());
    primary.leads(pool.clone());
    Ok((PostgresStore::new(Arc::clone(&primary)), Arc::new(PostgresReader::new(pool, primary))))
}

/// Brings the schema up to date, and nothing else.
///
/// # Errors
/// As [`open`].
pub async fn migrate(config: &PostgresConfig) -> Result<(), StoreError> {
    let mut connection = Primary::new(config)?.connect().await?;
    migrate::up_to_date(&mut connection).await?;
    primary::close(connection).await;
    Ok(())
}

fn failed(doing: &'static str, reason: impl fmt::Display) -> StoreError {
    StoreError::Database { doing, reason: reason.to_string() }
}

fn database(doing: &'static str, error: sqlx::Error) -> StoreError {
    if error.as_database_error().is_some_and(|error| error.is_unique_violation()) {
        return StoreError::Exists { doing };
    }
    refused(doing, error)
}

/// Like [`failed`], for what the database refuses once its disk is full, or once the installation has
/// gone to another store.
fn refused(doing: &'static str, error: sqlx::Error) -> StoreError {
    if error.as_database_error().is_some_and(|error| error.code().as_deref() == Some(DISK_FULL)) {
        return StoreError::Full { doing, reason: error.to_string() };
    }
    let said = error.as_database_error().filter(|error| error.code().as_deref() == Some(MOVED));
    let said = said.and_then(|error| error.try_downcast_ref::<PgDatabaseError>()?.detail());
    match said.and_then(|detail| serde_json::from_str(detail).ok()) {
        Some(moved) => StoreError::Moved(moved),
        None => failed(doing, error),
    }
}

async fn moved(connection: &mut PgConnection) -> Result<Option<MovedAway>, sqlx::Error> {
    let sql = "SELECT moved_to, at FROM moves ORDER BY number DESC LIMIT 1";
    let last: Option<(Option<String>, i64)> = sqlx::query_as(sql).fetch_optional(connection).await?;
    Ok(last.and_then(|(to, at)| Some(MovedAway { to: to?, at: Micros(at) })))
}

/// Whether the connection works: the server has refused a statement, and nothing else.
fn is_refusal(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(|error| error.try_downcast_ref::<PgDatabaseError>())
        .is_some_and(|error| matches!(error.severity(), PgSeverity::Error))
}

/// Whether the server gave up waiting: for a lock, or for a statement to end.
fn waited_too_long(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("55P03" | "57014"))
}

async fn last(connection: &mut PgConnection) -> Result<Position, sqlx::Error> {
    let sql = "SELECT coalesce(max(position), 0) FROM events";
    sqlx::query_scalar::<_, i64>(sql).fetch_one(connection).await.map(|last| Position(last.cast_unsigned()))
}

async fn read_after(
    connection: &mut PgConnection,
    after: Position,
    limit: usize,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let sql = format!("SELECT {COLUMNS} FROM events WHERE position > $1 ORDER BY position LIMIT $2");
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    sqlx::query(&sql).bind(after.0.cast_signed()).bind(limit).fetch_all(connection).await
}

async fn read_stream(
    connection: &mut PgConnection,
    stream: &StreamId,
    after: u64,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM events WHERE aggregate_type = $1 AND aggregate_id = $2 AND sequence > $3
         ORDER BY sequence"
    );
    let query = sqlx::query(&sql).bind(stream.kind).bind(&*stream.id).bind(after.cast_signed());
    query.fetch_all(connection).await
}

/// The newest events of a stream, the newest first. Which of them carries the state is looked for here: where
/// it were asked for by its type, the planner could not know that it is near the end, and read all.
pub(in crate::journal) fn newest_sql() -> String {
    format!(
        "SELECT {COLUMNS} FROM events WHERE aggregate_type = $1 AND aggregate_id = $2
         ORDER BY sequence DESC LIMIT $3"
    )
}

async fn read_newest(
    connection: &mut PgConnection,
    stream: &StreamId,
    most: usize,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let sql = newest_sql();
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    sqlx::query(&sql).bind(stream.kind).bind(&*stream.id).bind(most).fetch_all(connection).await
}

fn all_recorded(doing: &'static str, rows: &[PgRow]) -> Result<Vec<Arc<Recorded>>, StoreError> {
    rows.iter().map(|row| recorded(doing, row).map(Arc::new)).collect()
}

fn recorded(doing: &'static str, row: &PgRow) -> Result<Recorded, StoreError> {
    recorded_from(doing, row, 0)
}

/// An event whose columns begin with this one.
fn recorded_from(doing: &'static str, row: &PgRow, first: usize) -> Result<Recorded, StoreError> {
    let text = |index: usize| row.try_get::<&str, _>(first + index).map_err(|error| failed(doing, error));
    let number = |index: usize| row.try_get::<i64, _>(first + index).map_err(|error| failed(doing, error));
    let position = Position(number(0)?.cast_unsigned());
    let event = Event::read(text(3)?, text(6)?, text(7)?, text(8)?)
        .map_err(|source| StoreError::Unreadable { position, source })?;
    Ok(Recorded {
        place: Place { position, recorded_at: Micros(number(1)?) },
        event_id: text(2)?.into(),
        stream: StreamId { kind: event.kind(), id: text(4)?.into() },
        sequence: number(5)?.cast_unsigned(),
        event,
        payload: text(8)?.into(),
        metadata: text(9)?.into(),
    })
}
