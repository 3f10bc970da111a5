//! The journal as cqrs-es knows a store of events: for reading, as `postgres-es` reads it, on the
//! pool that everybody here reads with.
//!
//! **Invariants.** Nothing is written here. `postgres-es` would open a transaction for each command
//! and knows no global order; events get their places from the appender alone.

use cqrs_es::Aggregate;
use cqrs_es::persist::{
    PersistedEventRepository, PersistenceError, ReplayFeed, ReplayStream, SerializedEvent, SerializedSnapshot,
};
use postgres_es::PostgresEventRepository;
use serde_json::Value;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::PostgresReader;
use crate::journal::append::WritesThroughTheJournal;

/// Events read at once while replaying.
const PAGE_EVENTS: i64 = 1_000;

const STREAM: &str = "SELECT aggregate_id, sequence, aggregate_type, event_type, event_version, payload, \
                      metadata, sequence AS place FROM events WHERE aggregate_type = $1 \
                      AND aggregate_id = $2 AND sequence > $3 ORDER BY sequence LIMIT $4";
const ALL: &str = "SELECT aggregate_id, sequence, aggregate_type, event_type, event_version, payload, \
                   metadata, position AS place FROM events WHERE aggregate_type = $1 AND $2 = '' \
                   AND position > $3 ORDER BY position LIMIT $4";

impl PostgresReader {
    fn repository(&self) -> PostgresEventRepository {
        PostgresEventRepository::new(self.pool.clone())
    }

    /// In pages, and not as `postgres-es` streams: that panics when its connection is lost.
    async fn replay(self, sql: &'static str, kind: &'static str, id: String, mut feed: ReplayFeed) {
        let mut after: i64 = 0;
        loop {
            let query = sqlx::query(sql).bind(kind).bind(&id).bind(after).bind(PAGE_EVENTS);
            let page = match self.all("read a stream", query, stored).await {
                Ok(page) => page,
                Err(error) => {
                    let error = PersistenceError::ConnectionError(Box::new(error));
                    // Whoever replays may have gone.
                    let _ = feed.push(Err(error)).await;
                    return;
                }
            };
            let Some((_, last)) = page.last() else { return };
            after = *last;
            for (event, _) in page {
                if feed.push(Ok(event)).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// An event with the place that the next page starts after.
fn stored(row: &PgRow) -> Result<(SerializedEvent, i64), sqlx::Error> {
    let event = SerializedEvent {
        aggregate_id: row.try_get(0)?,
        sequence: usize::try_from(row.try_get::<i64, _>(1)?).unwrap_or(usize::MAX),
        aggregate_type: row.try_get(2)?,
        event_type: row.try_get(3)?,
        event_version: row.try_get(4)?,
        payload: row.try_get(5)?,
        metadata: row.try_get(6)?,
    };
    Ok((event, row.try_get(7)?))
}

impl PersistedEventRepository for PostgresReader {
    async fn get_events<A: Aggregate>(&self, id: &str) -> Result<Vec<SerializedEvent>, PersistenceError> {
        self.repository().get_events::<A>(id).await
    }

    async fn get_last_events<A: Aggregate>(
        &self,
        id: &str,
        last_sequence: usize,
    ) -> Result<Vec<SerializedEvent>, PersistenceError> {
        self.repository().get_last_events::<A>(id, last_sequence).await
    }

    async fn get_snapshot<A: Aggregate>(
        &self,
        _: &str,
    ) -> Result<Option<SerializedSnapshot>, PersistenceError> {
        // Streams are bounded: there are none.
        Ok(None)
    }

    async fn persist<A: Aggregate>(
        &self,
        _: &[SerializedEvent],
        _: Option<(String, Value, usize)>,
    ) -> Result<(), PersistenceError> {
        Err(PersistenceError::UnknownError(Box::new(WritesThroughTheJournal)))
    }

    async fn stream_events<A: Aggregate>(&self, id: &str) -> Result<ReplayStream, PersistenceError> {
        let (feed, stream) = ReplayStream::new(usize::try_from(PAGE_EVENTS).unwrap_or(usize::MAX));
        tokio::spawn(self.clone().replay(STREAM, A::TYPE, id.to_owned(), feed));
        Ok(stream)
    }

    async fn stream_all_events<A: Aggregate>(&self) -> Result<ReplayStream, PersistenceError> {
        let (feed, stream) = ReplayStream::new(usize::try_from(PAGE_EVENTS).unwrap_or(usize::MAX));
        tokio::spawn(self.clone().replay(ALL, A::TYPE, String::new(), feed));
        Ok(stream)
    }
}
