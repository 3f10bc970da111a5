//! Waits until every process has seen a revocation.

use std::time::{Duration, Instant};

use proctor_domain::{Position, ReplicaId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::problem::Problem;
use crate::proctor::Proctor;

/// A process that says nothing for so long has lost its lease, unless leases are set to be longer.
const WAIT_MAX: Duration = Duration::from_secs(35);
/// How often the leases are looked at.
const POLL: Duration = Duration::from_millis(50);

/// Whether the answer is to wait.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Wait {
    /// Whether to answer when every live replica has confirmed it.
    #[serde(default)]
    wait: bool,
}

/// Whether every live replica has confirmed it; said to who wanted to wait.
#[derive(Default, Serialize, ToSchema)]
pub(super) struct Confirmation {
    /// Whether all have.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    confirmed: Option<bool>,
    /// Those that have not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Vec<String>>)]
    unconfirmed_replicas: Option<Vec<ReplicaId>>,
}

/// Where the caller wants to wait: until every live process has seen `position`, so that none of
/// them sends a call that rests on less. Says whether all have, and which have not.
pub(super) async fn confirmed(
    proctor: &Proctor,
    wait: &Wait,
    position: Position,
) -> Result<Confirmation, Problem> {
    if !wait.wait {
        return Ok(Confirmation::default());
    }
    let end = Instant::now() + WAIT_MAX;
    let behind = loop {
        let behind = behind(proctor, position).await?;
        if behind.is_empty() || Instant::now() >= end {
            break behind;
        }
        tokio::time::sleep(POLL).await;
    };
    Ok(Confirmation { confirmed: Some(behind.is_empty()), unconfirmed_replicas: Some(behind) })
}

async fn behind(proctor: &Proctor, position: Position) -> Result<Vec<ReplicaId>, Problem> {
    let reader = proctor.journal.reader();
    let now = reader.now().await?;
    let behind = reader.leases().await?.into_iter().filter(|lease| {
        // This process's own lease says what it had seen when it was last renewed.
        let seen = match lease.replica == proctor.replica {
            true => proctor.journal.head().position(),
            false => lease.confirmed,
        };
        lease.ends_at > now && seen < position
    });
    Ok(behind.map(|lease| lease.replica).collect())
}
