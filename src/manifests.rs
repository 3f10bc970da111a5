//! What each virtual server shows, computed from its definition and the catalogs in force.
//!
//! **Invariants.** Nothing is decided here: a manifest says what may be seen, a session what may be
//! called. A kept manifest is used only for exactly the states that it was computed from.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use dashmap::DashMap;
use proctor_domain::Name;
use proctor_domain::connection::Connection;
use proctor_domain::session::{Access, Terms};
use proctor_domain::virtual_server::VirtualServer;
use proctor_projections::manifest::{CatalogDefinition, Manifest, ManifestError, ManifestTool};
use serde_json::value::RawValue;

use crate::actors::Directory;
use crate::journal::StoreError;

/// Definitions kept in memory; all are forgotten together when there are more.
const DEFINITIONS_KEPT_MAX: usize = 50_000;

/// A manifest that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ManifestsError {
    /// An entity could not be loaded.
    #[error("failed to load {0} from the journal: try again soon")]
    Unavailable(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored definition is missing or is not what its digest says.
    #[error("the definition {0} is not in the store: refresh its connection's catalog")]
    DefinitionMissing(String),
    /// A definition cannot be changed as the administrator wants.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// What a virtual server shows, and the states that it follows from.
pub struct Shown {
    /// The virtual server.
    pub server: Arc<VirtualServer>,
    /// Its connections.
    pub connections: BTreeMap<Name, Arc<Connection>>,
    /// What it shows to a session that may see everything.
    pub manifest: Manifest,
    tools: HashMap<String, Arc<ManifestTool>>,
}

impl Shown {
    /// The tool that the agent calls by `name`.
    #[must_use]
    pub fn tool(&self, name: &str) -> Option<&Arc<ManifestTool>> {
        self.tools.get(name)
    }

    /// What a session on these terms sees of it.
    #[must_use]
    pub fn for_terms(&self, terms: &Terms) -> Manifest {
        let chosen: Option<BTreeSet<&str>> =
            terms.tools.as_ref().map(|tools| tools.iter().map(String::as_str).collect());
        self.manifest.narrowed(|tool| {
            (terms.access == Access::Full || tool.read_only)
                && chosen.as_ref().is_none_or(|chosen| chosen.contains(tool.name.as_str()))
        })
    }

    fn is_of(&self, server: &VirtualServer, connections: &BTreeMap<Name, Arc<Connection>>) -> bool {
        use proctor_domain::Decider as _;
        self.server.version() == server.version()
            && self.connections.len() == connections.len()
            && self
                .connections
                .iter()
                .zip(connections)
                .all(|((a, x), (b, y))| a == b && x.version() == y.version())
    }
}

/// See the module.
pub struct Manifests {
    directory: Arc<Directory>,
    shown: DashMap<Name, Arc<Shown>>,
    definitions: DashMap<String, Arc<RawValue>>,
}

impl Manifests {
    /// Nothing computed yet.
    #[must_use]
    pub fn new(directory: Arc<Directory>) -> Self {
        Self { directory, shown: DashMap::new(), definitions: DashMap::new() }
    }

    /// What the virtual server shows now, by the states that this process has seen.
    ///
    /// # Errors
    /// When a state or a definition cannot be had.
    pub async fn of(&self, name: &Name) -> Result<Arc<Shown>, ManifestsError> {
        let server = self
            .directory
            .state::<VirtualServer>(name.as_str())
            .await
            .map_err(|_| ManifestsError::Unavailable(format!("virtual server \"{name}\"")))?;
        let mut connections = BTreeMap::new();
        if let Some(kept) = self.shown.get(name).map(|kept| Arc::clone(&kept)) {
            // The usual case: the same connections as before.
            for connection in kept.connections.keys() {
                connections.insert(connection.clone(), self.connection(connection).await?);
            }
            if kept.is_of(&server, &connections) {
                return Ok(kept);
            }
            connections.clear();
        }
        for name in server.definition().connections() {
            connections.insert(name.clone(), self.connection(name).await?);
        }
        let manifest = Box::pin(self.compute(&server, &connections)).await?;
        let tools = manifest.tools.iter().map(|tool| (tool.name.clone(), Arc::clone(tool))).collect();
        let shown = Arc::new(Shown { server, connections, manifest, tools });
        self.shown.insert(name.clone(), Arc::clone(&shown));
        Ok(shown)
    }

    /// A definition's exact text, by its digest.
    ///
    /// # Errors
    /// When it cannot be read or is not there.
    pub async fn definition(&self, digest: &str) -> Result<Arc<RawValue>, ManifestsError> {
        if let Some(kept) = self.definitions.get(digest) {
            return Ok(Arc::clone(&kept));
        }
        let missing = || ManifestsError::DefinitionMissing(digest.to_owned());
        let text = self.directory.journal().reader().definition(digest).await?.ok_or_else(missing)?;
        let raw: Arc<RawValue> = RawValue::from_string(text).map_err(|_| missing())?.into();
        if self.definitions.len() >= DEFINITIONS_KEPT_MAX {
            self.definitions.clear();
        }
        self.definitions.insert(digest.to_owned(), Arc::clone(&raw));
        Ok(raw)
    }

    async fn connection(&self, name: &Name) -> Result<Arc<Connection>, ManifestsError> {
        self.directory
            .state::<Connection>(name.as_str())
            .await
            .map_err(|_| ManifestsError::Unavailable(format!("connection \"{name}\"")))
    }

    async fn compute(
        &self,
        server: &VirtualServer,
        connections: &BTreeMap<Name, Arc<Connection>>,
    ) -> Result<Manifest, ManifestsError> {
        let usable = |name: &Name| connections.get(name).filter(|connection| connection.is_usable());
        let mut definitions: HashMap<&str, Arc<RawValue>> = HashMap::new();
        for (connection, feature) in server.definition().features() {
            if let Some(pinned) = usable(connection).and_then(|it| it.feature(&feature)) {
                definitions.insert(&pinned.digest, self.definition(&pinned.digest).await?);
            }
        }
        Ok(Manifest::of(server.definition(), |connection, feature| {
            let pinned = usable(connection)?.feature(feature)?;
            Some(CatalogDefinition {
                definition: definitions.get(pinned.digest.as_str())?,
                digest: &pinned.digest,
                read_only: pinned.read_only,
            })
        })?)
    }
}
