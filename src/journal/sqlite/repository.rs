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

use super::{SqliteReader, chain, database};
use crate::journal::append::WritesThroughTheJournal;
use crate::journal::store::StoreError;

/// Events read at once while replaying.
const PAGE_EVENTS: u32 = 1_000;

const PAGE: &str = "SELECT aggregate_id, sequence, aggregate_type, event_type, event_version, payload, \
                    metadata, position FROM events WHERE aggregate_type = ?1 AND position > ?2 \
                    ORDER BY position LIMIT ?3";

impl SqliteReader {
    async fn chain(
        &self,
        kind: &'static str,
        id: &str,
        after: u64,
    ) -> Result<Vec<SerializedEvent>, PersistenceError> {
        let id = id.to_owned();
        let read = self.with(move |connection| {
            chain::walk(connection, kind, &id, after, |row| {
                stored(row).map_err(|error| database("read a stream", error))
            })
        });
        parsed(read.await)
    }

    /// Events of one kind after a position, and the position of the last of them.
    async fn page(
        &self,
        kind: &'static str,
        after: i64,
    ) -> Result<Option<(Vec<SerializedEvent>, i64)>, PersistenceError> {
        let read = self.with(move |connection| {
            let failed = |error| database("read all streams of a kind", error);
            let mut statement = connection.prepare_cached(PAGE).map_err(failed)?;
            let rows = statement.query_map((kind, after, PAGE_EVENTS), stored);
            rows.map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)
        });
        let stored = read.await;
        let last = stored.as_ref().ok().and_then(|rows| rows.last()).map(|row| row.position);
        let events = parsed(stored)?;
        Ok(last.map(|last| (events, last)))
    }
}

fn parsed(rows: Result<Vec<Stored>, StoreError>) -> Result<Vec<SerializedEvent>, PersistenceError> {
    let rows = rows.map_err(|error| PersistenceError::ConnectionError(Box::new(error)))?;
    rows.into_iter().map(Stored::parse).collect()
}

/// Hands over what was read; whoever replays may have gone.
async fn push(feed: &mut ReplayFeed, events: Result<Vec<SerializedEvent>, PersistenceError>) -> bool {
    match events {
        Ok(events) => {
            for event in events {
                if feed.push(Ok(event)).await.is_err() {
                    return false;
                }
            }
            true
        }
        Err(error) => {
            let _ = feed.push(Err(error)).await;
            false
        }
    }
}

/// A row as it stands, so that only reading it holds the connection.
struct Stored {
    event: SerializedEvent,
    payload: String,
    metadata: String,
    position: i64,
}

impl Stored {
    fn parse(self) -> Result<SerializedEvent, PersistenceError> {
        let payload = serde_json::from_str(&self.payload)?;
        let metadata = serde_json::from_str(&self.metadata)?;
        Ok(SerializedEvent { payload, metadata, ..self.event })
    }
}

fn stored(row: &Row<'_>) -> rusqlite::Result<Stored> {
    let sequence: i64 = row.get("sequence")?;
    Ok(Stored {
        event: SerializedEvent {
            aggregate_id: row.get("aggregate_id")?,
            sequence: usize::try_from(sequence).unwrap_or(usize::MAX),
            aggregate_type: row.get("aggregate_type")?,
            event_type: row.get("event_type")?,
            event_version: row.get("event_version")?,
            payload: Value::Null,
            metadata: Value::Null,
        },
        payload: row.get("payload")?,
        metadata: row.get("metadata")?,
        position: row.get("position")?,
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
        self.chain(A::TYPE, id, u64::try_from(last_sequence).unwrap_or(u64::MAX)).await
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
        let (mut feed, stream) = ReplayStream::new(PAGE_EVENTS as usize);
        let events = self.chain(A::TYPE, id, 0).await?;
        tokio::spawn(async move { push(&mut feed, Ok(events)).await });
        Ok(stream)
    }

    async fn stream_all_events<A: Aggregate>(&self) -> Result<ReplayStream, PersistenceError> {
        let (mut feed, stream) = ReplayStream::new(PAGE_EVENTS as usize);
        let reader = self.clone();
        tokio::spawn(async move {
            let mut after = 0;
            loop {
                match reader.page(A::TYPE, after).await {
                    Ok(Some((events, last))) => {
                        if !push(&mut feed, Ok(events)).await {
                            return;
                        }
                        after = last;
                    }
                    Ok(None) => return,
                    Err(error) => {
                        push(&mut feed, Err(error)).await;
                        return;
                    }
                }
            }
        });
        Ok(stream)
    }
}
