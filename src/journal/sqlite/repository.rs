//! The journal as cqrs-es knows a store of events: for reading.
//!
//! **Invariants.** Nothing is written here. cqrs-es would open a transaction for each command and
//! knows no global order; events get their places from the appender alone.

use cqrs_es::Aggregate;
use cqrs_es::persist::{
    PersistedEventRepository, PersistenceError, ReplayFeed, ReplayStream, SerializedEvent, SerializedSnapshot,
};
use rusqlite::Row;
use serde_json::Value;

use super::{SqliteReader, database};
use crate::journal::append::WritesThroughTheJournal;
use crate::journal::store::StoreError;

/// Events read at once while replaying.
const PAGE_EVENTS: usize = 1_000;

const STREAM: &str = "SELECT aggregate_id, sequence, aggregate_type, event_type, event_version, payload, \
                      metadata, position FROM events WHERE aggregate_type = ?1 AND aggregate_id = ?2 \
                      AND sequence > ?3 ORDER BY sequence LIMIT ?4";
const ALL: &str = "SELECT aggregate_id, sequence, aggregate_type, event_type, event_version, payload, \
                   metadata, position FROM events WHERE aggregate_type = ?1 AND ?2 = '' AND position > ?3 \
                   ORDER BY position LIMIT ?4";

/// An event with the place that the next page starts after.
type Paged = (SerializedEvent, i64);

impl SqliteReader {
    async fn page(
        &self,
        sql: &'static str,
        kind: &'static str,
        id: &str,
        after: i64,
        limit: usize,
    ) -> Result<Vec<Paged>, PersistenceError> {
        let id = id.to_owned();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let by_position = sql == ALL;
        let rows = self.with(move |connection| {
            let failed = |error| database("read a stream", error);
            let mut statement = connection.prepare_cached(sql).map_err(failed)?;
            let rows = statement.query_map((kind, id, after, limit), |row| stored(row, by_position));
            rows.map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)
        });
        let rows: Result<Vec<Stored>, StoreError> = rows.await;
        let rows = rows.map_err(|error| PersistenceError::ConnectionError(Box::new(error)))?;
        rows.into_iter().map(Stored::parse).collect()
    }

    async fn replay(self, sql: &'static str, kind: &'static str, id: String, mut feed: ReplayFeed) {
        let mut after = 0;
        loop {
            let page = match self.page(sql, kind, &id, after, PAGE_EVENTS).await {
                Ok(page) => page,
                Err(error) => {
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

/// A row as it stands, so that only reading it holds the connection.
struct Stored {
    event: SerializedEvent,
    payload: String,
    metadata: String,
    place: i64,
}

impl Stored {
    fn parse(self) -> Result<Paged, PersistenceError> {
        let payload = serde_json::from_str(&self.payload)?;
        let metadata = serde_json::from_str(&self.metadata)?;
        Ok((SerializedEvent { payload, metadata, ..self.event }, self.place))
    }
}

fn stored(row: &Row<'_>, by_position: bool) -> rusqlite::Result<Stored> {
    let sequence: i64 = row.get(1)?;
    Ok(Stored {
        event: SerializedEvent {
            aggregate_id: row.get(0)?,
            sequence: usize::try_from(sequence).unwrap_or(usize::MAX),
            aggregate_type: row.get(2)?,
            event_type: row.get(3)?,
            event_version: row.get(4)?,
            payload: Value::Null,
            metadata: Value::Null,
        },
        payload: row.get(5)?,
        metadata: row.get(6)?,
        place: if by_position { row.get(7)? } else { sequence },
    })
}

impl PersistedEventRepository for SqliteReader {
    async fn get_events<A: Aggregate>(&self, id: &str) -> Result<Vec<SerializedEvent>, PersistenceError> {
        self.get_last_events::<A>(id, 0).await
    }

    async fn get_last_events<A: Aggregate>(
        &self,
        id: &str,
        last_sequence: usize,
    ) -> Result<Vec<SerializedEvent>, PersistenceError> {
        let after = i64::try_from(last_sequence).unwrap_or(i64::MAX);
        let page = self.page(STREAM, A::TYPE, id, after, usize::MAX).await?;
        Ok(page.into_iter().map(|(event, _)| event).collect())
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
        let (feed, stream) = ReplayStream::new(PAGE_EVENTS);
        tokio::spawn(self.clone().replay(STREAM, A::TYPE, id.to_owned(), feed));
        Ok(stream)
    }

    async fn stream_all_events<A: Aggregate>(&self) -> Result<ReplayStream, PersistenceError> {
        let (feed, stream) = ReplayStream::new(PAGE_EVENTS);
        tokio::spawn(self.clone().replay(ALL, A::TYPE, String::new(), feed));
        Ok(stream)
    }
}
