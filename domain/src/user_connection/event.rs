//! What happened to a user connection.

use serde::{Deserialize, Serialize};

use super::UserConnection;
use crate::connection::CredentialKind;
use crate::decider::domain_event;
use crate::{By, Micros, Name, ReplicaId, SubjectId};

/// What happened to a [`super::UserConnection`].
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
        /// The variables that it has, where it is of those.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        variables: Vec<String>,
        /// Counts the user's credentials for this connection from 1; names the sealed one.
        generation: u32,
        /// The link that it came by, if it came by one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        link: Option<String>,
        /// What it may be used for, as far as that is said.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        scopes: Vec<String>,
        /// Until when it can be used without being renewed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<Micros>,
    },
    /// A person can connect an account by a link.
    UserConnectionLinkIssued {
        /// Who did it.
        by: By,
        /// The user.
        subject: SubjectId,
        /// The connection.
        connection: Name,
        /// What is asked for.
        kind: CredentialKind,
        /// The link.
        link: String,
        /// Until when.
        expires_at: Micros,
    },
    /// The person was sent to the authorization server.
    UserConnectionAuthorizationStarted {
        /// The link.
        link: String,
        /// Counts the starts from 1.
        attempt: u32,
        /// SHA-256 of what the browser keeps, in hexadecimal.
        browser: String,
    },
    /// The authorization server's answer arrived; no other is taken in.
    UserConnectionCodeTaken {
        /// The link.
        link: String,
        /// Which start it answers.
        attempt: u32,
    },
    /// What the person brought is kept until it is confirmed.
    UserConnectionAuthorized {
        /// The link.
        link: String,
        /// What it is.
        kind: CredentialKind,
        /// The variables that it has, where it is of those.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        variables: Vec<String>,
        /// What it may be used for.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        scopes: Vec<String>,
        /// Until when it can be used without being renewed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<Micros>,
        /// SHA-256 of the code that confirms it, in hexadecimal.
        code: String,
        /// Until when it can be confirmed.
        confirm_by: Micros,
    },
    /// The link led nowhere, and cannot be used any more.
    UserConnectionAuthorizationFailed {
        /// The link.
        link: String,
        /// Why, as a stable code.
        reason: String,
    },
    /// One process renews the credential; no other does until this time.
    UserConnectionRefreshClaimed {
        /// The generation that it renews.
        generation: u32,
        /// The process.
        replica: ReplicaId,
        /// Until when.
        until: Micros,
    },
    /// The renewed credential is in force from here on.
    UserConnectionRefreshed {
        /// One more than the generation that was renewed; names the sealed one.
        generation: u32,
        /// What it may be used for, as far as that is said.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        scopes: Vec<String>,
        /// Until when it can be used without being renewed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<Micros>,
    },
    /// The credential could not be renewed, which says nothing about whether it can be.
    UserConnectionRefreshFailed {
        /// The generation that was to be renewed.
        generation: u32,
        /// Why, as a stable code.
        reason: String,
        /// When it may be tried again.
        retry_at: Micros,
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
    /// Nothing has changed: all that came before is said again at once.
    UserConnectionCarriedOver {
        /// What came of it.
        state: Box<UserConnection>,
    },
}

domain_event!(UserConnectionEvent {
    UserConnectionActivated = "1",
    UserConnectionLinkIssued = "1",
    UserConnectionAuthorizationStarted = "1",
    UserConnectionCodeTaken = "1",
    UserConnectionAuthorized = "1",
    UserConnectionAuthorizationFailed = "1",
    UserConnectionRefreshClaimed = "1",
    UserConnectionRefreshed = "1",
    UserConnectionRefreshFailed = "1",
    UserConnectionExpired = "1",
    UserConnectionDisconnected = "1",
    UserConnectionCarriedOver = "1",
});
