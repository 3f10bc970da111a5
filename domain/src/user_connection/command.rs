//! What can be asked of a user connection.

use std::sync::Arc;

use crate::connection::{Connection, CredentialKind};
use crate::{By, Micros, Name, ReplicaId, SubjectId};

/// What can be asked of a [`super::UserConnection`].
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
        /// The variables that it has, where it is of those.
        variables: Vec<String>,
        /// The connection as it is set.
        grounds: Arc<Connection>,
        /// The generation that the sealed credential was written for.
        generation: u32,
    },
    /// Gives out a link by which a person can connect an account, in place of the one before.
    IssueLink {
        /// When.
        at: Micros,
        /// Who asks.
        by: By,
        /// The user.
        subject: SubjectId,
        /// The connection's name.
        connection: Name,
        /// The connection as it is set.
        grounds: Arc<Connection>,
        /// The link's identifier.
        link: String,
        /// How long it can be used.
        ttl_seconds: u32,
    },
    /// Sends the person with the link to the authorization server, or takes it up again in the same
    /// browser.
    StartAuthorization {
        /// When.
        at: Micros,
        /// The link.
        link: String,
        /// SHA-256 of what the browser keeps, in hexadecimal.
        browser: String,
    },
    /// Takes in the authorization server's answer, which can be used once.
    TakeCode {
        /// When.
        at: Micros,
        /// The link.
        link: String,
        /// Which start it answers.
        attempt: u32,
        /// SHA-256 of what the browser keeps, in hexadecimal.
        browser: String,
    },
    /// Keeps what the person brought until the product's backend confirms who that was.
    Authorize {
        /// When.
        at: Micros,
        /// The link.
        link: String,
        /// What the person brought.
        kind: CredentialKind,
        /// The variables that it has, where it is of those.
        variables: Vec<String>,
        /// What it may be used for.
        scopes: Vec<String>,
        /// Until when it can be used without being renewed.
        expires_at: Option<Micros>,
        /// SHA-256 of the code that confirms it, in hexadecimal.
        code: String,
    },
    /// Writes down that the link led nowhere.
    FailAuthorization {
        /// The link.
        link: String,
        /// Why, as a stable code.
        reason: String,
    },
    /// Gives up what a person brought and nobody confirmed in time.
    LapseAuthorization {
        /// When.
        at: Micros,
        /// The link.
        link: String,
    },
    /// Puts in force what the person with the link brought.
    Confirm {
        /// When.
        at: Micros,
        /// Who asks.
        by: By,
        /// The user.
        subject: SubjectId,
        /// The connection's name.
        connection: Name,
        /// The connection as it is set.
        grounds: Arc<Connection>,
        /// The link.
        link: String,
        /// SHA-256 of the code, in hexadecimal.
        code: String,
        /// The generation that the sealed credential was written for.
        generation: u32,
    },
    /// Lets one process renew the credential.
    ClaimRefresh {
        /// When.
        at: Micros,
        /// The generation that is to be renewed.
        generation: u32,
        /// The process.
        replica: ReplicaId,
        /// Whether the upstream has refused a credential that should be good still.
        refused: bool,
    },
    /// Puts the renewed credential in force.
    CompleteRefresh {
        /// The generation that was renewed.
        generation: u32,
        /// What the new one may be used for.
        scopes: Vec<String>,
        /// Until when it can be used.
        expires_at: Option<Micros>,
    },
    /// Gives up renewing for now.
    ReleaseRefresh {
        /// When.
        at: Micros,
        /// The generation that was to be renewed.
        generation: u32,
        /// The process.
        replica: ReplicaId,
        /// Why, as a stable code.
        reason: String,
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
