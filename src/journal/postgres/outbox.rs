//! What waits to be sent within a transaction: many rows in one statement.

use sqlx::postgres::{PgArguments, PgConnection, PgDatabaseError, PgRow};
use sqlx::query::Query;

use super::refused;
use super::write::LOCK;
use crate::journal::store::{Batch, Row, StoreError};

/// Three tables in one statement, which is one journey to the server.
const SQL: &str = "
WITH new_events AS (
    INSERT INTO events (position, recorded_at, event_id, aggregate_type, aggregate_id, sequence,
                        event_type, event_version, payload, metadata)
    SELECT position, recorded_at, event_id, aggregate_type, aggregate_id, sequence,
           event_type, event_version, payload::json, metadata::json
    FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[],
                $7::text[], $8::text[], $9::text[], $10::text[])
      AS new (position, recorded_at, event_id, aggregate_type, aggregate_id, sequence,
              event_type, event_version, payload, metadata)
), new_payloads AS (
    INSERT INTO payloads (position, sealed) SELECT * FROM unnest($11::bigint[], $12::bytea[])
)
INSERT INTO session_keys (session, wrapped) SELECT * FROM unnest($13::text[], $14::bytea[])";

const APPEND: &str =
    "SELECT * FROM proctor_append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15,
                                     $16, $17, $18, $19, $20, $21)";

type Asked<'q> = Query<'q, sqlx::Postgres, PgArguments>;

/// One list for each column.
#[derive(Default)]
pub(super) struct Outbox {
    positions: Vec<i64>,
    recorded_at: Vec<i64>,
    event_ids: Vec<String>,
    kinds: Vec<&'static str>,
    ids: Vec<String>,
    sequences: Vec<i64>,
    types: Vec<&'static str>,
    versions: Vec<&'static str>,
    payloads: Vec<String>,
    metadata: Vec<String>,
    sealed_at: Vec<i64>,
    sealed: Vec<Vec<u8>>,
    sessions: Vec<String>,
    session_keys: Vec<Vec<u8>>,
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.positions.is_empty() && self.sessions.is_empty()
    }

    pub(super) fn event(&mut self, row: &Row<'_>) {
        let position = row.position.0.cast_signed();
        self.positions.push(position);
        self.recorded_at.push(row.recorded_at.0);
        self.event_ids.push(row.event_id.to_owned());
        self.kinds.push(row.stream.kind);
        self.ids.push(row.stream.id.to_string());
        self.sequences.push(row.sequence.cast_signed());
        self.types.push(row.event_type);
        self.versions.push(row.event_version);
        self.payloads.push(row.payload.to_owned());
        self.metadata.push(row.metadata.to_owned());
        if let Some(sealed) = row.sealed {
            self.sealed_at.push(position);
            self.sealed.push(sealed.to_vec());
        }
    }

    pub(super) fn session_key(&mut self, session: &str, wrapped: &[u8]) {
        self.sessions.push(session.to_owned());
        self.session_keys.push(wrapped.to_vec());
    }

    /// All of a batch in a transaction of its own, by the function that the migration made.
    pub(super) async fn append(
        &self,
        batch: &Batch<'_>,
        (replica, fence): (&str, i64),
        connection: &mut PgConnection,
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        let types: Vec<_> = batch.expected.iter().map(|(stream, _)| stream.kind).collect();
        let ids: Vec<_> = batch.expected.iter().map(|(stream, _)| &*stream.id).collect();
        let ends: Vec<_> = batch.expected.iter().map(|(_, sequence)| sequence.cast_signed()).collect();
        let query = sqlx::query(APPEND)
            .bind(LOCK)
            .bind(replica)
            .bind(fence)
            .bind(batch.known.0.cast_signed())
            .bind(batch.foreign_max.cast_signed())
            .bind(batch.valid_until.map(|until| until.0))
            .bind(types)
            .bind(ids)
            .bind(ends);
        self.bind_rows(query).fetch_all(connection).await
    }

    pub(super) async fn send(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let query = sqlx::query(SQL).bind(&self.positions).bind(&self.recorded_at);
        self.bind_rows(query).execute(connection).await.map(drop)
    }

    /// What both statements have in common, in the order that both have it in.
    fn bind_rows<'q>(&'q self, query: Asked<'q>) -> Asked<'q> {
        query
            .bind(&self.event_ids)
            .bind(&self.kinds)
            .bind(&self.ids)
            .bind(&self.sequences)
            .bind(&self.types)
            .bind(&self.versions)
            .bind(&self.payloads)
            .bind(&self.metadata)
            .bind(&self.sealed_at)
            .bind(&self.sealed)
            .bind(&self.sessions)
            .bind(&self.session_keys)
    }
}

/// An event whose place is taken is no row that somebody brought: only a session's key is.
pub(super) fn explain(doing: &'static str, error: sqlx::Error) -> StoreError {
    let table = error
        .as_database_error()
        .filter(|error| error.is_unique_violation())
        .and_then(|error| error.try_downcast_ref::<PgDatabaseError>())
        .and_then(PgDatabaseError::table);
    if table == Some("session_keys") { StoreError::Exists { doing } } else { refused(doing, error) }
}
