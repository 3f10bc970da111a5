//! Questions to the rows: pages, newest first, continued by position.
//!
//! **Invariants.** The text of a statement is put together from fixed fragments; what comes from
//! outside is bound. A page is one seek and a walk: one condition leads through its index, and the
//! others are kept from competing with it. Placeholders are numbered in the order in which they first
//! appear: then they mean the same to SQLite and PostgreSQL.

use proctor_domain::{Micros, Position, SubjectId};

use super::record::{Broken, Record};
use super::write::number;

/// Most rows of one page.
pub const PAGE_ROWS_MAX: usize = 1_000;

/// Whose SQL. Texts are the same wherever they can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
}

/// A value from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    Integer(i64),
    Text(String),
}

/// A statement, and the values of its placeholders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) sql: String,
    pub(super) values: Vec<Bound>,
}

impl Statement {
    /// Keeps `value`, and gives the placeholder that stands for it.
    pub(super) fn place(&mut self, value: Bound) -> String {
        self.values.push(value);
        format!("${}", self.values.len())
    }

    /// Keeps `text`, and gives the placeholder that stands for it.
    pub(super) fn place_text(&mut self, text: &str) -> String {
        self.place(Bound::Text(text.to_owned()))
    }
}

/// Statements whose rows are the answer, one statement after the other, all of the same rows.
pub(super) struct Question<T> {
    pub(super) statements: Vec<Statement>,
    pub(super) row: fn(&Record<'_>) -> Result<T, Broken>,
}

/// Whether a condition's column has an index that a page may walk along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Index {
    /// It has.
    Whole,
    /// It has, of those rows only that this says.
    Where(&'static str),
    /// It has not: rows are checked one after the other, along another walk.
    None,
}

/// A condition on one column: `column = value`.
pub(super) struct Condition {
    /// The column, with its table's alias.
    pub(super) column: &'static str,
    /// The index.
    pub(super) index: Index,
    /// The value; no condition without one.
    pub(super) value: Option<String>,
}

impl Condition {
    pub(super) fn new(column: &'static str, value: Option<&str>) -> Self {
        Self { column, index: Index::Whole, value: value.map(str::to_owned) }
    }

    pub(super) fn without_index(column: &'static str, value: Option<&str>) -> Self {
        Self { index: Index::None, ..Self::new(column, value) }
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
    /// The conditions; the first that has a value and an index leads.
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
    /// The statement.
    pub(super) fn statement(&self, dialect: Dialect) -> Statement {
        let mut asked = Statement::default();
        let mut conditions: Vec<(&Condition, &str)> = self
            .conditions
            .iter()
            .filter_map(|condition| Some((condition, condition.value.as_deref()?)))
            .collect();
        let label_leads = self.label.as_ref().filter(|label| label.leads);
        let leader = match label_leads {
            Some(label) => Some(("l.label_index", "", label.index.as_str())),
            None => {
                conditions.iter().position(|(condition, _)| condition.index != Index::None).map(|first| {
                    let (Condition { column, index, .. }, value) = conditions.remove(first);
                    match index {
                        Index::Where(also) => (*column, *also, value),
                        Index::Whole | Index::None => (*column, "", value),
                    }
                })
            }
        };
        let (from, walk) = match label_leads {
            // CROSS JOIN keeps SQLite to this order: the labels lead. PostgreSQL is kept to it by the
            // order that is asked for.
            Some(label) => (
                format!("{} l CROSS JOIN {} t WHERE t.position = l.position", label.table, self.table),
                "l.position",
            ),
            None => (format!("{} t WHERE 1 = 1", self.table), "t.position"),
        };
        let mut sql = format!("SELECT {} FROM {from}", self.columns);
        let order = self.walk(dialect, walk, leader, &mut asked, &mut sql);
        if let Some(label) = self.label.as_ref().filter(|label| !label.leads) {
            let index = asked.place_text(&label.index);
            sql.push_str(&format!(
                " AND EXISTS (SELECT 1 FROM {} l WHERE l.position = t.position AND l.label_index = {index})",
                label.table
            ));
        }
        for (condition, value) in conditions {
            // An expression has no index.
            sql.push_str(&format!(" AND {} || '' = {}", condition.column, asked.place_text(value)));
        }
        let limit = i64::try_from(self.limit.clamp(1, PAGE_ROWS_MAX)).unwrap_or(i64::MAX);
        sql.push_str(&format!(" ORDER BY {order} LIMIT {}", asked.place(Bound::Integer(limit))));
        asked.sql = sql;
        asked
    }

    /// Adds what bounds the walk, and gives its order.
    ///
    /// To PostgreSQL, the leading column and the position are compared as one, because then only the
    /// index of both can serve. Of `column = value ORDER BY position` it may think that walking all
    /// positions would meet enough such rows soon, and be very wrong.
    fn walk(
        &self,
        dialect: Dialect,
        walked: &str,
        leader: Option<(&str, &str, &str)>,
        asked: &mut Statement,
        sql: &mut String,
    ) -> String {
        let leader = leader.map(|(column, also, value)| (column, also, asked.place_text(value)));
        let mut lower_and_upper = Vec::new();
        lower_and_upper.push((">=", self.bound(self.from, Position(0), asked)));
        if self.to.is_some() {
            lower_and_upper.push(("<", self.bound(self.to, Position(0), asked)));
        }
        lower_and_upper.push(("<", self.bound(None, self.before.unwrap_or(Position(u64::MAX)), asked)));
        match (leader, dialect) {
            (Some((column, also, value)), Dialect::Postgres) => {
                for (compared, bound) in lower_and_upper {
                    sql.push_str(&format!(" AND ({column}, {walked}) {compared} ({value}, {bound})"));
                }
                push_condition(sql, also);
                format!("{column} DESC, {walked} DESC")
            }
            (leader, Dialect::Sqlite | Dialect::Postgres) => {
                if let Some((column, also, value)) = leader {
                    push_condition(sql, &format!("{column} = {value}"));
                    push_condition(sql, also);
                }
                for (compared, bound) in lower_and_upper {
                    sql.push_str(&format!(" AND {walked} {compared} {bound}"));
                }
                format!("{walked} DESC")
            }
        }
    }

    /// A bound of the walk: a time's position, or else this one.
    fn bound(&self, time: Option<Micros>, position: Position, asked: &mut Statement) -> String {
        match time {
            Some(time) => {
                let time = asked.place(Bound::Integer(time.0));
                first_at(self.table, self.time, &time)
            }
            None => asked.place(Bound::Integer(number(position))),
        }
    }
}

fn push_condition(sql: &mut String, condition: &str) {
    if !condition.is_empty() {
        sql.push_str(" AND ");
        sql.push_str(condition);
    }
}

/// One page per user: each runs along its own index. Users may be several, because one who was erased
/// and came back has two references.
pub(super) fn per_subject(
    subjects: Option<&[SubjectId]>,
    dialect: Dialect,
    page: impl Fn(Option<&str>) -> Page,
) -> Vec<Statement> {
    let Some(subjects) = subjects else { return vec![page(None).statement(dialect)] };
    subjects
        .iter()
        .enumerate()
        .filter(|(index, subject)| !subjects[..*index].contains(subject))
        .map(|(_, subject)| page(Some(subject.as_str())).statement(dialect))
        .collect()
}

/// Lays the pages of several users together.
pub(super) fn newest<T>(mut rows: Vec<T>, limit: usize, position: fn(&T) -> Position) -> Vec<T> {
    rows.sort_by_key(|row| std::cmp::Reverse(position(row)));
    rows.truncate(limit.clamp(1, PAGE_ROWS_MAX));
    rows
}

/// An expression for the position of the first row at or after `time`, or one past the last row: by
/// halving, because times never go backwards along positions.
pub(super) fn first_at(table: &str, column: &str, time: &str) -> String {
    let at_middle = format!(
        "(SELECT h.{column} FROM {table} h WHERE h.position >= (low + high) / 2 ORDER BY h.position LIMIT 1)"
    );
    format!(
        "(WITH RECURSIVE halves(low, high) AS (\
         SELECT CAST(0 AS BIGINT), (SELECT COALESCE(MAX(h.position), -1) + 1 FROM {table} h) \
         UNION ALL SELECT CASE WHEN {at_middle} < {time} THEN (low + high) / 2 + 1 ELSE low END, \
         CASE WHEN {at_middle} < {time} THEN high ELSE (low + high) / 2 END \
         FROM halves WHERE low < high) SELECT MAX(low) FROM halves)"
    )
}
