//! An upstream MCP server, registered once by an administrator.

mod catalog;
mod drift;
mod feature;
mod narrowing;
mod settings;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use catalog::{Abilities, Catalog, Era, Features, Pinned};
use drift::Restlessness;
pub use drift::{
    CHANGES_MAX, Drift, HeldBecause, Narrowed, Observation, Offered, RESTLESS_SECONDS, Settled, Standing,
};
pub use feature::Feature;
pub use narrowing::narrows;
pub use settings::{AuthMethod, CredentialKind, Settings, Takes, Transport};

use crate::decider::{aggregate, domain_event};
use crate::environment::SettingsError;
use crate::{By, Decider, Micros, Place, Position};

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
    /// Says what the upstream offers now, which comes into force only as far as the policy lets it.
    ObserveCatalog {
        /// Who looked.
        by: By,
        /// What was seen.
        observation: Observation,
        /// The settings' generation that it was seen with.
        generation: u32,
        /// When.
        at: Micros,
    },
    /// Puts in force what is held, as it was shown.
    ApproveCatalog {
        /// Who asks.
        by: By,
        /// These of the tools; all when absent.
        tools: Option<BTreeSet<Feature>>,
        /// The digest of what was offered when it was shown.
        digest: String,
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
    /// The upstream offers something else than before: what differs from what is in force, or that
    /// nothing does any more. What differs is held from here on.
    CatalogObserved {
        /// Who looked.
        by: By,
        /// What differs.
        offered: Offered,
    },
    /// The policy puts in force what was just observed.
    CatalogAccepted {
        /// Who looked.
        by: By,
        /// The policy.
        policy: Drift,
        /// What changes.
        tools: BTreeMap<Feature, Settled>,
        /// The digest of the catalog that is in force from here on.
        catalog: String,
    },
    /// An administrator puts in force what was held.
    CatalogApproved {
        /// Who did it.
        by: By,
        /// The digest of what was offered, as it was shown.
        offered: String,
        /// What changes.
        tools: BTreeMap<Feature, Settled>,
        /// The digest of the catalog that is in force from here on.
        catalog: String,
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
    CatalogObserved = "1",
    CatalogAccepted = "1",
    CatalogApproved = "1",
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
    /// What was shown is not what is offered now.
    #[error(
        "the upstream offers something else by now than what was approved: look at the difference again, and \
         approve that"
    )]
    OfferedOtherwise,
    /// A feature that is neither in force nor offered.
    #[error("there is no {} \"{}\" to approve; held are: {}", .tool.kind(), .tool.name().escape_debug(), listed(.held))]
    NoSuchTool {
        /// The one asked for.
        tool: Feature,
        /// Those that wait for it.
        held: Vec<Feature>,
    },
    /// It is set so that no user can bring what it wants.
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

fn listed(features: &[Feature]) -> String {
    if features.is_empty() {
        return "none".to_owned();
    }
    features
        .iter()
        .map(|feature| feature.to_string().escape_debug().to_string())
        .collect::<Vec<_>>()
        .join(", ")
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
    offered: Option<Arc<Offered>>,
    restlessness: Restlessness,
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

    /// The features in force, offered or not; `None` until its catalog was first read.
    #[must_use]
    pub fn catalog(&self) -> Option<&Arc<Catalog>> {
        self.catalog.as_ref()
    }

    /// In what the upstream differs from that, as it was last seen; nothing where it does not.
    #[must_use]
    pub fn offered(&self) -> Option<&Arc<Offered>> {
        self.offered.as_ref()
    }

    /// How many of its tools are held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.offered.as_ref().map_or(0, |offered| offered.changed.len() + offered.new.len())
    }

    /// The digest of what the upstream offers, as it was last seen.
    #[must_use]
    pub fn offered_digest(&self) -> String {
        match (&self.offered, &self.catalog) {
            (Some(offered), _) => offered.digest.clone(),
            (None, Some(catalog)) => catalog.digest.clone(),
            (None, None) => Catalog::digest_of(&BTreeMap::new()),
        }
    }

    /// How a feature stands.
    #[must_use]
    pub fn standing(&self, feature: &Feature) -> Standing<'_> {
        let in_force = self.catalog.as_ref().and_then(|catalog| catalog.features.get(feature));
        let held = self.offered.as_ref().and_then(|offered| offered.held(feature));
        match (in_force, held) {
            (in_force, Some((_, offered))) => Standing::Held { in_force, offered },
            (Some(known), None) if self.offered.as_ref().is_some_and(|o| o.gone.contains(feature)) => {
                Standing::Gone(known)
            }
            (Some(known), None) => Standing::InForce(known),
            (None, None) => Standing::Unknown,
        }
    }

    /// The feature, if it may be shown and used: in force, and offered as it is.
    #[must_use]
    pub fn feature(&self, feature: &Feature) -> Option<&Pinned> {
        match self.standing(feature) {
            Standing::InForce(pinned) => Some(pinned),
            Standing::Held { .. } | Standing::Gone(_) | Standing::Unknown => None,
        }
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
            (
                Status::Registered,
                Command::RefreshCatalog { generation, .. } | Command::ObserveCatalog { generation, .. },
            ) if *generation != self.generation => Err(ConnectionError::Reconfigured),
            // Recorded even when nothing changed: an administrator vouched for it again.
            (Status::Registered, Command::RefreshCatalog { by, catalog, .. }) => {
                Ok(vec![ConnectionEvent::CatalogRefreshed { by: by.clone(), catalog: catalog.clone() }])
            }
            (Status::Registered, Command::ObserveCatalog { by, observation, at, .. }) => {
                Ok(self.observe(by, observation, *at))
            }
            (Status::Registered, Command::ApproveCatalog { by, tools, digest }) => {
                self.approve(by, tools.as_ref(), digest)
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
                self.restlessness = Restlessness::default();
            }
            ConnectionEvent::CatalogRefreshed { catalog, .. } => {
                self.catalog = Some(Arc::new(catalog.clone()));
                self.offered = None;
                self.restlessness = Restlessness::default();
            }
            ConnectionEvent::CatalogObserved { by, offered } => {
                self.offered = (!offered.is_empty()).then(|| Arc::new(offered.clone()));
                self.restlessness = self.restlessness.after(by, place.recorded_at);
            }
            ConnectionEvent::CatalogAccepted { tools, catalog, .. } => self.settle(tools, catalog),
            ConnectionEvent::CatalogApproved { tools, catalog, .. } => {
                self.settle(tools, catalog);
                self.restlessness = Restlessness::default();
            }
            ConnectionEvent::ConnectionTested { .. } => {}
            ConnectionEvent::ConnectionSessionsCut { .. } => self.cut_at = Some(place.position),
            ConnectionEvent::ConnectionRetired { .. } => self.status = Status::Retired,
        }
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn set_time(command: &mut ConnectionCommand, now: Micros) {
        if let ConnectionCommand::ObserveCatalog { at, .. } = command {
            *at = now;
        }
    }
}
