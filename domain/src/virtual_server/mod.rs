//! A named endpoint for one agent role: exactly which tools, prompts and resources of which
//! connections it shows.

mod definition;
mod resources;
mod uri_template;
mod wanted;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use definition::{
    Capture, DESCRIPTION_CHARS_MAX, Definition, ExposedPrompt, ExposedTool, INSTRUCTIONS_CHARS_MAX,
    InvalidDefinition, Login, MissingAccounts, PROMPT_NAME_BYTES_MAX, PROMPTS_MAX, RESOURCE_RULES_MAX,
    TOOL_NAME_BYTES_MAX, TOOLS_MAX,
};
pub use resources::{ExposedResource, ExposedResourceTemplate, FoundResource, Resources};
pub(crate) use uri_template::scheme;
pub use uri_template::{InvalidTemplate, URI_BYTES_MAX, UriTemplate};
pub use wanted::{Method, Target, Wanted};

use crate::connection::{Catalog, Connection, Feature, Standing};
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
    /// A connection of which it is not known yet what it offers.
    #[error("the catalog of connection \"{0}\" was never read: refresh it first")]
    NoCatalog(Name),
    /// A tool, a prompt or a resource template that is not there.
    #[error(
        "connection \"{connection}\" has no {} \"{}\"; it has: {}",
        .feature.kind(), .feature.name().escape_debug(), listed(.known)
    )]
    UnknownFeature {
        /// The connection.
        connection: Name,
        /// The one asked for.
        feature: Feature,
        /// The names of those of its kind that exist.
        known: Vec<String>,
    },
    /// A resource of a connection that has none.
    #[error(
        "connection \"{0}\" offers no resources, as far as its catalog says: refresh the catalog, or leave its \
         resources out"
    )]
    NoResources(Name),
    /// A tool, a prompt or a resource template that nobody has approved yet.
    #[error(
        "{} \"{}\" of connection \"{connection}\" is new and held until an administrator approves it: look at \
         it with `proctor connection diff {connection}` (GET \u{2026}/diff), then approve it with `proctor \
         connection approve {connection}` (POST \u{2026}/approve)",
        .feature.kind(), .feature.name().escape_debug()
    )]
    HeldFeature {
        /// The connection.
        connection: Name,
        /// The one asked for.
        feature: Feature,
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
    prompts_by_name: Arc<BTreeMap<String, usize>>,
    resources: Arc<Resources>,
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

    /// The prompt that the agent knows by this name.
    #[must_use]
    pub fn prompt(&self, name: &str) -> Option<&ExposedPrompt> {
        self.prompts_by_name.get(name).map(|index| &self.definition.prompts[*index])
    }

    /// How agents address its resources.
    #[must_use]
    pub fn resources(&self) -> &Arc<Resources> {
        &self.resources
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
        for (name, feature) in definition.features() {
            let catalog = catalog_of(name, connections)?;
            if !catalog.features.contains_key(&feature) {
                let connection = connections.get(name);
                let is_held = |it: &Arc<Connection>| matches!(it.standing(&feature), Standing::Held { .. });
                if connection.is_some_and(is_held) {
                    return Err(VirtualServerError::HeldFeature { connection: name.clone(), feature });
                }
                let alike = |known: &&Feature| known.kind() == feature.kind();
                let known = catalog.features.keys().filter(alike).map(|known| known.name().to_owned());
                let known = known.collect();
                return Err(VirtualServerError::UnknownFeature { connection: name.clone(), feature, known });
            }
        }
        for ExposedResource { connection, .. } in &definition.resources {
            if !catalog_of(connection, connections)?.abilities.resources {
                return Err(VirtualServerError::NoResources(connection.clone()));
            }
        }
        Ok(())
    }
}

/// The catalog of a connection that is there.
fn catalog_of<'c>(name: &Name, connections: &'c Connections) -> Result<&'c Catalog, VirtualServerError> {
    let connection = connections.get(name).filter(|connection| connection.is_usable());
    let connection = connection.ok_or_else(|| {
        let usable = connections.iter().filter(|(_, connection)| connection.is_usable());
        let known = usable.map(|(name, _)| name.to_string()).collect();
        VirtualServerError::UnknownConnection { name: name.clone(), known }
    })?;
    connection.catalog().map(Arc::as_ref).ok_or_else(|| VirtualServerError::NoCatalog(name.clone()))
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
                let indexed = |names: Vec<String>| {
                    Arc::new(names.into_iter().enumerate().map(|(index, name)| (name, index)).collect())
                };
                self.tools_by_name = indexed(definition.tool_names());
                self.prompts_by_name = indexed(definition.prompt_names());
                self.resources = Arc::new(Resources::of(definition));
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
