//! The proof without which no tool call leaves.
//!
//! **Invariants.** An [`Admission`] is used for one call: it is neither cloned nor reused. Its gate
//! is asked immediately before the request is put together, after the connection to the upstream
//! stands, and once more by the connection itself when it hands the first byte to the operating
//! system, so that nothing that was revoked meanwhile leaves.

use std::{fmt, pin::Pin, sync::Arc};

use proctor_domain::session::SessionEvent;
use proctor_domain::{CallId, Event, Position};

use crate::journal::Delivered;

/// Why a call that was admitted may not leave after all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What stopped it, as a sentence fragment for the record: `the session was revoked`.
    pub reason: String,
}

/// A gate's answer.
pub enum Passage<'a> {
    /// Known at once; the usual case, free of allocation.
    Now(Result<(), Refusal>),
    /// To be found out first.
    Later(Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send + 'a>>),
}

/// Says whether an admitted call may still leave this process.
pub trait Gate: Send + Sync {
    /// Asked immediately before the call is put together; asked again when a stale connection made
    /// it necessary to take another one.
    fn may_leave<'a>(&'a self, call: &'a CallId) -> Passage<'a>;

    /// Asked at the very write, as far as it can be known without waiting: the process may have been
    /// paused since the last question.
    fn may_still_leave(&self, call: &CallId) -> bool;
}

/// The question at the very write.
pub(super) struct LastLook {
    call: CallId,
    gate: Arc<dyn Gate>,
}

impl LastLook {
    pub fn may_still_leave(&self) -> bool {
        self.gate.may_still_leave(&self.call)
    }
}

/// The proof that a call's admission is durable in the journal.
pub struct Admission {
    call: CallId,
    position: Position,
    gate: Arc<dyn Gate>,
}

impl Admission {
    /// The proof that a delivered `ToolCallAdmitted` is; no other event is one.
    pub fn of(delivered: &Delivered, gate: Arc<dyn Gate>) -> Option<Self> {
        match &delivered.event {
            Event::Session(SessionEvent::ToolCallAdmitted { call, .. }) => {
                Some(Self { call: call.clone(), position: delivered.place.position, gate })
            }
            _ => None,
        }
    }

    /// An admission that no journal knows of.
    #[cfg(test)]
    pub(super) fn of_test(call: &str, position: u64, gate: Arc<dyn Gate>) -> Self {
        Self { call: call.into(), position: Position(position), gate }
    }

    /// The admitted call.
    pub fn call(&self) -> &CallId {
        &self.call
    }

    /// The admission's place in the journal.
    pub fn position(&self) -> Position {
        self.position
    }

    pub(super) fn last_look(&self) -> LastLook {
        LastLook { call: self.call.clone(), gate: Arc::clone(&self.gate) }
    }

    /// Asks the gate.
    pub(super) async fn may_leave(&self) -> Result<(), Refusal> {
        match self.gate.may_leave(&self.call) {
            Passage::Now(answer) => answer,
            Passage::Later(answer) => answer.await,
        }
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission")
            .field("call", &self.call)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}
