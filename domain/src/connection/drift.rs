//! What becomes of tools that an upstream offers otherwise than they are in force.
//!
//! **Invariants.** A definition comes into force by an administrator who refreshes or approves, or by
//! the connection's policy, and each is an event that says so. What is offered as it is in force is
//! never held.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::catalog::{Catalog, Era, Features, Pinned};
use super::{Connection, ConnectionError, ConnectionEvent, Feature};
use crate::{By, Micros};

/// So many changes are written down as they are seen; further ones only as [`Restlessness`] says, until an
/// administrator has done something about the connection.
pub const CHANGES_MAX: u32 = 100;
/// How long nothing may have been written down of a connection with more changes than that, until all is
/// again that differs.
pub const RESTLESS_SECONDS: u32 = 3_600;

/// How often an upstream has changed its tools with nobody but Proctor looking at it. Such changes are
/// written down for good, so one that never rests must not fill the journal: once there were
/// [`CHANGES_MAX`], only what takes a tool away from agents is written at once, since no call may rest on
/// what is offered no more. Anything else waits until nothing was written for [`RESTLESS_SECONDS`]. A tool
/// that was taken away does not come back in between, so each can be taken once in that time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Restlessness {
    changes: u32,
    changed_at: Micros,
}

impl Restlessness {
    /// After a change that was seen.
    pub(super) fn after(self, by: &By, at: Micros) -> Self {
        match by {
            By::Replica(_) => Self { changes: self.changes.saturating_add(1), changed_at: at },
            By::Key(_) | By::Login(_) => Self::default(),
        }
    }

    fn forbids(self, by: &By, at: Micros) -> bool {
        matches!(by, By::Replica(_))
            && self.changes >= CHANGES_MAX
            && at < self.changed_at.plus_seconds(RESTLESS_SECONDS)
    }
}

/// Which changes of a catalog come into force without an administrator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Drift {
    /// None.
    #[default]
    Hold,
    /// Those that only narrow what a tool takes; see [`super::narrows`].
    Narrowing,
    /// All.
    All,
}

impl Drift {
    /// Whether it is what is in force where nobody said otherwise.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The policy as it is stored and shown.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Narrowing => "narrowing",
            Self::All => "all",
        }
    }
}

/// A change of a tool that was found to narrow it only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Narrowed {
    /// The tool.
    pub tool: Feature,
    /// The definition before, by its digest.
    pub from: String,
    /// The definition after.
    pub to: String,
}

/// What somebody saw who looked at an upstream.
#[derive(Clone, Debug)]
pub struct Observation {
    /// What was found.
    pub catalog: Catalog,
    /// Whether it is all that the upstream offers: a tool that is not there is offered no more. Otherwise
    /// nothing is said of what is not there.
    pub complete: bool,
    /// Those changes that narrow only, as far as that was looked at.
    pub narrowed: Vec<Narrowed>,
}

impl Observation {
    /// All that is offered, where this was `before`.
    fn offered(&self, before: Features) -> Features {
        if self.complete {
            self.catalog.features.clone()
        } else {
            before.into_iter().chain(self.catalog.features.clone()).collect()
        }
    }

    /// What was offered `before`, without those tools in force that are not offered any more as they were
    /// then.
    fn taken_away(&self, in_force: &Features, before: Features) -> Features {
        let as_now = |(name, tool): (Feature, Pinned)| {
            let is_in_force = in_force.get(&name) == Some(&tool);
            match self.catalog.features.get(&name) {
                Some(now) if is_in_force => Some((name, now.clone())),
                None if is_in_force && self.complete => None,
                Some(_) | None => Some((name, tool)),
            }
        };
        before.into_iter().filter_map(as_now).collect()
    }
}

/// What an upstream offers, where that is something else than what is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offered {
    /// The era that it was found to speak.
    pub era: Era,
    /// The protocol revision that was agreed.
    pub protocol_version: String,
    /// SHA-256 over all that is offered; see [`Catalog::digest_of`].
    pub digest: String,
    /// Tools whose definition is another than the one in force.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub changed: BTreeMap<Feature, Pinned>,
    /// Tools of which none is in force.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub new: BTreeMap<Feature, Pinned>,
    /// Tools in force that are offered no more.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub gone: BTreeSet<Feature>,
}

/// What became of one tool: which definition was in force, and which is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// The digest of the one before; none where the tool was new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The one from here on; none where the tool is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Pinned>,
}

/// Why a tool is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldBecause {
    /// Its definition is another than the one in force.
    Changed,
    /// None was ever in force.
    New,
}

impl HeldBecause {
    /// The reason as it is shown.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::New => "new",
        }
    }
}

/// How a tool of a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing<'a> {
    /// It is offered as it is in force.
    InForce(&'a Pinned),
    /// It is held until an administrator approves it.
    Held {
        /// The definition in force, which is offered no more; none where the tool is new.
        in_force: Option<&'a Pinned>,
        /// What is offered.
        offered: &'a Pinned,
    },
    /// It is in force and offered no more.
    Gone(&'a Pinned),
    /// There is no such tool.
    Unknown,
}

impl Offered {
    /// What differs in `tools`, which are offered, from `in_force`.
    fn between(in_force: &Features, found: &Catalog, tools: &Features) -> Self {
        let mut offered = Self {
            era: found.era,
            protocol_version: found.protocol_version.clone(),
            digest: Catalog::digest_of(tools),
            changed: BTreeMap::new(),
            new: BTreeMap::new(),
            gone: in_force.keys().filter(|name| !tools.contains_key(*name)).cloned().collect(),
        };
        for (name, tool) in tools {
            match in_force.get(name) {
                None => drop(offered.new.insert(name.clone(), tool.clone())),
                Some(known) if known.digest != tool.digest => {
                    offered.changed.insert(name.clone(), tool.clone());
                }
                Some(_) => {}
            }
        }
        offered
    }

    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.new.is_empty() && self.gone.is_empty()
    }

    /// The tools in which it differs.
    pub fn names(&self) -> impl Iterator<Item = &Feature> {
        self.changed.keys().chain(self.new.keys()).chain(&self.gone)
    }

    /// The definition that is held of a tool, and why.
    #[must_use]
    pub fn held(&self, tool: &Feature) -> Option<(HeldBecause, &Pinned)> {
        let changed = self.changed.get(tool).map(|offered| (HeldBecause::Changed, offered));
        changed.or_else(|| self.new.get(tool).map(|offered| (HeldBecause::New, offered)))
    }

    /// Whether the same differs.
    fn says_the_same_as(&self, other: Option<&Self>) -> bool {
        other.map_or(self.is_empty(), |other| {
            (&self.changed, &self.new, &self.gone) == (&other.changed, &other.new, &other.gone)
        })
    }

    /// All that is offered.
    fn on(&self, in_force: &Features) -> Features {
        let mut tools = in_force.clone();
        tools.retain(|name, _| !self.gone.contains(name));
        tools.extend(self.changed.iter().chain(&self.new).map(|(name, tool)| (name.clone(), tool.clone())));
        tools
    }

    /// What it would mean for this tool to be in force as it is offered; nothing where it is.
    fn settle(&self, in_force: &Features, tool: &Feature) -> Option<Settled> {
        let from = in_force.get(tool).map(|known| known.digest.clone());
        match self.held(tool) {
            Some((_, offered)) => Some(Settled { from, to: Some(offered.clone()) }),
            None => self.gone.contains(tool).then_some(Settled { from, to: None }),
        }
    }

    /// Those changes that come into force by themselves. That a tool is gone takes less than any other.
    fn accepted(
        &self,
        policy: Drift,
        in_force: &Features,
        narrowed: &[Narrowed],
    ) -> BTreeMap<Feature, Settled> {
        let narrows = |tool: &Feature| {
            let (Some(from), Some(to)) = (in_force.get(tool), self.changed.get(tool)) else { return false };
            narrowed
                .iter()
                .any(|found| found.tool == *tool && found.from == from.digest && found.to == to.digest)
        };
        let accepts = |tool: &&Feature| match policy {
            Drift::Hold => false,
            Drift::Narrowing => self.gone.contains(*tool) || narrows(tool),
            Drift::All => true,
        };
        let accepted = self.names().filter(accepts);
        accepted.filter_map(|tool| Some((tool.clone(), self.settle(in_force, tool)?))).collect()
    }

    /// Takes out what is settled.
    fn without(mut self, settled: &BTreeMap<Feature, Settled>) -> Option<Self> {
        self.changed.retain(|name, _| !settled.contains_key(name));
        self.new.retain(|name, _| !settled.contains_key(name));
        self.gone.retain(|name| !settled.contains_key(name));
        (!self.is_empty()).then_some(self)
    }
}

/// These tools as they are once this is settled.
fn settle(tools: &mut Features, settled: &BTreeMap<Feature, Settled>) {
    for (name, Settled { to, .. }) in settled {
        match to {
            Some(tool) => drop(tools.insert(name.clone(), tool.clone())),
            None => drop(tools.remove(name)),
        }
    }
}

/// The decisions about it.
impl Connection {
    fn tools(&self) -> Features {
        self.catalog.as_ref().map(|catalog| catalog.features.clone()).unwrap_or_default()
    }

    /// Whether something else is offered than was last written down.
    #[must_use]
    pub fn is_behind(&self, seen: &Observation) -> bool {
        let in_force = self.tools();
        let tools = seen.offered(self.offered_before(&in_force));
        !Offered::between(&in_force, &seen.catalog, &tools).says_the_same_as(self.offered.as_deref())
    }

    fn offered_before(&self, in_force: &Features) -> Features {
        self.offered.as_ref().map_or_else(|| in_force.clone(), |now| now.on(in_force))
    }

    pub(super) fn observe(&self, by: &By, seen: &Observation, at: Micros) -> Vec<ConnectionEvent> {
        let in_force = self.tools();
        let before = self.offered_before(&in_force);
        let is_restless = self.restlessness.forbids(by, at);
        let tools = if is_restless { seen.taken_away(&in_force, before) } else { seen.offered(before) };
        let offered = Offered::between(&in_force, &seen.catalog, &tools);
        let policy = self.settings.as_ref().map(|settings| settings.drift).unwrap_or_default();
        let policy = if is_restless { Drift::Hold } else { policy };
        let accepted = offered.accepted(policy, &in_force, &seen.narrowed);
        let mut events = Vec::new();
        if !offered.says_the_same_as(self.offered.as_deref()) {
            events.push(ConnectionEvent::CatalogObserved { by: by.clone(), offered });
        }
        if !accepted.is_empty() {
            let mut after = in_force;
            settle(&mut after, &accepted);
            let catalog = Catalog::digest_of(&after);
            events.push(ConnectionEvent::CatalogAccepted {
                by: by.clone(),
                policy,
                tools: accepted,
                catalog,
            });
        }
        events
    }

    pub(super) fn approve(
        &self,
        by: &By,
        tools: Option<&BTreeSet<Feature>>,
        digest: &str,
    ) -> Result<Vec<ConnectionEvent>, ConnectionError> {
        if digest != self.offered_digest() {
            return Err(ConnectionError::OfferedOtherwise);
        }
        let in_force = self.tools();
        let held = || self.offered.iter().flat_map(|offered| offered.names().cloned());
        let wanted = tools.map_or_else(|| held().collect(), Clone::clone);
        let mut settled = BTreeMap::new();
        for tool in wanted {
            match self.offered.as_ref().and_then(|offered| offered.settle(&in_force, &tool)) {
                Some(change) => drop(settled.insert(tool, change)),
                // It is in force as it is offered.
                None if in_force.contains_key(&tool) => {}
                None => return Err(ConnectionError::NoSuchTool { tool, held: held().collect() }),
            }
        }
        if settled.is_empty() {
            return Ok(Vec::new());
        }
        let mut after = in_force;
        settle(&mut after, &settled);
        let catalog = Catalog::digest_of(&after);
        let (by, offered) = (by.clone(), digest.to_owned());
        Ok(vec![ConnectionEvent::CatalogApproved { by, offered, tools: settled, catalog }])
    }

    pub(super) fn settle(&mut self, settled: &BTreeMap<Feature, Settled>, digest: &str) {
        let Some(offered) = self.offered.take() else { return };
        let mut catalog = match &self.catalog {
            Some(catalog) => Catalog::clone(catalog),
            None => Catalog::of(offered.era, offered.protocol_version.clone(), BTreeMap::new()),
        };
        settle(&mut catalog.features, settled);
        digest.clone_into(&mut catalog.digest);
        self.catalog = Some(Arc::new(catalog));
        self.offered = Arc::unwrap_or_clone(offered).without(settled).map(Arc::new);
    }
}
