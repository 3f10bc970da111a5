//! The file of the views: opened, and made anew when its shape is not this program's.

use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use proctor_domain::Position;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Transaction, TransactionBehavior};

use crate::views::error::ViewsError;
use crate::views::shape::shape;
use crate::views::write::Checkpoint;

/// The tables. They are dropped and filled anew when this text changes.
const TABLES: &str = include_str!("../../../migrations/sqlite/views/0001_views.sql");
/// Where the views stand. Its form never changes: a newer program must recognise an older one's.
const CHECKPOINTS: &str = "CREATE TABLE IF NOT EXISTS checkpoints (
    name     TEXT    NOT NULL PRIMARY KEY,
    shape    TEXT    NOT NULL,
    position INTEGER NOT NULL,
    event_id TEXT    NOT NULL
)";
/// How long one process waits for another one's transaction.
const BUSY_WAIT: Duration = Duration::from_secs(5);
/// Pages in the write-ahead log before it is folded into the file: about 32 MB. The inner pages of
/// the indexes change with every batch, and fold into one write each.
const WAL_PAGES: u32 = 8_000;
/// Memory for pages of the writer, in KiB.
const WRITER_CACHE_KIB: u32 = 32_768;

/// Opens the file for writing and makes its tables where they are missing or of another shape.
pub(super) fn open(path: &Path) -> Result<Connection, ViewsError> {
    let failed = ViewsError::doing("open the audit views");
    let mut connection = connect(path)?;
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
    transaction.execute(CHECKPOINTS, ()).map_err(&failed)?;
    let found: Option<String> = transaction
        .query_row("SELECT shape FROM checkpoints WHERE name = 'views'", (), |row| row.get(0))
        .optional()
        .map_err(&failed)?;
    if found.as_deref() != Some(SHAPE.as_str()) {
        empty(&transaction)?;
    }
    transaction.commit().map_err(&failed)?;
    Ok(connection)
}

/// Opens the file for writing, as it is.
pub(super) fn connect(path: &Path) -> Result<Connection, ViewsError> {
    let failed = ViewsError::doing("open the audit views");
    let connection = Connection::open(path).map_err(&failed)?;
    connection.busy_timeout(BUSY_WAIT).map_err(&failed)?;
    // NORMAL: a power failure may take the last transactions, never the file's consistency. What is
    // lost is read from the journal again, because the checkpoint goes with the rows.
    connection
        .execute_batch(&format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA temp_store = MEMORY;
             PRAGMA wal_autocheckpoint = {WAL_PAGES}; PRAGMA cache_size = -{WRITER_CACHE_KIB};
             PRAGMA trusted_schema = OFF;"
        ))
        .map_err(&failed)?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(connection)
}

/// Makes all tables anew, without rows, at position 0.
pub(super) fn empty(transaction: &Transaction<'_>) -> Result<(), ViewsError> {
    let failed = ViewsError::doing("empty the audit views");
    // All tables, not only today's: another version may have had others.
    let tables: Vec<String> = transaction
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'checkpoints'")
        .and_then(|mut statement| statement.query_map((), |row| row.get(0))?.collect())
        .map_err(&failed)?;
    for table in tables {
        transaction
            .execute(&format!("DROP TABLE \"{}\"", table.replace('"', "\"\"")), ())
            .map_err(&failed)?;
    }
    transaction.execute_batch(TABLES).map_err(&failed)?;
    transaction
        .execute(
            "INSERT INTO checkpoints (name, shape, position, event_id) VALUES ('views', $1, 0, '')
             ON CONFLICT (name) DO UPDATE SET shape = excluded.shape, position = 0, event_id = ''",
            [SHAPE.as_str()],
        )
        .map_err(&failed)?;
    Ok(())
}

/// Where the views stand.
pub(super) fn checkpoint(connection: &Connection) -> Result<Checkpoint, ViewsError> {
    let (found, checkpoint): (String, Checkpoint) = connection
        .prepare_cached("SELECT shape, position, event_id FROM checkpoints WHERE name = 'views'")
        .and_then(|mut statement| {
            statement.query_row((), |row| {
                let position = row.get::<_, i64>(1)?;
                let position = Position(u64::try_from(position).unwrap_or_default());
                Ok((row.get(0)?, Checkpoint { position, event_id: row.get(2)? }))
            })
        })
        .map_err(ViewsError::doing("read how far the audit views are"))?;
    if found == *SHAPE { Ok(checkpoint) } else { Err(ViewsError::OtherShape) }
}

pub(super) fn open_read_only(path: &Path) -> Result<Connection, ViewsError> {
    let failed = ViewsError::doing("open the audit views for reading");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(&failed)?;
    connection.busy_timeout(BUSY_WAIT).map_err(&failed)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

static SHAPE: LazyLock<String> = LazyLock::new(|| shape(TABLES));

#[cfg(test)]
mod tests {
    use proctor_projections::{Kind, Table};

    use super::*;

    #[test]
    fn the_tables_in_the_file_are_those_that_the_projections_fill() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(TABLES).unwrap();
        for table in Table::ALL {
            let mut columns = connection
                .prepare(&format!("SELECT name, pk, type FROM pragma_table_info('{}')", table.name()))
                .unwrap();
            let rows = columns.query_map((), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
            let found: Vec<(String, u32, String)> = rows.collect::<Result<_, _>>().unwrap();
            let names: Vec<&str> = found.iter().map(|(name, _, _)| name.as_str()).collect();
            assert_eq!(names, table.columns(), "{}", table.name());
            for (index, (name, key, kind)) in found.iter().enumerate() {
                let expected = if index < table.key().len() { index + 1 } else { 0 };
                assert_eq!(*key as usize, expected, "{}.{name}", table.name());
                let expected = match table.kinds()[index] {
                    Kind::Text => "TEXT",
                    Kind::Integer => "INTEGER",
                };
                assert_eq!(kind, expected, "{}.{name}", table.name());
            }
        }
    }
}
