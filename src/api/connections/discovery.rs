//! Looks at what an upstream offers and puts it in force.

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::Arc;

use actix_web::web;
use proctor_domain::connection::{Catalog, Connection, ConnectionCommand, Feature};
use proctor_domain::user_connection::{Status, UserConnection};
use proctor_domain::{Name, Position};

use super::super::caller::Caller;
use super::super::problem::{Code, Problem};
use crate::actors::{Prepared, now};
use crate::connect::{self, Due};
use crate::drift::{self, cataloged};
use crate::proctor::Proctor;
use crate::upstream::{RejectedTool, Target};

/// A catalog that has just come into force.
pub(super) struct Refreshed {
    pub(super) catalog: Catalog,
    pub(super) changes: Changes,
    /// Tools that the upstream offers in a form that cannot be used.
    pub(super) rejected: Vec<RejectedTool>,
    pub(super) position: Position,
}

/// In what a catalog differs from the one before.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) added: Vec<Feature>,
    pub(super) changed: Vec<Feature>,
    pub(super) removed: Vec<Feature>,
}

/// How the connection is reached, without what was found out about its upstream before.
pub(super) async fn unprobed(
    proctor: &web::Data<Proctor>,
    name: &Name,
    connection: &Connection,
    as_user: Option<&str>,
) -> Result<Target, Problem> {
    let target = match as_user {
        Some(user) => target_of_user(proctor, name, connection, user).await?,
        None => proctor.targets.of(name, connection).await?,
    };
    Ok(Target { era: None, ..(*target).clone() })
}

/// The same with this user's credential.
async fn target_of_user(
    proctor: &web::Data<Proctor>,
    name: &Name,
    connection: &Connection,
    user: &str,
) -> Result<Arc<Target>, Problem> {
    let Some(takes) = connection.takes() else {
        let detail = format!("connection \"{name}\" takes no credential of each user: leave user out");
        return Err(Problem::new(Code::InvalidQuery, detail));
    };
    let missing = || {
        let detail =
            format!("this user has no usable account at connection \"{name}\": set a credential first");
        Problem::new(Code::AccountsMissing, detail)
    };
    let subject = proctor.keyring.subject_of(user).await?.ok_or_else(missing)?;
    let mut state: Arc<UserConnection> = proctor.directory.fresh(&UserConnection::id(&subject, name)).await?;
    if state.status_for(takes) != Status::Active {
        return Err(missing());
    }
    if connect::due(&state, now()) == Due::Now {
        connect::renew(proctor, &subject, name, state.generation(), false).await;
        state = proctor.directory.state(&UserConnection::id(&subject, name)).await?;
        if state.status_for(takes) != Status::Active {
            return Err(missing());
        }
    }
    let generation = state.generation();
    let open = async || Ok::<_, Problem>(proctor.keyring.user_credential(&subject, name, generation).await?);
    proctor.targets.of_user(name, connection, (&subject, generation), open).await
}

/// Reads the upstream's catalog and puts it in force.
pub(super) async fn refresh(
    proctor: &web::Data<Proctor>,
    caller: &Caller,
    name: &Name,
    as_user: Option<&str>,
) -> Result<Refreshed, Problem> {
    let before = super::fresh(proctor, name).await?;
    let target = unprobed(proctor, name, &before, as_user).await?;
    let (found, probed) = proctor.upstreams.catalog(&target).await?;
    let (catalog, side_writes) = cataloged(&found, &probed);
    let generation = before.generation();
    let events = caller
        .act::<Connection, _>(proctor, name.as_str(), || {
            let command =
                ConnectionCommand::RefreshCatalog { by: caller.by(), catalog: catalog.clone(), generation };
            ready(Ok(Prepared { side_writes: side_writes.clone(), ..Prepared::alone(command) }))
        })
        .await?;
    proctor.drifts.found(name, generation, probed.list_changed);
    Ok(Refreshed {
        changes: Changes::between(before.catalog().map(|catalog| &**catalog), &catalog),
        catalog,
        rejected: found.rejected,
        position: proctor.directory.position_of(&events),
    })
}

/// Reads the upstream's catalog and has it held where it is another than the one in force.
pub(super) async fn observe(
    proctor: &web::Data<Proctor>,
    caller: &Caller,
    name: &Name,
    as_user: Option<&str>,
) -> Result<Position, Problem> {
    let before = super::fresh(proctor, name).await?;
    let target = unprobed(proctor, name, &before, as_user).await?;
    let (found, probed) = proctor.upstreams.catalog(&target).await?;
    let (catalog, _) = cataloged(&found, &probed);
    let spoken = (catalog.era, catalog.protocol_version);
    let seen = drift::observation(&proctor.manifests, &before, &[found], spoken, true).await?;
    let generation = before.generation();
    let events = caller
        .act::<Connection, _>(proctor, name.as_str(), || {
            let (by, observation) = (caller.by(), seen.observation.clone());
            let command = ConnectionCommand::ObserveCatalog { by, observation, generation, at: now() };
            ready(Ok(Prepared { side_writes: seen.side_writes.clone(), ..Prepared::alone(command) }))
        })
        .await?;
    proctor.drifts.found(name, generation, probed.list_changed);
    Ok(proctor.directory.position_of(&events))
}

impl Changes {
    fn between(before: Option<&Catalog>, after: &Catalog) -> Self {
        let none = BTreeMap::new();
        let before = before.map_or(&none, |catalog| &catalog.features);
        let mut changes = Self::default();
        for (name, tool) in &after.features {
            match before.get(name) {
                None => changes.added.push(name.clone()),
                Some(known) if known.digest != tool.digest => changes.changed.push(name.clone()),
                Some(_) => {}
            }
        }
        changes.removed = before.keys().filter(|name| !after.features.contains_key(*name)).cloned().collect();
        changes
    }
}

#[cfg(test)]
mod tests {
    use proctor_domain::connection::{Era, Pinned};

    use super::*;

    fn catalog(tools: &[(&str, &str)]) -> Catalog {
        let features: BTreeMap<_, _> = tools
            .iter()
            .map(|(name, digest)| {
                (Feature::from(*name), Pinned { digest: (*digest).to_owned(), read_only: false })
            })
            .collect();
        Catalog::of(Era::Modern, "2026-07-28".to_owned(), features)
    }

    #[test]
    fn a_refresh_says_what_is_new_changed_and_gone() {
        let before = catalog(&[("a", "1"), ("b", "1"), ("c", "1")]);
        let after = catalog(&[("b", "1"), ("c", "2"), ("d", "1")]);
        let changes = Changes::between(Some(&before), &after);
        assert_eq!(changes.added, ["d"].map(Feature::from));
        assert_eq!(changes.changed, ["c"].map(Feature::from));
        assert_eq!(changes.removed, ["a"].map(Feature::from));
        assert_eq!(Changes::between(None, &before).added, ["a", "b", "c"].map(Feature::from));
        assert_eq!(Changes::between(Some(&before), &before), Changes::default());
    }

    #[test]
    fn a_catalogs_digest_says_where_names_end_and_digests_begin() {
        assert_ne!(catalog(&[("ab", "c")]).digest, catalog(&[("a", "bc")]).digest);
        assert_ne!(catalog(&[("a", "1")]).digest, catalog(&[("a", "2")]).digest);
        assert_eq!(catalog(&[("a", "1"), ("b", "2")]).digest, catalog(&[("b", "2"), ("a", "1")]).digest);
    }
}
