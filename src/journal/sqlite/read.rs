//! The read side: a few read-only connections, used on blocking threads.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use proctor_domain::{Micros, Position, Recorded, ReplicaId, StreamId};
use rusqlite::{Connection, OptionalExtension as _};

use tokio::sync::Semaphore;

use super::{
    FileId, clock, connect_read_only, database, last, moved, read_after, read_carried_stream, read_stream,
};
use crate::journal::MovedAway;
use crate::journal::store::{Lease, Reader, StoreError, SubjectRow};
use crate::vault::PurposeKeyRow;

/// Reads at the same time, each on a connection of its own; more wait.
const READS_AT_ONCE_MAX: usize = 8;
/// Connections kept open between uses.
const IDLE_CONNECTIONS_MAX: usize = 4;

/// See [`super::open`].
#[derive(Clone)]
pub struct SqliteReader {
    path: PathBuf,
    idle: Arc<Mutex<Vec<(Connection, FileId)>>>,
    turns: Arc<Semaphore>,
}

impl SqliteReader {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, idle: Arc::default(), turns: Arc::new(Semaphore::new(READS_AT_ONCE_MAX)) }
    }

    pub(super) async fn with<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let idle = Arc::clone(&self.idle);
        let path = self.path.clone();
        // Never closed, so that there is always a turn.
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let run = move || {
            let _turn = turn;
            let kept = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let there = FileId::of(&path)?;
            let (connection, file) = match kept.filter(|(_, file)| *file == there) {
                Some(connected) => connected,
                None => connect_read_only(&path)?,
            };
            let answer = read(&connection)?;
            let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < IDLE_CONNECTIONS_MAX {
                idle.push((connection, file));
            }
            Ok(answer)
        };
        tokio::task::spawn_blocking(run)
            .await
            .map_err(|error| StoreError::Database { doing: "read the journal", reason: error.to_string() })?
    }

    async fn one<T: Send + 'static>(
        &self,
        doing: &'static str,
        sql: &'static str,
        parameters: impl rusqlite::Params + Send + 'static,
        map: fn(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        self.with(move |connection| {
            let failed = |error| database(doing, error);
            let mut statement = connection.prepare_cached(sql).map_err(failed)?;
            statement.query_row(parameters, map).optional().map_err(failed)
        })
        .await
    }

    async fn all<T: Send + 'static>(
        &self,
        doing: &'static str,
        sql: &'static str,
        parameters: impl rusqlite::Params + Send + 'static,
        map: fn(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        self.with(move |connection| {
            let failed = |error| database(doing, error);
            let mut statement = connection.prepare_cached(sql).map_err(failed)?;
            let rows = statement.query_map(parameters, map).map_err(failed)?;
            rows.collect::<Result<_, _>>().map_err(failed)
        })
        .await
    }
}

#[async_trait]
impl Reader for SqliteReader {
    async fn head(&self) -> Result<Position, StoreError> {
        self.with(|connection| last(connection).map_err(|error| database("read the journal's head", error)))
            .await
            .map(|(position, _)| position)
    }

    async fn now(&self) -> Result<Micros, StoreError> {
        Ok(clock())
    }

    async fn read(&self, after: Position, limit: usize) -> Result<Vec<Arc<Recorded>>, StoreError> {
        self.with(move |connection| read_after(connection, after, limit)).await
    }

    async fn stream(&self, stream: &StreamId, after: u64) -> Result<Vec<Arc<Recorded>>, StoreError> {
        let stream = stream.clone();
        self.with(move |connection| read_stream(connection, &stream, after)).await
    }

    async fn carried_stream(
        &self,
        stream: &StreamId,
        carried_by: &'static str,
    ) -> Result<Vec<Arc<Recorded>>, StoreError> {
        let stream = stream.clone();
        self.with(move |connection| read_carried_stream(connection, &stream, carried_by)).await
    }

    async fn stream_ids(&self, kind: &'static str) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT aggregate_id FROM streams WHERE aggregate_type = ?1 ORDER BY 1";
        self.all("list the streams", sql, (kind,), |row| row.get(0)).await
    }

    async fn sealed(&self, position: Position) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "SELECT sealed FROM payloads WHERE position = ?1";
        self.one("read what is sealed", sql, (position.0.cast_signed(),), |row| row.get(0)).await
    }

    async fn definition(&self, digest: &str) -> Result<Option<String>, StoreError> {
        let sql = "SELECT json FROM definitions WHERE digest = ?1";
        self.one("read a tool definition", sql, (digest.to_owned(),), |row| row.get(0)).await
    }

    async fn subject_by_index(&self, user_index: &[u8]) -> Result<Option<SubjectRow>, StoreError> {
        let sql = "SELECT subject, user_index, user_sealed, wrapped_key FROM subjects WHERE user_index = ?1";
        self.one("look up a user", sql, (user_index.to_vec(),), subject_row).await
    }

    async fn subject(&self, subject: &str) -> Result<Option<SubjectRow>, StoreError> {
        let sql = "SELECT subject, user_index, user_sealed, wrapped_key FROM subjects WHERE subject = ?1";
        self.one("look up a user", sql, (subject.to_owned(),), subject_row).await
    }

    async fn subjects(&self, after: &str, limit: usize) -> Result<Vec<SubjectRow>, StoreError> {
        let sql = "SELECT subject, user_index, user_sealed, wrapped_key FROM subjects
                   WHERE subject > ?1 ORDER BY subject LIMIT ?2";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.all("list the users", sql, (after.to_owned(), limit), subject_row).await
    }

    async fn session_key(&self, session: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "SELECT wrapped FROM session_keys WHERE session = ?1";
        self.one("read a session's key", sql, (session.to_owned(),), |row| row.get(0)).await
    }

    async fn user_credential(
        &self,
        subject: &str,
        connection: &str,
        generation: u32,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "SELECT CASE generation WHEN ?3 THEN sealed ELSE previous_sealed END FROM user_credentials
             WHERE subject = ?1 AND connection = ?2 AND ?3 IN (generation, previous_generation)";
        let asked = (subject.to_owned(), connection.to_owned(), generation);
        self.one("read a user's credential", sql, asked, |row| row.get(0)).await
    }

    async fn pending_credential(
        &self,
        subject: &str,
        connection: &str,
        link: &str,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let sql =
            "SELECT sealed FROM pending_credentials WHERE subject = ?1 AND connection = ?2 AND link = ?3";
        let asked = (subject.to_owned(), connection.to_owned(), link.to_owned());
        self.one("read what a link brought", sql, asked, |row| row.get(0)).await
    }

    async fn connection_secret(
        &self,
        connection: &str,
        generation: u32,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "SELECT sealed FROM connection_secrets WHERE connection = ?1 AND generation = ?2";
        self.one("read a connection's secret", sql, (connection.to_owned(), generation), |row| row.get(0))
            .await
    }

    async fn purpose_keys(&self) -> Result<Vec<PurposeKeyRow>, StoreError> {
        let sql = "SELECT purpose, kid, sealed, created_at, active_at FROM purpose_keys
                   ORDER BY purpose, created_at";
        self.all("read the purpose keys", sql, (), |row| {
            Ok(PurposeKeyRow {
                purpose: row.get(0)?,
                kid: row.get(1)?,
                sealed: row.get(2)?,
                created_at_us: row.get(3)?,
                active_at_us: row.get(4)?,
            })
        })
        .await
    }

    async fn leases(&self) -> Result<Vec<Lease>, StoreError> {
        let sql = "SELECT replica, ends_at, confirmed, reads, master_keys FROM leases";
        self.all("read the leases", sql, (), |row| {
            Ok(Lease {
                replica: ReplicaId::from(row.get::<_, String>(0)?),
                ends_at: Micros(row.get(1)?),
                confirmed: Position(row.get::<_, i64>(2)?.cast_unsigned()),
                reads: row.get(3)?,
                master_keys: row.get(4)?,
            })
        })
        .await
    }

    async fn moved(&self) -> Result<Option<MovedAway>, StoreError> {
        self.with(moved).await
    }
}

fn subject_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<SubjectRow> {
    Ok(SubjectRow {
        subject: row.get(0)?,
        user_index: row.get(1)?,
        user_sealed: row.get(2)?,
        wrapped_key: row.get(3)?,
    })
}
