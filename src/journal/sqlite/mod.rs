//! The embedded default: one SQLite file, which several processes may share.

mod chain;
mod end;
mod fold;
mod read;
mod repository;
mod rows;
mod turn;
mod write;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proctor_domain::{Event, Micros, Place, Position, Recorded, StreamId};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, Row};

pub use end::{destination, source};
pub use read::SqliteReader;
use turn::Turns;
pub use write::SqliteStore;

use super::moved::MovedAway;
use super::rows::Rows;
use super::store::StoreError;

/// Older versions can corrupt a file in WAL mode that several connections use.
const SQLITE_VERSION_MIN: i32 = 3_051_003;
/// How long a reader waits for the log to be recovered.
const BUSY_WAIT: Duration = Duration::from_secs(2);
/// How often the appender looks whether another process has ended its transaction: for 2 s.
const BUSY_LOOKS_MAX: i32 = 2_000;
/// How long between two looks. SQLite's own pauses grow to 100 ms.
const BUSY_PAUSE: Duration = Duration::from_millis(1);
/// So many first pauses are shorter: most transactions take no longer.
const BUSY_PAUSES_SHORT: i32 = 50;
/// How long they are.
const BUSY_PAUSE_SHORT: Duration = Duration::from_micros(100);
/// Pages in the write-ahead log from which on a commit folds it itself: see [`fold`], which should
/// have done so long before.
const WAL_PAGES_MAX: u32 = 128_000;
/// Memory for pages of the writing connection: the newest leaf of every stream in use should fit.
const CACHE_KIB: u32 = 4_096;
/// One text per version of the schema, never changed once released.
const MIGRATIONS: &[&str] = &[
    include_str!("../../../migrations/sqlite/0001_journal.sql"),
    include_str!("../../../migrations/sqlite/0002_user_connections.sql"),
    include_str!("../../../migrations/sqlite/0003_moves.sql"),
    include_str!("../../../migrations/sqlite/0004_pending_credentials.sql"),
    include_str!("../../../migrations/sqlite/0005_webhooks.sql"),
    include_str!("../../../migrations/sqlite/0006_master_keys.sql"),
    include_str!("../../../migrations/sqlite/0007_keys.sql"),
    include_str!("../../../migrations/sqlite/0008_idempotent_requests.sql"),
];

/// What a trigger says when the installation has gone.
const MOVED: &str = "this journal was moved to another store";

/// What SQLite answers when a row's key is taken.
const ROW_EXISTS: [i32; 3] = [
    rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY,
    rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE,
    rusqlite::ffi::SQLITE_CONSTRAINT_ROWID,
];

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
    let turns = Turns::open(path)?;
    let (connection, file) = {
        // SQLite does not wait for others where a file gets its write-ahead log.
        let _turn = turns.wait()?;
        let (mut connection, file) = connect(path, OpenFlags::SQLITE_OPEN_CREATE)?;
        migrate(&mut connection)?;
        (connection, file)
    };
    let store = SqliteStore::new(path.to_owned(), turns, connection, file);
    Ok((store, Arc::new(SqliteReader::new(path.to_owned()))))
}

/// The tables beside the journal in `path`, which was opened before.
///
/// # Errors
/// When the file beside it cannot be opened.
pub fn rows(path: &Path, reader: &Arc<SqliteReader>) -> Result<Arc<dyn Rows>, StoreError> {
    Ok(Arc::new(rows::SqliteRows::new(Arc::clone(reader), path.to_owned())?))
}

/// Which file a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    fn of(path: &Path) -> Result<Self, StoreError> {
        use std::os::unix::fs::MetadataExt as _;
        let file = std::fs::metadata(path).map_err(|error| StoreError::Database {
            doing: "look for the journal's file",
            reason: error.to_string(),
        })?;
        Ok(Self { device: file.dev(), inode: file.ino() })
    }
}

fn connect(path: &Path, create: OpenFlags) -> Result<(Connection, FileId), StoreError> {
    let failed = |error| database("open the journal", error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | create;
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    let file = FileId::of(path)?;
    connection.busy_handler(Some(wait_for_others)).map_err(failed)?;
    let mode: String =
        connection.query_row("PRAGMA journal_mode = WAL", (), |row| row.get(0)).map_err(failed)?;
    if mode != "wal" {
        return Err(StoreError::Database {
            doing: "open the journal",
            reason: format!("its file system allows no write-ahead log (journal_mode stays {mode})"),
        });
    }
    connection
        .execute_batch(&format!(
            "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = {WAL_PAGES_MAX};
             PRAGMA cache_size = -{CACHE_KIB};
             PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;"
        ))
        .map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok((connection, file))
}

fn wait_for_others(looks: i32) -> bool {
    std::thread::sleep(if looks < BUSY_PAUSES_SHORT { BUSY_PAUSE_SHORT } else { BUSY_PAUSE });
    looks < BUSY_LOOKS_MAX
}

fn connect_read_only(path: &Path) -> Result<(Connection, FileId), StoreError> {
    let failed = |error| database("open the journal for reading", error);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    let file = FileId::of(path)?;
    connection.busy_timeout(BUSY_WAIT).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok((connection, file))
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
    if error.sqlite_error().is_some_and(|error| ROW_EXISTS.contains(&error.extended_code)) {
        return StoreError::Exists { doing };
    }
    if error.sqlite_error_code() == Some(ErrorCode::DiskFull) {
        return StoreError::Full { doing, reason: error.to_string() };
    }
    StoreError::Database { doing, reason: error.to_string() }
}

/// Like [`database`], for what the file refuses once the installation has gone to another store.
fn refused(connection: &Connection, doing: &'static str, error: rusqlite::Error) -> StoreError {
    let is_moved = matches!(&error, rusqlite::Error::SqliteFailure(_, Some(text)) if text == MOVED);
    // Should the place not be told, the error says it too.
    match is_moved.then(|| moved(connection)) {
        Some(Ok(Some(moved))) => StoreError::Moved(moved),
        Some(Ok(None) | Err(_)) | None => database(doing, error),
    }
}

fn moved(connection: &Connection) -> Result<Option<MovedAway>, StoreError> {
    let sql = "SELECT moved_to, at FROM moves ORDER BY number DESC LIMIT 1";
    let last = connection
        .query_row(sql, (), |row| Ok((row.get::<_, Option<String>>(0)?, Micros(row.get(1)?))))
        .optional()
        .map_err(|error| database("read where the journal was moved to", error))?;
    Ok(last.and_then(|(to, at)| Some(MovedAway { to: to?, at })))
}

/// The database's clock: SQLite has none of its own, so it is the machine's.
fn clock() -> Micros {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Micros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
}

fn last(connection: &Connection) -> rusqlite::Result<(Position, Micros)> {
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
    chain::walk(connection, stream.kind, &stream.id, after, |row| {
        Ok(Arc::new(recorded(row, "read a stream")?))
    })
}

fn read_carried_stream(
    connection: &Connection,
    stream: &StreamId,
    carried_by: &str,
) -> Result<Vec<Arc<Recorded>>, StoreError> {
    chain::walk_until(connection, stream.kind, &stream.id, 0, |row| {
        let event = Arc::new(recorded(row, "read a stream")?);
        Ok(match event.event.type_name() == carried_by {
            true => ControlFlow::Break(event),
            false => ControlFlow::Continue(event),
        })
    })
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
