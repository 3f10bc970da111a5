//! Writes the rows of a batch, many with each statement: a column travels as one array.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proctor_domain::{Position, Recorded};
use proctor_projections::{CallFacts, Kind, SessionFacts, Table, Value};
use sqlx::Row as _;

use super::line::Line;
use super::schema::{Schema, drop_forgotten};
use crate::views::batch::{Batch, Row};
use crate::views::error::ViewsError;
use crate::views::form::{Form, bits, in_order, or_add};
use crate::views::memory::{CALL_SQL, SESSION_SQL, call_facts, session_facts};
use crate::views::record::{Broken, Record};
use crate::views::write::{Checkpoint, Pace, Rows, Store, Work, number};

/// How long the first event of a batch waits for others. Short: a reader of another process may wait
/// for it, and has no way to say so.
const BATCH_WAIT: Duration = Duration::from_millis(50);
/// How often whoever writes makes sure that it still can.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often it says that these views are in use, and drops those that are not.
const HOUSEKEEPING_EVERY: Duration = Duration::from_secs(3_600);

/// Whoever writes the views. Its connection holds the schema's lock.
pub(super) struct Leader {
    line: Line,
    schema: Schema,
    kept_house_at: Option<Instant>,
}

impl Leader {
    pub(super) fn new(line: Line, schema: Schema) -> Self {
        Self { line, schema, kept_house_at: None }
    }

    fn read_checkpoint(&mut self, sql: &'static str) -> Result<Checkpoint, Broken> {
        let rows = self.line.rows(sqlx::query(sql))?;
        let row = rows.first().ok_or("there is no checkpoint")?;
        let position = Record::Postgres(row).position(0)?;
        Ok(Checkpoint { position, event_id: row.try_get(1)? })
    }

    fn facts<T>(
        &mut self,
        sql: &str,
        ids: &[&str],
        facts: fn(&Record<'_>) -> Result<T, Broken>,
    ) -> Result<Vec<T>, Broken> {
        let ids: Vec<Cow<'_, str>> = ids.iter().map(|id| without_nul(id)).collect();
        let sql = format!("{sql}ANY($1)");
        let rows = self.line.rows(sqlx::query(&sql).bind(ids))?;
        rows.iter().map(|row| facts(&Record::Postgres(row))).collect()
    }

    fn keep_house(&mut self) -> Result<(), Broken> {
        self.line.execute("UPDATE checkpoints SET alive_at = now()")?;
        drop_forgotten(&mut self.line, &self.schema)
    }
}

impl Store for Leader {
    fn pace(&self) -> Pace {
        Pace { batch_wait: BATCH_WAIT, look_every: Some(LOOK_EVERY) }
    }

    fn checkpoint(&mut self) -> Result<Checkpoint, ViewsError> {
        self.read_checkpoint("SELECT position, event_id FROM checkpoints WHERE name = 'views'")
            .map_err(ViewsError::doing("read how far the audit views are"))
    }

    fn empty(&mut self) -> Result<(), ViewsError> {
        let tables: Vec<&str> = Table::ALL.iter().map(|table| table.name()).collect();
        self.line
            .execute(&format!(
                "BEGIN; UPDATE checkpoints SET position = 0, event_id = '', alive_at = now();
                 TRUNCATE {}; COMMIT",
                tables.join(", ")
            ))
            .map_err(ViewsError::doing("empty the audit views"))
    }

    fn transaction(&mut self, work: Work<'_>) -> Result<Position, ViewsError> {
        let failed = ViewsError::doing("write the audit views");
        self.line.check_whereabouts().map_err(&failed)?;
        self.line.execute("BEGIN").map_err(&failed)?;
        match work(self) {
            Ok(reached) => self.line.execute("COMMIT").map(|()| reached).map_err(&failed),
            Err(error) => {
                // What went wrong says more than that it cannot be undone, on a connection that is lost.
                let _ = self.line.execute("ROLLBACK");
                Err(error)
            }
        }
    }

    fn look(&mut self) -> Result<(), ViewsError> {
        self.line
            .check_whereabouts()
            .map_err(ViewsError::doing("make sure that the audit views can be written"))?;
        Store::checkpoint(self)?;
        if self.kept_house_at.is_none_or(|at| at.elapsed() >= HOUSEKEEPING_EVERY) {
            self.keep_house().map_err(ViewsError::doing("say that the audit views are in use"))?;
            self.kept_house_at = Some(Instant::now());
        }
        Ok(())
    }
}

impl Rows for Leader {
    fn checkpoint(&mut self) -> Result<Checkpoint, ViewsError> {
        self.read_checkpoint("SELECT position, event_id FROM checkpoints WHERE name = 'views' FOR UPDATE")
            .map_err(ViewsError::doing("read how far the audit views are"))
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
        let mut forms: HashMap<Form, Vec<&Row<'_>>> = HashMap::new();
        for (table, row) in batch.rows() {
            forms.entry(Form::of(*table, row)).or_default().push(row);
        }
        for (form, rows) in forms {
            let written = columns(form, &rows).and_then(|columns| {
                let sql = sql(form);
                let mut query = sqlx::query(&sql);
                for column in columns {
                    query = match column {
                        Column::Integers(numbers) => query.bind(numbers),
                        Column::Texts(texts) => query.bind(texts),
                    };
                }
                self.line.run(query)
            });
            let written = written.map_err(ViewsError::doing("write the audit views"))?;
            if written != rows.len() as u64 {
                return Err(ViewsError::NoRow { table: form.table().name() });
            }
        }
        Ok(())
    }

    fn move_on(&mut self, from: Position, to: &Recorded) -> Result<bool, ViewsError> {
        let moved = self.line.run(
            sqlx::query(
                "UPDATE checkpoints SET position = $1, event_id = $2, alive_at = now()
                 WHERE name = 'views' AND position = $3",
            )
            .bind(number(to.place.position))
            .bind(&*to.event_id)
            .bind(number(from)),
        );
        Ok(moved.map_err(ViewsError::doing("move the audit views on"))? == 1)
    }
}

/// The values of one column, row by row.
enum Column<'v> {
    Integers(Vec<Option<i64>>),
    Texts(Vec<Option<Cow<'v, str>>>),
}

impl<'v> Column<'v> {
    fn push(&mut self, value: &'v Value<'_>) -> Result<(), Broken> {
        match (self, value) {
            (Self::Integers(numbers), Value::Null) => numbers.push(None),
            (Self::Texts(texts), Value::Null) => texts.push(None),
            (Self::Texts(texts), Value::Text(text)) => texts.push(Some(without_nul(text))),
            (Self::Texts(texts), Value::Shared(text)) => texts.push(Some(without_nul(text))),
            (column, Value::Integer(number)) => column.push_number(*number)?,
            (Self::Integers(_), Value::Text(_) | Value::Shared(_)) => {
                return Err("a text stands where a number belongs".into());
            }
        }
        Ok(())
    }

    fn push_number(&mut self, number: i64) -> Result<(), Broken> {
        match self {
            Self::Integers(numbers) => numbers.push(Some(number)),
            Self::Texts(_) => return Err("a number stands where a text belongs".into()),
        }
        Ok(())
    }
}

/// The values of these rows, which are of one form, in the order of [`Form::columns`].
fn columns<'v>(form: Form, rows: &[&'v Row<'_>]) -> Result<Vec<Column<'v>>, Broken> {
    let kinds = form.table().kinds();
    let mut columns: Vec<Column<'v>> = form
        .columns()
        .into_iter()
        .map(|column| match kinds[column] {
            Kind::Integer => Column::Integers(Vec::with_capacity(rows.len())),
            Kind::Text => Column::Texts(Vec::with_capacity(rows.len())),
        })
        .collect();
    for row in rows {
        let mut next = columns.iter_mut();
        let mut push = |value| next.next().map_or(Ok(()), |column| column.push(value));
        match row {
            Row::New(values) => values.iter().try_for_each(push)?,
            Row::Changed { key, set, add } => {
                key.iter().try_for_each(&mut push)?;
                in_order(set).try_for_each(|(_, value)| push(value))?;
                for (column, (_, sum)) in next.zip(in_order(add)) {
                    column.push_number(*sum)?;
                }
            }
        }
    }
    Ok(columns)
}

fn sql(form: Form) -> String {
    let table = form.table();
    let columns: Vec<&str> = form.columns().into_iter().map(|column| table.columns()[column]).collect();
    let arrays: Vec<String> = form
        .columns()
        .into_iter()
        .enumerate()
        .map(|(index, column)| match table.kinds()[column] {
            Kind::Integer => format!("${}::bigint[]", index + 1),
            Kind::Text => format!("${}::text[]", index + 1),
        })
        .collect();
    let (name, columns, arrays) = (table.name(), columns.join(", "), arrays.join(", "));
    let insert = format!("INSERT INTO {name} ({columns}) SELECT * FROM UNNEST({arrays})");
    match form {
        Form::Insert(_) => insert,
        Form::Change { add, .. } if table.counts_only() => format!("{insert} {}", or_add(table, add)),
        Form::Change { set, add, .. } => {
            let name_of = |bit: usize| table.columns()[bit];
            let changes: Vec<String> = bits(set)
                .map(|bit| format!("{0} = n.{0}", name_of(bit)))
                .chain(bits(add).map(|bit| format!("{0} = t.{0} + n.{0}", name_of(bit))))
                .collect();
            let at_key: Vec<String> = table.key().iter().map(|key| format!("t.{key} = n.{key}")).collect();
            format!(
                "UPDATE {name} t SET {} FROM UNNEST({arrays}) AS n({columns}) WHERE {}",
                changes.join(", "),
                at_key.join(" AND ")
            )
        }
    }
}

/// PostgreSQL cannot store U+0000, which JSON may contain. It is shown as what cannot be shown.
pub(super) fn without_nul(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}
