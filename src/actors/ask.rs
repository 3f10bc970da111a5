//! A command on its way to an entity, and what comes back.

use std::sync::Arc;

use bytes::Bytes;
use proctor_domain::StreamId;
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;

use super::kind::Kind;
use crate::journal::{AppendError, Delivered, SideWrite, Stale};

/// Sealed bytes for the first event that a command causes.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// The identifier that this event will have, to which the bytes are bound.
    pub event_id: Arc<str>,
    /// The bytes.
    pub bytes: Bytes,
}

impl Sealed {
    pub(super) fn metadata(&self) -> Box<str> {
        const BEFORE: &str = "{\"sealed\":\"";
        const AFTER: &str = "\"}";
        let mut digest = [0; 64];
        hex::encode_to_slice(Sha256::digest(&self.bytes), &mut digest)
            .expect("a SHA-256 has 32 bytes, each of two digits");
        let digest = std::str::from_utf8(&digest).expect("hexadecimal digits are ASCII");
        [BEFORE, digest, AFTER].concat().into()
    }
}

/// A command with what it rests on and what is to be written with it.
pub struct Prepared<A: Kind> {
    /// What is asked.
    pub command: A::Command,
    /// The other streams that it rests on, each with the sequence that was seen.
    pub grounds: Vec<(StreamId, u64)>,
    /// Sealed beside its first event.
    pub sealed: Option<Sealed>,
    /// Written in the transaction of its first event.
    pub side_writes: Vec<SideWrite>,
}

impl<A: Kind> Prepared<A> {
    /// A command that rests on its own stream alone.
    pub fn alone(command: A::Command) -> Self {
        Self { command, grounds: Vec::new(), sealed: None, side_writes: Vec::new() }
    }
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum AskError<E: std::error::Error + 'static> {
    /// It was nonsense.
    #[error(transparent)]
    Nonsense(E),
    /// What it rests on has moved; prepare it anew.
    #[error("what the decision rests on has changed")]
    Stale(Stale),
    /// It could not be written.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The entity could not be loaded, or more commands wait for it than it takes.
    #[error(
        "{0} cannot be loaded from the journal, or too many ask for it at once: nothing was done; try again soon"
    )]
    Unavailable(StreamId),
}

/// What became of a command: its events, none when it changed nothing.
pub type Answer<A> = Result<Vec<Delivered>, AskError<<A as cqrs_es::Aggregate>::Error>>;

/// The message that brings a command to its entity.
pub struct Ask<A: Kind> {
    pub(super) prepared: Prepared<A>,
    pub(super) reply: oneshot::Sender<Answer<A>>,
}

impl<A: Kind> Ask<A> {
    pub(super) fn is_awaited(&self) -> bool {
        !self.reply.is_closed()
    }

    pub(super) fn answer(self, answer: Answer<A>) {
        // Whoever asked may have gone; what was decided stands all the same.
        let _ = self.reply.send(answer);
    }
}

impl<A: Kind> actix::Message for Ask<A> {
    type Result = ();
}
