//! The write side: one connection, owned by the appender's thread.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use proctor_domain::{Micros, Position, Recorded, ReplicaId, StreamId};
use rusqlite::{Connection, OpenFlags};

use super::fold::Fold;
use super::turn::Turns;
use super::{FileId, chain, clock, connect, database, last, read_after, read_stream, refused};
use crate::journal::append::SideWrite;
use crate::journal::store::{Row, Store, StoreError, Tip};
use crate::vault::PurposeKeyRow;

/// See [`super::open`].
pub struct SqliteStore {
    path: PathBuf,
    turns: Turns,
    connection: Option<(Connection, FileId)>,
    fold: Fold,
}

impl SqliteStore {
    pub(super) fn new(path: PathBuf, turns: Turns, connection: Connection, file: FileId) -> Self {
        Self { path, turns, connection: Some((connection, file)), fold: Fold::default() }
    }

    fn connection(&mut self) -> Result<&Connection, StoreError> {
        connected(&mut self.connection, &self.path)
    }

    /// Lets the file grow to so many pages only, as a full disk does.
    #[cfg(test)]
    pub(crate) fn limit_pages(&mut self, pages: u32) {
        let limited = self.connection().unwrap().execute_batch(&format!("PRAGMA max_page_count = {pages}"));
        limited.unwrap();
    }

    /// Whoever replaces a file leaves us with the old one, which nobody else sees.
    fn follow_replaced_file(&mut self) -> Result<(), StoreError> {
        if let Some((_, file)) = &self.connection
            && FileId::of(&self.path)? != *file
        {
            tracing::error!(path = %self.path.display(), "the journal's file was replaced; reading the new one");
            self.connection = None;
        }
        Ok(())
    }

    fn execute(
        &mut self,
        doing: &'static str,
        sql: &str,
        parameters: impl rusqlite::Params,
    ) -> Result<(), StoreError> {
        execute(self.connection()?, doing, sql, parameters)
    }

    /// Executes what takes the write lock, in turn with others.
    fn execute_in_turn(
        &mut self,
        doing: &'static str,
        sql: &str,
        parameters: impl rusqlite::Params,
    ) -> Result<(), StoreError> {
        let connection = connected(&mut self.connection, &self.path)?;
        let _turn = if connection.is_autocommit() { Some(self.turns.wait()?) } else { None };
        execute(connection, doing, sql, parameters)
    }
}

fn connected<'a>(
    connection: &'a mut Option<(Connection, FileId)>,
    path: &Path,
) -> Result<&'a Connection, StoreError> {
    let (connection, _) = match connection.take() {
        Some(connected) => connection.insert(connected),
        // Not made anew when it is gone: an empty journal in its place would look whole.
        None => connection.insert(connect(path, OpenFlags::empty())?),
    };
    Ok(connection)
}

fn execute(
    connection: &Connection,
    doing: &'static str,
    sql: &str,
    parameters: impl rusqlite::Params,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(|error| database(doing, error))?;
    statement.execute(parameters).map(drop).map_err(|error| refused(connection, doing, error))
}

impl Store for SqliteStore {
    async fn begin(&mut self) -> Result<(Position, Micros), StoreError> {
        self.follow_replaced_file()?;
        self.execute_in_turn("take the append lock", "BEGIN IMMEDIATE", ())?;
        let (position, recorded_at) =
            last(self.connection()?).map_err(|error| database("read the journal's head", error))?;
        Ok((position, clock().max(recorded_at)))
    }

    async fn head(&mut self) -> Result<Position, StoreError> {
        self.follow_replaced_file()?;
        last(self.connection()?)
            .map(|(position, _)| position)
            .map_err(|error| database("read the journal's head", error))
    }

    async fn changed(&mut self) {
        // A file tells nobody: others are found by looking.
        std::future::pending().await
    }

    async fn read(&mut self, after: Position, limit: usize) -> Result<Vec<Arc<Recorded>>, StoreError> {
        read_after(self.connection()?, after, limit)
    }

    async fn tips(&mut self, streams: &[StreamId]) -> Result<Vec<Tip>, StoreError> {
        let connection = self.connection()?;
        streams.iter().map(|stream| chain::tip(connection, stream)).collect()
    }

    async fn stream(&mut self, stream: &StreamId, after: u64) -> Result<Vec<Arc<Recorded>>, StoreError> {
        read_stream(self.connection()?, stream, after)
    }

    async fn insert(&mut self, row: &Row<'_>) -> Result<(), StoreError> {
        let position = row.position.0.cast_signed();
        self.execute(
            "append an event",
            "INSERT INTO events (position, recorded_at, event_id, aggregate_type, aggregate_id, sequence, \
             event_type, event_version, payload, metadata, previous) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            (
                position,
                row.recorded_at.0,
                row.event_id,
                row.stream.kind,
                &*row.stream.id,
                row.sequence.cast_signed(),
                row.event_type,
                row.event_version,
                row.payload,
                row.metadata,
                row.previous.0.cast_signed(),
            ),
        )?;
        let end = Tip { sequence: row.sequence, position: row.position };
        chain::move_tip(self.connection()?, row.stream.kind, &row.stream.id, row.previous, end)?;
        if let Some(sealed) = row.sealed {
            let sql = "INSERT INTO payloads (position, sealed) VALUES (?1, ?2)";
            self.execute("append what is sealed", sql, (position, sealed))?;
        }
        Ok(())
    }

    async fn side_write(&mut self, write: &SideWrite) -> Result<(), StoreError> {
        match write {
            SideWrite::Definition { digest, json } => self.execute(
                "keep a tool definition",
                "INSERT INTO definitions (digest, json) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
                (digest, &**json),
            ),
            SideWrite::Subject(row) => self.execute(
                "keep a user's reference",
                "INSERT INTO subjects (subject, user_index, user_sealed, wrapped_key) VALUES (?1, ?2, ?3, ?4)",
                (&row.subject, &row.user_index, &row.user_sealed, &row.wrapped_key),
            ),
            SideWrite::UserIndexesFree(indexes) => {
                let doing = "look whether a user is there under another key";
                let sql = "SELECT 1 FROM subjects WHERE user_index = ?1";
                let failed = |error| database(doing, error);
                let mut statement = self.connection()?.prepare_cached(sql).map_err(failed)?;
                for index in indexes {
                    if statement.exists((index,)).map_err(failed)? {
                        return Err(StoreError::Exists { doing });
                    }
                }
                Ok(())
            }
            SideWrite::PurposeKey(key) => self.execute(
                "keep a purpose key",
                "INSERT INTO purpose_keys (purpose, kid, sealed, created_at, active_at)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
                (&key.purpose, &key.kid, &key.sealed, key.created_at_us, key.active_at_us),
            ),
            SideWrite::SessionKey { session, wrapped } => self.execute(
                "keep a session's key",
                "INSERT INTO session_keys (session, wrapped) VALUES (?1, ?2)",
                (session, wrapped),
            ),
            SideWrite::UserCredential { subject, connection, generation, sealed, keeps_previous } => self
                .execute(
                    "keep a user's credential",
                    "INSERT INTO user_credentials (subject, connection, generation, sealed)
                     VALUES (?1, ?2, ?3, ?4) ON CONFLICT (subject, connection) DO UPDATE SET
                     previous_generation = CASE WHEN ?5 THEN generation ELSE 0 END,
                     previous_sealed = CASE WHEN ?5 THEN sealed ELSE x'' END,
                     generation = excluded.generation, sealed = excluded.sealed",
                    (subject, connection, generation, sealed, keeps_previous),
                ),
            SideWrite::ForgottenCredential { subject, connection } => self.execute(
                "forget a user's credential",
                "DELETE FROM user_credentials WHERE subject = ?1 AND connection = ?2",
                (subject, connection),
            ),
            SideWrite::PendingCredential { subject, connection, link, sealed } => self.execute(
                "keep what a link brought",
                "INSERT INTO pending_credentials (subject, connection, link, sealed) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (subject, connection) DO UPDATE SET link = excluded.link, sealed = excluded.sealed",
                (subject, connection, link, sealed),
            ),
            SideWrite::ForgottenPending { subject, connection } => self.execute(
                "forget what a link brought",
                "DELETE FROM pending_credentials WHERE subject = ?1 AND connection = ?2",
                (subject, connection),
            ),
            SideWrite::ConnectionSecret { connection, generation, sealed } => self.execute(
                "keep a connection's secret",
                "INSERT INTO connection_secrets (connection, generation, sealed) VALUES (?1, ?2, ?3)",
                (connection, generation, sealed),
            ),
            SideWrite::WebhookSecret { webhook, generation, sealed } => self.execute(
                "keep a webhook's secret",
                "INSERT INTO webhook_secrets (webhook, generation, sealed) VALUES (?1, ?2, ?3)",
                (webhook, generation, sealed),
            ),
        }
    }

    async fn flush(&mut self) -> Result<(), StoreError> {
        // Nothing was kept: to write a row costs no journey here.
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), StoreError> {
        let connection = connected(&mut self.connection, &self.path)?;
        execute(connection, "commit to the journal", "COMMIT", ())?;
        self.fold.committed(connection, &self.path);
        Ok(())
    }

    async fn rollback(&mut self) {
        // Some errors have rolled back already.
        let open = self.connection.as_ref().is_some_and(|(connection, _)| !connection.is_autocommit());
        // Should it fail, the connection is not to be trusted: closing it rolls back for certain.
        if open && self.execute("roll back", "ROLLBACK", ()).is_err() {
            self.connection = None;
        }
    }

    fn abandon(&mut self) {
        self.connection = None;
    }

    async fn reopen(&mut self) -> Result<(), StoreError> {
        self.abandon();
        self.connection().map(drop)
    }

    async fn harden(&mut self) -> Result<(), StoreError> {
        let failed = |error| database("fold the write-ahead log into the journal", error);
        let blocked: bool = self
            .connection()?
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| row.get(0))
            .map_err(failed)?;
        if blocked {
            return Err(StoreError::Database {
                doing: "fold the write-ahead log into the journal",
                reason: "others are reading from it".into(),
            });
        }
        Ok(())
    }

    async fn renew_lease(
        &mut self,
        replica: &ReplicaId,
        lasts_ms: u64,
        confirmed: Position,
        reads: u32,
        master_keys: &str,
    ) -> Result<(), StoreError> {
        let lasts_us = i64::try_from(lasts_ms.saturating_mul(1_000)).unwrap_or(i64::MAX);
        self.execute_in_turn(
            "renew the lease",
            "INSERT INTO leases (replica, ends_at, confirmed, reads, master_keys) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (replica) DO UPDATE SET ends_at = ?2, confirmed = ?3, reads = ?4, master_keys = ?5",
            (
                replica.as_str(),
                clock().0.saturating_add(lasts_us),
                confirmed.0.cast_signed(),
                reads,
                master_keys,
            ),
        )
    }

    async fn end_lease(&mut self, replica: &ReplicaId) -> Result<(), StoreError> {
        let sql = "UPDATE leases SET ends_at = ?2 WHERE replica = ?1 AND ends_at > ?2";
        self.execute_in_turn("end the lease", sql, (replica.as_str(), clock().0))
    }

    async fn forget_lease(&mut self, replica: &ReplicaId) -> Result<(), StoreError> {
        let sql = "DELETE FROM leases WHERE replica = ?1 AND ends_at <= ?2";
        self.execute_in_turn("forget a lease", sql, (replica.as_str(), clock().0))
    }

    async fn add_purpose_keys(&mut self, keys: &[PurposeKeyRow]) -> Result<(), StoreError> {
        self.begin().await?;
        for key in keys {
            // Only where the purpose has no key at all: two processes that start together agree.
            let added = self.execute(
                "keep a purpose key",
                "INSERT INTO purpose_keys (purpose, kid, sealed, created_at, active_at)
                 SELECT ?1, ?2, ?3, ?4, ?5 WHERE NOT EXISTS (SELECT 1 FROM purpose_keys WHERE purpose = ?1)",
                (&key.purpose, &key.kid, &key.sealed, key.created_at_us, key.active_at_us),
            );
            if let Err(error) = added {
                self.rollback().await;
                return Err(error);
            }
        }
        self.commit().await
    }
}
