//! What can go wrong on the way to an upstream, and how it is said.
//!
//! **Invariants.** No credential, no URL's path or query and no text that an upstream sent is part
//! of a failure's words, except names, which are escaped and cut.

use std::fmt::{self, Write as _};

use thiserror::Error;

use super::guard::DialError;

/// Longer names are cut where they are shown.
const SHOWN_CHARS_MAX: usize = 128;

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The target's own settings cannot work: a malformed URL, a header that may not be set.
    Configuration,
    /// The host has an address that the connection may not reach.
    AddressForbidden,
    /// No connection, or a child process that does not start or has ended.
    Unreachable,
    /// The deadline passed.
    Timeout,
    /// The answer exceeded a limit.
    TooLarge,
    /// The upstream did not keep to the protocol.
    Protocol,
    /// The upstream answered with a redirect, which is never followed.
    Redirect,
    /// The upstream answered 401: it does not accept the credential.
    Unauthorized,
    /// The upstream answered 403: the credential does not reach so far.
    Forbidden,
    /// The upstream answered with another HTTP status that carries no JSON-RPC answer.
    Http(u16),
    /// The gate did not let the call leave.
    NotLet,
    /// Too many upstreams are open in this process.
    Busy,
}

impl FailureKind {
    /// A stable word for records and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::AddressForbidden => "address_forbidden",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::TooLarge => "too_large",
            Self::Protocol => "protocol",
            Self::Redirect => "redirect",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::Http(_) => "http_status",
            Self::NotLet => "not_let",
            Self::Busy => "busy",
        }
    }
}

/// A failed exchange with an upstream; `detail` continues `connection "x" …`.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub kind: FailureKind,
    pub detail: String,
    /// Whether any byte of the request possibly left.
    pub sent: bool,
}

impl Failure {
    pub fn unsent(kind: FailureKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), sent: false }
    }

    pub fn sent(kind: FailureKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), sent: true }
    }

    /// The upstream broke the protocol in its answer.
    pub fn protocol(detail: impl Into<String>) -> Self {
        Self::sent(FailureKind::Protocol, detail)
    }
}

impl From<DialError> for Failure {
    fn from(err: DialError) -> Self {
        let kind = match &err {
            DialError::Forbidden(..) => FailureKind::AddressForbidden,
            DialError::Name(_) => FailureKind::Configuration,
            DialError::Unresolved(_) | DialError::Refused(_) | DialError::TimedOut(_) | DialError::Tls(_) => {
                FailureKind::Unreachable
            }
        };
        Self::unsent(kind, err.to_string())
    }
}

/// Why a connection's test or refresh did not succeed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("connection {} {detail}", Shown(.connection))]
pub struct UpstreamError {
    /// The connection's name.
    pub connection: String,
    /// What kind of failure it was.
    pub kind: FailureKind,
    /// What happened and what to do, continuing `connection "x" …`.
    pub detail: String,
}

/// A name from outside, quoted, its control characters escaped, cut where it is too long.
pub(super) struct Shown<'a>(pub &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for (n, c) in self.0.chars().enumerate() {
            if n == SHOWN_CHARS_MAX {
                f.write_char('…')?;
                break;
            }
            // `is_control` does not know the marks that turn the direction of text.
            let steers = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
            if c.is_control() || steers || c == '"' || c == '\\' {
                write!(f, "{}", c.escape_default())?;
            } else {
                f.write_char(c)?;
            }
        }
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_with_control_characters_escaped_and_cut() {
        assert_eq!(Shown("a\u{1b}[31m\n").to_string(), r#""a\u{1b}[31m\n""#);
        assert_eq!(Shown("x\u{202e}y").to_string(), r#""x\u{202e}y""#);
        assert_eq!(Shown("größe").to_string(), "\"größe\"");
        assert!(Shown(&"x".repeat(1000)).to_string().chars().count() < 140);
    }
}
