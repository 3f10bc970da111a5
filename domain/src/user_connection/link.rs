//! A link by which a person connects an account, and how far that person has come.

use serde::{Deserialize, Serialize};

use super::UserConnectionError;
use crate::Micros;
use crate::connection::CredentialKind;

/// Shortest time that a link can be used.
pub const LINK_SECONDS_MIN: u32 = 60;
/// Longest time that a link can be used.
pub const LINK_SECONDS_MAX: u32 = 86_400;
/// How long a link can be used unless said otherwise.
pub const LINK_SECONDS_DEFAULT: u32 = 600;
/// How long what a person brought waits to be confirmed.
pub const CONFIRM_SECONDS: u32 = 600;
/// How often a person can start with one link.
pub const ATTEMPTS_MAX: u32 = 10;

/// See the module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Link {
    pub(super) id: String,
    pub(super) kind: CredentialKind,
    pub(super) expires_at: Micros,
    pub(super) step: Step,
}

/// How far the person has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Step {
    Issued,
    Started {
        attempt: u32,
        browser: String,
    },
    CodeTaken,
    Authorized {
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        variables: Vec<String>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        scopes: Vec<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<Micros>,
        code: String,
        confirm_by: Micros,
    },
    Failed,
}

impl Link {
    /// Its identifier.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What the person is asked for.
    #[must_use]
    pub fn kind(&self) -> CredentialKind {
        self.kind
    }

    /// Until when a person can start with it.
    #[must_use]
    pub fn expires_at(&self) -> Micros {
        self.expires_at
    }

    /// How often somebody has started with it, where nothing has come back yet.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        match &self.step {
            Step::Started { attempt, .. } => *attempt,
            Step::Issued | Step::CodeTaken | Step::Authorized { .. } | Step::Failed => 0,
        }
    }

    /// Whether somebody has brought something by it that nobody has confirmed yet.
    #[must_use]
    pub fn is_authorized(&self) -> bool {
        matches!(self.step, Step::Authorized { .. })
    }

    /// Whether this link can be used to start.
    ///
    /// # Errors
    /// When it is over, or was used.
    pub fn check_open(&self, at: Micros) -> Result<(), UserConnectionError> {
        match &self.step {
            Step::Issued | Step::Started { .. } if at >= self.expires_at => {
                Err(UserConnectionError::LinkExpired)
            }
            Step::Issued | Step::Started { .. } => Ok(()),
            Step::CodeTaken | Step::Authorized { .. } | Step::Failed => Err(UserConnectionError::LinkUsed),
        }
    }

    /// Whether it still waits for somebody.
    #[must_use]
    pub fn is_pending(&self, at: Micros) -> bool {
        match &self.step {
            Step::Issued | Step::Started { .. } | Step::CodeTaken => at < self.expires_at,
            Step::Authorized { confirm_by, .. } => at < *confirm_by,
            Step::Failed => false,
        }
    }

    /// Which start this is, if the browser is the one that started before, or none did.
    pub(super) fn next_attempt(&self, at: Micros, browser: &str) -> Result<u32, UserConnectionError> {
        self.check_open(at)?;
        match &self.step {
            Step::Started { browser: before, .. } if before != browser => Err(UserConnectionError::LinkUsed),
            Step::Started { attempt, .. } if *attempt >= ATTEMPTS_MAX => Err(UserConnectionError::LinkUsed),
            Step::Started { attempt, .. } => Ok(attempt + 1),
            Step::Issued | Step::CodeTaken | Step::Authorized { .. } | Step::Failed => Ok(1),
        }
    }

    /// Whether an answer to this start may be taken in now.
    pub(super) fn check_answer(
        &self,
        at: Micros,
        attempt: u32,
        browser: &str,
    ) -> Result<(), UserConnectionError> {
        match &self.step {
            Step::Started { browser: started, .. } if started != browser => {
                Err(UserConnectionError::OtherBrowser)
            }
            Step::Started { attempt: newest, .. } if *newest != attempt => Err(UserConnectionError::LinkUsed),
            Step::Started { .. } if at >= self.expires_at => Err(UserConnectionError::LinkExpired),
            Step::Started { .. } => Ok(()),
            Step::Issued | Step::CodeTaken | Step::Authorized { .. } | Step::Failed => {
                Err(UserConnectionError::LinkUsed)
            }
        }
    }
}
