//! What cannot be asked of a user connection.

use super::{LINK_SECONDS_MAX, LINK_SECONDS_MIN};
use crate::Name;
use crate::connection::CredentialKind;

/// Nonsense asked of a [`super::UserConnection`].
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
    /// A credential with other variables than the connection takes.
    #[error("connection \"{0}\" takes other variables by now: set the credential anew with exactly those")]
    OtherVariables(Name),
    /// Another credential was put in force meanwhile.
    #[error("another credential was put in force meanwhile: try again")]
    Overtaken,
    /// A link for longer or shorter than may be.
    #[error(
        "a link can be used for {LINK_SECONDS_MIN} to {LINK_SECONDS_MAX} seconds: choose another ttl_seconds"
    )]
    LinkSeconds,
    /// No such link, or another has taken its place.
    #[error("this link is not valid any more: ask for a new one")]
    LinkUnknown,
    /// The link's time is over.
    #[error("this link has expired: ask for a new one")]
    LinkExpired,
    /// The link was used.
    #[error("this link was used already: ask for a new one")]
    LinkUsed,
    /// Somebody else's browser came back.
    #[error("this was started in another browser: open the link again in this one")]
    OtherBrowser,
    /// No such code.
    #[error("the code is not valid, or was used already: let the user connect the account again")]
    CodeUnknown,
    /// The code's time is over.
    #[error("the code has expired: let the user connect the account again")]
    CodeExpired,
}
