//! Asks the rows, wherever they stand.

use proctor_domain::{Position, SubjectId};

use super::error::ViewsError;
use super::record::{Broken, Record};
use super::select::{Dialect, Page, Question, newest, per_subject};
use super::{postgres, sqlite};

/// Reads at a time; others wait.
pub(super) const READS_MAX: usize = 4;

/// Where the rows are read.
pub(super) enum Pool {
    Sqlite(sqlite::Pool),
    Postgres(postgres::Pool),
}

impl Pool {
    pub(super) const fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// The rows that answer `question`.
    pub(super) async fn ask<T: Send + 'static>(&self, question: Question<T>) -> Result<Vec<T>, ViewsError> {
        match self {
            Self::Sqlite(pool) => pool.ask(question).await,
            Self::Postgres(pool) => pool.ask(question).await,
        }
    }

    /// One page of rows, newest first, of all or of some users.
    pub(super) async fn page<T: Send + 'static>(
        &self,
        subjects: Option<&[SubjectId]>,
        limit: usize,
        page: impl Fn(Option<&str>) -> Page,
        row: fn(&Record<'_>) -> Result<T, Broken>,
        position: fn(&T) -> Position,
    ) -> Result<Vec<T>, ViewsError> {
        let statements = per_subject(subjects, self.dialect(), page);
        let several = statements.len() > 1;
        let rows = self.ask(Question { statements, row }).await?;
        Ok(if several { newest(rows, limit, position) } else { rows })
    }
}
