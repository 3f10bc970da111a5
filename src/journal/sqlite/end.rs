//! A SQLite file as one end of a copy.
//!
//! **Invariants.** A source is not made, and not changed by anything but its mark.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use proctor_domain::{Micros, Position};
use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, OpenFlags, Row, ToSql};

use super::turn::Turns;
use super::{FileId, MIGRATIONS, chain, clock, connect, database, last, moved};
use crate::journal::MovedAway;
use crate::journal::copying::{Cell, Cells, EVENTS, End, Kind, Table};
use crate::journal::store::{StoreError, Tip};

/// Memory for pages: a copy works on all of the file.
const CACHE_KIB: u32 = 65_536;

struct SqliteEnd {
    path: PathBuf,
    file: FileId,
    turns: Turns,
    connection: Connection,
}

/// A file to copy from.
///
/// # Errors
/// When there is none, or when it is not of this version.
pub fn source(path: &Path) -> Result<Box<dyn End>, StoreError> {
    let doing = "open the journal";
    let reason = |reason: String| StoreError::Database { doing, reason };
    if !path.is_file() {
        return Err(reason(format!("there is no file {}", path.display())));
    }
    let end = open_end(path)?;
    let version: usize = end
        .connection
        .query_row("PRAGMA user_version", (), |row| row.get::<_, u32>(0))
        .map_err(|error| database(doing, error))? as usize;
    if version != MIGRATIONS.len() {
        return Err(reason(format!(
            "its schema has version {version} and this Proctor's has {}: start the same version on it once, \
             or run `proctor store migrate`",
            MIGRATIONS.len()
        )));
    }
    Ok(Box::new(end))
}

/// A file to copy to, which is made when it is not there.
///
/// # Errors
/// When it cannot be opened.
pub fn destination(path: &Path) -> Result<Box<dyn End>, StoreError> {
    super::open(path)?;
    Ok(Box::new(open_end(path)?))
}

fn open_end(path: &Path) -> Result<SqliteEnd, StoreError> {
    let turns = Turns::open(path)?;
    let (connection, file) = connect(path, OpenFlags::empty())?;
    connection
        .execute_batch(&format!("PRAGMA cache_size = -{CACHE_KIB}"))
        .map_err(|error| database("open the journal", error))?;
    Ok(SqliteEnd { path: path.to_owned(), file, turns, connection })
}

impl SqliteEnd {
    fn insert_event(&self, sql: &str, row: &[Cell]) -> Result<(), StoreError> {
        let doing = "copy an event";
        let [Cell::Integer(position), _, _, Cell::Text(kind), Cell::Text(id), Cell::Integer(sequence), ..] =
            row
        else {
            return Err(StoreError::Database { doing, reason: "it has other columns".into() });
        };
        let end = Tip { sequence: sequence.cast_unsigned(), position: Position(position.cast_unsigned()) };
        let failed = |error| database(doing, error);
        let before = chain::tip_of(&self.connection, kind, id).map_err(failed)?;
        let previous = before.position.0.cast_signed();
        let values = row.iter().map(|cell| cell as &dyn ToSql).chain([&previous as &dyn ToSql]);
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        statement.execute(&*values.collect::<Vec<_>>()).map_err(failed)?;
        if end.sequence != before.sequence + 1 {
            let reason = format!("{kind}/{id} has event {} after {}", end.sequence, before.sequence);
            return Err(StoreError::Database { doing, reason });
        }
        chain::move_tip(&self.connection, kind, id, before.position, end)
    }
}

#[async_trait(?Send)]
impl End for SqliteEnd {
    fn place(&self) -> String {
        let path = self.path.canonicalize().unwrap_or_else(|_| self.path.clone());
        format!("sqlite:{}", path.display())
    }

    async fn identity(&mut self) -> Result<String, StoreError> {
        Ok(format!("{:?}", self.file))
    }

    async fn begin(&mut self) -> Result<(), StoreError> {
        let _turn = self.turns.wait()?;
        self.connection
            .execute_batch("BEGIN IMMEDIATE")
            .map_err(|error| database("take the append lock", error))
    }

    async fn now(&mut self) -> Result<Micros, StoreError> {
        Ok(clock())
    }

    async fn head(&mut self) -> Result<Position, StoreError> {
        let last = last(&self.connection).map_err(|error| database("read the journal's head", error))?;
        Ok(last.0)
    }

    async fn moved(&mut self) -> Result<Option<MovedAway>, StoreError> {
        moved(&self.connection)
    }

    async fn mark(&mut self, at: Micros, to: Option<&str>) -> Result<(), StoreError> {
        let sql = "INSERT INTO moves (number, at, head, moved_to)
                   SELECT coalesce(max(number), 0) + 1, ?1,
                          (SELECT coalesce(max(position), 0) FROM events), ?2 FROM moves";
        let marked = self.connection.execute(sql, (at.0, to));
        marked.map(drop).map_err(|error| database("mark the store as moved", error))
    }

    async fn count(&mut self, table: &'static Table) -> Result<u64, StoreError> {
        let sql = format!("SELECT count(*) FROM {}", table.name);
        self.connection
            .query_row(&sql, (), |row| row.get::<_, i64>(0))
            .map(i64::cast_unsigned)
            .map_err(|error| database("count rows", error))
    }

    async fn rows(
        &mut self,
        table: &'static Table,
        after: Option<&[Cell]>,
    ) -> Result<Vec<Cells>, StoreError> {
        let failed = |error| database("read rows to copy", error);
        let sql = table.page(after.is_none(), |name, _| name.to_owned(), |number| format!("?{number}"));
        let mut statement = self.connection.prepare_cached(&sql).map_err(failed)?;
        let after = rusqlite::params_from_iter(after.unwrap_or_default());
        let rows = statement.query_map(after, |row| cells(table, row)).map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }

    async fn insert(&mut self, table: &'static Table, rows: &[Cells]) -> Result<(), StoreError> {
        let is_events = table.name == EVENTS.name;
        let places: Vec<_> = (1..=table.columns.len()).map(|number| format!("?{number}")).collect();
        // Only this store keeps where the event before it in its stream stands.
        let (more, value) =
            if is_events { (", previous", format!(", ?{}", places.len() + 1)) } else { ("", String::new()) };
        let sql = format!(
            "INSERT INTO {} ({}{more}) VALUES ({}{value})",
            table.name,
            table.names(),
            places.join(", ")
        );
        let failed = |error| database("copy rows", error);
        for row in rows {
            if is_events {
                self.insert_event(&sql, row)?;
            } else {
                let mut statement = self.connection.prepare_cached(&sql).map_err(failed)?;
                statement.execute(rusqlite::params_from_iter(row)).map_err(failed)?;
            }
        }
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), StoreError> {
        // Every table is read by its own key, whatever is known about it.
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), StoreError> {
        self.connection.execute_batch("COMMIT").map_err(|error| database("commit the copy", error))?;
        // So that it is one file again. Should that fail, the next server does it.
        let _ = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()));
        Ok(())
    }

    async fn rollback(&mut self) {
        // Should it fail, closing the connection rolls back for certain.
        if !self.connection.is_autocommit() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
    }

    async fn close(&mut self) {
        self.rollback().await;
    }
}

impl ToSql for Cell {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Self::Integer(number) => number.to_sql(),
            Self::Text(text) => text.to_sql(),
            Self::Bytes(bytes) => bytes.to_sql(),
        }
    }
}

fn cells(table: &Table, row: &Row<'_>) -> rusqlite::Result<Cells> {
    let cell = |(index, (_, kind)): (usize, &(&str, Kind))| match kind {
        Kind::Integer => row.get(index).map(Cell::Integer),
        Kind::Text | Kind::Json => row.get(index).map(Cell::Text),
        Kind::Bytes => row.get(index).map(Cell::Bytes),
    };
    table.columns.iter().enumerate().map(cell).collect()
}
