//! The proof without which no tool call leaves.
//!
//! **Invariants.** An [`Admission`] is used for one call: it is neither cloned nor reused. Its gate
//! is asked immediately before the first byte of the request is written, after the connection to
//! the upstream stands, so that nothing that was revoked meanwhile leaves.

use std::{fmt, pin::Pin, sync::Arc};

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
    /// Asked immediately before the first byte of the call is written; asked again when a stale
    /// connection made it necessary to take another one.
    fn may_leave<'a>(&'a self, call_id: &'a str, position: u64) -> Passage<'a>;
}

/// The proof that a call's admission is durable in the journal.
pub struct Admission {
    call_id: String,
    position: u64,
    gate: Arc<dyn Gate>,
}

impl Admission {
    /// Attests that the admission of `call_id` was delivered from the journal at `position`.
    pub(crate) fn new(call_id: String, position: u64, gate: Arc<dyn Gate>) -> Self {
        Self { call_id, position, gate }
    }

    /// The admitted call.
    pub fn call_id(&self) -> &str {
        &self.call_id
    }

    /// The admission's place in the journal.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Asks the gate.
    pub(super) async fn may_leave(&self) -> Result<(), Refusal> {
        match self.gate.may_leave(&self.call_id, self.position) {
            Passage::Now(answer) => answer,
            Passage::Later(answer) => answer.await,
        }
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission")
            .field("call_id", &self.call_id)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}
