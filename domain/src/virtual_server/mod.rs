//! A named endpoint for one agent role: exactly which tools of which connections it shows.

mod definition;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use definition::{
    Capture, DESCRIPTION_CHARS_MAX, Definition, ExposedTool, INSTRUCTIONS_CHARS_MAX, InvalidDefinition,
    Login, MissingAccounts, TOOL_NAME_BYTES_MAX, TOOLS_MAX,
};

use crate::connection::{Connection, ToolStanding};
use crate::decider::{aggregate, domain_event};
use crate::identity_provider::IdentityProvider;
use crate::{By, Decider, Micros, Name, Place, Position};

/// The connections that exist, as far as a definition's check needs them.
pub type Connections = BTreeMap<Name, Arc<Connection>>;

/// The identity providers that exist, as far as a definition's check needs them.
pub type Providers = BTreeMap<Name, Arc<IdentityProvider>>;

/// What can be asked of a [`VirtualServer`].
#[derive(Clone, Debug)]
pub enum VirtualServerCommand {
    /// Makes it known, as version 1.
    Define {
        /// Who asks.
        by: By,
        /// What it shows.
        definition: Definition,
        /// All connections.
        connections: Connections,
        /// All identity providers; none are needed where people bring no login.
        providers: Providers,
    },
    /// Makes a new version, unless nothing changes.
    Revise {
        /// Who asks.
        by: By,
        /// What it shows.
        definition: Definition,
        /// All connections.
        connections: Connections,
        /// All identity providers; none are needed where people bring no login.
        providers: Providers,
    },
    /// Ends every session opened so far.
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

/// What happened to a [`VirtualServer`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum VirtualServerEvent {
    /// It became known.
    VirtualServerDefined {
        /// Who did it.
        by: By,
        /// What it shows.
        definition: Definition,
    },
    /// It shows something else from here on.
    VirtualServerRevised {
        /// Who did it.
        by: By,
        /// What it shows.
        definition: Definition,
    },
    /// All sessions opened at or before this position ended.
    VirtualServerSessionsCut {
        /// Who did it.
        by: By,
        /// Why.
        reason: String,
    },
    /// It is out of use for good.
    VirtualServerRetired {
        /// Who did it.
        by: By,
        /// Why.
        reason: String,
    },
}

domain_event!(VirtualServerEvent {
    VirtualServerDefined = "1",
    VirtualServerRevised = "1",
    VirtualServerSessionsCut = "1",
    VirtualServerRetired = "1",
});

/// Nonsense asked of a [`VirtualServer`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VirtualServerError {
    /// It was never defined.
    #[error("there is no such virtual server: define it first")]
    Unknown,
    /// The name is taken.
    #[error("a virtual server of this name exists: revise it, or choose another name")]
    Exists,
    /// It is out of use; its name is never used again.
    #[error("this virtual server was retired, and its name is never used again: define another")]
    Retired,
    /// The definition contradicts itself or a limit.
    #[error(transparent)]
    Invalid(#[from] InvalidDefinition),
    /// A connection that is not there.
    #[error("there is no connection \"{name}\"; there are: {}", listed(.known))]
    UnknownConnection {
        /// The name asked for.
        name: Name,
        /// The names that exist.
        known: Vec<String>,
    },
    /// An identity provider that is not there.
    #[error("there is no identity provider \"{name}\"; there are: {}", listed(.known))]
    UnknownProvider {
        /// The name asked for.
        name: Name,
        /// The names that exist.
        known: Vec<String>,
    },
    /// A connection whose tools are not known yet.
    #[error("the catalog of connection \"{0}\" was never read: refresh it first")]
    NoCatalog(Name),
    /// A tool that is not there.
    #[error("connection \"{connection}\" has no tool \"{}\"; it has: {}", .tool.escape_debug(), listed(.known))]
    UnknownTool {
        /// The connection.
        connection: Name,
        /// The name asked for.
        tool: String,
        /// The names that exist.
        known: Vec<String>,
    },
    /// A tool that nobody has approved yet.
    #[error(
        "tool \"{}\" of connection \"{connection}\" is new and held until an administrator approves it: look at \
         it with `proctor connection diff {connection}` (GET \u{2026}/diff), then approve it with `proctor \
         connection approve {connection}` (POST \u{2026}/approve)",
        .tool.escape_debug()
    )]
    HeldTool {
        /// The connection.
        connection: Name,
        /// The name asked for.
        tool: String,
    },
}

fn listed(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.iter().map(|name| name.escape_debug().to_string()).collect::<Vec<_>>().join(", ")
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Status {
    #[default]
    Unknown,
    Defined,
    Retired,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VirtualServer {
    version: u64,
    status: Status,
    revision: u32,
    definition: Arc<Definition>,
    tools_by_name: Arc<BTreeMap<String, usize>>,
    cut_at: Option<Position>,
}

impl VirtualServer {
    /// Whether it is defined and not retired.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.status == Status::Defined
    }

    /// Whether it was retired.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.status == Status::Retired
    }

    /// Whether it was ever defined.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.status != Status::Unknown
    }

    /// The glossary's *version*: counts its definitions from 1.
    #[must_use]
    pub fn revision(&self) -> u32 {
        self.revision
    }

    /// What it shows now.
    #[must_use]
    pub fn definition(&self) -> &Arc<Definition> {
        &self.definition
    }

    /// The tool that the agent knows by this name.
    #[must_use]
    pub fn tool(&self, name: &str) -> Option<&ExposedTool> {
        self.tools_by_name.get(name).map(|index| &self.definition.tools[*index])
    }

    /// Every tool's name as the agent knows it.
    pub fn tool_names(&self) -> impl Iterator<Item = &str> {
        self.tools_by_name.keys().map(String::as_str)
    }

    /// Sessions opened at or before this position have ended.
    #[must_use]
    pub fn cut_at(&self) -> Option<Position> {
        self.cut_at
    }

    fn check(
        definition: &Definition,
        connections: &Connections,
        providers: &Providers,
    ) -> Result<(), VirtualServerError> {
        definition.check()?;
        if let Some(Login { provider, .. }) = &definition.login
            && !providers.get(provider).is_some_and(|provider| provider.is_usable())
        {
            let usable = providers.iter().filter(|(_, provider)| provider.is_usable());
            let known = usable.map(|(name, _)| name.to_string()).collect();
            return Err(VirtualServerError::UnknownProvider { name: provider.clone(), known });
        }
        for rule in &definition.tools {
            let connection =
                connections.get(&rule.connection).filter(|c| c.is_usable()).ok_or_else(|| {
                    VirtualServerError::UnknownConnection {
                        name: rule.connection.clone(),
                        known: connections
                            .iter()
                            .filter(|(_, connection)| connection.is_usable())
                            .map(|(name, _)| name.to_string())
                            .collect(),
                    }
                })?;
            let catalog =
                connection.catalog().ok_or_else(|| VirtualServerError::NoCatalog(rule.connection.clone()))?;
            if !catalog.tools.contains_key(&rule.tool) {
                if matches!(connection.standing(&rule.tool), ToolStanding::Held { .. }) {
                    let (connection, tool) = (rule.connection.clone(), rule.tool.clone());
                    return Err(VirtualServerError::HeldTool { connection, tool });
                }
                return Err(VirtualServerError::UnknownTool {
                    connection: rule.connection.clone(),
                    tool: rule.tool.clone(),
                    known: catalog.tools.keys().cloned().collect(),
                });
            }
        }
        Ok(())
    }
}

aggregate!(VirtualServer, "virtual_server", VirtualServerCommand, VirtualServerEvent, VirtualServerError);

impl Decider for VirtualServer {
    fn decide(&self, command: &VirtualServerCommand) -> Result<Vec<VirtualServerEvent>, VirtualServerError> {
        use VirtualServerCommand as Command;
        match (self.status, command) {
            (Status::Unknown, Command::Define { by, definition, connections, providers }) => {
                Self::check(definition, connections, providers)?;
                Ok(vec![VirtualServerEvent::VirtualServerDefined {
                    by: by.clone(),
                    definition: definition.clone(),
                }])
            }
            (Status::Defined, Command::Define { .. }) => Err(VirtualServerError::Exists),
            (Status::Unknown, _) => Err(VirtualServerError::Unknown),
            (Status::Retired, Command::Retire { .. }) => Ok(Vec::new()),
            (Status::Retired, _) => Err(VirtualServerError::Retired),
            (Status::Defined, Command::Revise { by, definition, connections, providers }) => {
                Self::check(definition, connections, providers)?;
                if *definition == *self.definition {
                    return Ok(Vec::new());
                }
                Ok(vec![VirtualServerEvent::VirtualServerRevised {
                    by: by.clone(),
                    definition: definition.clone(),
                }])
            }
            (Status::Defined, Command::CutSessions { by, reason }) => {
                Ok(vec![VirtualServerEvent::VirtualServerSessionsCut {
                    by: by.clone(),
                    reason: reason.clone(),
                }])
            }
            (Status::Defined, Command::Retire { by, reason }) => {
                Ok(vec![VirtualServerEvent::VirtualServerRetired { by: by.clone(), reason: reason.clone() }])
            }
        }
    }

    fn evolve(&mut self, event: &VirtualServerEvent, place: Place) {
        self.version += 1;
        match event {
            VirtualServerEvent::VirtualServerDefined { definition, .. }
            | VirtualServerEvent::VirtualServerRevised { definition, .. } => {
                self.status = Status::Defined;
                self.revision += 1;
                let names = definition.tool_names();
                self.tools_by_name = Arc::new(names.into_iter().enumerate().map(|(i, n)| (n, i)).collect());
                self.definition = Arc::new(definition.clone());
            }
            VirtualServerEvent::VirtualServerSessionsCut { .. } => self.cut_at = Some(place.position),
            VirtualServerEvent::VirtualServerRetired { .. } => self.status = Status::Retired,
        }
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn set_time(_: &mut VirtualServerCommand, _: Micros) {}
}
