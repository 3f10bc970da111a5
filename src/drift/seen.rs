//! What was found at an upstream, in the words of the domain.
//!
//! **Invariants.** A definition that says the same as the one in force, only in another order of members
//! or with other white space, is taken for it: some servers write theirs differently each time.

use std::collections::BTreeMap;
use std::sync::Arc;

use proctor_domain::connection::{
    Catalog, CatalogTool, Connection, Drift, Era, Narrowed, Observation, narrows,
};
use serde_json::Value;

use crate::journal::SideWrite;
use crate::manifests::{Manifests, ManifestsError};
use crate::upstream;

/// What was seen, and the definitions that are to be kept of it.
pub struct Seen {
    /// What is told to the connection.
    pub observation: Observation,
    /// What is written with it.
    pub side_writes: Vec<SideWrite>,
}

/// What was found, as a catalog, and its definitions.
#[must_use]
pub fn cataloged(found: &upstream::Catalog, era: upstream::Era, version: &str) -> (Catalog, Vec<SideWrite>) {
    let tools = found.tools.iter().map(|tool| (tool.name.clone(), pinned(tool)));
    let era = match era {
        upstream::Era::Legacy => Era::Legacy,
        upstream::Era::Modern => Era::Modern,
    };
    let definitions = found.tools.iter().map(definition);
    (Catalog::of(era, version.to_owned(), tools.collect()), definitions.collect())
}

fn pinned(tool: &upstream::Tool) -> CatalogTool {
    CatalogTool { digest: tool.digest.clone(), read_only: tool.read_only }
}

fn definition(tool: &upstream::Tool) -> SideWrite {
    SideWrite::Definition { digest: tool.digest.clone(), json: Arc::from(tool.definition.get()) }
}

/// Holds what was found, perhaps on several ways, against what is in force at `connection`. Where one way
/// offers a tool as it is in force and another does not, it is the other that counts.
///
/// # Errors
/// When a definition in force cannot be read.
pub async fn observation(
    manifests: &Manifests,
    connection: &Connection,
    found: &[upstream::Catalog],
    spoken: (Era, String),
    complete: bool,
) -> Result<Seen, ManifestsError> {
    let in_force = connection.catalog().map(|catalog| &catalog.tools);
    let policy = connection.settings().map(|settings| settings.drift).unwrap_or_default();
    let mut tools: BTreeMap<String, CatalogTool> = BTreeMap::new();
    let (mut side_writes, mut narrowed) = (Vec::new(), Vec::new());
    for tool in found.iter().flat_map(|catalog| &catalog.tools) {
        let known = in_force.and_then(|tools| tools.get(&tool.name));
        let mut offered = pinned(tool);
        if let Some(known) = known.filter(|known| known.digest != offered.digest) {
            let before = manifests.definition(&known.digest).await?;
            let before: Value = serde_json::from_str(before.get()).unwrap_or_default();
            let after: Value = serde_json::from_str(tool.definition.get()).unwrap_or_default();
            if before == after {
                offered = known.clone();
            } else if policy == Drift::Narrowing && narrows(&before, &after) {
                narrowed.push(Narrowed {
                    tool: tool.name.clone(),
                    from: known.digest.clone(),
                    to: offered.digest.clone(),
                });
            }
        }
        let is_in_force = known == Some(&offered);
        if !is_in_force {
            side_writes.push(definition(tool));
        }
        if !is_in_force || !tools.contains_key(&tool.name) {
            tools.insert(tool.name.clone(), offered);
        }
    }
    let catalog = Catalog::of(spoken.0, spoken.1, tools);
    Ok(Seen { observation: Observation { catalog, complete, narrowed }, side_writes })
}
