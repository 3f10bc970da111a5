//! One row that a database answers with, whichever database it is.

use std::error::Error;

use proctor_domain::Position;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

/// Why a row, or a database's answer, cannot be used.
pub(super) type Broken = Box<dyn Error + Send + Sync>;

/// See the module. Columns are counted from 0.
pub(super) enum Record<'r> {
    Sqlite(&'r rusqlite::Row<'r>),
    Postgres(&'r PgRow),
}

impl Record<'_> {
    pub(super) fn maybe_text(&self, column: usize) -> Result<Option<String>, Broken> {
        match self {
            Self::Sqlite(row) => Ok(row.get(column)?),
            Self::Postgres(row) => Ok(row.try_get(column)?),
        }
    }

    pub(super) fn maybe_integer(&self, column: usize) -> Result<Option<i64>, Broken> {
        match self {
            Self::Sqlite(row) => Ok(row.get(column)?),
            Self::Postgres(row) => Ok(row.try_get(column)?),
        }
    }

    pub(super) fn text(&self, column: usize) -> Result<String, Broken> {
        self.maybe_text(column)?.ok_or_else(|| empty(column))
    }

    pub(super) fn integer(&self, column: usize) -> Result<i64, Broken> {
        self.maybe_integer(column)?.ok_or_else(|| empty(column))
    }

    /// A version or a generation, which may be missing.
    pub(super) fn maybe_number(&self, column: usize) -> Result<Option<u32>, Broken> {
        Ok(self.maybe_integer(column)?.map(u32::try_from).transpose()?)
    }

    pub(super) fn number(&self, column: usize) -> Result<u32, Broken> {
        Ok(u32::try_from(self.integer(column)?)?)
    }

    pub(super) fn maybe_count(&self, column: usize) -> Result<Option<u64>, Broken> {
        Ok(self.maybe_integer(column)?.map(|count| u64::try_from(count).unwrap_or_default()))
    }

    pub(super) fn count(&self, column: usize) -> Result<u64, Broken> {
        Ok(u64::try_from(self.integer(column)?).unwrap_or_default())
    }

    pub(super) fn maybe_position(&self, column: usize) -> Result<Option<Position>, Broken> {
        Ok(self.maybe_count(column)?.map(Position))
    }

    pub(super) fn position(&self, column: usize) -> Result<Position, Broken> {
        Ok(Position(self.count(column)?))
    }
}

fn empty(column: usize) -> Broken {
    format!("column {column} of a row is empty").into()
}
