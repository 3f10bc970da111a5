//! A user of the product, known here only by a random reference.

use serde::{Deserialize, Serialize};

use crate::decider::{aggregate, domain_event};
use crate::{By, Decider, Micros, Place, Position};

/// What can be asked of a [`Subject`].
#[derive(Clone, Debug)]
pub enum SubjectCommand {
    /// Makes the subject known. Once is enough; again changes nothing.
    Register {
        /// Who asks.
        by: By,
    },
    /// Ends every session opened so far.
    CutSessions {
        /// Who asks.
        by: By,
        /// Why.
        reason: String,
    },
    /// Ends every session and allows no new one until unblocked.
    Block {
        /// Who asks.
        by: By,
        /// Why.
        reason: String,
    },
    /// Allows sessions again.
    Unblock {
        /// Who asks.
        by: By,
        /// Why, if that is said.
        reason: String,
    },
}

/// What happened to a [`Subject`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SubjectEvent {
    /// It became known.
    SubjectRegistered {
        /// Who did it.
        by: By,
    },
    /// All sessions opened at or before this position ended.
    SubjectSessionsCut {
        /// Who did it.
        by: By,
        /// Why.
        reason: String,
    },
    /// No session may be opened or used from here on.
    SubjectBlocked {
        /// Who did it.
        by: By,
        /// Why.
        reason: String,
    },
    /// Sessions opened from here on may be used.
    SubjectUnblocked {
        /// Who did it.
        by: By,
        /// Why, if that was said.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
    },
}

domain_event!(SubjectEvent {
    SubjectRegistered = "1",
    SubjectSessionsCut = "1",
    SubjectBlocked = "1",
    SubjectUnblocked = "1",
});

/// Nonsense asked of a [`Subject`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    /// It was never registered.
    #[error("no such user has had a session here: check the user identifier")]
    Unknown,
}

/// That a [`Subject`] may have no sessions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocked {
    /// Since when.
    pub since: Micros,
    /// Why.
    pub reason: String,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Subject {
    version: u64,
    registered: bool,
    blocked: Option<Blocked>,
    cut_at: Option<Position>,
}

impl Subject {
    /// Whether it was registered.
    #[must_use]
    pub fn is_registered(&self) -> bool {
        self.registered
    }

    /// Whether it is blocked.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.blocked.is_some()
    }

    /// Since when it is blocked, and why.
    #[must_use]
    pub fn blocked(&self) -> Option<&Blocked> {
        self.blocked.as_ref()
    }

    /// Sessions opened at or before this position have ended.
    #[must_use]
    pub fn cut_at(&self) -> Option<Position> {
        self.cut_at
    }
}

aggregate!(Subject, "subject", SubjectCommand, SubjectEvent, SubjectError);

impl Decider for Subject {
    fn decide(&self, command: &SubjectCommand) -> Result<Vec<SubjectEvent>, SubjectError> {
        match (self.registered, command) {
            (false, SubjectCommand::Register { by }) => {
                Ok(vec![SubjectEvent::SubjectRegistered { by: by.clone() }])
            }
            (true, SubjectCommand::Register { .. }) => Ok(Vec::new()),
            (false, _) => Err(SubjectError::Unknown),
            (true, SubjectCommand::CutSessions { by, reason }) => {
                Ok(vec![SubjectEvent::SubjectSessionsCut { by: by.clone(), reason: reason.clone() }])
            }
            (true, SubjectCommand::Block { .. }) if self.is_blocked() => Ok(Vec::new()),
            (true, SubjectCommand::Block { by, reason }) => {
                Ok(vec![SubjectEvent::SubjectBlocked { by: by.clone(), reason: reason.clone() }])
            }
            (true, SubjectCommand::Unblock { .. }) if !self.is_blocked() => Ok(Vec::new()),
            (true, SubjectCommand::Unblock { by, reason }) => {
                Ok(vec![SubjectEvent::SubjectUnblocked { by: by.clone(), reason: reason.clone() }])
            }
        }
    }

    fn evolve(&mut self, event: &SubjectEvent, place: Place) {
        self.version += 1;
        match event {
            SubjectEvent::SubjectRegistered { .. } => self.registered = true,
            SubjectEvent::SubjectSessionsCut { .. } => self.cut_at = Some(place.position),
            SubjectEvent::SubjectBlocked { reason, .. } => {
                self.blocked = Some(Blocked { since: place.recorded_at, reason: reason.clone() });
                // A session opened before the block stays ended after it.
                self.cut_at = Some(place.position);
            }
            SubjectEvent::SubjectUnblocked { .. } => self.blocked = None,
        }
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn set_time(_: &mut SubjectCommand, _: Micros) {}
}
