//! A key to the administrators' door.

use serde::{Deserialize, Serialize};

use crate::decider::{aggregate, domain_event};
use crate::{By, Decider, Micros, Place};

/// What a key may do. No role includes another, except that `Admin` may do everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything.
    Admin,
    /// Mint, show and revoke sessions.
    Minter,
    /// Read the audit trail and sessions.
    Auditor,
}

/// What can be asked of an [`ApiKey`].
#[derive(Clone, Debug)]
pub enum ApiKeyCommand {
    /// Makes the key valid. The same again changes nothing.
    Create {
        /// Who asks.
        by: By,
        /// A name for people.
        name: String,
        /// What it may do.
        role: Role,
        /// When it stops being valid, if ever.
        expires_at: Option<Micros>,
    },
    /// Ends the key's validity for good.
    Revoke {
        /// Who asks.
        by: By,
        /// Why.
        reason: String,
    },
}

/// What happened to an [`ApiKey`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ApiKeyEvent {
    /// It became valid.
    ApiKeyCreated {
        /// Who did it.
        by: By,
        /// A name for people.
        name: String,
        /// What it may do.
        role: Role,
        /// When it stops being valid, if ever.
        expires_at: Option<Micros>,
    },
    /// It stopped being valid for good.
    ApiKeyRevoked {
        /// Who did it.
        by: By,
        /// Why.
        reason: String,
    },
}

domain_event!(ApiKeyEvent { ApiKeyCreated = "1", ApiKeyRevoked = "1" });

/// Nonsense asked of an [`ApiKey`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiKeyError {
    /// It was never created.
    #[error("no such API key: list the keys to see which there are")]
    Unknown,
    /// It was revoked; a revoked key does not come back.
    #[error("this API key was revoked and cannot be created again: choose another key")]
    Revoked,
    /// It was created otherwise.
    #[error("this API key exists with another name, role or end: choose another key")]
    Exists,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ApiKey {
    version: u64,
    grant: Option<(String, Role, Option<Micros>)>,
    revoked: bool,
}

impl ApiKey {
    /// What the key may do at this time; `None` when it is unknown, revoked or expired.
    #[must_use]
    pub fn role(&self, at: Micros) -> Option<Role> {
        match &self.grant {
            Some((_, role, expires_at)) if !self.revoked && expires_at.is_none_or(|end| at < end) => {
                Some(*role)
            }
            Some(_) | None => None,
        }
    }

    /// The key's name, once created.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.grant.as_ref().map(|(name, ..)| name.as_str())
    }
}

aggregate!(ApiKey, "api_key", ApiKeyCommand, ApiKeyEvent, ApiKeyError);

impl Decider for ApiKey {
    fn decide(&self, command: &ApiKeyCommand) -> Result<Vec<ApiKeyEvent>, ApiKeyError> {
        match command {
            ApiKeyCommand::Create { .. } if self.revoked => Err(ApiKeyError::Revoked),
            ApiKeyCommand::Create { by, name, role, expires_at } => match &self.grant {
                None => Ok(vec![ApiKeyEvent::ApiKeyCreated {
                    by: by.clone(),
                    name: name.clone(),
                    role: *role,
                    expires_at: *expires_at,
                }]),
                Some((n, r, end)) if (n, r, end) == (name, role, expires_at) => Ok(Vec::new()),
                Some(_) => Err(ApiKeyError::Exists),
            },
            ApiKeyCommand::Revoke { .. } if self.grant.is_none() => Err(ApiKeyError::Unknown),
            ApiKeyCommand::Revoke { .. } if self.revoked => Ok(Vec::new()),
            ApiKeyCommand::Revoke { by, reason } => {
                Ok(vec![ApiKeyEvent::ApiKeyRevoked { by: by.clone(), reason: reason.clone() }])
            }
        }
    }

    fn evolve(&mut self, event: &ApiKeyEvent, _: Place) {
        self.version += 1;
        match event {
            ApiKeyEvent::ApiKeyCreated { name, role, expires_at, .. } => {
                self.grant = Some((name.clone(), *role, *expires_at));
            }
            ApiKeyEvent::ApiKeyRevoked { .. } => self.revoked = true,
        }
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn set_time(_: &mut ApiKeyCommand, _: Micros) {}
}
