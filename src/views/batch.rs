//! Row changes of many events, folded together: one row is written once.
//!
//! A call that is admitted and ends within a batch is one insert; a thousand calls of one tool add to
//! one row of usage.

use std::collections::HashMap;

use proctor_projections::{Change, RowChange, Table, Value};

/// A row as a batch leaves it.
#[derive(Debug, PartialEq)]
pub(super) enum Row<'a> {
    /// All its columns.
    New(Vec<Value<'a>>),
    /// Its key, the columns that are set and the numbers that are added.
    Changed { key: Vec<Value<'a>>, set: Vec<(usize, Value<'a>)>, add: Vec<(usize, i64)> },
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Batch<'a> {
    rows: Vec<(Table, Row<'a>)>,
    by_position: HashMap<(Table, i64), usize>,
    by_key: HashMap<(Table, Vec<Value<'a>>), usize>,
}

impl<'a> Batch<'a> {
    /// The rows in the order in which they were first touched.
    pub(super) fn rows(&self) -> &[(Table, Row<'a>)] {
        &self.rows
    }

    /// Folds in one change.
    pub(super) fn take(&mut self, change: RowChange<'a>) {
        let RowChange { change, table, key, columns } = change;
        let next = self.rows.len();
        let index = match key[..] {
            [Value::Integer(position)] => *self.by_position.entry((table, position)).or_insert(next),
            // Nothing is changed there once it stands.
            _ if change == Change::Insert => next,
            _ => *self.by_key.entry((table, key.clone())).or_insert(next),
        };
        if change == Change::Insert {
            // A second row of the same key is not folded: the database refuses it.
            let mut row = key;
            row.resize(table.columns().len(), Value::Null);
            for (column, value) in columns {
                row[column] = value;
            }
            self.rows.push((table, Row::New(row)));
            return;
        }
        if index == next {
            self.rows.push((table, Row::Changed { key, set: Vec::new(), add: Vec::new() }));
        }
        let (_, row) = &mut self.rows[index];
        for (column, value) in columns {
            row.change(change, column, value);
        }
    }
}

impl<'a> Row<'a> {
    fn change(&mut self, change: Change, column: usize, value: Value<'a>) {
        match (self, change, value) {
            (Self::New(row), Change::Add, Value::Integer(more)) => {
                let before = match row[column] {
                    Value::Integer(before) => before,
                    Value::Null | Value::Text(_) | Value::Shared(_) => 0,
                };
                row[column] = Value::Integer(before.saturating_add(more));
            }
            (Self::New(row), _, value) => row[column] = value,
            (Self::Changed { set, add, .. }, Change::Add, Value::Integer(more)) => {
                if let Some((_, Value::Integer(last))) = set.iter_mut().find(|(index, _)| *index == column) {
                    *last = last.saturating_add(more);
                } else if let Some((_, sum)) = add.iter_mut().find(|(index, _)| *index == column) {
                    *sum = sum.saturating_add(more);
                } else {
                    add.push((column, more));
                }
            }
            (Self::Changed { set, add, .. }, _, value) => {
                add.retain(|(index, _)| *index != column);
                match set.iter_mut().find(|(index, _)| *index == column) {
                    Some((_, last)) => *last = value,
                    None => set.push((column, value)),
                }
            }
        }
    }
}
