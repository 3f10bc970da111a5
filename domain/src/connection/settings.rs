//! How a connection is set: how its upstream is reached, how calls authenticate there, how much may be
//! used, and what becomes of tools that it offers otherwise than before.

use serde::{Deserialize, Serialize};

use super::drift::Drift;
use crate::environment::Variable;
use crate::limits::Limits;
use crate::oauth2::Oauth2;

/// How to reach the upstream. Secrets never stand here; they are sealed in the vault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Transport {
    /// Streamable HTTP.
    Http {
        /// Its absolute URL.
        url: String,
    },
    /// A child process that speaks on its standard streams.
    Stdio {
        /// The program.
        command: String,
        /// Its arguments.
        args: Vec<String>,
        /// The names of its environment variables; their values are sealed.
        env: Vec<String>,
    },
}

/// How calls authenticate at the upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum AuthMethod {
    /// Not at all.
    None,
    /// One shared secret in a header; its value is sealed.
    Header {
        /// The header's name.
        name: String,
    },
    /// Each user's own API key in a header; it is sealed with the user's key.
    ApiKey {
        /// The header's name.
        header: String,
        /// Its value, with `{secret}` where the key stands.
        format: String,
    },
    /// Each user's own access token in a header; it is sealed with the user's key.
    Bearer {
        /// The header's name.
        header: String,
        /// Its value, with `{secret}` where the token stands.
        format: String,
    },
    /// Each user's own name and password at the upstream, as HTTP's basic authentication; they are
    /// sealed with the user's key.
    Basic,
    /// Each user's own tokens, which the upstream's authorization server gives out; they are sealed
    /// with the user's key.
    Oauth2(Oauth2),
    /// Each user's own variables in the environment of that user's own child process; their values
    /// are sealed with the user's key.
    Environment {
        /// What each user brings, in the order in which people are asked.
        variables: Vec<Variable>,
    },
}

/// What each user has to bring to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Takes<'a> {
    /// What kind of credential.
    pub kind: CredentialKind,
    /// The variables of the child's environment, where it is of those.
    pub variables: &'a [Variable],
}

impl From<CredentialKind> for Takes<'_> {
    fn from(kind: CredentialKind) -> Self {
        Self { kind, variables: &[] }
    }
}

impl Takes<'_> {
    /// Whether a credential that has these variables is one.
    #[must_use]
    pub fn is_met_by(&self, kind: CredentialKind, variables: &[String]) -> bool {
        self.kind == kind
            && self.variables.len() == variables.len()
            && self.variables.iter().all(|wanted| variables.contains(&wanted.name))
    }
}

/// What kind of credential a user brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialKind {
    /// An API key.
    ApiKey,
    /// An access token.
    Bearer,
    /// A name and a password.
    Basic,
    /// Tokens of an authorization server.
    Oauth2,
    /// Variables of a child process's environment.
    Environment,
}

impl CredentialKind {
    /// The kind as it is stored and shown.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::Bearer => "bearer",
            Self::Basic => "basic",
            Self::Oauth2 => "oauth2",
            Self::Environment => "environment",
        }
    }
}

impl AuthMethod {
    /// How users authorize it, where they do so at an authorization server.
    #[must_use]
    pub fn oauth2(&self) -> Option<&Oauth2> {
        match self {
            Self::Oauth2(oauth2) => Some(oauth2),
            Self::None
            | Self::Header { .. }
            | Self::ApiKey { .. }
            | Self::Bearer { .. }
            | Self::Basic
            | Self::Environment { .. } => None,
        }
    }

    /// What each user has to bring; nothing where all share one way.
    #[must_use]
    pub fn of_each_user(&self) -> Option<Takes<'_>> {
        match self {
            Self::None | Self::Header { .. } => None,
            Self::ApiKey { .. } => Some(CredentialKind::ApiKey.into()),
            Self::Bearer { .. } => Some(CredentialKind::Bearer.into()),
            Self::Basic => Some(CredentialKind::Basic.into()),
            Self::Oauth2(_) => Some(CredentialKind::Oauth2.into()),
            Self::Environment { variables } => Some(Takes { kind: CredentialKind::Environment, variables }),
        }
    }
}

/// Everything about a connection that an administrator sets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// How to reach it.
    pub transport: Transport,
    /// How to authenticate.
    pub auth: AuthMethod,
    /// Whether it may stand at an address that is not globally routable.
    pub private_network: bool,
    /// Whether all subjects use one upstream session or child process.
    pub shared: bool,
    /// How much may be used of it.
    #[serde(default, skip_serializing_if = "Limits::is_empty")]
    pub limits: Limits,
    /// Which changes of its catalog come into force without an administrator.
    #[serde(default, skip_serializing_if = "Drift::is_default")]
    pub drift: Drift,
}
