//! One look at an upstream: what it offers, told to its connection.

use std::sync::Arc;

use proctor_domain::connection::{Connection, ConnectionCommand, ConnectionError, Era, Transport};
use proctor_domain::{By, Name};

use super::pace::Ended;
use super::seen::{Seen, observation};
use crate::actors::{AskError, Prepared, now};
use crate::manifests::ManifestsError;
use crate::proctor::Proctor;
use crate::targets::TargetError;
use crate::upstream::{self, Told, UpstreamError};

/// What came of a look.
pub(super) enum Looked {
    /// It is retired, or was never there.
    NotThere,
    /// It cannot be looked at by itself: its catalog was never read, or every user brings a credential.
    NotByItself,
    /// It was looked at.
    At {
        /// With this generation of its settings.
        generation: u32,
        /// Whether something was written.
        changed: bool,
        /// Whether its upstream says when its tools change, where that was found out.
        speaks: Option<bool>,
    },
}

impl Looked {
    pub(super) fn ended(&self) -> Ended {
        match self {
            Self::At { changed: true, .. } => Ended::Changed,
            Self::At { .. } | Self::NotThere | Self::NotByItself => Ended::Same,
        }
    }
}

/// Why nothing came of it.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookError {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    #[error(transparent)]
    Definition(#[from] ManifestsError),
    #[error(transparent)]
    Connection(#[from] AskError<ConnectionError>),
}

/// What was found on one look.
struct Found {
    catalogs: Vec<upstream::Catalog>,
    spoken: (Era, String),
    speaks: Option<bool>,
    complete: bool,
}

/// Looks at a connection's upstream, on the ways that told of a change where only those can be looked at.
pub(super) async fn look(proctor: &Arc<Proctor>, name: &Name, told: &[Told]) -> Result<Looked, LookError> {
    let connection = proctor.directory.state::<Connection>(name.as_str()).await?;
    if !connection.is_usable() {
        return Ok(Looked::NotThere);
    }
    let Some(found) = find(proctor, name, &connection, told).await? else { return Ok(Looked::NotByItself) };
    let Found { catalogs, spoken, speaks, complete } = found;
    let Seen { observation, side_writes } =
        observation(&proctor.manifests, &connection, &catalogs, spoken, complete).await?;
    let generation = connection.generation();
    let by = By::Replica(proctor.replica.clone());
    let observed = proctor
        .directory
        .ask::<Connection, _>(name.as_str(), || {
            let (by, observation) = (by.clone(), observation.clone());
            let command = ConnectionCommand::ObserveCatalog { by, observation, generation, at: now() };
            let prepared = Prepared { side_writes: side_writes.clone(), ..Prepared::alone(command) };
            async move { Ok(prepared) }
        })
        .await?;
    if !observed.is_empty() {
        tracing::info!(connection = %name, "the upstream offers something else than before");
    }
    // What is not written down has changed all the same, and is looked at as seldom.
    let connection = proctor.directory.state::<Connection>(name.as_str()).await?;
    let changed = !observed.is_empty() || connection.is_behind(&observation);
    Ok(Looked::At { generation, changed, speaks })
}

async fn find(
    proctor: &Proctor,
    name: &Name,
    connection: &Connection,
    told: &[Told],
) -> Result<Option<Found>, LookError> {
    let Some(catalog) = connection.catalog() else { return Ok(None) };
    let spoken = (catalog.era, catalog.protocol_version.clone());
    let target = proctor.targets.of(name, connection).await?;
    if connection.takes().is_some() {
        // What one user is offered says nothing of what others are not.
        let mut catalogs = Vec::new();
        for told in told {
            for catalog in proctor.upstreams.open_catalogs(&target, Some(told)).await {
                catalogs.push(catalog?);
            }
        }
        let found = Found { catalogs, spoken, speaks: None, complete: false };
        return Ok((!found.catalogs.is_empty()).then_some(found));
    }
    let is_child =
        connection.settings().is_some_and(|settings| matches!(settings.transport, Transport::Stdio { .. }));
    if is_child {
        // A process that runs is what agents speak to; another one may offer something else.
        let mut open = proctor.upstreams.open_catalogs(&target, None).await;
        for told in told {
            open.extend(proctor.upstreams.open_catalogs(&target, Some(told)).await);
        }
        let asked = open.len();
        let catalogs: Vec<_> = open.into_iter().filter_map(Result::ok).collect();
        if !catalogs.is_empty() {
            let complete = catalogs.len() == asked;
            return Ok(Some(Found { catalogs, spoken, speaks: Some(false), complete }));
        }
    }
    let (found, probed) = proctor.upstreams.catalog_in_place(&target).await?;
    let speaks = Some(probed.list_changed && !is_child);
    Ok(Some(Found { catalogs: vec![found], spoken, speaks, complete: true }))
}
