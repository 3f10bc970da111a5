//! The read side: a pool of connections to the primary, shared by everybody.

use std::sync::Arc;

use async_trait::async_trait;
use proctor_domain::{Micros, Position, Recorded, ReplicaId, StreamId};
use sqlx::postgres::{PgConnection, PgPool, PgRow};
use sqlx::query::Query;
use sqlx::{Postgres, Row as _};
use tokio::time::timeout;

use super::primary::{Primary, close};
use super::{
    ANSWER_WAIT, CLOCK, all_recorded, database, failed, is_refusal, last, moved, read_after, read_newest,
    read_stream,
};
use crate::journal::MovedAway;
use crate::journal::store::{Lease, Reader, StoreError, SubjectRow};
use crate::vault::PurposeKeyRow;

/// Among so many events the one is that carries a stream's state, unless the stream is from before there was any.
const NEWEST_MAX: usize = 128;

type Asked<'q> = Query<'q, Postgres, sqlx::postgres::PgArguments>;

/// See [`super::open`].
#[derive(Clone)]
pub struct PostgresReader {
    pub(super) pool: PgPool,
    primary: Arc<Primary>,
}

impl PostgresReader {
    pub(super) fn new(pool: PgPool, primary: Arc<Primary>) -> Self {
        Self { pool, primary }
    }

    /// The connections that everything here shares.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub(super) async fn with<T>(
        &self,
        doing: &'static str,
        read: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, StoreError> {
        let answer = timeout(ANSWER_WAIT, async {
            let mut connection = self.pool.acquire().await?;
            read(&mut connection).await
        });
        match answer.await {
            Ok(Ok(rows)) => Ok(rows),
            Ok(Err(error)) if is_refusal(&error) => Err(database(doing, error)),
            Ok(Err(error)) => {
                self.look_for_the_primary();
                Err(failed(doing, error))
            }
            Err(_) => {
                self.look_for_the_primary();
                Err(failed(doing, format!("no answer within {} ms", ANSWER_WAIT.as_millis())))
            }
        }
    }

    /// So that the next question goes to where the primary is now.
    fn look_for_the_primary(&self) {
        if self.primary.may_move() {
            let primary = Arc::clone(&self.primary);
            tokio::spawn(async move {
                match primary.connect().await {
                    Ok(connection) => close(connection).await,
                    Err(error) => tracing::debug!(%error, "there is no primary to read from"),
                }
            });
        }
    }

    async fn one<T>(
        &self,
        doing: &'static str,
        query: Asked<'_>,
        map: fn(&PgRow) -> Result<T, sqlx::Error>,
    ) -> Result<Option<T>, StoreError> {
        self.with(doing, async |connection| {
            query.fetch_optional(connection).await?.as_ref().map(map).transpose()
        })
        .await
    }

    pub(super) async fn all<T>(
        &self,
        doing: &'static str,
        query: Asked<'_>,
        map: fn(&PgRow) -> Result<T, sqlx::Error>,
    ) -> Result<Vec<T>, StoreError> {
        self.with(doing, async |connection| query.fetch_all(connection).await?.iter().map(map).collect())
            .await
    }
}

#[async_trait]
impl Reader for PostgresReader {
    async fn head(&self) -> Result<Position, StoreError> {
        self.with("read the journal's head", last).await
    }

    async fn now(&self) -> Result<Micros, StoreError> {
        let sql = format!("SELECT {CLOCK}");
        let query = sqlx::query_scalar(&sql);
        self.with("read the database's clock", async |connection| query.fetch_one(connection).await)
            .await
            .map(Micros)
    }

    async fn read(&self, after: Position, limit: usize) -> Result<Vec<Arc<Recorded>>, StoreError> {
        let doing = "read the journal";
        let rows = self.with(doing, async |connection| read_after(connection, after, limit).await);
        all_recorded(doing, &rows.await?)
    }

    async fn stream(&self, stream: &StreamId, after: u64) -> Result<Vec<Arc<Recorded>>, StoreError> {
        let doing = "read a stream";
        let rows = self.with(doing, async |connection| read_stream(connection, stream, after).await);
        all_recorded(doing, &rows.await?)
    }

    async fn carried_stream(
        &self,
        stream: &StreamId,
        carried_by: &'static str,
    ) -> Result<Vec<Arc<Recorded>>, StoreError> {
        let doing = "read a stream";
        let read = async |connection: &mut PgConnection| read_newest(connection, stream, NEWEST_MAX).await;
        let mut newest = all_recorded(doing, &self.with(doing, read).await?)?;
        let carried = newest.iter().position(|event| event.event.type_name() == carried_by);
        if carried.is_none() && newest.len() == NEWEST_MAX {
            return self.stream(stream, 0).await;
        }
        newest.truncate(carried.map_or(newest.len(), |at| at + 1));
        newest.reverse();
        Ok(newest)
    }

    async fn stream_ids(&self, kind: &'static str) -> Result<Vec<String>, StoreError> {
        // From one identifier to the next by the index: it takes as long as there are streams, not
        // events.
        let sql = "WITH RECURSIVE ids (id) AS (
                       (SELECT aggregate_id FROM events WHERE aggregate_type = $1 ORDER BY 1 LIMIT 1)
                       UNION ALL
                       SELECT (SELECT aggregate_id FROM events
                               WHERE aggregate_type = $1 AND aggregate_id > id ORDER BY 1 LIMIT 1)
                       FROM ids WHERE id IS NOT NULL
                   )
                   SELECT id FROM ids WHERE id IS NOT NULL";
        self.all("list the streams", sqlx::query(sql).bind(kind), |row| row.try_get(0)).await
    }

    async fn sealed(&self, position: Position) -> Result<Option<Vec<u8>>, StoreError> {
        let query = sqlx::query("SELECT sealed FROM payloads WHERE position = $1");
        self.one("read what is sealed", query.bind(position.0.cast_signed()), |row| row.try_get(0)).await
    }

    async fn definition(&self, digest: &str) -> Result<Option<String>, StoreError> {
        let query = sqlx::query("SELECT json FROM definitions WHERE digest = $1");
        self.one("read a tool definition", query.bind(digest), |row| row.try_get(0)).await
    }

    async fn subject_by_index(&self, user_index: &[u8]) -> Result<Option<SubjectRow>, StoreError> {
        let sql = "SELECT subject, user_index, user_sealed, wrapped_key FROM subjects WHERE user_index = $1";
        self.one("look up a user", sqlx::query(sql).bind(user_index), subject_row).await
    }

    async fn subject(&self, subject: &str) -> Result<Option<SubjectRow>, StoreError> {
        let sql = "SELECT subject, user_index, user_sealed, wrapped_key FROM subjects WHERE subject = $1";
        self.one("look up a user", sqlx::query(sql).bind(subject), subject_row).await
    }

    async fn subjects(&self, after: &str, limit: usize) -> Result<Vec<SubjectRow>, StoreError> {
        let sql = "SELECT subject, user_index, user_sealed, wrapped_key FROM subjects
                   WHERE subject > $1 ORDER BY subject LIMIT $2";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.all("list the users", sqlx::query(sql).bind(after).bind(limit), subject_row).await
    }

    async fn session_key(&self, session: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let query = sqlx::query("SELECT wrapped FROM session_keys WHERE session = $1");
        self.one("read a session's key", query.bind(session), |row| row.try_get(0)).await
    }

    async fn user_credential(
        &self,
        subject: &str,
        connection: &str,
        generation: u32,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "SELECT CASE generation WHEN $3 THEN sealed ELSE previous_sealed END FROM user_credentials
             WHERE subject = $1 AND connection = $2 AND $3 IN (generation, previous_generation)";
        let query = sqlx::query(sql).bind(subject).bind(connection).bind(i64::from(generation));
        self.one("read a user's credential", query, |row| row.try_get(0)).await
    }

    async fn pending_credential(
        &self,
        subject: &str,
        connection: &str,
        link: &str,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let sql =
            "SELECT sealed FROM pending_credentials WHERE subject = $1 AND connection = $2 AND link = $3";
        let query = sqlx::query(sql).bind(subject).bind(connection).bind(link);
        self.one("read what a link brought", query, |row| row.try_get(0)).await
    }

    async fn connection_secret(
        &self,
        connection: &str,
        generation: u32,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "SELECT sealed FROM connection_secrets WHERE connection = $1 AND generation = $2";
        let query = sqlx::query(sql).bind(connection).bind(i64::from(generation));
        self.one("read a connection's secret", query, |row| row.try_get(0)).await
    }

    async fn purpose_keys(&self) -> Result<Vec<PurposeKeyRow>, StoreError> {
        let sql = "SELECT purpose, kid, sealed, created_at, active_at FROM purpose_keys
                   ORDER BY purpose, created_at";
        self.all("read the purpose keys", sqlx::query(sql), |row| {
            Ok(PurposeKeyRow {
                purpose: row.try_get(0)?,
                kid: row.try_get(1)?,
                sealed: row.try_get(2)?,
                created_at_us: row.try_get(3)?,
                active_at_us: row.try_get(4)?,
            })
        })
        .await
    }

    async fn leases(&self) -> Result<Vec<Lease>, StoreError> {
        let sql = "SELECT replica, ends_at, confirmed, reads, master_keys FROM leases";
        self.all("read the leases", sqlx::query(sql), |row| {
            Ok(Lease {
                replica: ReplicaId::from(row.try_get::<String, _>(0)?),
                ends_at: Micros(row.try_get(1)?),
                confirmed: Position(row.try_get::<i64, _>(2)?.cast_unsigned()),
                reads: u32::try_from(row.try_get::<i64, _>(3)?).unwrap_or(u32::MAX),
                master_keys: row.try_get(4)?,
            })
        })
        .await
    }

    async fn moved(&self) -> Result<Option<MovedAway>, StoreError> {
        self.with("read where the journal was moved to", moved).await
    }
}

fn subject_row(row: &PgRow) -> Result<SubjectRow, sqlx::Error> {
    Ok(SubjectRow {
        subject: row.try_get(0)?,
        user_index: row.try_get(1)?,
        user_sealed: row.try_get(2)?,
        wrapped_key: row.try_get(3)?,
    })
}
