//! An end that does something else than it is told.

use super::*;

/// What becomes of a commit.
pub(super) enum Commit {
    Works,
    Fails,
    /// It takes place, and its answer is an error.
    AnswerLost,
}

pub(super) struct Altering {
    end: Box<dyn End>,
    table: Option<&'static str>,
    /// The cell, or, without one, a row that is left out.
    column: Option<usize>,
    commit: Commit,
}

impl Altering {
    /// One that writes one cell of a table's rows otherwise, or leaves a row out.
    pub(super) fn cell(end: Box<dyn End>, table: &'static str, column: Option<usize>) -> Self {
        Self { end, table: Some(table), column, commit: Commit::Works }
    }

    /// One of whose commit this becomes.
    pub(super) fn commit(end: Box<dyn End>, commit: Commit) -> Self {
        Self { end, table: None, column: None, commit }
    }
}

fn broken() -> StoreError {
    StoreError::Database { doing: "commit", reason: "the test forbids it".into() }
}

#[async_trait(?Send)]
impl End for Altering {
    fn place(&self) -> String {
        self.end.place()
    }

    async fn identity(&mut self) -> Result<String, StoreError> {
        self.end.identity().await
    }

    async fn begin(&mut self) -> Result<(), StoreError> {
        self.end.begin().await
    }

    async fn now(&mut self) -> Result<Micros, StoreError> {
        self.end.now().await
    }

    async fn head(&mut self) -> Result<Position, StoreError> {
        self.end.head().await
    }

    async fn moved(&mut self) -> Result<Option<MovedAway>, StoreError> {
        self.end.moved().await
    }

    async fn mark(&mut self, at: Micros, to: Option<&str>) -> Result<(), StoreError> {
        self.end.mark(at, to).await
    }

    async fn count(&mut self, table: &'static Table) -> Result<u64, StoreError> {
        self.end.count(table).await
    }

    async fn rows(
        &mut self,
        table: &'static Table,
        after: Option<&[Cell]>,
    ) -> Result<Vec<Cells>, StoreError> {
        self.end.rows(table, after).await
    }

    async fn insert(&mut self, table: &'static Table, rows: &[Cells]) -> Result<(), StoreError> {
        let mut rows = rows.to_vec();
        if self.table == Some(table.name) {
            match self.column.map(|column| &mut rows.last_mut().unwrap()[column]) {
                None => drop(rows.pop()),
                Some(Cell::Integer(number)) => *number += 1,
                // Still JSON, where it was.
                Some(Cell::Text(text)) if text.starts_with('{') => text.insert(1, ' '),
                Some(Cell::Text(text)) => text.push('x'),
                Some(Cell::Bytes(bytes)) => *bytes.last_mut().unwrap() ^= 1,
            }
        }
        self.end.insert(table, &rows).await
    }

    async fn settle(&mut self) -> Result<(), StoreError> {
        self.end.settle().await
    }

    async fn commit(&mut self) -> Result<(), StoreError> {
        match self.commit {
            Commit::Works => self.end.commit().await,
            Commit::Fails => Err(broken()),
            Commit::AnswerLost => self.end.commit().await.and(Err(broken())),
        }
    }

    async fn rollback(&mut self) {
        self.end.rollback().await;
    }

    async fn close(&mut self) {
        self.end.close().await;
    }
}
