//! Reads rows through the pool that the whole process shares.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use tokio::runtime::Handle;

use super::schema::Schema;
use super::write::without_nul;
use crate::views::error::ViewsError;
use crate::views::read::READS_MAX;
use crate::views::record::{Broken, Record};
use crate::views::select::{Bound, Question};

/// How long a question may take, its wait for a connection included.
const READ_WAIT: Duration = Duration::from_secs(5);
/// How a page is to be read: along the one index that its statement is written for. Left to itself,
/// the planner would now and then rather sort, when it believes that few rows are left to be sorted.
const SETTINGS: &str = "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; \
     SET LOCAL enable_sort = off; SET LOCAL enable_incremental_sort = off; SET LOCAL enable_hashjoin = off; \
     SET LOCAL enable_mergejoin = off; SET LOCAL jit = off; SET LOCAL statement_timeout = '5s'; \
     SET LOCAL max_parallel_workers_per_gather = 0";

/// See the module.
pub(in crate::views) struct Pool {
    pool: PgPool,
    /// Drives every connection, so that none depends on whoever asked first.
    runtime: Handle,
    turns: Arc<tokio::sync::Semaphore>,
}

impl Pool {
    pub(in crate::views) fn new(pool: PgPool, runtime: Handle) -> Self {
        Self { pool, runtime, turns: Arc::new(tokio::sync::Semaphore::new(READS_MAX)) }
    }

    /// Asks in one transaction, so that all statements see the same rows.
    pub(in crate::views) async fn ask<T: Send + 'static>(
        &self,
        question: Question<T>,
    ) -> Result<Vec<T>, ViewsError> {
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| ViewsError::Stopped)?;
        let pool = self.pool.clone();
        let run = async move {
            let _turn = turn;
            match tokio::time::timeout(READ_WAIT, read(&pool, &question)).await {
                Ok(answer) => answer,
                Err(_) => Err("the database did not answer in time".into()),
            }
        };
        let answer = self.runtime.spawn(run).await.map_err(|_| ViewsError::Stopped)?;
        answer.map_err(ViewsError::doing("read the audit views"))
    }
}

/// The transaction that a page is read in.
pub(in crate::views) fn begin() -> String {
    let schema = Schema::own().name;
    format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL search_path TO {schema}; {SETTINGS}")
}

async fn read<T>(pool: &PgPool, question: &Question<T>) -> Result<Vec<T>, Broken> {
    let mut transaction = pool.begin_with(begin()).await?;
    let mut answer = Vec::new();
    for statement in &question.statements {
        // Not kept: there are more kinds of page than a connection keeps statements, and the journal's
        // are to stay.
        let mut query = sqlx::query(&statement.sql).persistent(false);
        for value in &statement.values {
            query = match value {
                Bound::Integer(number) => query.bind(*number),
                Bound::Text(text) => query.bind(without_nul(text)),
            };
        }
        for row in query.fetch_all(&mut *transaction).await? {
            answer.push((question.row)(&Record::Postgres(&row))?);
        }
    }
    transaction.commit().await?;
    Ok(answer)
}
