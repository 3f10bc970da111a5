//! One user's authorization of one connection.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::connection::{Connection, CredentialKind};
use crate::decider::{aggregate, domain_event};
use crate::{By, Decider, Micros, Name, Place, SubjectId};

/// What can be asked of a [`UserConnection`].
#[derive(Clone, Debug)]
pub enum UserConnectionCommand {
    /// Puts a credential in force, in place of the one before.
    Activate {
        /// Who asks.
        by: By,
        /// The user.
        subject: SubjectId,
        /// The connection's name.
        connection: Name,
        /// What the credential is.
        kind: CredentialKind,
        /// The connection as it is set.
        grounds: Arc<Connection>,
        /// The generation that the sealed credential was written for.
        generation: u32,
    },
    /// Writes down that the credential in force is not accepted any more.
    Expire {
        /// The generation that was tried.
        generation: u32,
        /// Why, as a stable code.
        reason: String,
    },
    /// Takes the credential out of force.
    Disconnect {
        /// Who asks.
        by: By,
        /// Why.
        reason: String,
    },
}

/// What happened to a [`UserConnection`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum UserConnectionEvent {
    /// A credential is in force from here on.
    UserConnectionActivated {
        /// Who did it.
        by: By,
        /// The user.
        subject: SubjectId,
        /// The connection.
        connection: Name,
        /// What the credential is.
        kind: CredentialKind,
        /// Counts the user's credentials for this connection from 1; names the sealed one.
        generation: u32,
    },
    /// The credential is not accepted any more.
    UserConnectionExpired {
        /// Which.
        generation: u32,
        /// Why, as a stable code.
        reason: String,
    },
    /// No credential is in force from here on.
    UserConnectionDisconnected {
        /// Who did it.
        by: By,
        /// Why.
        reason: String,
    },
}

domain_event!(UserConnectionEvent {
    UserConnectionActivated = "1",
    UserConnectionExpired = "1",
    UserConnectionDisconnected = "1",
});

/// Nonsense asked of a [`UserConnection`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserConnectionError {
    /// The user never connected an account.
    #[error("this user has never connected an account to this connection: connect one first")]
    Unknown,
    /// The connection is not there, or out of use.
    #[error("there is no connection \"{0}\" in use: register it first")]
    NoConnection(Name),
    /// All users share one way to authenticate there.
    #[error("connection \"{0}\" takes no credential of each user: reconfigure its auth first")]
    Shared(Name),
    /// A credential of another kind than the connection takes.
    #[error("connection \"{connection}\" takes a credential of the kind {}, not {}", .takes.code(), .given.code())]
    OtherKind {
        /// The connection.
        connection: Name,
        /// What it takes.
        takes: CredentialKind,
        /// What was given.
        given: CredentialKind,
    },
    /// Another credential was put in force meanwhile.
    #[error("another credential was put in force meanwhile: try again")]
    Overtaken,
}

/// Whether a user's account can be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The user never connected one.
    #[default]
    Missing,
    /// A credential is in force.
    Active,
    /// It is not accepted any more.
    Expired,
    /// It was taken out of force.
    Disconnected,
}

impl Status {
    /// The status as it is stored and shown.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Disconnected => "disconnected",
        }
    }
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UserConnection {
    version: u64,
    status: Status,
    kind: Option<CredentialKind>,
    generation: u32,
    reason: Option<String>,
    since: Micros,
}

impl UserConnection {
    /// The identifier of one user's authorization of one connection. No subject has a dot in it.
    #[must_use]
    pub fn id(subject: &SubjectId, connection: &Name) -> String {
        format!("{subject}.{connection}")
    }

    /// Whether the account can be used for a connection that takes this kind. A credential of
    /// another kind, from before the connection was set anew, is as good as none.
    #[must_use]
    pub fn status_for(&self, takes: CredentialKind) -> Status {
        if self.status == Status::Active && self.kind != Some(takes) { Status::Missing } else { self.status }
    }

    /// What the last credential is or was.
    #[must_use]
    pub fn kind(&self) -> Option<CredentialKind> {
        self.kind
    }

    /// The generation of the last credential; 0 when there never was one.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Why it expired or was disconnected.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// Since when it is as it is.
    #[must_use]
    pub fn since(&self) -> Micros {
        self.since
    }
}

aggregate!(
    UserConnection,
    "user_connection",
    UserConnectionCommand,
    UserConnectionEvent,
    UserConnectionError
);

impl Decider for UserConnection {
    fn decide(
        &self,
        command: &UserConnectionCommand,
    ) -> Result<Vec<UserConnectionEvent>, UserConnectionError> {
        use UserConnectionCommand as Command;
        match (self.status, command) {
            (_, Command::Activate { by, subject, connection, kind, grounds, generation }) => {
                if !grounds.is_usable() {
                    return Err(UserConnectionError::NoConnection(connection.clone()));
                }
                let Some(takes) = grounds.credential_kind() else {
                    return Err(UserConnectionError::Shared(connection.clone()));
                };
                if takes != *kind {
                    let connection = connection.clone();
                    return Err(UserConnectionError::OtherKind { connection, takes, given: *kind });
                }
                if *generation != self.generation + 1 {
                    return Err(UserConnectionError::Overtaken);
                }
                Ok(vec![UserConnectionEvent::UserConnectionActivated {
                    by: by.clone(),
                    subject: subject.clone(),
                    connection: connection.clone(),
                    kind: *kind,
                    generation: *generation,
                }])
            }
            (Status::Missing, _) => Err(UserConnectionError::Unknown),
            // A newer credential is not judged by what became of an older one.
            (Status::Active, Command::Expire { generation, reason }) if *generation == self.generation => {
                Ok(vec![UserConnectionEvent::UserConnectionExpired {
                    generation: *generation,
                    reason: reason.clone(),
                }])
            }
            (Status::Active | Status::Expired | Status::Disconnected, Command::Expire { .. })
            | (Status::Disconnected, Command::Disconnect { .. }) => Ok(Vec::new()),
            (Status::Active | Status::Expired, Command::Disconnect { by, reason }) => {
                Ok(vec![UserConnectionEvent::UserConnectionDisconnected {
                    by: by.clone(),
                    reason: reason.clone(),
                }])
            }
        }
    }

    fn evolve(&mut self, event: &UserConnectionEvent, place: Place) {
        self.version += 1;
        self.since = place.recorded_at;
        match event {
            UserConnectionEvent::UserConnectionActivated { kind, generation, .. } => {
                self.status = Status::Active;
                self.kind = Some(*kind);
                self.generation = *generation;
                self.reason = None;
            }
            UserConnectionEvent::UserConnectionExpired { reason, .. } => {
                self.status = Status::Expired;
                self.reason = Some(reason.clone());
            }
            UserConnectionEvent::UserConnectionDisconnected { reason, .. } => {
                self.status = Status::Disconnected;
                self.reason = Some(reason.clone());
            }
        }
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn set_time(_: &mut UserConnectionCommand, _: Micros) {}
}
