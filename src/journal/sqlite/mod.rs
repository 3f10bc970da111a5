//! The embedded default: one SQLite file, which several processes may share.

mod read;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proctor_domain::{Event, Micros, Place, Position, Recorded, StreamId};
use rusqlite::{Connection, OpenFlags, Row};

pub use read::SqliteReader;
pub use write::SqliteStore;

use super::store::StoreError;

/// Older versions can corrupt a file in WAL mode that several connections use.
const SQLITE_VERSION_MIN: i32 = 3_051_003;
/// How long a process waits for another one's transaction.
const BUSY_WAIT: Duration = Duration::from_secs(2);
/// Pages in the write-ahead log before it is folded into the file: about 16 MB.
const WAL_PAGES: u32 = 4_000;
/// One text per version of the schema, never changed once released.
const MIGRATIONS: &[&str] = &[include_str!("../../../migrations/sqlite/0001_journal.sql")];

const COLUMNS: &str = "position, recorded_at, event_id, aggregate_type, aggregate_id, sequence, \
                       event_type, event_version, payload, metadata";

/// Opens the journal in `path`, making it if it is not there.
///
/// # Errors
/// When the file cannot be opened, or was made by a newer version.
pub fn open(path: &Path) -> Result<(SqliteStore, Arc<SqliteReader>), StoreError> {
    if rusqlite::version_number() < SQLITE_VERSION_MIN {
        return Err(StoreError::Database {
            doing: "open the journal",
            reason: format!(
                "SQLite {} is linked, which can corrupt a shared file; 3.51.3 or newer is needed",
                rusqlite::version()
            ),
        });
    }
    let mut connection = connect(path)?;
    migrate(&mut connection)?;
    Ok((SqliteStore::new(path.to_owned(), connection), Arc::new(SqliteReader::new(path.to_owned()))))
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let failed = |error| database("open the journal", error);
    let connection = Connection::open(path).map_err(failed)?;
    connection.busy_timeout(BUSY_WAIT).map_err(failed)?;
    connection
        .execute_batch(&format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = {WAL_PAGES};
             PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;"
        ))
        .map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

fn connect_read_only(path: &PathBuf) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)
        .map_err(|error| database("open the journal for reading", error))?;
    connection.busy_timeout(BUSY_WAIT).map_err(|error| database("open the journal for reading", error))?;
    Ok(connection)
}

fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let failed = |error| database("bring the journal's schema up to date", error);
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(failed)?;
    let done: u32 = transaction.query_row("PRAGMA user_version", (), |row| row.get(0)).map_err(failed)?;
    let done = done as usize;
    if done > MIGRATIONS.len() {
        return Err(StoreError::Database {
            doing: "open the journal",
            reason: "a newer version of Proctor has changed its schema: upgrade this one".into(),
        });
    }
    for migration in &MIGRATIONS[done..] {
        transaction.execute_batch(migration).map_err(failed)?;
    }
    transaction.execute_batch(&format!("PRAGMA user_version = {}", MIGRATIONS.len())).map_err(failed)?;
    transaction.commit().map_err(failed)
}

fn database(doing: &'static str, error: rusqlite::Error) -> StoreError {
    if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) {
        return StoreError::Exists { doing };
    }
    StoreError::Database { doing, reason: error.to_string() }
}

/// The database's clock: SQLite has none of its own, so it is the machine's.
fn clock() -> Micros {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Micros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
}

fn last(connection: &Connection) -> rusqlite::Result<(Position, Micros)> {
    use rusqlite::OptionalExtension as _;
    let mut statement = connection
        .prepare_cached("SELECT position, recorded_at FROM events ORDER BY position DESC LIMIT 1")?;
    let last = statement
        .query_row((), |row| Ok((Position(row.get::<_, i64>(0)?.cast_unsigned()), Micros(row.get(1)?))))
        .optional()?;
    Ok(last.unwrap_or_default())
}

fn read_after(
    connection: &Connection,
    after: Position,
    limit: usize,
) -> Result<Vec<Arc<Recorded>>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM events WHERE position > ?1 ORDER BY position LIMIT ?2");
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    collect(connection, "read the journal", &sql, (after.0.cast_signed(), limit))
}

fn read_stream(
    connection: &Connection,
    stream: &StreamId,
    after: u64,
) -> Result<Vec<Arc<Recorded>>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM events WHERE aggregate_type = ?1 AND aggregate_id = ?2 AND sequence > ?3
         ORDER BY sequence"
    );
    collect(connection, "read a stream", &sql, (stream.kind, &*stream.id, after.cast_signed()))
}

fn collect(
    connection: &Connection,
    doing: &'static str,
    sql: &str,
    parameters: impl rusqlite::Params,
) -> Result<Vec<Arc<Recorded>>, StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(|error| database(doing, error))?;
    let mut rows = statement.query(parameters).map_err(|error| database(doing, error))?;
    let mut events = Vec::new();
    while let Some(row) = rows.next().map_err(|error| database(doing, error))? {
        events.push(Arc::new(recorded(row, doing)?));
    }
    Ok(events)
}

fn recorded(row: &Row<'_>, doing: &'static str) -> Result<Recorded, StoreError> {
    let text = |index: usize| {
        row.get_ref(index)
            .and_then(|value| Ok(value.as_str()?))
            .map_err(|error: rusqlite::Error| database(doing, error))
    };
    let number = |index: usize| row.get::<_, i64>(index).map_err(|error| database(doing, error));
    let position = Position(number(0)?.cast_unsigned());
    let kind = text(3)?;
    let event = Event::read(kind, text(6)?, text(7)?, text(8)?)
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
