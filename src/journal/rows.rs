//! Rows beside the journal, which are neither events nor written with one.
//!
//! **Invariants.** One text of SQL for both databases: parameters are `$1`, `$2`, … in the order in
//! which they first stand there.

use async_trait::async_trait;

use super::copying::{Cell, Cells};
use super::store::StoreError;

/// A statement with its parameters.
pub struct Statement {
    /// The text.
    pub sql: &'static str,
    /// Its parameters.
    pub parameters: Vec<Cell>,
}

/// The database that the journal is in, for other tables.
#[async_trait]
pub trait Rows: Send + Sync {
    /// The rows that a statement answers. No column is empty.
    async fn read(&self, doing: &'static str, statement: Statement) -> Result<Vec<Cells>, StoreError>;

    /// Executes all in one transaction, and says how many rows each concerned.
    async fn write(&self, doing: &'static str, statements: Vec<Statement>) -> Result<Vec<u64>, StoreError>;
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<i64> for Cell {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}
