//! Runs row changes: many events, one transaction.
//!
//! **Invariants.** Rows and checkpoint move together. An event is taken in once: the checkpoint is
//! read under the database's write lock, and moved only from what was read.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use proctor_domain::{Position, Recorded};
use proctor_projections::{Known, Table, Value, project};
use rusqlite::types::Null;
use rusqlite::{CachedStatement, Connection, TransactionBehavior};

use super::batch::{Batch, Row};
use super::error::ViewsError;
use super::memory::{Grounds, Memory};
use super::schema::{self, Checkpoint};

/// The only one in this process that writes the views.
pub(super) struct Writer {
    connection: Connection,
    memory: Memory,
}

impl Writer {
    /// Opens the file, and makes its tables anew where they are not of this program's shape.
    pub(super) fn open(path: &Path) -> Result<Self, ViewsError> {
        Ok(Self { connection: schema::open(path)?, memory: Memory::default() })
    }

    /// Opens the file again, as it is: another program's tables are not dropped under its hands.
    pub(super) fn open_again(path: &Path) -> Result<Self, ViewsError> {
        Ok(Self { connection: schema::connect(path)?, memory: Memory::default() })
    }

    pub(super) fn checkpoint(&self) -> Result<Checkpoint, ViewsError> {
        schema::checkpoint(&self.connection)
    }

    /// Forgets all rows.
    pub(super) fn empty(&mut self) -> Result<(), ViewsError> {
        let failed = ViewsError::doing("empty the audit views");
        self.memory = Memory::default();
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        schema::empty(&transaction)?;
        transaction.commit().map_err(&failed)
    }

    /// Takes in `events`, which have consecutive positions, and says how far the views are then.
    /// That is less than the last of them when others are missing before them, and more when another
    /// process was faster; events that are in already are left out.
    pub(super) fn apply(&mut self, events: &[Arc<Recorded>]) -> Result<Position, ViewsError> {
        let applied = self.try_apply(events);
        match applied {
            Ok(_) => self.memory.written(),
            // It has learned from events whose rows do not stand.
            Err(_) => self.memory = Memory::default(),
        }
        applied
    }

    fn try_apply(&mut self, events: &[Arc<Recorded>]) -> Result<Position, ViewsError> {
        let failed = ViewsError::doing("write the audit views");
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        let before = schema::checkpoint(&transaction)?.position;
        let events = &events[events.partition_point(|event| event.place.position <= before)..];
        let Some(last) = events.last() else { return Ok(before) };
        if events[0].place.position.0 != before.0 + 1 {
            return Ok(before);
        }
        let mut batch = Batch::default();
        let mut changes = Vec::new();
        for event in events {
            let Grounds { session, call } = self.memory.grounds(&transaction, event)?;
            project(event, Known { session: session.as_deref(), call: call.as_ref() }, &mut changes)?;
            changes.drain(..).for_each(|change| batch.take(change));
        }
        write(&transaction, &batch)?;
        let moved = transaction
            .prepare_cached(
                "UPDATE checkpoints SET position = $1, event_id = $2 WHERE name = 'views' AND position = $3",
            )
            .and_then(|mut statement| {
                statement.execute((number(last.place.position), &*last.event_id, number(before)))
            })
            .map_err(&failed)?;
        if moved != 1 {
            return Err(ViewsError::Overtaken(before));
        }
        transaction.commit().map_err(&failed)?;
        Ok(last.place.position)
    }
}

/// A position as the database holds it.
pub(super) fn number(position: Position) -> i64 {
    i64::try_from(position.0).unwrap_or(i64::MAX)
}

/// What a statement does, apart from its values. Columns are bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Form {
    Insert(Table),
    Change { table: Table, set: u64, add: u64 },
}

fn write(connection: &Connection, batch: &Batch<'_>) -> Result<(), ViewsError> {
    let failed = ViewsError::doing("write the audit views");
    let mut statements: HashMap<Form, CachedStatement<'_>> = HashMap::new();
    for (table, row) in batch.rows() {
        let form = Form::of(*table, row);
        let statement = match statements.entry(form) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(unknown) => {
                unknown.insert(connection.prepare_cached(&form.sql()).map_err(&failed)?)
            }
        };
        let written = bind(statement, *table, row).and_then(|()| statement.raw_execute()).map_err(&failed)?;
        if written != 1 {
            return Err(ViewsError::NoRow { table: table.name() });
        }
    }
    Ok(())
}

/// In the order in which [`Form::sql`] names them: columns set, columns added to, and the key, which
/// stands before them where a row may be new.
fn bind(statement: &mut CachedStatement<'_>, table: Table, row: &Row<'_>) -> rusqlite::Result<()> {
    let mut next = 0;
    let mut one = |value: &Value<'_>| {
        next += 1;
        match value {
            Value::Null => statement.raw_bind_parameter(next, Null),
            Value::Integer(number) => statement.raw_bind_parameter(next, number),
            Value::Text(text) => statement.raw_bind_parameter(next, text.as_ref()),
            Value::Shared(text) => statement.raw_bind_parameter(next, text.as_ref()),
        }
    };
    match row {
        Row::New(values) => values.iter().try_for_each(&mut one),
        Row::Changed { key, set, add } => {
            if table.counts_only() {
                key.iter().try_for_each(&mut one)?;
            }
            in_order(set).try_for_each(|(_, value)| one(value))?;
            in_order(add).try_for_each(|(_, sum)| one(&Value::Integer(*sum)))?;
            if table.counts_only() { Ok(()) } else { key.iter().try_for_each(&mut one) }
        }
    }
}

/// By column, so that one statement serves all rows of its form.
fn in_order<T>(columns: &[(usize, T)]) -> impl Iterator<Item = &(usize, T)> {
    bits(mask(columns)).filter_map(|bit| columns.iter().find(|(column, _)| *column == bit))
}

fn mask<T>(columns: &[(usize, T)]) -> u64 {
    columns.iter().fold(0, |mask, (column, _)| mask | 1 << column)
}

fn bits(mask: u64) -> impl Iterator<Item = usize> {
    (0..u64::BITS as usize).filter(move |bit| mask >> bit & 1 == 1)
}

impl Form {
    fn of(table: Table, row: &Row<'_>) -> Self {
        match row {
            Row::New(_) => Self::Insert(table),
            Row::Changed { set, add, .. } => Self::Change { table, set: mask(set), add: mask(add) },
        }
    }

    /// Portable text: `$1`, `$2`, … each once and in order mean the same to SQLite and `PostgreSQL`.
    fn sql(self) -> String {
        match self {
            Self::Insert(table) => insert(table, table.columns().to_vec()),
            Self::Change { table, set, add } => {
                let name = |bit: usize| table.columns()[bit];
                let keys = table.key();
                if table.counts_only() {
                    let mut columns = keys.to_vec();
                    columns.extend(bits(add).map(name));
                    let sums: Vec<String> = bits(add)
                        .map(name)
                        .map(|column| format!("{column} = {}.{column} + excluded.{column}", table.name()))
                        .collect();
                    return format!(
                        "{} ON CONFLICT ({}) DO UPDATE SET {}",
                        insert(table, columns),
                        keys.join(", "),
                        sums.join(", ")
                    );
                }
                let values: Vec<String> = bits(set)
                    .map(|bit| format!("{} = $", name(bit)))
                    .chain(bits(add).map(|bit| format!("{0} = {0} + $", name(bit))))
                    .enumerate()
                    .map(|(index, text)| format!("{text}{}", index + 1))
                    .collect();
                let at_key: Vec<String> = keys
                    .iter()
                    .enumerate()
                    .map(|(index, key)| format!("{key} = ${}", values.len() + index + 1))
                    .collect();
                format!("UPDATE {} SET {} WHERE {}", table.name(), values.join(", "), at_key.join(" AND "))
            }
        }
    }
}

fn insert(table: Table, columns: Vec<&str>) -> String {
    let values: Vec<String> = (1..=columns.len()).map(|index| format!("${index}")).collect();
    format!("INSERT INTO {} ({}) VALUES ({})", table.name(), columns.join(", "), values.join(", "))
}
