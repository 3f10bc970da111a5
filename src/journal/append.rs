//! What is asked of the appender, and what it answers.

use std::sync::Arc;

use proctor_domain::{Event, Micros, Place, Position, Recorded, StreamId};

use super::delivery::Delivered;
use super::store::{Row, StoreError};

/// An event that wants a place in the journal.
pub struct Proposal {
    /// What happened.
    pub event: Event,
    /// Its identifier.
    pub event_id: Arc<str>,
    /// Its payload's text.
    pub payload: Box<str>,
    /// Its metadata's text.
    pub metadata: Box<str>,
    /// What is sealed beside it.
    pub sealed: Option<bytes::Bytes>,
    /// What else is written in the same transaction.
    pub side_writes: Vec<SideWrite>,
}

impl Proposal {
    /// The row that it is written as.
    pub(super) fn row<'a>(
        &'a self,
        stream: &'a StreamId,
        place: Place,
        sequence: u64,
        previous: Position,
    ) -> Row<'a> {
        Row {
            position: place.position,
            recorded_at: place.recorded_at,
            stream,
            sequence,
            previous,
            event_id: &self.event_id,
            event_type: self.event.type_name(),
            event_version: self.event.version_name(),
            payload: &self.payload,
            metadata: &self.metadata,
            sealed: self.sealed.as_deref(),
        }
    }
}

/// A row outside the journal that is written in the transaction of an event.
#[derive(Clone, Debug)]
pub enum SideWrite {
    /// A tool definition by its digest; the same again changes nothing.
    Definition {
        /// SHA-256 in hexadecimal.
        digest: String,
        /// The exact text.
        json: Arc<str>,
    },
    /// A user's mapping and key. Fails when the user has one.
    Subject(super::store::SubjectRow),
    /// Fails when a user has one of these indexes: the same user, under another key.
    UserIndexesFree(Vec<Vec<u8>>),
    /// A key for one of Proctor's own purposes.
    PurposeKey(crate::vault::PurposeKeyRow),
    /// A session's key, wrapped.
    SessionKey {
        /// The session.
        session: String,
        /// The wrapped key.
        wrapped: Vec<u8>,
    },
    /// A user's sealed credential for a connection, in place of the one before.
    UserCredential {
        /// The user.
        subject: String,
        /// The connection.
        connection: String,
        /// Which of the user's credentials for it.
        generation: u32,
        /// What is sealed.
        sealed: Vec<u8>,
        /// Whether the one before is kept beside it, for calls that were admitted with it.
        keeps_previous: bool,
    },
    /// A user's credential for a connection is not kept any more.
    ForgottenCredential {
        /// The user.
        subject: String,
        /// The connection.
        connection: String,
    },
    /// What a person brought by a link, sealed, in place of what was brought before.
    PendingCredential {
        /// The user.
        subject: String,
        /// The connection.
        connection: String,
        /// The link.
        link: String,
        /// What is sealed.
        sealed: Vec<u8>,
    },
    /// What a person brought by a link is not kept any more.
    ForgottenPending {
        /// The user.
        subject: String,
        /// The connection.
        connection: String,
    },
    /// A connection's sealed secret of one generation and kind.
    ConnectionSecret {
        /// The connection.
        connection: String,
        /// The generation of its settings.
        generation: u32,
        /// What is sealed.
        sealed: Vec<u8>,
    },
    /// A webhook's sealed secret of one generation.
    WebhookSecret {
        /// The webhook.
        webhook: String,
        /// Which of its secrets.
        generation: u32,
        /// What is sealed.
        sealed: Vec<u8>,
    },
}

/// A decision on its way into the journal: it carries the state and the commands that it was made
/// from, so that it can be made again under the appender's lock.
pub trait Decision: Send {
    /// The stream that it appends to.
    fn stream(&self) -> &StreamId;

    /// The sequence that it was decided from.
    fn version(&self) -> u64;

    /// The other streams that it rests on, each with the sequence that was seen.
    fn grounds(&self) -> &[(StreamId, u64)];

    /// Until when it holds, as far as time matters; [`Micros::BEFORE_ALL`] where it is to be made by the
    /// journal's own time.
    fn valid_until(&self) -> Option<Micros>;

    /// What it wants to write. The appender takes it once it is written.
    fn proposals(&mut self) -> &mut Vec<Proposal>;

    /// Decides again, at `at`, after `newer` events of its own stream.
    fn decide_again(&mut self, newer: &[Arc<Recorded>], at: Micros);

    /// It stands in the journal, as these events.
    fn committed(self: Box<Self>, delivered: Vec<Delivered>);

    /// It was not written, because a stream that it rests on has moved.
    fn stale(self: Box<Self>, stale: Stale);

    /// It was not written.
    fn failed(self: Box<Self>, error: AppendError);
}

/// Streams that have moved, each with the sequence of its last event.
#[derive(Clone, Debug)]
pub struct Stale(pub Vec<(StreamId, u64)>);

/// Somebody wants to write past the appender.
#[derive(Debug, thiserror::Error)]
#[error(
    "events are appended through the journal alone, never through a repository: hand the command to the directory"
)]
pub(super) struct WritesThroughTheJournal;

/// Why something was not written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// The store cannot be written to now.
    #[error("failed to write to the journal: nothing was done; try again soon")]
    Store(#[source] Arc<StoreError>),
    /// The store failed while it committed, and cannot be asked what became of it, or takes too long
    /// to say. If it took place after all, the events are delivered once the journal can be read again.
    #[error("failed to learn whether the journal has taken this: look before you repeat it")]
    InDoubt(#[source] Arc<StoreError>),
    /// A row of its transaction exists already.
    #[error("failed to append to {stream}: a row that it brings exists already")]
    SideWriteExists {
        /// The stream.
        stream: StreamId,
    },
    /// The journal went backwards or cannot be read; see the log.
    #[error("the journal is halted: {0}")]
    Halted(Arc<str>),
    /// Proctor is stopping.
    #[error("Proctor is shutting down: try again at another replica or soon")]
    Stopping,
}
