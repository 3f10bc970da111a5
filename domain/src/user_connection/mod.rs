//! One user's authorization of one connection.

mod command;
mod error;
mod event;
mod link;
mod refresh;
mod status;

use serde::{Deserialize, Serialize};

use crate::connection::{Connection, CredentialKind, Takes};
use crate::decider::aggregate;
use crate::{Decider, Micros, Name, Place, SubjectId};

pub use command::UserConnectionCommand;
pub use error::UserConnectionError;
pub use event::UserConnectionEvent;
use link::Step;
pub use link::{
    ATTEMPTS_MAX, CONFIRM_SECONDS, LINK_SECONDS_DEFAULT, LINK_SECONDS_MAX, LINK_SECONDS_MIN, Link,
};
use refresh::Refresh;
pub use refresh::{REFRESH_CLAIM_SECONDS, REFRESH_PAUSE_SECONDS, REFRESH_PAUSE_SECONDS_MAX};
pub use status::Status;

/// After so many events the state is carried over: it stands whole in one event, with which whoever loads
/// the account begins. An account that is renewed hourly for years has as much to load as a new one.
pub const CARRIED_EVERY_EVENTS: u64 = 64;

/// See the module. As it is serialised it stands in the journal where it was carried over: a field is added
/// with a default only, and what there is never changes its meaning.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UserConnection {
    #[serde(rename = "events")]
    version: u64,
    status: Status,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<CredentialKind>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    variables: Vec<String>,
    generation: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    since: Micros,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    scopes: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<Micros>,
    renewed_at: Micros,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    link: Option<Link>,
    #[serde(default, skip_serializing_if = "Refresh::is_free")]
    refresh: Refresh,
    /// Renewals that did not come about since the last one that did.
    #[serde(default, skip_serializing_if = "is_zero")]
    refreshes_failed: u32,
    /// How many events there were when it was last carried over.
    #[serde(skip)]
    carried_at: u64,
    /// It has taken in what is not recorded yet, so that its times are not the final ones.
    #[serde(skip)]
    is_ahead: bool,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl UserConnection {
    /// The identifier of one user's authorization of one connection. No subject has a dot in it.
    #[must_use]
    pub fn id(subject: &SubjectId, connection: &Name) -> String {
        format!("{subject}.{connection}")
    }

    /// Whether the account can be used for a connection that takes this. A credential of another
    /// kind or with other variables, from before the connection was set anew, is as good as none.
    #[must_use]
    pub fn status_for<'a>(&self, takes: impl Into<Takes<'a>>) -> Status {
        let is_other = || !self.kind.is_some_and(|kind| takes.into().is_met_by(kind, &self.variables));
        if self.status == Status::Active && is_other() { Status::Missing } else { self.status }
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

    fn link_of(&self, id: &str) -> Result<&Link, UserConnectionError> {
        self.link.as_ref().filter(|link| link.id == id).ok_or(UserConnectionError::LinkUnknown)
    }

    fn takes<'a>(connection: &Name, grounds: &'a Connection) -> Result<Takes<'a>, UserConnectionError> {
        if !grounds.is_usable() {
            return Err(UserConnectionError::NoConnection(connection.clone()));
        }
        grounds.takes().ok_or_else(|| UserConnectionError::Shared(connection.clone()))
    }

    /// A credential of this kind, these variables and this generation, as it may be put in force now.
    fn check_new(
        &self,
        connection: &Name,
        grounds: &Connection,
        (given, variables): (CredentialKind, &[String]),
        generation: u32,
    ) -> Result<(), UserConnectionError> {
        let takes = Self::takes(connection, grounds)?;
        if takes.kind != given {
            let (connection, takes) = (connection.clone(), takes.kind);
            return Err(UserConnectionError::OtherKind { connection, takes, given });
        }
        if !takes.is_met_by(given, variables) {
            return Err(UserConnectionError::OtherVariables(connection.clone()));
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

impl UserConnection {
    /// What follows from a command, whether or not the state has to be carried over before it.
    fn outcome(
        &self,
        command: &UserConnectionCommand,
    ) -> Result<Vec<UserConnectionEvent>, UserConnectionError> {
        use UserConnectionCommand as Command;
        use UserConnectionEvent as Event;
        match command {
            Command::Activate { by, subject, connection, kind, variables, grounds, generation } => {
                self.check_new(connection, grounds, (*kind, variables), *generation)?;
                Ok(vec![Event::UserConnectionActivated {
                    by: by.clone(),
                    subject: subject.clone(),
                    connection: connection.clone(),
                    kind: *kind,
                    variables: variables.clone(),
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
                    kind: Self::takes(connection, grounds)?.kind,
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
            Command::Authorize { at, link, kind, variables, scopes, expires_at, code } => {
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
                    variables: variables.clone(),
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
            Command::LapseAuthorization { at, link } => match self.link_of(link)?.step {
                Step::Authorized { confirm_by, .. } if *at >= confirm_by => {
                    Ok(vec![Event::UserConnectionAuthorizationFailed {
                        link: link.clone(),
                        reason: "not_confirmed".to_owned(),
                    }])
                }
                Step::Issued
                | Step::Started { .. }
                | Step::CodeTaken
                | Step::Authorized { .. }
                | Step::Failed => Ok(Vec::new()),
            },
            Command::Confirm { at, by, subject, connection, grounds, link, code, generation } => {
                let known = self.link_of(link).map_err(|_| UserConnectionError::CodeUnknown)?;
                let Step::Authorized { variables, scopes, expires_at, code: given, confirm_by } = &known.step
                else {
                    return Err(UserConnectionError::CodeUnknown);
                };
                if code != given {
                    return Err(UserConnectionError::CodeUnknown);
                }
                if at >= confirm_by {
                    return Err(UserConnectionError::CodeExpired);
                }
                self.check_new(connection, grounds, (known.kind, variables), *generation)?;
                Ok(vec![Event::UserConnectionActivated {
                    by: by.clone(),
                    subject: subject.clone(),
                    connection: connection.clone(),
                    kind: known.kind,
                    variables: variables.clone(),
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
}

impl Decider for UserConnection {
    const CARRIED_BY: Option<&'static str> = Some("UserConnectionCarriedOver");

    fn decide(
        &self,
        command: &UserConnectionCommand,
    ) -> Result<Vec<UserConnectionEvent>, UserConnectionError> {
        let mut events = self.outcome(command)?;
        let is_due = self.version >= self.carried_at + CARRIED_EVERY_EVENTS && !self.is_ahead;
        if is_due && !events.is_empty() {
            // Before what follows, whose time nobody knows yet.
            let state = Box::new(Self { carried_at: 0, ..self.clone() });
            events.insert(0, UserConnectionEvent::UserConnectionCarriedOver { state });
        }
        Ok(events)
    }

    fn evolve(&mut self, event: &UserConnectionEvent, place: Place) {
        use UserConnectionEvent as Event;
        self.is_ahead |= !place.is_recorded();
        self.version += 1;
        match event {
            Event::UserConnectionCarriedOver { state } => {
                let is_ahead = self.is_ahead;
                let version = state.version + 1;
                *self = Self { version, carried_at: version, is_ahead, ..(**state).clone() };
            }
            Event::UserConnectionActivated {
                kind, variables, generation, link, scopes, expires_at, ..
            } => {
                self.become_now(Status::Active, None, place);
                self.kind = Some(*kind);
                self.variables.clone_from(variables);
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
            Event::UserConnectionAuthorized {
                link, variables, scopes, expires_at, code, confirm_by, ..
            } => {
                let (variables, scopes, expires_at) = (variables.clone(), scopes.clone(), *expires_at);
                let (code, confirm_by) = (code.clone(), *confirm_by);
                self.step_to(link, Step::Authorized { variables, scopes, expires_at, code, confirm_by });
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
            | Command::LapseAuthorization { .. }
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
            | Command::LapseAuthorization { at, .. }
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
