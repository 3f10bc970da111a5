//! Requests that must not be carried out twice: a table beside the journal, each row of it for a day.
//!
//! **Invariants.** Of all processes that begin the same request, one does. What began is there, and
//! durable, before anything that it does.

use std::sync::Arc;

use proctor_domain::{Micros, ReplicaId};

use super::copying::Cell;
use super::rows::{Rows, Statement};
use super::store::StoreError;

/// How long a row is kept.
const KEPT_US: i64 = 24 * 3_600 * 1_000_000;

/// A request that was begun before.
pub struct Begun {
    /// Who carries it out, or did.
    pub replica: ReplicaId,
    /// What was asked, and what was answered once it was.
    pub sealed: Vec<u8>,
}

/// The table.
#[derive(Clone)]
pub struct IdempotentRequests(Arc<dyn Rows>);

impl IdempotentRequests {
    /// The one in this database.
    #[must_use]
    pub fn new(rows: Arc<dyn Rows>) -> Self {
        Self(rows)
    }

    /// Begins a request, or answers with what stands there of one that was begun less than a day ago.
    ///
    /// # Errors
    /// When the store cannot be written or read; then whoever asks does nothing.
    pub async fn begin(
        &self,
        request: &str,
        replica: &ReplicaId,
        now: Micros,
        sealed: Vec<u8>,
    ) -> Result<Option<Begun>, StoreError> {
        let doing = "begin a request that must not be carried out twice";
        let old = "DELETE FROM idempotent_requests WHERE began_at <= $1";
        let new = "INSERT INTO idempotent_requests (request, replica, began_at, sealed)
                   VALUES ($1, $2, $3, $4) ON CONFLICT (request) DO NOTHING";
        let parameters = vec![request.into(), replica.as_str().into(), now.0.into(), Cell::Bytes(sealed)];
        let statements = vec![
            Statement { sql: old, parameters: vec![now.0.saturating_sub(KEPT_US).into()] },
            Statement { sql: new, parameters },
        ];
        let written = self.0.write(doing, statements).await?;
        if written.last() == Some(&1) {
            return Ok(None);
        }
        let sql = "SELECT replica, sealed FROM idempotent_requests WHERE request = $1";
        let mut rows = self.0.read(doing, Statement { sql, parameters: vec![request.into()] }).await?;
        match rows.pop().map(<[Cell; 2]>::try_from) {
            Some(Ok([Cell::Text(replica), Cell::Bytes(sealed)])) => {
                Ok(Some(Begun { replica: replica.as_str().into(), sealed }))
            }
            // Its carrier has just given it up.
            None => Err(StoreError::Database { doing, reason: "the row that stood there is gone".into() }),
            Some(_) => Err(StoreError::Database { doing, reason: "a row has other columns".into() }),
        }
    }

    /// Keeps what became of a request that this replica began.
    ///
    /// # Errors
    /// When the store cannot be written; then nobody is told what became of it.
    pub async fn end(&self, request: &str, replica: &ReplicaId, sealed: Vec<u8>) -> Result<(), StoreError> {
        let sql = "UPDATE idempotent_requests SET sealed = $1 WHERE request = $2 AND replica = $3";
        let parameters = vec![Cell::Bytes(sealed), request.into(), replica.as_str().into()];
        self.0.write("keep a request's answer", vec![Statement { sql, parameters }]).await.map(drop)
    }

    /// Forgets a request that this replica began and that nothing came of: it may be sent again.
    ///
    /// # Errors
    /// When the store cannot be written; then it stays begun.
    pub async fn give_up(&self, request: &str, replica: &ReplicaId) -> Result<(), StoreError> {
        let sql = "DELETE FROM idempotent_requests WHERE request = $1 AND replica = $2";
        let parameters = vec![request.into(), replica.as_str().into()];
        self.0.write("give a request up", vec![Statement { sql, parameters }]).await.map(drop)
    }
}
