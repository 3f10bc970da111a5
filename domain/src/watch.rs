//! What Proctor noticed beside the entities: reads of the audit trail, failed authentications, logins
//! that opened no session.
//!
//! One stream per key and day, or per door and day, so that none grows without bound.

use std::collections::BTreeMap;
use std::convert::Infallible;

use serde::{Deserialize, Serialize};

use crate::decider::{aggregate, domain_event};
use crate::{By, Decider, Micros, Name, Place, SubjectId};

/// Where somebody knocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Door {
    /// `/mcp/…`
    Mcp,
    /// `/api/…`
    Api,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum WatchEvent {
    /// Somebody read the audit trail.
    AuditTrailRead {
        /// Who.
        by: By,
        /// What was asked for: a list's name.
        what: String,
        /// The filters, by name; a user stands here as the subject's reference.
        filters: BTreeMap<String, String>,
        /// How many rows were shown.
        rows: u32,
    },
    /// Authentications failed during one minute.
    AuthenticationsFailed {
        /// At which door.
        door: Door,
        /// Why, as a stable code.
        reason: String,
        /// The minute, counted from the epoch.
        minute: i64,
        /// How many.
        count: u64,
    },
    /// Somebody with a good login got no session, during one minute.
    LoginRefused {
        /// The identity provider.
        provider: Name,
        /// The virtual server.
        virtual_server: Name,
        /// Whose login it was.
        subject: SubjectId,
        /// Why, as a stable code.
        reason: String,
        /// The minute, counted from the epoch.
        minute: i64,
        /// How many times.
        count: u64,
    },
    /// A process began to serve.
    ReplicaStarted {
        /// Which.
        by: By,
        /// The program's version.
        program: String,
    },
    /// What the master key seals is being sealed anew under another one.
    MasterKeyRotationBegun {
        /// The process that does it.
        by: By,
        /// Names the new key.
        key: String,
    },
    /// Everything that a master key seals is sealed under this one.
    MasterKeyRotated {
        /// The process that did it.
        by: By,
        /// Names the new key.
        key: String,
        /// How many rows it sealed anew.
        rows: u64,
    },
}

domain_event!(WatchEvent {
    AuditTrailRead = "1",
    AuthenticationsFailed = "1",
    LoginRefused = "1",
    ReplicaStarted = "1",
    MasterKeyRotationBegun = "1",
    MasterKeyRotated = "1",
});

/// Writes down what was noticed.
#[derive(Clone, Debug)]
pub struct Notice(pub WatchEvent);

/// See the module. It remembers nothing: there is nothing to decide.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Watch {
    version: u64,
}

aggregate!(Watch, "watch", Notice, WatchEvent, Infallible);

impl Decider for Watch {
    fn decide(&self, command: &Notice) -> Result<Vec<WatchEvent>, Infallible> {
        Ok(vec![command.0.clone()])
    }

    fn evolve(&mut self, _: &WatchEvent, _: Place) {
        self.version += 1;
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn set_time(_: &mut Notice, _: Micros) {}
}
