//! The connection of the thread that writes, driven by a runtime of that thread's own: whoever stops
//! the views may block the runtime that everything else runs on.
//!
//! **Invariants.** Nothing waits longer than [`ANSWER_WAIT`], or [`STOP_WAIT`] once the views are to
//! stop: a database that is cut off is given up.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgArguments, PgConnectOptions, PgRow};
use sqlx::query::Query;
use sqlx::{Connection as _, Executor as _, PgConnection, Postgres};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::schema::first;
use crate::views::record::Broken;

/// How long a connection may take to stand.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// How long one statement may take.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// How long one statement may still take when the views are to stop.
const STOP_WAIT: Duration = Duration::from_secs(2);
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

/// Where the database is now, which changes when another host takes over.
type Whereabouts = dyn Fn() -> Arc<PgConnectOptions> + Send + Sync;

/// How a connection is made.
#[derive(Clone)]
pub(in crate::views) struct Dial {
    whereabouts: Arc<Whereabouts>,
    /// Whether the views are to stop.
    stop: watch::Receiver<bool>,
}

impl Dial {
    pub(in crate::views) fn new(
        whereabouts: impl Fn() -> Arc<PgConnectOptions> + Send + Sync + 'static,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self { whereabouts: Arc::new(whereabouts), stop }
    }
}

/// See the module.
pub(super) struct Line {
    connection: PgConnection,
    dial: Dial,
    /// Where it leads.
    options: Arc<PgConnectOptions>,
    /// Whether it was given up in the middle of an answer.
    lost: bool,
    /// Last, so that it ends last.
    runtime: Runtime,
}

impl Line {
    /// Connects, with this schema's tables in sight.
    pub(super) fn open(dial: &Dial, schema: &str) -> Result<Self, Broken> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut dial = dial.clone();
        let options = (dial.whereabouts)();
        let connection = PgConnection::connect_with(&options);
        let connection = runtime
            .block_on(in_time(CONNECT_WAIT, &mut dial.stop, connection))
            .ok_or("the database did not take a connection in time")??;
        let mut line = Self { connection, dial, options, lost: false, runtime };
        line.execute(&format!("{SETTINGS}; SET search_path TO {schema}"))?;
        // It would give a lock of its own, and take no rows.
        if first(&line.rows(sqlx::query("SELECT pg_is_in_recovery()"))?)? != Some(false) {
            return Err("the host is a standby, and the views are written at the primary".into());
        }
        Ok(line)
    }

    /// An error when the database is somewhere else by now: this connection may still work, and lead
    /// to a host that nobody reads any more.
    pub(super) fn check_whereabouts(&self) -> Result<(), Broken> {
        let now = (self.dial.whereabouts)();
        let same = now.get_host() == self.options.get_host()
            && now.get_port() == self.options.get_port()
            && now.get_database() == self.options.get_database();
        if same { Ok(()) } else { Err("the database is on another host now".into()) }
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
            return Err(NO_ANSWER.into());
        }
        let Self { connection, dial, runtime, .. } = self;
        match runtime.block_on(in_time(ANSWER_WAIT, &mut dial.stop, ask(connection))) {
            Some(answer) => Ok(answer?),
            None => {
                self.lost = true;
                Err(NO_ANSWER.into())
            }
        }
    }
}

const NO_ANSWER: &str = "the database did not answer in time";

/// What `answer` comes to, if it comes soon enough.
async fn in_time<T>(
    limit: Duration,
    stop: &mut watch::Receiver<bool>,
    answer: impl Future<Output = T>,
) -> Option<T> {
    let too_late = async {
        let stopped = async {
            if stop.wait_for(|stop| *stop).await.is_err() {
                // Nobody is left who could stop the views.
                std::future::pending::<()>().await;
            }
        };
        // Either way time is up, sooner or later.
        if tokio::time::timeout(limit, stopped).await.is_ok() {
            tokio::time::sleep(STOP_WAIT).await;
        }
    };
    tokio::select! {
        biased;
        answer = answer => Some(answer),
        () = too_late => None,
    }
}
