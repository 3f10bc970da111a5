//! What the statements that write rows do, apart from their values.

use proctor_projections::Table;

use super::batch::Row;

/// Columns are bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Form {
    Insert(Table),
    Change { table: Table, set: u64, add: u64 },
}

impl Form {
    pub(super) fn of(table: Table, row: &Row<'_>) -> Self {
        match row {
            Row::New(_) => Self::Insert(table),
            Row::Changed { set, add, .. } => Self::Change { table, set: mask(set), add: mask(add) },
        }
    }

    pub(super) const fn table(self) -> Table {
        match self {
            Self::Insert(table) | Self::Change { table, .. } => table,
        }
    }

    /// The columns that a statement of this form has values for, by their index, in order: those of
    /// the key, those that are set and those that are added to.
    pub(super) fn columns(self) -> Vec<usize> {
        match self {
            Self::Insert(table) => (0..table.columns().len()).collect(),
            Self::Change { table, set, add } => {
                (0..table.key().len()).chain(bits(set)).chain(bits(add)).collect()
            }
        }
    }
}

fn mask<T>(columns: &[(usize, T)]) -> u64 {
    columns.iter().fold(0, |mask, (column, _)| mask | 1 << column)
}

/// The columns of a mask, in order.
pub(super) fn bits(mask: u64) -> impl Iterator<Item = usize> {
    (0..u64::BITS as usize).filter(move |bit| mask >> bit & 1 == 1)
}

/// By column, so that one statement serves all rows of its form.
pub(super) fn in_order<T>(columns: &[(usize, T)]) -> impl Iterator<Item = &(usize, T)> {
    bits(mask(columns)).filter_map(|bit| columns.iter().find(|(column, _)| *column == bit))
}

/// How an insert goes on where a row that counts may be there already.
pub(super) fn or_add(table: Table, add: u64) -> String {
    let sums: Vec<String> = bits(add)
        .map(|bit| table.columns()[bit])
        .map(|column| format!("{column} = {}.{column} + excluded.{column}", table.name()))
        .collect();
    format!("ON CONFLICT ({}) DO UPDATE SET {}", table.key().join(", "), sums.join(", "))
}
