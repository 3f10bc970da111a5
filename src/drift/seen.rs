//! What was found at an upstream, in the words of the domain.
//!
//! **Invariants.** A definition that says the same as the one in force, only in another order of members
//! or with other white space, is taken for it: some servers write theirs differently each time.

use std::sync::Arc;

use proctor_domain::connection::{
    Catalog, Connection, Drift, Era, Features, Narrowed, Observation, Pinned, narrows,
};
use serde_json::Value;

use crate::journal::SideWrite;
use crate::manifests::{Manifests, ManifestsError};
use crate::upstream::{self, Probed};

/// What was seen, and the definitions that are to be kept of it.
pub struct Seen {
    /// What is told to the connection.
    pub observation: Observation,
    /// What is written with it.
    pub side_writes: Vec<SideWrite>,
}

/// What was found, as a catalog, and its definitions.
#[must_use]
pub fn cataloged(found: &upstream::Catalog, probed: &Probed) -> (Catalog, Vec<SideWrite>) {
    let features = found.features.iter().map(|defined| (defined.feature.clone(), pinned(defined)));
    let era = match probed.era {
        upstream::Era::Legacy => Era::Legacy,
        upstream::Era::Modern => Era::Modern,
    };
    let definitions = found.features.iter().map(definition);
    let catalog = Catalog::of(era, probed.protocol_version.to_owned(), features.collect());
    (Catalog { abilities: probed.abilities, ..catalog }, definitions.collect())
}

fn pinned(defined: &upstream::Defined) -> Pinned {
    Pinned { digest: defined.digest.clone(), read_only: defined.read_only }
}

fn definition(defined: &upstream::Defined) -> SideWrite {
    SideWrite::Definition { digest: defined.digest.clone(), json: Arc::from(defined.definition.get()) }
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
    let in_force = connection.catalog().map(|catalog| &catalog.features);
    let policy = connection.settings().map(|settings| settings.drift).unwrap_or_default();
    let mut features = Features::new();
    let (mut side_writes, mut narrowed) = (Vec::new(), Vec::new());
    for defined in found.iter().flat_map(|catalog| &catalog.features) {
        let known = in_force.and_then(|features| features.get(&defined.feature));
        let mut offered = pinned(defined);
        if let Some(known) = known.filter(|known| known.digest != offered.digest) {
            let before = manifests.definition(&known.digest).await?;
            let before: Value = serde_json::from_str(before.get()).unwrap_or_default();
            let after: Value = serde_json::from_str(defined.definition.get()).unwrap_or_default();
            if before == after {
                offered = known.clone();
            } else if policy == Drift::Narrowing && narrows(&before, &after) {
                narrowed.push(Narrowed {
                    tool: defined.feature.clone(),
                    from: known.digest.clone(),
                    to: offered.digest.clone(),
                });
            }
        }
        let is_in_force = known == Some(&offered);
        if !is_in_force {
            side_writes.push(definition(defined));
        }
        if !is_in_force || !features.contains_key(&defined.feature) {
            features.insert(defined.feature.clone(), offered);
        }
    }
    let catalog = Catalog::of(spoken.0, spoken.1, features);
    Ok(Seen { observation: Observation { catalog, complete, narrowed }, side_writes })
}
