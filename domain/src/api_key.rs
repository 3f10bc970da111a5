//! A key to the administrators' door.
//!
//! **Invariants.** A key that an administrator holds without an end is revoked only while another such
//! key remains: nobody locks everybody out by accident.

use std::sync::Arc;

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
        /// A key that remains, where this one may be the last of an administrator.
        remaining: Option<Arc<ApiKey>>,
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
    /// Nobody could do everything any more.
    #[error(
        "this is the last key of an administrator without an end, and was not revoked: create another one first, with the role admin and without expires_at"
    )]
    LastAdministrator,
}

/// What a key is worth at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It was never created.
    Unknown,
    /// It counts.
    Active,
    /// Its time is over.
    Expired,
    /// Somebody ended it.
    Revoked,
}

impl Standing {
    /// As it is shown.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

/// What a key was created as.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grant {
    /// A name for people.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// When it stops being valid, if ever.
    pub expires_at: Option<Micros>,
    /// When it was created.
    pub created_at: Micros,
}

/// Who revoked a key, why and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Revocation {
    /// Who did it.
    pub by: By,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Micros,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ApiKey {
    version: u64,
    grant: Option<Grant>,
    revocation: Option<Revocation>,
}

impl ApiKey {
    /// What the key may do at this time; `None` when it is unknown, revoked or expired.
    #[must_use]
    pub fn role(&self, at: Micros) -> Option<Role> {
        let grant = self.grant.as_ref()?;
        (self.standing(at) == Standing::Active).then_some(grant.role)
    }

    /// What the key is worth at this time.
    #[must_use]
    pub fn standing(&self, at: Micros) -> Standing {
        match &self.grant {
            None => Standing::Unknown,
            Some(_) if self.revocation.is_some() => Standing::Revoked,
            Some(grant) if grant.expires_at.is_some_and(|end| end <= at) => Standing::Expired,
            Some(_) => Standing::Active,
        }
    }

    /// What it was created as, once it was.
    #[must_use]
    pub fn grant(&self) -> Option<&Grant> {
        self.grant.as_ref()
    }

    /// How it ended before its time, if it did.
    #[must_use]
    pub fn revocation(&self) -> Option<&Revocation> {
        self.revocation.as_ref()
    }

    /// Whether whoever holds it can do everything, for as long as nobody revokes it.
    #[must_use]
    pub fn is_endless_administrator(&self) -> bool {
        let endless = |grant: &Grant| grant.role == Role::Admin && grant.expires_at.is_none();
        self.revocation.is_none() && self.grant.as_ref().is_some_and(endless)
    }

    fn is_last_beside(&self, remaining: Option<&Self>) -> bool {
        self.is_endless_administrator() && !remaining.is_some_and(Self::is_endless_administrator)
    }
}

aggregate!(ApiKey, "api_key", ApiKeyCommand, ApiKeyEvent, ApiKeyError);

impl Decider for ApiKey {
    fn decide(&self, command: &ApiKeyCommand) -> Result<Vec<ApiKeyEvent>, ApiKeyError> {
        match command {
            ApiKeyCommand::Create { .. } if self.revocation.is_some() => Err(ApiKeyError::Revoked),
            ApiKeyCommand::Create { by, name, role, expires_at } => match &self.grant {
                None => Ok(vec![ApiKeyEvent::ApiKeyCreated {
                    by: by.clone(),
                    name: name.clone(),
                    role: *role,
                    expires_at: *expires_at,
                }]),
                Some(Grant { name: n, role: r, expires_at: end, .. })
                    if (n, r, end) == (name, role, expires_at) =>
                {
                    Ok(Vec::new())
                }
                Some(_) => Err(ApiKeyError::Exists),
            },
            ApiKeyCommand::Revoke { .. } if self.grant.is_none() => Err(ApiKeyError::Unknown),
            ApiKeyCommand::Revoke { .. } if self.revocation.is_some() => Ok(Vec::new()),
            ApiKeyCommand::Revoke { remaining, .. } if self.is_last_beside(remaining.as_deref()) => {
                Err(ApiKeyError::LastAdministrator)
            }
            ApiKeyCommand::Revoke { by, reason, .. } => {
                Ok(vec![ApiKeyEvent::ApiKeyRevoked { by: by.clone(), reason: reason.clone() }])
            }
        }
    }

    fn evolve(&mut self, event: &ApiKeyEvent, place: Place) {
        self.version += 1;
        match event {
            ApiKeyEvent::ApiKeyCreated { name, role, expires_at, .. } => {
                self.grant = Some(Grant {
                    name: name.clone(),
                    role: *role,
                    expires_at: *expires_at,
                    created_at: place.recorded_at,
                });
            }
            ApiKeyEvent::ApiKeyRevoked { by, reason } => {
                self.revocation =
                    Some(Revocation { by: by.clone(), reason: reason.clone(), at: place.recorded_at });
            }
        }
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn set_time(_: &mut ApiKeyCommand, _: Micros) {}
}
