//! Writes the file, row by row: each is one step of a prepared statement.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proctor_domain::{Position, Recorded};
use proctor_projections::{CallFacts, SessionFacts, Table, Value};
use rusqlite::types::Null;
use rusqlite::{CachedStatement, Connection, Transaction, TransactionBehavior};

use super::schema;
use crate::views::batch::{Batch, Row};
use crate::views::error::ViewsError;
use crate::views::form::{Form, bits, in_order, or_add};
use crate::views::memory::{CALL_SQL, SESSION_SQL, call_facts, session_facts};
use crate::views::record::{Broken, Record};
use crate::views::write::{Checkpoint, Pace, Rows, Store, Work, Writer, number};

/// How long the first event of a batch waits for others.
const BATCH_WAIT: Duration = Duration::from_millis(200);

/// Opens the file, and makes its tables anew where they are not of this program's shape.
pub(in crate::views) fn open(path: &Path) -> Result<Writer, ViewsError> {
    Ok(Writer::new(File(schema::open(path)?)))
}

/// Opens the file again, as it is: another program's tables are not dropped under its hands.
pub(in crate::views) fn open_again(path: &Path) -> Result<Writer, ViewsError> {
    Ok(Writer::new(File(schema::connect(path)?)))
}

struct File(Connection);

impl Store for File {
    fn pace(&self) -> Pace {
        Pace { batch_wait: BATCH_WAIT, look_every: None }
    }

    fn checkpoint(&mut self) -> Result<Checkpoint, ViewsError> {
        schema::checkpoint(&self.0)
    }

    fn empty(&mut self) -> Result<(), ViewsError> {
        let failed = ViewsError::doing("empty the audit views");
        let transaction =
            self.0.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        schema::empty(&transaction)?;
        transaction.commit().map_err(&failed)
    }

    fn transaction(&mut self, work: Work<'_>) -> Result<Position, ViewsError> {
        let failed = ViewsError::doing("write the audit views");
        let transaction =
            self.0.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        let reached = work(&mut Written(&transaction))?;
        transaction.commit().map_err(&failed)?;
        Ok(reached)
    }

    fn look(&mut self) -> Result<(), ViewsError> {
        Ok(())
    }
}

struct Written<'t>(&'t Transaction<'t>);

impl Written<'_> {
    fn facts<T>(
        &self,
        sql: &str,
        ids: &[&str],
        facts: fn(&Record<'_>) -> Result<T, Broken>,
    ) -> Result<Vec<T>, Broken> {
        let mut found = Vec::new();
        let mut statement = self.0.prepare_cached(&format!("{sql}$1"))?;
        for id in ids {
            let mut rows = statement.query([id])?;
            while let Some(row) = rows.next()? {
                found.push(facts(&Record::Sqlite(row))?);
            }
        }
        Ok(found)
    }
}

impl Rows for Written<'_> {
    fn checkpoint(&mut self) -> Result<Checkpoint, ViewsError> {
        schema::checkpoint(self.0)
    }

    fn sessions(&mut self, ids: &[&str]) -> Result<Vec<(Arc<str>, SessionFacts)>, ViewsError> {
        self.facts(SESSION_SQL, ids, session_facts)
            .map_err(ViewsError::doing("look up sessions in the audit views"))
    }

    fn calls(&mut self, ids: &[&str]) -> Result<Vec<(Box<str>, CallFacts)>, ViewsError> {
        self.facts(CALL_SQL, ids, call_facts)
            .map_err(ViewsError::doing("look up tool calls in the audit views"))
    }

    fn write(&mut self, batch: &Batch<'_>) -> Result<(), ViewsError> {
        write(self.0, batch)
    }

    fn move_on(&mut self, from: Position, to: &Recorded) -> Result<bool, ViewsError> {
        let moved = self
            .0
            .prepare_cached(
                "UPDATE checkpoints SET position = $1, event_id = $2 WHERE name = 'views' AND position = $3",
            )
            .and_then(|mut statement| {
                statement.execute((number(to.place.position), &*to.event_id, number(from)))
            })
            .map_err(ViewsError::doing("move the audit views on"))?;
        Ok(moved == 1)
    }
}

fn write(connection: &Connection, batch: &Batch<'_>) -> Result<(), ViewsError> {
    let failed = ViewsError::doing("write the audit views");
    let mut statements: HashMap<Form, CachedStatement<'_>> = HashMap::new();
    for (table, row) in batch.rows() {
        let form = Form::of(*table, row);
        let statement = match statements.entry(form) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(unknown) => {
                unknown.insert(connection.prepare_cached(&sql(form)).map_err(&failed)?)
            }
        };
        let written = bind(statement, *table, row).and_then(|()| statement.raw_execute()).map_err(&failed)?;
        if written != 1 {
            return Err(ViewsError::NoRow { table: table.name() });
        }
    }
    Ok(())
}

/// In the order in which [`sql`] names them: columns set, columns added to, and the key, which
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

fn sql(form: Form) -> String {
    match form {
        Form::Insert(table) => insert(table, table.columns().to_vec()),
        Form::Change { table, set, add } => {
            let name = |bit: usize| table.columns()[bit];
            let keys = table.key();
            if table.counts_only() {
                let mut columns = keys.to_vec();
                columns.extend(bits(add).map(name));
                return format!("{} {}", insert(table, columns), or_add(table, add));
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

fn insert(table: Table, columns: Vec<&str>) -> String {
    let values: Vec<String> = (1..=columns.len()).map(|index| format!("${index}")).collect();
    format!("INSERT INTO {} ({}) VALUES ({})", table.name(), columns.join(", "), values.join(", "))
}
