//! One user's authorization of one connection.

mod command;
mod error;
mod event;
mod link;

use serde::{Deserialize, Serialize};

use crate::connection::{Connection, CredentialKind};
use crate::decider::aggregate;
use crate::{Decider, Micros, Name, Place, ReplicaId, SubjectId};

pub use command::UserConnectionCommand;
pub use error::UserConnectionError;
pub use event::UserConnectionEvent;
use link::Step;
pub use link::{
    ATTEMPTS_MAX, CONFIRM_SECONDS, LINK_SECONDS_DEFAULT, LINK_SECONDS_MAX, LINK_SECONDS_MIN, Link,
};

/// How long a process that renews a credential keeps others from it.
pub const REFRESH_CLAIM_SECONDS: u32 = 20;
/// How long it is waited after a renewal that did not come about, and twice as long after each further
/// one.
pub const REFRESH_PAUSE_SECONDS: u32 = 5;
/// How long it is waited at most: as long as nothing changes, so much is written down.
pub const REFRESH_PAUSE_SECONDS_MAX: u32 = 60;

/// Whether a user's account can be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The user never connected one.
    #[default]
    Missing,
    /// The user never connected one, and can do so by a link.
    Pending,
    /// A credential is in force.
    Active,
    /// It is not accepted any more.
    Expired,
    /// It was taken out of force.
    Disconnected,
}

impl Status {
    /// The status as it is stored and shown.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Disconnected => "disconnected",
        }
    }
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UserConnection {
    version: u64,
    status: Status,
    kind: Option<CredentialKind>,
    generation: u32,
    reason: Option<String>,
    since: Micros,
    scopes: Vec<String>,
    expires_at: Option<Micros>,
    renewed_at: Micros,
    link: Option<Link>,
    refresh: Refresh,
    /// Renewals that did not come about since the last one that did.
    refreshes_failed: u32,
}

/// Who renews the credential in force.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
enum Refresh {
    #[default]
    Free,
    /// This process, until this time.
    Claimed { replica: ReplicaId, until: Micros },
    /// Nobody before this time.
    Paused { until: Micros },
}

impl UserConnection {
    /// The identifier of one user's authorization of one connection. No subject has a dot in it.
    #[must_use]
    pub fn id(subject: &SubjectId, connection: &Name) -> String {
        format!("{subject}.{connection}")
    }

    /// Whether the account can be used for a connection that takes this kind. A credential of
    /// another kind, from before the connection was set anew, is as good as none.
    #[must_use]
    pub fn status_for(&self, takes: CredentialKind) -> Status {
        if self.status == Status::Active && self.kind != Some(takes) { Status::Missing } else { self.status }
    }

    /// What the last credential is or was.
    #[must_use]
    pub fn kind(&self) -> Option<CredentialKind> {
        self.kind
    }

    /// The generation of the last credential; 0 when there never was one.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Why it expired or was disconnected.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// Since when it is as it is.
    #[must_use]
    pub fn since(&self) -> Micros {
        self.since
    }

    /// What the credential in force may be used for, as far as that is said.
    #[must_use]
    pub fn scopes(&self) -> &[String] {
        &self.scopes
    }

    /// Until when the credential in force can be used without being renewed.
    #[must_use]
    pub fn expires_at(&self) -> Option<Micros> {
        self.expires_at
    }

    /// When the credential in force was recorded.
    #[must_use]
    pub fn renewed_at(&self) -> Micros {
        self.renewed_at
    }

    /// The newest link.
    #[must_use]
    pub fn link(&self) -> Option<&Link> {
        self.link.as_ref()
    }

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

    fn link_of(&self, id: &str) -> Result<&Link, UserConnectionError> {
        self.link.as_ref().filter(|link| link.id == id).ok_or(UserConnectionError::LinkUnknown)
    }

    fn takes(connection: &Name, grounds: &Connection) -> Result<CredentialKind, UserConnectionError> {
        if !grounds.is_usable() {
            return Err(UserConnectionError::NoConnection(connection.clone()));
        }
        grounds.credential_kind().ok_or_else(|| UserConnectionError::Shared(connection.clone()))
    }

    /// A credential of this kind and generation, as it may be put in force now.
    fn check_new(
        &self,
        connection: &Name,
        grounds: &Connection,
        given: CredentialKind,
        generation: u32,
    ) -> Result<(), UserConnectionError> {
        let takes = Self::takes(connection, grounds)?;
        if takes != given {
            return Err(UserConnectionError::OtherKind { connection: connection.clone(), takes, given });
        }
        if generation != self.generation + 1 {
            return Err(UserConnectionError::Overtaken);
        }
        Ok(())
    }
}

aggregate!(
    UserConnection,
    "user_connection",
    UserConnectionCommand,
    UserConnectionEvent,
    UserConnectionError
);

impl Decider for UserConnection {
    fn decide(
        &self,
        command: &UserConnectionCommand,
    ) -> Result<Vec<UserConnectionEvent>, UserConnectionError> {
        use UserConnectionCommand as Command;
        use UserConnectionEvent as Event;
        match command {
            Command::Activate { by, subject, connection, kind, grounds, generation } => {
                self.check_new(connection, grounds, *kind, *generation)?;
                Ok(vec![Event::UserConnectionActivated {
                    by: by.clone(),
                    subject: subject.clone(),
                    connection: connection.clone(),
                    kind: *kind,
                    generation: *generation,
                    link: None,
                    scopes: Vec::new(),
                    expires_at: None,
                }])
            }
            Command::IssueLink { at, by, subject, connection, grounds, link, ttl_seconds } => {
                if !(LINK_SECONDS_MIN..=LINK_SECONDS_MAX).contains(ttl_seconds) {
                    return Err(UserConnectionError::LinkSeconds);
                }
                Ok(vec![Event::UserConnectionLinkIssued {
                    by: by.clone(),
                    subject: subject.clone(),
                    connection: connection.clone(),
                    kind: Self::takes(connection, grounds)?,
                    link: link.clone(),
                    expires_at: at.plus_seconds(*ttl_seconds),
                }])
            }
            Command::StartAuthorization { at, link, browser } => {
                let attempt = self.link_of(link)?.next_attempt(*at, browser)?;
                let (link, browser) = (link.clone(), browser.clone());
                Ok(vec![Event::UserConnectionAuthorizationStarted { link, attempt, browser }])
            }
            Command::TakeCode { at, link, attempt, browser } => {
                self.link_of(link)?.check_answer(*at, *attempt, browser)?;
                Ok(vec![Event::UserConnectionCodeTaken { link: link.clone(), attempt: *attempt }])
            }
            Command::Authorize { at, link, kind, scopes, expires_at, code } => {
                let known = self.link_of(link)?;
                if known.kind != *kind {
                    return Err(UserConnectionError::LinkUnknown);
                }
                if known.step != Step::CodeTaken {
                    known.check_open(*at)?;
                }
                Ok(vec![Event::UserConnectionAuthorized {
                    link: link.clone(),
                    kind: *kind,
                    scopes: scopes.clone(),
                    expires_at: *expires_at,
                    code: code.clone(),
                    confirm_by: at.plus_seconds(CONFIRM_SECONDS),
                }])
            }
            Command::FailAuthorization { link, reason } => match self.link_of(link)?.step {
                Step::Failed => Ok(Vec::new()),
                Step::Issued | Step::Started { .. } | Step::CodeTaken | Step::Authorized { .. } => {
                    Ok(vec![Event::UserConnectionAuthorizationFailed {
                        link: link.clone(),
                        reason: reason.clone(),
                    }])
                }
            },
            Command::Confirm { at, by, subject, connection, grounds, link, code, generation } => {
                let known = self.link_of(link).map_err(|_| UserConnectionError::CodeUnknown)?;
                let Step::Authorized { scopes, expires_at, code: given, confirm_by } = &known.step else {
                    return Err(UserConnectionError::CodeUnknown);
                };
                if code != given {
                    return Err(UserConnectionError::CodeUnknown);
                }
                if at >= confirm_by {
                    return Err(UserConnectionError::CodeExpired);
                }
                self.check_new(connection, grounds, known.kind, *generation)?;
                Ok(vec![Event::UserConnectionActivated {
                    by: by.clone(),
                    subject: subject.clone(),
                    connection: connection.clone(),
                    kind: known.kind,
                    generation: *generation,
                    link: Some(link.clone()),
                    scopes: scopes.clone(),
                    expires_at: *expires_at,
                }])
            }
            Command::ClaimRefresh { .. }
            | Command::CompleteRefresh { .. }
            | Command::ReleaseRefresh { .. }
            | Command::Expire { .. }
            | Command::Disconnect { .. }
                if self.generation == 0 =>
            {
                Err(UserConnectionError::Unknown)
            }
            Command::ClaimRefresh { at, generation, replica, refused } => {
                let due = *refused || self.expires_at.is_some();
                if !self.is_in_force(*generation) || !due || self.refresh_waits_until(*at).is_some() {
                    return Ok(Vec::new());
                }
                Ok(vec![Event::UserConnectionRefreshClaimed {
                    generation: *generation,
                    replica: replica.clone(),
                    until: at.plus_seconds(REFRESH_CLAIM_SECONDS),
                }])
            }
            Command::CompleteRefresh { generation, scopes, expires_at } => {
                if !self.is_in_force(*generation) {
                    return Err(UserConnectionError::Overtaken);
                }
                Ok(vec![Event::UserConnectionRefreshed {
                    generation: generation + 1,
                    scopes: scopes.clone(),
                    expires_at: *expires_at,
                }])
            }
            Command::ReleaseRefresh { at, generation, replica, reason } => match &self.refresh {
                Refresh::Claimed { replica: claimed_by, .. }
                    if claimed_by == replica && self.is_in_force(*generation) =>
                {
                    Ok(vec![Event::UserConnectionRefreshFailed {
                        generation: *generation,
                        reason: reason.clone(),
                        retry_at: at.plus_seconds(self.refresh_pause_seconds()),
                    }])
                }
                Refresh::Free | Refresh::Claimed { .. } | Refresh::Paused { .. } => Ok(Vec::new()),
            },
            // A newer credential is not judged by what became of an older one.
            Command::Expire { generation, reason } if self.is_in_force(*generation) => {
                Ok(vec![Event::UserConnectionExpired { generation: *generation, reason: reason.clone() }])
            }
            Command::Expire { .. } => Ok(Vec::new()),
            Command::Disconnect { by, reason } => match self.status {
                Status::Active | Status::Expired => {
                    Ok(vec![Event::UserConnectionDisconnected { by: by.clone(), reason: reason.clone() }])
                }
                Status::Missing | Status::Pending | Status::Disconnected => Ok(Vec::new()),
            },
        }
    }

    fn evolve(&mut self, event: &UserConnectionEvent, place: Place) {
        use UserConnectionEvent as Event;
        self.version += 1;
        match event {
            Event::UserConnectionActivated { kind, generation, link, scopes, expires_at, .. } => {
                self.become_now(Status::Active, None, place);
                self.kind = Some(*kind);
                self.generation = *generation;
                self.scopes.clone_from(scopes);
                self.expires_at = *expires_at;
                self.renewed_at = place.recorded_at;
                self.refresh = Refresh::Free;
                self.refreshes_failed = 0;
                if link.is_some() {
                    self.link = None;
                }
            }
            Event::UserConnectionLinkIssued { kind, link, expires_at, .. } => {
                self.link =
                    Some(Link { id: link.clone(), kind: *kind, expires_at: *expires_at, step: Step::Issued });
                if self.status == Status::Missing {
                    self.become_now(Status::Pending, None, place);
                }
            }
            Event::UserConnectionAuthorizationStarted { link, attempt, browser } => {
                self.step_to(link, Step::Started { attempt: *attempt, browser: browser.clone() });
            }
            Event::UserConnectionCodeTaken { link, .. } => self.step_to(link, Step::CodeTaken),
            Event::UserConnectionAuthorized { link, scopes, expires_at, code, confirm_by, .. } => {
                let (scopes, expires_at) = (scopes.clone(), *expires_at);
                let (code, confirm_by) = (code.clone(), *confirm_by);
                self.step_to(link, Step::Authorized { scopes, expires_at, code, confirm_by });
            }
            Event::UserConnectionAuthorizationFailed { link, .. } => self.step_to(link, Step::Failed),
            Event::UserConnectionRefreshClaimed { replica, until, .. } => {
                self.refresh = Refresh::Claimed { replica: replica.clone(), until: *until };
            }
            Event::UserConnectionRefreshed { generation, scopes, expires_at } => {
                self.generation = *generation;
                self.scopes.clone_from(scopes);
                self.expires_at = *expires_at;
                self.renewed_at = place.recorded_at;
                self.refresh = Refresh::Free;
                self.refreshes_failed = 0;
            }
            Event::UserConnectionRefreshFailed { retry_at, .. } => {
                self.refresh = Refresh::Paused { until: *retry_at };
                self.refreshes_failed = self.refreshes_failed.saturating_add(1);
            }
            Event::UserConnectionExpired { reason, .. } => {
                self.become_now(Status::Expired, Some(reason), place);
            }
            Event::UserConnectionDisconnected { reason, .. } => {
                self.become_now(Status::Disconnected, Some(reason), place);
                // What somebody was about to bring was meant for what is over now.
                self.link = None;
            }
        }
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn valid_until(&self, command: &UserConnectionCommand, _: usize) -> Option<Micros> {
        use UserConnectionCommand as Command;
        let link = self.link.as_ref();
        match command {
            Command::StartAuthorization { .. } | Command::TakeCode { .. } => link.map(|link| link.expires_at),
            Command::Confirm { .. } => match link.map(|link| &link.step) {
                Some(Step::Authorized { confirm_by, .. }) => Some(*confirm_by),
                Some(Step::Issued | Step::Started { .. } | Step::CodeTaken | Step::Failed) | None => None,
            },
            Command::Activate { .. }
            | Command::IssueLink { .. }
            | Command::Authorize { .. }
            | Command::FailAuthorization { .. }
            | Command::ClaimRefresh { .. }
            | Command::CompleteRefresh { .. }
            | Command::ReleaseRefresh { .. }
            | Command::Expire { .. }
            | Command::Disconnect { .. } => None,
        }
    }

    fn set_time(command: &mut UserConnectionCommand, now: Micros) {
        use UserConnectionCommand as Command;
        match command {
            Command::IssueLink { at, .. }
            | Command::StartAuthorization { at, .. }
            | Command::TakeCode { at, .. }
            | Command::Authorize { at, .. }
            | Command::Confirm { at, .. }
            | Command::ClaimRefresh { at, .. }
            | Command::ReleaseRefresh { at, .. } => *at = now,
            Command::Activate { .. }
            | Command::FailAuthorization { .. }
            | Command::CompleteRefresh { .. }
            | Command::Expire { .. }
            | Command::Disconnect { .. } => {}
        }
    }
}

impl UserConnection {
    fn refresh_pause_seconds(&self) -> u32 {
        let factor = 2_u32.saturating_pow(self.refreshes_failed);
        REFRESH_PAUSE_SECONDS.saturating_mul(factor).min(REFRESH_PAUSE_SECONDS_MAX)
    }

    fn is_in_force(&self, generation: u32) -> bool {
        self.status == Status::Active && self.generation == generation
    }

    fn become_now(&mut self, status: Status, reason: Option<&String>, place: Place) {
        self.status = status;
        self.reason = reason.cloned();
        self.since = place.recorded_at;
    }

    fn step_to(&mut self, link: &str, step: Step) {
        if let Some(known) = self.link.as_mut().filter(|known| known.id == link) {
            known.step = step;
        }
    }
}
