//! An upstream MCP server, registered once by an administrator.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::decider::{aggregate, domain_event};
use crate::environment::{SettingsError, Variable};
use crate::limits::Limits;
use crate::oauth2::Oauth2;
use crate::{By, Decider, Micros, Place, Position};

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
}

/// The protocol era an upstream speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Era {
    /// Up to 2025-11-25, with `initialize`.
    Legacy,
    /// 2026-07-28.
    Modern,
}

/// One tool of a catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogTool {
    /// SHA-256 of the definition's bytes, in hexadecimal.
    pub digest: String,
    /// Whether the upstream says that it changes nothing. A hint: it may narrow, never widen.
    pub read_only: bool,
}

/// The tools that an upstream offered when an administrator last looked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalog {
    /// The era it was found to speak.
    pub era: Era,
    /// The protocol revision that was agreed.
    pub protocol_version: String,
    /// Its tools by name.
    pub tools: BTreeMap<String, CatalogTool>,
    /// SHA-256 over names and digests, in hexadecimal.
    pub digest: String,
}

/// What can be asked of a [`Connection`].
#[derive(Clone, Debug)]
pub enum ConnectionCommand {
    /// Makes it known.
    Register {
        /// Who asks.
        by: By,
        /// How it is set.
        settings: Settings,
    },
    /// Sets it anew. New secrets always make a new generation.
    Reconfigure {
        /// Who asks.
        by: By,
        /// How it is set.
        settings: Settings,
        /// Whether secrets were given anew.
        new_secrets: bool,
    },
    /// Puts a freshly discovered catalog in force.
    RefreshCatalog {
        /// Who asks.
        by: By,
        /// What was found.
        catalog: Catalog,
        /// The settings' generation that it was found with.
        generation: u32,
    },
    /// Writes down that somebody tried it.
    RecordTest {
        /// Who asked.
        by: By,
        /// Nothing when it answered, otherwise a stable code.
        failure: Option<String>,
    },
    /// Ends every session opened so far that could use it.
    CutSessions {
        /// Who asks.
        by: By,
        /// Why.
        reason: String,
    },
    /// Takes it out of use for good.
    Retire {
        /// Who asks.
        by: By,
        /// Why.
        reason: String,
    },
}

/// What happened to a [`Connection`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ConnectionEvent {
    /// It became known.
    ConnectionRegistered {
        /// Who did it.
        by: By,
        /// How it is set.
        settings: Settings,
        /// 1; names the sealed secrets.
        generation: u32,
    },
    /// It was set anew.
    ConnectionReconfigured {
        /// Who did it.
        by: By,
        /// How it is set.
        settings: Settings,
        /// One more than before; names the sealed secrets.
        generation: u32,
    },
    /// A catalog is in force from here on.
    CatalogRefreshed {
        /// Who did it.
        by: By,
        /// What is in force.
        catalog: Catalog,
    },
    /// Somebody tried it.
    ConnectionTested {
        /// Who did it.
        by: By,
        /// Nothing when it answered, otherwise a stable code.
        failure: Option<String>,
    },
    /// All sessions opened at or before this position may not use it any more.
    ConnectionSessionsCut {
        /// Who did it.
        by: By,
        /// Why.
        reason: String,
    },
    /// It is out of use for good.
    ConnectionRetired {
        /// Who did it.
        by: By,
        /// Why.
        reason: String,
    },
}

domain_event!(ConnectionEvent {
    ConnectionRegistered = "1",
    ConnectionReconfigured = "1",
    CatalogRefreshed = "1",
    ConnectionTested = "1",
    ConnectionSessionsCut = "1",
    ConnectionRetired = "1",
});

/// Nonsense asked of a [`Connection`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionError {
    /// It was never registered.
    #[error("there is no such connection: register it first")]
    Unknown,
    /// The name is taken.
    #[error("a connection of this name exists: reconfigure it, or choose another name")]
    Exists,
    /// It is out of use; its name is never used again.
    #[error("this connection was retired, and its name is never used again: register another")]
    Retired,
    /// It was reconfigured while its catalog was being read.
    #[error("the connection was reconfigured while its catalog was being read: refresh again")]
    Reconfigured,
    /// It is set so that no user can bring what it wants.
    #[error(transparent)]
    Settings(#[from] SettingsError),
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
pub struct Connection {
    version: u64,
    status: Status,
    settings: Option<Arc<Settings>>,
    generation: u32,
    catalog: Option<Arc<Catalog>>,
    cut_at: Option<Position>,
}

impl Connection {
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

    /// What each user has to bring for it; nothing where all share one way.
    #[must_use]
    pub fn takes(&self) -> Option<Takes<'_>> {
        self.settings.as_ref().and_then(|settings| settings.auth.of_each_user())
    }

    /// Of which kind that is.
    #[must_use]
    pub fn credential_kind(&self) -> Option<CredentialKind> {
        self.takes().map(|takes| takes.kind)
    }

    /// Counts its settings from 1; names the sealed secrets.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// What it offers; `None` until its catalog was first read.
    #[must_use]
    pub fn catalog(&self) -> Option<&Arc<Catalog>> {
        self.catalog.as_ref()
    }

    /// Sessions opened at or before this position may not use it.
    #[must_use]
    pub fn cut_at(&self) -> Option<Position> {
        self.cut_at
    }
}

aggregate!(Connection, "connection", ConnectionCommand, ConnectionEvent, ConnectionError);

impl Decider for Connection {
    fn decide(&self, command: &ConnectionCommand) -> Result<Vec<ConnectionEvent>, ConnectionError> {
        use ConnectionCommand as Command;
        match (self.status, command) {
            (Status::Unknown, Command::Register { by, settings }) => {
                settings.check()?;
                Ok(vec![ConnectionEvent::ConnectionRegistered {
                    by: by.clone(),
                    settings: settings.clone(),
                    generation: 1,
                }])
            }
            (Status::Registered, Command::Register { .. }) => Err(ConnectionError::Exists),
            (Status::Unknown, _) => Err(ConnectionError::Unknown),
            (Status::Retired, Command::Retire { .. }) => Ok(Vec::new()),
            (Status::Retired, _) => Err(ConnectionError::Retired),
            (Status::Registered, Command::Reconfigure { settings, new_secrets: false, .. })
                if self.settings.as_deref() == Some(settings) =>
            {
                Ok(Vec::new())
            }
            (Status::Registered, Command::Reconfigure { by, settings, .. }) => {
                settings.check()?;
                Ok(vec![ConnectionEvent::ConnectionReconfigured {
                    by: by.clone(),
                    settings: settings.clone(),
                    generation: self.generation + 1,
                }])
            }
            (Status::Registered, Command::RefreshCatalog { generation, .. })
                if *generation != self.generation =>
            {
                Err(ConnectionError::Reconfigured)
            }
            // Recorded even when nothing changed: an administrator vouched for it again.
            (Status::Registered, Command::RefreshCatalog { by, catalog, .. }) => {
                Ok(vec![ConnectionEvent::CatalogRefreshed { by: by.clone(), catalog: catalog.clone() }])
            }
            (Status::Registered, Command::RecordTest { by, failure }) => {
                Ok(vec![ConnectionEvent::ConnectionTested { by: by.clone(), failure: failure.clone() }])
            }
            (Status::Registered, Command::CutSessions { by, reason }) => {
                Ok(vec![ConnectionEvent::ConnectionSessionsCut { by: by.clone(), reason: reason.clone() }])
            }
            (Status::Registered, Command::Retire { by, reason }) => {
                Ok(vec![ConnectionEvent::ConnectionRetired { by: by.clone(), reason: reason.clone() }])
            }
        }
    }

    fn evolve(&mut self, event: &ConnectionEvent, place: Place) {
        self.version += 1;
        match event {
            ConnectionEvent::ConnectionRegistered { settings, generation, .. }
            | ConnectionEvent::ConnectionReconfigured { settings, generation, .. } => {
                self.status = Status::Registered;
                self.settings = Some(Arc::new(settings.clone()));
                self.generation = *generation;
            }
            ConnectionEvent::CatalogRefreshed { catalog, .. } => {
                self.catalog = Some(Arc::new(catalog.clone()));
            }
            ConnectionEvent::ConnectionTested { .. } => {}
            ConnectionEvent::ConnectionSessionsCut { .. } => self.cut_at = Some(place.position),
            ConnectionEvent::ConnectionRetired { .. } => self.status = Status::Retired,
        }
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn set_time(_: &mut ConnectionCommand, _: Micros) {}
}
