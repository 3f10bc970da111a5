//! What cannot be asked of a session.

use super::{INPUTS_OPEN_MAX, TTL_SECONDS_MAX, TTL_SECONDS_MIN};
use crate::user_connection::Status;
use crate::{CallId, Name};

/// Nonsense asked of a [`super::Session`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// It was never opened.
    #[error("there is no such session: check its identifier")]
    Unknown,
    /// The identifier is taken.
    #[error("a session of this identifier exists already")]
    Exists,
    /// The virtual server is not there.
    #[error("there is no virtual server \"{0}\": define it first")]
    UnknownServer(Name),
    /// The virtual server is out of use.
    #[error("virtual server \"{0}\" was retired: mint for another")]
    RetiredServer(Name),
    /// The user may not have sessions.
    #[error("this user is blocked: unblock the user first")]
    SubjectBlocked,
    /// The user is not known.
    #[error("the user has no reference here yet")]
    UnknownSubject,
    /// A narrower list that names a tool which is not there.
    #[error("virtual server \"{server}\" has no tool \"{}\"; it has: {}", .tool.escape_debug(), listed(.known))]
    UnknownTool {
        /// The virtual server.
        server: Name,
        /// The name asked for.
        tool: String,
        /// The names that exist.
        known: Vec<String>,
    },
    /// A login that the virtual server does not take.
    #[error(
        "virtual server \"{server}\" takes no logins of \"{provider}\": use a token of another issuer, or mint a session"
    )]
    NoLogin {
        /// The virtual server.
        server: Name,
        /// The identity provider.
        provider: Name,
    },
    /// The identity provider is out of use.
    #[error("the identity provider \"{0}\" is not in use: use a token of another issuer, or mint a session")]
    ProviderNotInUse(Name),
    /// It would have ended before it began.
    #[error("the time that the session was to end at is over: get a new token")]
    Over,
    /// Accounts that the user has to connect first.
    #[error("the user has no usable account at: {}; connect the accounts first", accounts(.0))]
    AccountsMissing(Vec<(Name, Status)>),
    /// A life that is too short or too long.
    #[error("ttl_seconds is {0}: choose {TTL_SECONDS_MIN} to {TTL_SECONDS_MAX}")]
    Ttl(u32),
    /// An outcome of a call that is not open.
    #[error("no call {0} is open in this session: it was never admitted, or it has ended")]
    UnknownCall(CallId),
    /// More wishes for input than an agent can be asked at a time.
    #[error("this session has {INPUTS_OPEN_MAX} wishes for input open: answer some first")]
    TooManyInputs,
    /// More agents on one session than can each have log messages of their own level.
    #[error("too many agents on this session have set a log level: mint a session for each")]
    TooManyLogLevels,
    /// A wish for input in a session that has ended.
    #[error("the session has ended, so its agent is asked for nothing")]
    Ended,
    /// A second admission of a call that is open.
    #[error("a call {0} is open in this session already: give each call an identifier of its own")]
    CallExists(CallId),
}

fn accounts(missing: &[(Name, Status)]) -> String {
    let shown = |(name, status): &(Name, Status)| format!("{name} ({})", status.code());
    missing.iter().map(shown).collect::<Vec<_>>().join(", ")
}

fn listed(tools: &[String]) -> String {
    if tools.is_empty() { "none".to_owned() } else { tools.join(", ") }
}
