//! What a database must offer to hold the journal.

use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use proctor_domain::{Micros, Position, Recorded, ReplicaId, StreamId};

use super::append::SideWrite;
use super::moved::MovedAway;

/// The database failed, or holds what this program cannot read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database answered with an error.
    #[error("failed to {doing}: {reason}")]
    Database {
        /// What was attempted.
        doing: &'static str,
        /// What the database said.
        reason: String,
    },
    /// There is no room for what was to be written. What needs less may still find some.
    #[error(
        "failed to {doing}: the database's disk is full: make room, and Proctor goes on by itself ({reason})"
    )]
    Full {
        /// What was attempted.
        doing: &'static str,
        /// What the database said.
        reason: String,
    },
    /// A row exists already.
    #[error("failed to {doing}: it exists already")]
    Exists {
        /// What was attempted.
        doing: &'static str,
    },
    /// The installation has gone to another store.
    #[error(
        "this journal was {0}, and goes on there: set DATABASE_URL to that store. To go on here all the same, \
         without whatever is written there, run `proctor store reopen` on this one and start again"
    )]
    Moved(MovedAway),
    /// An event that this program cannot read.
    #[error("failed to read the event at position {position}")]
    Unreadable {
        /// Where it stands.
        position: Position,
        /// Why.
        #[source]
        source: proctor_domain::UnreadableEvent,
    },
}

/// The end of a stream: its last event. All zero when it has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tip {
    /// That event's place in the stream.
    pub sequence: u64,
    /// Its place in the journal.
    pub position: Position,
}

/// One event as it is written.
pub struct Row<'a> {
    /// Its place in the journal.
    pub position: Position,
    /// When, by the database's clock.
    pub recorded_at: Micros,
    /// The stream.
    pub stream: &'a StreamId,
    /// Its place in the stream.
    pub sequence: u64,
    /// The position of the event before it in its stream, 0 for the first.
    pub previous: Position,
    /// Its identifier.
    pub event_id: &'a str,
    /// Its type.
    pub event_type: &'static str,
    /// The version of its form.
    pub event_version: &'static str,
    /// Its payload's text.
    pub payload: &'a str,
    /// Its metadata's text.
    pub metadata: &'a str,
    /// What is sealed beside it.
    pub sealed: Option<&'a [u8]>,
}

/// Everything that one transaction is to write, with what must hold for it.
pub struct Batch<'a> {
    /// The last position that was seen here.
    pub known: Position,
    /// How many events of others may have come since.
    pub foreign_max: u64,
    /// Streams that it rests on or appends to, each with the sequence of its last event.
    pub expected: &'a [(StreamId, u64)],
    /// Before when, by the database's clock, as far as time matters.
    pub valid_until: Option<Micros>,
    /// The events. Their positions count from 1, and their times are not looked at.
    pub rows: &'a [Row<'a>],
    /// What is written outside the journal.
    pub side_writes: &'a [&'a SideWrite],
}

/// What became of a [`Batch`].
pub struct Appended {
    /// Whether it was written. Otherwise nothing was.
    pub written: bool,
    /// The last position before it.
    pub head: Position,
    /// The time of its events.
    pub recorded_at: Micros,
    /// What others have appended since `known`, in order; not all of it when that is too much.
    pub foreign: Vec<Arc<Recorded>>,
}

/// Why a [`Batch`] was not answered.
pub enum AppendFailure {
    /// Nothing was written.
    NothingWritten(StoreError),
    /// It may have been written, or may still be.
    Unknown(StoreError),
}

/// A replica's word that it is alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Which replica.
    pub replica: ReplicaId,
    /// When it ends unless renewed, by the database's clock.
    pub ends_at: Micros,
    /// How far it has confirmed the journal.
    pub confirmed: Position,
    /// The newest event form that it can read.
    pub reads: u32,
    /// Names the master keys that it opens with, the one that it seals with first, separated by commas.
    /// Empty when it did not say.
    pub master_keys: String,
}

/// A user's mapping and key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectRow {
    /// The reference.
    pub subject: String,
    /// Keyed blind index of the user's own identifier.
    pub user_index: Vec<u8>,
    /// The user's own identifier, sealed under the subject's key.
    pub user_sealed: Vec<u8>,
    /// The subject's key, wrapped by the master key.
    pub wrapped_key: Vec<u8>,
}

/// The write side, owned by the appender's thread. Between `begin` and `commit` or `rollback` it
/// holds the one append lock of the journal.
pub trait Store: Send + 'static {
    /// Whether [`Self::append`] is the way to go now, and not step by step.
    fn appends_at_once(&self) -> bool {
        false
    }

    /// Takes the lock, writes all of a batch if what it rests on has not moved, and gives the lock
    /// back. `None` when nothing was written and the steps will show why.
    fn append(
        &mut self,
        _batch: &Batch<'_>,
    ) -> impl Future<Output = Result<Option<Appended>, AppendFailure>> {
        std::future::ready(Ok(None))
    }

    /// Takes the append lock. Answers the journal's last position and the database's time.
    fn begin(&mut self) -> impl Future<Output = Result<(Position, Micros), StoreError>>;

    /// The journal's last position, without the lock.
    fn head(&mut self) -> impl Future<Output = Result<Position, StoreError>>;

    /// Ends when another process has appended something, as far as this one hears of it. It may
    /// never end, and end for nothing; giving it up loses nothing.
    fn changed(&mut self) -> impl Future<Output = ()>;

    /// Events after a position, in order, at most `limit`.
    fn read(
        &mut self,
        after: Position,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Arc<Recorded>>, StoreError>>;

    /// Where each stream ends, in the order in which they are named.
    fn tips(&mut self, streams: &[StreamId]) -> impl Future<Output = Result<Vec<Tip>, StoreError>>;

    /// A stream's events after a sequence.
    fn stream(
        &mut self,
        stream: &StreamId,
        after: u64,
    ) -> impl Future<Output = Result<Vec<Arc<Recorded>>, StoreError>>;

    /// Writes one event, or keeps it to be written with others. Its stream must end before it.
    fn insert(&mut self, row: &Row<'_>) -> impl Future<Output = Result<(), StoreError>>;

    /// Writes a row outside the journal, or keeps it likewise where no other is to be expected in
    /// its place.
    fn side_write(&mut self, write: &SideWrite) -> impl Future<Output = Result<(), StoreError>>;

    /// Writes what was kept. After an error the transaction can only be rolled back.
    fn flush(&mut self) -> impl Future<Output = Result<(), StoreError>>;

    /// Makes everything since `begin` durable and gives the lock back.
    fn commit(&mut self) -> impl Future<Output = Result<(), StoreError>>;

    /// Forgets everything since `begin` and gives the lock back.
    fn rollback(&mut self) -> impl Future<Output = ()>;

    /// Lets go of the connection, about which nothing may be assumed after a failure. The next use
    /// makes a new one.
    fn abandon(&mut self);

    /// Lets go of the connection and makes a new one now.
    fn reopen(&mut self) -> impl Future<Output = Result<(), StoreError>>;

    /// Makes sure that whatever can be read is durable, and that nothing else comes: what a failed
    /// `fsync` was to make durable may be lost though it can be read, and what was sent over a
    /// connection that was lost may arrive late.
    fn harden(&mut self) -> impl Future<Output = Result<(), StoreError>>;

    /// Writes this replica's lease, which then lasts `lasts_ms` by the database's clock.
    fn renew_lease(
        &mut self,
        replica: &ReplicaId,
        lasts_ms: u64,
        confirmed: Position,
        reads: u32,
        master_keys: &str,
    ) -> impl Future<Output = Result<(), StoreError>>;

    /// Ends this replica's lease now. It stays to be seen by a sweeper, which forgets it once it
    /// has made sure that nothing was left undone.
    fn end_lease(&mut self, replica: &ReplicaId) -> impl Future<Output = Result<(), StoreError>>;

    /// Removes the lease of another replica, unless it was renewed meanwhile and holds.
    fn forget_lease(&mut self, replica: &ReplicaId) -> impl Future<Output = Result<(), StoreError>>;

    /// Inserts purpose keys that are not there yet, under the append lock, and answers all.
    fn add_purpose_keys(
        &mut self,
        keys: &[crate::vault::PurposeKeyRow],
    ) -> impl Future<Output = Result<(), StoreError>>;
}

/// The read side, shared by everybody.
#[async_trait]
pub trait Reader: Send + Sync {
    /// The journal's last position.
    async fn head(&self) -> Result<Position, StoreError>;

    /// The database's time.
    async fn now(&self) -> Result<Micros, StoreError>;

    /// Events after a position, in order, at most `limit`.
    async fn read(&self, after: Position, limit: usize) -> Result<Vec<Arc<Recorded>>, StoreError>;

    /// A stream's events after a sequence.
    async fn stream(&self, stream: &StreamId, after: u64) -> Result<Vec<Arc<Recorded>>, StoreError>;

    /// What a stream's state follows from: its events from the last of the type `carried_by` on, or all
    /// where there is none.
    async fn carried_stream(
        &self,
        stream: &StreamId,
        carried_by: &'static str,
    ) -> Result<Vec<Arc<Recorded>>, StoreError>;

    /// The identifiers of all streams of one kind.
    async fn stream_ids(&self, kind: &'static str) -> Result<Vec<String>, StoreError>;

    /// What is sealed beside the event at a position.
    async fn sealed(&self, position: Position) -> Result<Option<Vec<u8>>, StoreError>;

    /// A tool definition's exact text.
    async fn definition(&self, digest: &str) -> Result<Option<String>, StoreError>;

    /// A user's row, by the blind index of the user's own identifier.
    async fn subject_by_index(&self, user_index: &[u8]) -> Result<Option<SubjectRow>, StoreError>;

    /// A user's row, by the reference.
    async fn subject(&self, subject: &str) -> Result<Option<SubjectRow>, StoreError>;

    /// Users' rows whose references come after this one, in their order, at most `limit`.
    async fn subjects(&self, after: &str, limit: usize) -> Result<Vec<SubjectRow>, StoreError>;

    /// A session's wrapped key.
    async fn session_key(&self, session: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// A user's sealed credential for a connection, if it is still this one, or was renewed last.
    async fn user_credential(
        &self,
        subject: &str,
        connection: &str,
        generation: u32,
    ) -> Result<Option<Vec<u8>>, StoreError>;

    /// What was brought by this link and is not confirmed yet, sealed.
    async fn pending_credential(
        &self,
        subject: &str,
        connection: &str,
        link: &str,
    ) -> Result<Option<Vec<u8>>, StoreError>;

    /// A connection's sealed secret.
    async fn connection_secret(
        &self,
        connection: &str,
        generation: u32,
    ) -> Result<Option<Vec<u8>>, StoreError>;

    /// Every purpose key.
    async fn purpose_keys(&self) -> Result<Vec<crate::vault::PurposeKeyRow>, StoreError>;

    /// Every lease.
    async fn leases(&self) -> Result<Vec<Lease>, StoreError>;

    /// Where the installation has gone, if it is not here any more.
    async fn moved(&self) -> Result<Option<MovedAway>, StoreError>;
}
