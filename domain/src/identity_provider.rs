//! An OpenID Connect provider whose access tokens virtual servers may accept.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::decider::{aggregate, domain_event};
use crate::{By, Decider, Micros, Place};

/// How a token may be signed (RFC 7518, RFC 8037): with a private key alone, so that nobody can
/// make one with what a provider publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[expect(missing_docs, reason = "their names are those of RFC 7518")]
pub enum Algorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

impl Algorithm {
    /// Those that are accepted where nothing is said.
    pub const DEFAULT: [Self; 2] = [Self::RS256, Self::ES256];

    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::ES256,
        Self::ES384,
        Self::EdDSA,
    ];

    /// Its name in a token's header.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::EdDSA => "EdDSA",
        }
    }

    /// The one of that name, if it is one that can be accepted.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }
}

/// Everything about a provider that an administrator sets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Its issuer identifier, a URL, exactly as its tokens have it.
    pub issuer: String,
    /// What its tokens may be for beside the URL of the virtual server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// The claim that names the user.
    pub user_claim: String,
    /// How its tokens may be signed.
    pub algorithms: Vec<Algorithm>,
    /// The scopes that clients are told to ask it for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Whether it may stand at an address that is not globally routable, and be reached without
    /// encryption.
    pub private_network: bool,
}

/// What can be asked of an [`IdentityProvider`].
#[derive(Clone, Debug)]
pub enum IdentityProviderCommand {
    /// Makes it known.
    Register {
        /// Who asks.
        by: By,
        /// How it is set.
        settings: Settings,
    },
    /// Sets it anew.
    Revise {
        /// Who asks.
        by: By,
        /// How it is set.
        settings: Settings,
    },
    /// Takes it out of use for good.
    Retire {
        /// Who asks.
        by: By,
        /// Why.
        reason: String,
    },
}

/// What happened to an [`IdentityProvider`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum IdentityProviderEvent {
    /// It became known.
    IdentityProviderRegistered {
        /// Who did it.
        by: By,
        /// How it is set.
        settings: Settings,
    },
    /// It was set anew.
    IdentityProviderRevised {
        /// Who did it.
        by: By,
        /// How it is set.
        settings: Settings,
    },
    /// It is out of use for good.
    IdentityProviderRetired {
        /// Who did it.
        by: By,
        /// Why.
        reason: String,
    },
}

domain_event!(IdentityProviderEvent {
    IdentityProviderRegistered = "1",
    IdentityProviderRevised = "1",
    IdentityProviderRetired = "1",
});

/// Nonsense asked of an [`IdentityProvider`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityProviderError {
    /// It was never registered.
    #[error("there is no such identity provider: register it first")]
    Unknown,
    /// The name is taken.
    #[error("an identity provider of this name exists: revise it, or choose another name")]
    Exists,
    /// It is out of use; its name is never used again.
    #[error("this identity provider was retired, and its name is never used again: register another")]
    Retired,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Status {
    #[default]
    Unknown,
    Registered,
    Retired,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IdentityProvider {
    version: u64,
    status: Status,
    settings: Option<Arc<Settings>>,
}

impl IdentityProvider {
    /// Whether it is registered and not retired.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.status == Status::Registered
    }

    /// Whether it was retired.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.status == Status::Retired
    }

    /// How it is set; `None` when it was never registered.
    #[must_use]
    pub fn settings(&self) -> Option<&Arc<Settings>> {
        self.settings.as_ref()
    }
}

aggregate!(
    IdentityProvider,
    "identity_provider",
    IdentityProviderCommand,
    IdentityProviderEvent,
    IdentityProviderError
);

impl Decider for IdentityProvider {
    fn decide(
        &self,
        command: &IdentityProviderCommand,
    ) -> Result<Vec<IdentityProviderEvent>, IdentityProviderError> {
        use IdentityProviderCommand as Command;
        match (self.status, command) {
            (Status::Unknown, Command::Register { by, settings }) => {
                Ok(vec![IdentityProviderEvent::IdentityProviderRegistered {
                    by: by.clone(),
                    settings: settings.clone(),
                }])
            }
            (Status::Registered, Command::Register { .. }) => Err(IdentityProviderError::Exists),
            (Status::Unknown, _) => Err(IdentityProviderError::Unknown),
            (Status::Retired, Command::Retire { .. }) => Ok(Vec::new()),
            (Status::Retired, _) => Err(IdentityProviderError::Retired),
            (Status::Registered, Command::Revise { settings, .. })
                if self.settings.as_deref() == Some(settings) =>
            {
                Ok(Vec::new())
            }
            (Status::Registered, Command::Revise { by, settings }) => {
                Ok(vec![IdentityProviderEvent::IdentityProviderRevised {
                    by: by.clone(),
                    settings: settings.clone(),
                }])
            }
            (Status::Registered, Command::Retire { by, reason }) => {
                Ok(vec![IdentityProviderEvent::IdentityProviderRetired {
                    by: by.clone(),
                    reason: reason.clone(),
                }])
            }
        }
    }

    fn evolve(&mut self, event: &IdentityProviderEvent, _: Place) {
        self.version += 1;
        match event {
            IdentityProviderEvent::IdentityProviderRegistered { settings, .. }
            | IdentityProviderEvent::IdentityProviderRevised { settings, .. } => {
                self.status = Status::Registered;
                self.settings = Some(Arc::new(settings.clone()));
            }
            IdentityProviderEvent::IdentityProviderRetired { .. } => self.status = Status::Retired,
        }
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn set_time(_: &mut IdentityProviderCommand, _: Micros) {}
}
