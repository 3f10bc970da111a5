//! The last question before an admitted call leaves.
//!
//! **Invariants.** Nothing leaves after this process has heard of a revocation, and nothing leaves
//! when it may not have heard of one: a process that was paused asks the journal first.

use std::sync::Arc;

use proctor_domain::CallId;

use crate::actors::Calls;
use crate::journal::Journal;
use crate::upstream::{Gate, Passage, Refusal};

/// See the module.
pub(super) struct HeadGate {
    calls: Arc<Calls>,
    journal: Journal,
}

impl HeadGate {
    pub fn new(calls: Arc<Calls>, journal: Journal) -> Self {
        Self { calls, journal }
    }

    fn check_alive(&self, call: &CallId) -> Result<(), Refusal> {
        match self.calls.is_alive(call) {
            true => Ok(()),
            false => Err(refusal("the call was cancelled before it left")),
        }
    }

    async fn confirm(&self, call: &CallId) -> Result<(), Refusal> {
        let confirmed = self.journal.confirm().await;
        confirmed
            .map_err(|error| refusal(&format!("the journal's head could not be confirmed ({error})")))?;
        // Whatever was revoked up to the head has reached the table of calls by now.
        self.check_alive(call)?;
        match self.journal.head().is_fresh() {
            true => Ok(()),
            false => Err(refusal("the journal's head could not be confirmed in time")),
        }
    }
}

fn refusal(reason: &str) -> Refusal {
    Refusal { reason: reason.to_owned() }
}

impl Gate for HeadGate {
    fn may_leave<'a>(&'a self, call: &'a CallId) -> Passage<'a> {
        // In this order: what is alive after the head was found fresh was not revoked before.
        if self.journal.head().is_fresh() {
            return Passage::Now(self.check_alive(call));
        }
        Passage::Later(Box::pin(self.confirm(call)))
    }

    fn may_still_leave(&self, call: &CallId) -> bool {
        self.journal.head().is_fresh() && self.calls.is_alive(call)
    }
}
