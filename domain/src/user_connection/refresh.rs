//! Who renews a credential, and how long others wait.

use serde::{Deserialize, Serialize};

use super::UserConnection;
use crate::{Micros, ReplicaId};

/// How long a process that renews a credential keeps others from it.
pub const REFRESH_CLAIM_SECONDS: u32 = 20;
/// How long it is waited after a renewal that did not come about, and twice as long after each further
/// one.
pub const REFRESH_PAUSE_SECONDS: u32 = 5;
/// How long it is waited at most: as long as nothing changes, so much is written down.
pub const REFRESH_PAUSE_SECONDS_MAX: u32 = 60;

/// Who renews the credential in force.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Refresh {
    #[default]
    Free,
    /// This process, until this time.
    Claimed { replica: ReplicaId, until: Micros },
    /// Nobody before this time.
    Paused { until: Micros },
}

impl Refresh {
    pub(super) fn is_free(&self) -> bool {
        *self == Self::Free
    }
}

impl UserConnection {
    /// Until when nobody may renew the credential: somebody does, or it was tried a moment ago. `None`
    /// when anybody may now.
    #[must_use]
    pub fn refresh_waits_until(&self, at: Micros) -> Option<Micros> {
        match &self.refresh {
            Refresh::Claimed { until, .. } | Refresh::Paused { until } if *until > at => Some(*until),
            Refresh::Free | Refresh::Claimed { .. } | Refresh::Paused { .. } => None,
        }
    }

    /// Whether the last renewal did not come about, a moment ago.
    #[must_use]
    pub fn refresh_is_paused(&self, at: Micros) -> bool {
        matches!(&self.refresh, Refresh::Paused { until } if *until > at)
    }

    pub(super) fn refresh_pause_seconds(&self) -> u32 {
        let factor = 2_u32.saturating_pow(self.refreshes_failed);
        REFRESH_PAUSE_SECONDS.saturating_mul(factor).min(REFRESH_PAUSE_SECONDS_MAX)
    }
}
