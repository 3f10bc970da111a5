//! Questions to the rows: pages, newest first, continued by position.
//!
//! **Invariants.** The text of a statement is put together from fixed fragments; what comes from
//! outside is bound. A page is one seek and a walk: one condition leads through its index, and the
//! others are kept from competing with it.

use proctor_domain::{Micros, Position, SubjectId};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, params_from_iter};

use super::write::number;

/// Most rows of one page.
pub const PAGE_ROWS_MAX: usize = 1_000;

/// A condition on one column: `column = value`, led by its index when it is the first of its kind.
pub(super) struct Condition {
    /// The column, with its table's alias.
    pub(super) column: &'static str,
    /// What else must be said for the column's index to be used; empty where nothing.
    pub(super) index_only_where: &'static str,
    /// The value; no condition without one.
    pub(super) value: Option<String>,
}

impl Condition {
    pub(super) fn new(column: &'static str, value: Option<&str>) -> Self {
        Self { column, index_only_where: "", value: value.map(str::to_owned) }
    }
}

/// A label that rows must carry, by way of the table that says which positions do.
pub(super) struct Label {
    pub(super) table: &'static str,
    pub(super) index: String,
    /// Whether the label's positions are walked; otherwise each row of another walk is checked.
    pub(super) leads: bool,
}

/// A page to be read: all of it fixed text, except the values.
pub(super) struct Page {
    /// What is read of each row.
    pub(super) columns: &'static str,
    /// Where from, under the alias `t`.
    pub(super) table: &'static str,
    /// Its column of times, which never go backwards along positions.
    pub(super) time: &'static str,
    /// The label.
    pub(super) label: Option<Label>,
    /// The conditions; the first that has a value leads.
    pub(super) conditions: Vec<Condition>,
    /// From this time on.
    pub(super) from: Option<Micros>,
    /// Before this time.
    pub(super) to: Option<Micros>,
    /// Before this position.
    pub(super) before: Option<Position>,
    /// At most so many rows.
    pub(super) limit: usize,
}

impl Page {
    /// The statement and its values.
    pub(super) fn text(&self, from: i64, before: i64) -> (String, Vec<Value>) {
        let mut values: Vec<Value> = Vec::new();
        let mut sql = format!("SELECT {} FROM ", self.columns);
        let mut place = |sql: &mut String, value: Value| {
            values.push(value);
            sql.push_str(&format!("${}", values.len()));
        };
        let mut led = false;
        let mut walked = "t.position";
        match &self.label {
            // CROSS JOIN: the labels lead, in their order.
            Some(Label { table, index, leads: true }) => {
                sql.push_str(&format!(
                    "{table} l CROSS JOIN {} t WHERE t.position = l.position AND l.label_index = ",
                    self.table
                ));
                place(&mut sql, Value::Text(index.clone()));
                led = true;
                walked = "l.position";
            }
            Some(Label { table, index, leads: false }) => {
                sql.push_str(&format!(
                    "{} t WHERE EXISTS (SELECT 1 FROM {table} l WHERE l.position = t.position AND l.label_index = ",
                    self.table
                ));
                place(&mut sql, Value::Text(index.clone()));
                sql.push(')');
            }
            None => sql.push_str(&format!("{} t WHERE 1 = 1", self.table)),
        }
        for condition in &self.conditions {
            let Some(value) = &condition.value else { continue };
            sql.push_str(" AND ");
            sql.push_str(condition.column);
            if led {
                // An expression has no index.
                sql.push_str(" || ''");
            }
            sql.push_str(" = ");
            place(&mut sql, Value::Text(value.clone()));
            if !led && !condition.index_only_where.is_empty() {
                sql.push_str(" AND ");
                sql.push_str(condition.index_only_where);
            }
            led = true;
        }
        sql.push_str(&format!(" AND {walked} >= "));
        place(&mut sql, Value::Integer(from));
        sql.push_str(&format!(" AND {walked} < "));
        place(&mut sql, Value::Integer(before));
        sql.push_str(&format!(" ORDER BY {walked} DESC LIMIT "));
        let limit = self.limit.clamp(1, PAGE_ROWS_MAX);
        place(&mut sql, Value::Integer(i64::try_from(limit).unwrap_or(i64::MAX)));
        (sql, values)
    }

    /// Reads the page.
    pub(super) fn read<T>(
        &self,
        rows: &Connection,
        row: fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        let first_at = |time: Micros| first_at(rows, self.table, self.time, time);
        let from = self.from.map(first_at).transpose()?.unwrap_or(0);
        let to = self.to.map(first_at).transpose()?.unwrap_or(i64::MAX);
        let before = to.min(self.before.map_or(i64::MAX, number));
        let (sql, values) = self.text(from, before);
        let mut statement = rows.prepare_cached(&sql)?;
        statement.query_map(params_from_iter(values), row)?.collect()
    }
}

/// Reads one page per user and lays them together: each runs along its own index. Users may be
/// several, because one who was erased and came back has two references.
pub(super) fn per_subject<T>(
    subjects: Option<&[SubjectId]>,
    limit: usize,
    position: fn(&T) -> Position,
    mut read: impl FnMut(Option<&SubjectId>) -> rusqlite::Result<Vec<T>>,
) -> rusqlite::Result<Vec<T>> {
    let Some(subjects) = subjects else { return read(None) };
    let mut all = Vec::new();
    for (index, subject) in subjects.iter().enumerate() {
        if !subjects[..index].contains(subject) {
            all.append(&mut read(Some(subject))?);
        }
    }
    if subjects.len() > 1 {
        all.sort_by_key(|row| std::cmp::Reverse(position(row)));
        all.truncate(limit.clamp(1, PAGE_ROWS_MAX));
    }
    Ok(all)
}

/// The position of the first row at or after `time`, or one past the last row: by halving, because
/// times never go backwards along positions.
pub(super) fn first_at(
    rows: &Connection,
    table: &'static str,
    column: &'static str,
    time: Micros,
) -> rusqlite::Result<i64> {
    let last: Option<i64> = rows
        .prepare_cached(&format!("SELECT MAX(position) FROM {table}"))?
        .query_row((), |row| row.get(0))?;
    let (mut low, mut high) = (0, last.map_or(0, |last| last + 1));
    let mut at_or_after = rows.prepare_cached(&format!(
        "SELECT position, {column} FROM {table} WHERE position >= $1 ORDER BY position LIMIT 1"
    ))?;
    while low < high {
        let middle = low + (high - low) / 2;
        let found: Option<(i64, i64)> =
            at_or_after.query_row([middle], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        match found {
            Some((position, at)) if at < time.0 => low = position + 1,
            Some(_) | None => high = middle,
        }
    }
    Ok(low)
}

/// A position out of a row.
pub(super) fn position(row: &Row<'_>, column: usize) -> rusqlite::Result<Position> {
    Ok(Position(count(row, column)?))
}

/// A position that may be missing.
pub(super) fn maybe_position(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Position>> {
    Ok(row
        .get::<_, Option<i64>>(column)?
        .map(|position| Position(u64::try_from(position).unwrap_or_default())))
}

/// A count out of a row.
pub(super) fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or_default())
}
