//! The keys that Proctor makes for its own purposes, as far as they were made while it ran.
//!
//! One stream for each purpose. The first key of a purpose is made before there is a journal, and stands
//! in no event; the keys themselves never do.
//!
//! **Invariants.** At most one key waits for its time, so that keys come into force in the order in which
//! they were made.

use serde::{Deserialize, Serialize};

use crate::decider::{aggregate, domain_event};
use crate::{By, Decider, Micros, Place};

/// How often a purpose's key can be rotated: whatever is looked up by a keyed hash is tried with all keys.
pub const ROTATIONS_MAX: usize = 100;

/// What can be asked of [`PurposeKeys`].
#[derive(Clone, Debug)]
pub enum PurposeKeysCommand {
    /// Puts another key in the place of the one in force.
    Rotate {
        /// Who asks.
        by: By,
        /// When it is asked.
        at: Micros,
        /// Names the new key.
        kid: String,
        /// From when on it signs, seals and hashes; until then it only verifies and opens.
        active_at: Micros,
    },
}

/// What happened to [`PurposeKeys`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum PurposeKeysEvent {
    /// A key was made.
    PurposeKeyRotated {
        /// Who did it.
        by: By,
        /// Names the new key.
        kid: String,
        /// From when on it signs, seals and hashes.
        active_at: Micros,
    },
}

domain_event!(PurposeKeysEvent { PurposeKeyRotated = "1" });

/// Nonsense asked of [`PurposeKeys`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PurposeKeysError {
    /// The one before has not come into force.
    #[error("a new key waits already, {kid}: rotate again once it has come into force")]
    Waiting {
        /// Names it.
        kid: String,
        /// When it does.
        active_at: Micros,
    },
    /// There would be more than can be tried.
    #[error("the key of this purpose was rotated {ROTATIONS_MAX} times, and cannot be once more")]
    TooMany,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PurposeKeys {
    version: u64,
    keys: Vec<(String, Micros)>,
}

impl PurposeKeys {
    /// The names of the keys that were made, the oldest first, and when each comes into force.
    #[must_use]
    pub fn keys(&self) -> &[(String, Micros)] {
        &self.keys
    }
}

aggregate!(PurposeKeys, "purpose_keys", PurposeKeysCommand, PurposeKeysEvent, PurposeKeysError);

impl Decider for PurposeKeys {
    fn decide(&self, command: &PurposeKeysCommand) -> Result<Vec<PurposeKeysEvent>, PurposeKeysError> {
        let PurposeKeysCommand::Rotate { by, at, kid, active_at } = command;
        match self.keys.last() {
            Some((waiting, then)) if then > at => {
                Err(PurposeKeysError::Waiting { kid: waiting.clone(), active_at: *then })
            }
            Some(_) if self.keys.len() >= ROTATIONS_MAX => Err(PurposeKeysError::TooMany),
            Some(_) | None => Ok(vec![PurposeKeysEvent::PurposeKeyRotated {
                by: by.clone(),
                kid: kid.clone(),
                active_at: *active_at,
            }]),
        }
    }

    fn evolve(&mut self, event: &PurposeKeysEvent, _: Place) {
        self.version += 1;
        let PurposeKeysEvent::PurposeKeyRotated { kid, active_at, .. } = event;
        self.keys.push((kid.clone(), *active_at));
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn set_time(command: &mut PurposeKeysCommand, now: Micros) {
        let PurposeKeysCommand::Rotate { at, .. } = command;
        *at = now;
    }
}
