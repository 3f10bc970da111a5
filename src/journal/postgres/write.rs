//! The write side: one connection of its own, owned by the appender's thread.
//!
//! **Invariants.** A connection about which something is unknown is not used again. What belongs to
//! a transaction is never sent outside of it.

use std::sync::Arc;
use std::time::Duration;

use proctor_domain::{Micros, Position, Recorded, ReplicaId, StreamId};
use sqlx::Row as _;
use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use sqlx::query::Query;
use tokio::time::{Instant, timeout};

use super::doorbell::Doorbell;
use super::outbox::{self, Outbox};
use super::primary::Primary;
use super::{
    ANSWER_WAIT, CLOCK, all_recorded, database, failed, is_refusal, last, primary, read_after, read_stream,
    recorded_from, waited_too_long,
};
use crate::journal::append::SideWrite;
use crate::journal::store::{AppendFailure, Appended, Batch, Row, Store, StoreError, Tip};
use crate::vault::PurposeKeyRow;

/// The append lock of the journal in this database: "proctorJ".
pub(super) const LOCK: i64 = 0x7072_6f63_746f_724a;

/// After a database did not answer, so long nobody waits for it again: everybody is told at once.
const REST: Duration = Duration::from_millis(500);

/// A connection that was silent for so long may be gone without anybody having noticed: what is
/// sent over it first is better nothing that could be written unseen.
const QUIET: Duration = Duration::from_millis(100);
/// The database counts fences from 0 on.
const NO_FENCE: i64 = -1;

/// See [`super::open`].
pub struct PostgresStore {
    primary: Arc<Primary>,
    connection: Option<PgConnection>,
    is_in_transaction: bool,
    outbox: Outbox,
    /// Whether the open transaction holds events.
    appends: bool,
    doorbell: Doorbell,
    rests_until: Option<Instant>,
    /// When the connection was last seen to work.
    answered_at: Option<Instant>,
    /// Under which name this process appends, and which of its connections that was.
    fence: Option<(ReplicaId, i64)>,
}

impl PostgresStore {
    pub(super) fn new(primary: Arc<Primary>) -> Self {
        Self {
            primary,
            connection: None,
            is_in_transaction: false,
            outbox: Outbox::default(),
            appends: false,
            doorbell: Doorbell::default(),
            rests_until: None,
            answered_at: None,
            fence: None,
        }
    }

    async fn take_connection(&mut self) -> Result<PgConnection, StoreError> {
        if let Some(connection) = self.connection.take() {
            return Ok(connection);
        }
        if self.is_in_transaction {
            return Err(failed("go on with a transaction", "its connection was lost"));
        }
        if self.rests_until.is_some_and(|until| Instant::now() < until) {
            return Err(failed("connect to the journal's database", "it did not answer just now"));
        }
        self.connect().await
    }

    async fn connect(&mut self) -> Result<PgConnection, StoreError> {
        let connected = self.primary.connect().await;
        self.rests_until = connected.is_err().then(|| Instant::now() + REST);
        connected
    }

    async fn run<T>(
        &mut self,
        doing: &'static str,
        run: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, StoreError> {
        self.run_explained(doing, database, run).await
    }

    async fn run_explained<T>(
        &mut self,
        doing: &'static str,
        explain: fn(&'static str, sqlx::Error) -> StoreError,
        run: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, StoreError> {
        let mut connection = self.take_connection().await?;
        match timeout(ANSWER_WAIT, run(&mut connection)).await {
            Ok(answer) => {
                if answer.as_ref().err().is_none_or(is_refusal) {
                    self.connection = Some(connection);
                    self.answered_at = Some(Instant::now());
                }
                answer.map_err(|error| explain(doing, error))
            }
            Err(_) => {
                self.rests_until = Some(Instant::now() + REST);
                Err(no_answer(doing))
            }
        }
    }

    async fn execute(
        &mut self,
        doing: &'static str,
        query: Query<'_, sqlx::Postgres, PgArguments>,
    ) -> Result<(), StoreError> {
        self.run(doing, async |connection| query.execute(connection).await.map(drop)).await
    }

    fn forget_transaction(&mut self) {
        self.is_in_transaction = false;
        self.outbox = Outbox::default();
        self.appends = false;
    }
}

impl Store for PostgresStore {
    fn appends_at_once(&self) -> bool {
        let is_quiet = self.answered_at.is_none_or(|at| at.elapsed() >= QUIET);
        self.fence.is_some() && self.connection.is_some() && !is_quiet
    }

    async fn append(&mut self, batch: &Batch<'_>) -> Result<Option<Appended>, AppendFailure> {
        let Some((replica, fence)) = self.fence.clone() else { return Ok(None) };
        let mut outbox = Outbox::default();
        for write in batch.side_writes {
            match write {
                SideWrite::SessionKey { session, wrapped } => outbox.session_key(session, wrapped),
                SideWrite::Definition { .. }
                | SideWrite::Subject(_)
                | SideWrite::UserIndexesFree(_)
                | SideWrite::PurposeKey(_)
                | SideWrite::UserCredential { .. }
                | SideWrite::ForgottenCredential { .. }
                | SideWrite::PendingCredential { .. }
                | SideWrite::ForgottenPending { .. }
                | SideWrite::ConnectionSecret { .. }
                | SideWrite::WebhookSecret { .. } => {
                    return Ok(None);
                }
            }
        }
        batch.rows.iter().for_each(|row| outbox.event(row));
        let doing = "append events";
        let mut connection = self.take_connection().await.map_err(AppendFailure::NothingWritten)?;
        let sent = outbox.append(batch, (replica.as_str(), fence), &mut connection);
        let rows = match timeout(ANSWER_WAIT, sent).await {
            Ok(Ok(rows)) => rows,
            Ok(Err(error)) if is_refusal(&error) => {
                self.connection = Some(connection);
                // Whose fault another refusal is, the steps will show.
                return if waited_too_long(&error) {
                    Err(AppendFailure::NothingWritten(failed(doing, error)))
                } else {
                    Ok(None)
                };
            }
            Ok(Err(error)) => return Err(AppendFailure::Unknown(failed(doing, error))),
            Err(_) => {
                self.rests_until = Some(Instant::now() + REST);
                return Err(AppendFailure::Unknown(no_answer(doing)));
            }
        };
        self.connection = Some(connection);
        self.answered_at = Some(Instant::now());
        let appended = appended(doing, &rows).map_err(AppendFailure::Unknown)?;
        if appended.written {
            self.doorbell.ring();
        }
        Ok(Some(appended))
    }

    async fn begin(&mut self) -> Result<(Position, Micros), StoreError> {
        // One journey, and yet three statements: what the last one reads was not fixed before the
        // lock was there.
        let sql = format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
             SELECT pg_advisory_xact_lock({LOCK});
             SELECT coalesce(position, 0), greatest(recorded_at, {CLOCK})
             FROM (SELECT) AS one
             LEFT JOIN (SELECT position, recorded_at FROM events ORDER BY position DESC LIMIT 1) AS last
             ON true"
        );
        let begun = self.run("take the append lock", async |connection| {
            let rows = sqlx::raw_sql(&sql).fetch_all(connection).await?;
            let head = rows.last().ok_or(sqlx::Error::RowNotFound)?;
            Ok((Position(head.try_get::<i64, _>(0)?.cast_unsigned()), Micros(head.try_get(1)?)))
        });
        let begun = begun.await;
        if begun.is_ok() {
            self.is_in_transaction = true;
        } else {
            // It may stand in a transaction that failed.
            self.connection = None;
        }
        begun
    }

    async fn head(&mut self) -> Result<Position, StoreError> {
        self.run("read the journal's head", last).await
    }

    async fn changed(&mut self) {
        self.doorbell.heard(&self.primary).await;
    }

    async fn read(&mut self, after: Position, limit: usize) -> Result<Vec<Arc<Recorded>>, StoreError> {
        self.flush().await?;
        let doing = "read the journal";
        let read = self.run(doing, async |connection| read_after(connection, after, limit).await);
        all_recorded(doing, &read.await?)
    }

    async fn tips(&mut self, streams: &[StreamId]) -> Result<Vec<Tip>, StoreError> {
        self.flush().await?;
        let kinds: Vec<&str> = streams.iter().map(|stream| stream.kind).collect();
        let ids: Vec<&str> = streams.iter().map(|stream| &*stream.id).collect();
        // The newest of each by a look at the index, in the order in which they were asked for.
        let sql = "SELECT coalesce(sequence, 0), coalesce(position, 0)
                   FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS asked (kind, id, n)
                   LEFT JOIN LATERAL (SELECT sequence, position FROM events
                       WHERE aggregate_type = kind AND aggregate_id = id ORDER BY sequence DESC LIMIT 1)
                   AS last ON true ORDER BY n";
        let query = sqlx::query_as::<_, (i64, i64)>(sql).bind(kinds).bind(ids);
        let read = self.run("read where streams end", async |connection| query.fetch_all(connection).await);
        let tip = |(sequence, position): (i64, i64)| Tip {
            sequence: sequence.cast_unsigned(),
            position: Position(position.cast_unsigned()),
        };
        Ok(read.await?.into_iter().map(tip).collect())
    }

    async fn stream(&mut self, stream: &StreamId, after: u64) -> Result<Vec<Arc<Recorded>>, StoreError> {
        self.flush().await?;
        let doing = "read a stream";
        let read = self.run(doing, async |connection| read_stream(connection, stream, after).await);
        all_recorded(doing, &read.await?)
    }

    async fn insert(&mut self, row: &Row<'_>) -> Result<(), StoreError> {
        self.appends = true;
        self.outbox.event(row);
        Ok(())
    }

    async fn side_write(&mut self, write: &SideWrite) -> Result<(), StoreError> {
        match write {
            // The session is new, so that its key is as well: no need to be told at once.
            SideWrite::SessionKey { session, wrapped } => {
                self.outbox.session_key(session, wrapped);
                Ok(())
            }
            SideWrite::Definition { digest, json } => {
                let sql = "INSERT INTO definitions (digest, json) VALUES ($1, $2) ON CONFLICT DO NOTHING";
                let query = sqlx::query(sql).bind(digest).bind(&**json);
                self.execute("keep a tool definition", query).await
            }
            SideWrite::Subject(row) => {
                let sql = "INSERT INTO subjects (subject, user_index, user_sealed, wrapped_key)
                           VALUES ($1, $2, $3, $4)";
                let query = sqlx::query(sql).bind(&row.subject).bind(&row.user_index);
                let query = query.bind(&row.user_sealed).bind(&row.wrapped_key);
                self.execute("keep a user's reference", query).await
            }
            SideWrite::UserIndexesFree(indexes) => {
                let doing = "look whether a user is there under another key";
                self.flush().await?;
                let sql = "SELECT EXISTS (SELECT FROM subjects WHERE user_index = ANY($1))";
                let query = sqlx::query_scalar(sql).bind(indexes);
                let there: bool =
                    self.run(doing, async |connection| query.fetch_one(connection).await).await?;
                if there { Err(StoreError::Exists { doing }) } else { Ok(()) }
            }
            SideWrite::PurposeKey(key) => {
                let sql = "INSERT INTO purpose_keys (purpose, kid, sealed, created_at, active_at)
                           VALUES ($1, $2, $3, $4, $5)";
                let query = sqlx::query(sql).bind(&key.purpose).bind(&key.kid).bind(&key.sealed);
                let query = query.bind(key.created_at_us).bind(key.active_at_us);
                self.execute("keep a purpose key", query).await
            }
            SideWrite::UserCredential { subject, connection, generation, sealed, keeps_previous } => {
                let sql = "INSERT INTO user_credentials AS kept (subject, connection, generation, sealed)
                           VALUES ($1, $2, $3, $4) ON CONFLICT (subject, connection) DO UPDATE SET
                           previous_generation = CASE WHEN $5 THEN kept.generation ELSE 0 END,
                           previous_sealed = CASE WHEN $5 THEN kept.sealed ELSE '' END,
                           generation = excluded.generation, sealed = excluded.sealed";
                let query = sqlx::query(sql).bind(subject).bind(connection);
                let query = query.bind(i64::from(*generation)).bind(sealed).bind(keeps_previous);
                self.execute("keep a user's credential", query).await
            }
            SideWrite::ForgottenCredential { subject, connection } => {
                let sql = "DELETE FROM user_credentials WHERE subject = $1 AND connection = $2";
                let query = sqlx::query(sql).bind(subject).bind(connection);
                self.execute("forget a user's credential", query).await
            }
            SideWrite::PendingCredential { subject, connection, link, sealed } => {
                let sql = "INSERT INTO pending_credentials (subject, connection, link, sealed)
                           VALUES ($1, $2, $3, $4) ON CONFLICT (subject, connection)
                           DO UPDATE SET link = excluded.link, sealed = excluded.sealed";
                let query = sqlx::query(sql).bind(subject).bind(connection).bind(link).bind(sealed);
                self.execute("keep what a link brought", query).await
            }
            SideWrite::ForgottenPending { subject, connection } => {
                let sql = "DELETE FROM pending_credentials WHERE subject = $1 AND connection = $2";
                let query = sqlx::query(sql).bind(subject).bind(connection);
                self.execute("forget what a link brought", query).await
            }
            SideWrite::ConnectionSecret { connection, generation, sealed } => {
                let sql =
                    "INSERT INTO connection_secrets (connection, generation, sealed) VALUES ($1, $2, $3)";
                let query = sqlx::query(sql).bind(connection).bind(i64::from(*generation)).bind(sealed);
                self.execute("keep a connection's secret", query).await
            }
            SideWrite::WebhookSecret { webhook, generation, sealed } => {
                let sql = "INSERT INTO webhook_secrets (webhook, generation, sealed) VALUES ($1, $2, $3)";
                let query = sqlx::query(sql).bind(webhook).bind(i64::from(*generation)).bind(sealed);
                self.execute("keep a webhook's secret", query).await
            }
        }
    }

    async fn flush(&mut self) -> Result<(), StoreError> {
        if self.outbox.is_empty() {
            return Ok(());
        }
        let outbox = std::mem::take(&mut self.outbox);
        let doing = "append events";
        self.run_explained(doing, outbox::explain, async |connection| outbox.send(connection).await).await
    }

    async fn commit(&mut self) -> Result<(), StoreError> {
        let committed = match self.flush().await {
            Ok(()) => {
                self.run("commit to the journal", async |connection| {
                    sqlx::raw_sql("COMMIT").execute(connection).await.map(drop)
                })
                .await
            }
            Err(error) => Err(error),
        };
        if committed.is_err() {
            // What became of it is not to be asked here: see `reopen`.
            self.connection = None;
        } else if self.appends {
            self.doorbell.ring();
        }
        self.forget_transaction();
        committed
    }

    async fn rollback(&mut self) {
        if !self.is_in_transaction {
            return;
        }
        self.forget_transaction();
        // A connection that was lost has rolled back by itself.
        if self.connection.is_none() {
            return;
        }
        let rolled_back = self.run("roll back", async |connection| {
            sqlx::raw_sql("ROLLBACK").execute(connection).await.map(drop)
        });
        if rolled_back.await.is_err() {
            self.connection = None;
        }
    }

    fn abandon(&mut self) {
        self.forget_transaction();
        self.connection = None;
    }

    async fn reopen(&mut self) -> Result<(), StoreError> {
        self.abandon();
        self.connection = Some(self.connect().await?);
        Ok(())
    }

    async fn harden(&mut self) -> Result<(), StoreError> {
        // For what can be read nothing is to be done: PostgreSQL shows a commit to others only once
        // it is durable, stops as a whole when an `fsync` fails, and starts again from what its log
        // holds. What may still come is fenced off.
        let Some((replica, _)) = self.fence.take() else { return Ok(()) };
        let sql = "UPDATE leases SET fence = fence + 1 WHERE replica = $1 RETURNING fence";
        let query = sqlx::query_scalar(sql).bind(replica.as_str());
        let raised = self
            .run("fence off a lost connection", async |connection| query.fetch_optional(connection).await);
        let raised = raised.await;
        // Where there is no lease, nothing is appended at once until there is one.
        self.fence = match &raised {
            Ok(Some(fence)) => Some((replica, *fence)),
            Ok(None) => None,
            // Asked again before anything is believed.
            Err(_) => Some((replica, NO_FENCE)),
        };
        raised.map(drop)
    }

    async fn renew_lease(
        &mut self,
        replica: &ReplicaId,
        lasts_ms: u64,
        confirmed: Position,
        reads: u32,
        master_keys: &str,
    ) -> Result<(), StoreError> {
        // A lease that was forgotten and is made anew has a fence that no older one had.
        let lasts_us = i64::try_from(lasts_ms.saturating_mul(1_000)).unwrap_or(i64::MAX / 2);
        let sql = format!(
            "INSERT INTO leases (replica, ends_at, confirmed, reads, master_keys, fence)
             VALUES ($1, {CLOCK} + $2, $3, $4, $5, {CLOCK})
             ON CONFLICT (replica) DO UPDATE
             SET ends_at = excluded.ends_at, confirmed = excluded.confirmed, reads = excluded.reads,
                 master_keys = excluded.master_keys
             RETURNING fence"
        );
        let query = sqlx::query_scalar(&sql).bind(replica.as_str()).bind(lasts_us);
        let query = query.bind(confirmed.0.cast_signed()).bind(i64::from(reads)).bind(master_keys);
        let renewed = self.run("renew the lease", async |connection| query.fetch_one(connection).await);
        self.fence = Some((replica.clone(), renewed.await?));
        Ok(())
    }

    async fn end_lease(&mut self, replica: &ReplicaId) -> Result<(), StoreError> {
        let sql = format!("UPDATE leases SET ends_at = {CLOCK} WHERE replica = $1 AND ends_at > {CLOCK}");
        self.execute("end the lease", sqlx::query(&sql).bind(replica.as_str())).await
    }

    async fn forget_lease(&mut self, replica: &ReplicaId) -> Result<(), StoreError> {
        let sql = format!("DELETE FROM leases WHERE replica = $1 AND ends_at <= {CLOCK}");
        self.execute("forget a lease", sqlx::query(&sql).bind(replica.as_str())).await
    }

    async fn add_purpose_keys(&mut self, keys: &[PurposeKeyRow]) -> Result<(), StoreError> {
        self.begin().await?;
        for key in keys {
            // Only where the purpose has no key at all: two processes that start together agree.
            let sql = "INSERT INTO purpose_keys (purpose, kid, sealed, created_at, active_at)
                       SELECT $1, $2, $3, $4, $5
                       WHERE NOT EXISTS (SELECT FROM purpose_keys WHERE purpose = $1)";
            let query = sqlx::query(sql).bind(&key.purpose).bind(&key.kid);
            let query = query.bind(&key.sealed).bind(key.created_at_us).bind(key.active_at_us);
            if let Err(error) = self.execute("keep a purpose key", query).await {
                self.rollback().await;
                return Err(error);
            }
        }
        let committed = self.commit().await;
        // A connection belongs to the thread that made it, and the appender has one of its own.
        if let Some(connection) = self.connection.take() {
            primary::close(connection).await;
        }
        committed
    }
}

fn no_answer(doing: &'static str) -> StoreError {
    failed(doing, format!("no answer within {} ms", ANSWER_WAIT.as_millis()))
}

fn appended(doing: &'static str, rows: &[PgRow]) -> Result<Appended, StoreError> {
    let (first, foreign) = rows.split_first().ok_or_else(|| failed(doing, "there was no answer"))?;
    let number = |index: usize| first.try_get::<i64, _>(index).map_err(|error| failed(doing, error));
    Ok(Appended {
        written: first.try_get(0).map_err(|error| failed(doing, error))?,
        head: Position(number(1)?.cast_unsigned()),
        recorded_at: Micros(number(2)?),
        foreign: foreign
            .iter()
            .map(|row| recorded_from(doing, row, 1).map(Arc::new))
            .collect::<Result<_, _>>()?,
    })
}
