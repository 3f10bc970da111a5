//! The connection of the thread that writes, driven by a runtime of that thread's own: whoever stops
//! the views may block the runtime that everything else runs on.
//!
//! **Invariants.** Nothing waits longer than [`ANSWER_WAIT`]: a database that is cut off is given up.

use std::time::Duration;

use sqlx::postgres::{PgArguments, PgConnectOptions, PgRow};
use sqlx::query::Query;
use sqlx::{Connection as _, Executor as _, PgConnection, Postgres};
use tokio::runtime::Runtime;

use crate::views::record::Broken;

/// How long a connection may take to stand.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// How long one statement may take.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// What a connection is to be like.
///
/// - `synchronous_commit`: a crash may take the last transactions, rows and checkpoint together; they
///   are read from the journal again.
/// - `idle_session_timeout`, keep-alives: a process that is paused or cut off loses the lock, and
///   another one goes on. Whoever writes says something every second.
/// - `enable_*`: rows are found by their key, never by reading a whole table, whatever the statistics
///   of a table that has just begun to grow suggest.
const SETTINGS: &str = "SET application_name = 'proctor views'; SET synchronous_commit = off; \
     SET statement_timeout = '10s'; SET idle_in_transaction_session_timeout = '10s'; \
     SET idle_session_timeout = '10s'; SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; \
     SET tcp_keepalives_count = 3; SET enable_seqscan = off; SET enable_hashjoin = off; \
     SET enable_mergejoin = off; SET jit = off; SET client_min_messages = warning";

/// See the module.
pub(super) struct Line {
    connection: PgConnection,
    /// Whether it was given up in the middle of an answer.
    lost: bool,
    /// Last, so that it ends last.
    runtime: Runtime,
}

impl Line {
    /// Connects, with this schema's tables in sight.
    pub(super) fn open(options: &PgConnectOptions, schema: &str) -> Result<Self, Broken> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let connection = PgConnection::connect_with(options);
        let connection = runtime
            .block_on(async { tokio::time::timeout(CONNECT_WAIT, connection).await })
            .map_err(|_| "the database did not take a connection in time")??;
        let mut line = Self { connection, lost: false, runtime };
        line.execute(&format!("{SETTINGS}; SET search_path TO {schema}"))?;
        Ok(line)
    }

    /// Executes statements that answer nothing, one after the other, in one go.
    pub(super) fn execute(&mut self, sql: &str) -> Result<(), Broken> {
        self.wait(async |connection| connection.execute(sqlx::raw_sql(sql)).await.map(drop))
    }

    /// Executes one statement, and says how many rows it concerned.
    pub(super) fn run(&mut self, query: Query<'_, Postgres, PgArguments>) -> Result<u64, Broken> {
        self.wait(async |connection| connection.execute(query).await.map(|done| done.rows_affected()))
    }

    /// The rows that one statement answers.
    pub(super) fn rows(&mut self, query: Query<'_, Postgres, PgArguments>) -> Result<Vec<PgRow>, Broken> {
        self.wait(async |connection| connection.fetch_all(query).await)
    }

    fn wait<T>(&mut self, ask: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<T>) -> Result<T, Broken> {
        if self.lost {
            return Err("the database did not answer in time".into());
        }
        let Self { connection, runtime, .. } = self;
        match runtime.block_on(async { tokio::time::timeout(ANSWER_WAIT, ask(connection)).await }) {
            Ok(answer) => Ok(answer?),
            Err(_) => {
                self.lost = true;
                Err("the database did not answer in time".into())
            }
        }
    }
}
