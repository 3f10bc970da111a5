//! Tables beside the journal, through a connection of their own: the appender never waits for more
//! than one short transaction of it.
//!
//! **Invariants.** What is written here may be lost with the machine's power, all of a transaction
//! together: it is made again from the journal.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OpenFlags, Statement as Prepared, TransactionBehavior};

use super::read::SqliteReader;
use super::turn::Turns;
use super::{FileId, connect, database};
use crate::journal::copying::{Cell, Cells};
use crate::journal::rows::{Rows, Statement};
use crate::journal::store::StoreError;

/// See the module.
pub struct SqliteRows {
    reader: Arc<SqliteReader>,
    writer: Arc<Mutex<Writer>>,
}

struct Writer {
    path: PathBuf,
    turns: Turns,
    connection: Option<(Connection, FileId)>,
}

impl SqliteRows {
    pub(super) fn new(reader: Arc<SqliteReader>, path: PathBuf) -> Result<Self, StoreError> {
        let writer = Writer { turns: Turns::open(&path)?, path, connection: None };
        Ok(Self { reader, writer: Arc::new(Mutex::new(writer)) })
    }
}

impl Writer {
    fn write(&mut self, doing: &'static str, statements: &[Statement]) -> Result<Vec<u64>, StoreError> {
        let failed = |error| database(doing, error);
        let there = FileId::of(&self.path)?;
        let (connection, _) = match self.connection.take().filter(|(_, file)| *file == there) {
            Some(connected) => self.connection.insert(connected),
            None => {
                let connected = connect(&self.path, OpenFlags::empty())?;
                connected.0.execute_batch("PRAGMA synchronous = NORMAL").map_err(failed)?;
                self.connection.insert(connected)
            }
        };
        let turn = self.turns.wait()?;
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        drop(turn);
        let mut concerned = Vec::with_capacity(statements.len());
        for statement in statements {
            let mut prepared = transaction.prepare_cached(statement.sql).map_err(failed)?;
            bind(&mut prepared, &statement.parameters).map_err(failed)?;
            concerned.push(prepared.raw_execute().map_err(failed)? as u64);
        }
        transaction.commit().map_err(failed)?;
        Ok(concerned)
    }
}

fn bind(prepared: &mut Prepared<'_>, parameters: &[Cell]) -> rusqlite::Result<()> {
    for (index, cell) in (1..).zip(parameters) {
        let value = match cell {
            Cell::Integer(number) => Value::Integer(*number),
            Cell::Text(text) => Value::Text(text.clone()),
            Cell::Bytes(bytes) => Value::Blob(bytes.clone()),
        };
        prepared.raw_bind_parameter(index, value)?;
    }
    Ok(())
}

fn cells(connection: &Connection, statement: &Statement) -> rusqlite::Result<Vec<Cells>> {
    let mut prepared = connection.prepare_cached(statement.sql)?;
    bind(&mut prepared, &statement.parameters)?;
    let columns = prepared.column_count();
    let mut rows = prepared.raw_query();
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let cell = |index| {
            Ok(match row.get_ref(index)? {
                ValueRef::Integer(number) => Cell::Integer(number),
                ValueRef::Blob(bytes) => Cell::Bytes(bytes.to_vec()),
                other => Cell::Text(other.as_str()?.to_owned()),
            })
        };
        found.push((0..columns).map(cell).collect::<rusqlite::Result<Cells>>()?);
    }
    Ok(found)
}

#[async_trait]
impl Rows for SqliteRows {
    async fn read(&self, doing: &'static str, statement: Statement) -> Result<Vec<Cells>, StoreError> {
        let read = move |connection: &Connection| {
            cells(connection, &statement).map_err(|error| database(doing, error))
        };
        self.reader.with(read).await
    }

    async fn write(&self, doing: &'static str, statements: Vec<Statement>) -> Result<Vec<u64>, StoreError> {
        let writer = Arc::clone(&self.writer);
        let write = move || writer.lock().unwrap_or_else(PoisonError::into_inner).write(doing, &statements);
        tokio::task::spawn_blocking(write)
            .await
            .map_err(|error| StoreError::Database { doing, reason: error.to_string() })?
    }
}
