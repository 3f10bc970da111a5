//! One agent run of one subject on one virtual server.
//!
//! **Invariants.** A call has at most one admission, and an admitted call ends once, except that one
//! given up as abandoned may still end late. After `SessionRevoked` nothing is admitted. No 60
//! seconds hold more admissions than its terms allow. Whatever an agent asks for, a minute of refusals
//! adds a bounded number of events.

mod command;
mod event;
mod judge;
mod pace;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use command::{CallGrounds, CallRequest, HeldBack, Opening, OpeningGrounds, SessionCommand, UserGrounds};
pub use event::{Access, Cause, Client, Outcome, Refusal, Route, SessionEvent, Terms};
pub use judge::Denial;
use pace::Pace;

use crate::decider::aggregate;
use crate::user_connection::Status;
use crate::virtual_server::MissingAccounts;
use crate::{By, CallId, Decider, Micros, Name, Place, Position, ReplicaId};

/// Shortest life of a session, in seconds.
pub const TTL_SECONDS_MIN: u32 = 60;
/// Longest life of a session, in seconds.
pub const TTL_SECONDS_MAX: u32 = 86_400;
/// Life of a session when nothing is said, in seconds.
pub const TTL_SECONDS_DEFAULT: u32 = 3_600;
/// Admitted calls after which a session ends when nothing is said.
pub const CALLS_MAX_DEFAULT: u32 = 10_000;
/// Refusals of different tools or reasons that one minute records one by one. More only add up, per
/// reason: otherwise an agent that makes up tool names would make the stream as long as it likes.
pub const REFUSALS_PER_MINUTE_MAX: usize = 64;

/// Nonsense asked of a [`Session`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// It was never opened.
    #[error("there is no such session: check its identifier")]
    Unknown,
    /// The identifier is taken.
    #[error("a session of this identifier exists already")]
    Exists,
    /// The virtual server is not there.
    #[error("there is no virtual server \"{0}\": define it first")]
    UnknownServer(Name),
    /// The virtual server is out of use.
    #[error("virtual server \"{0}\" was retired: mint for another")]
    RetiredServer(Name),
    /// The user may not have sessions.
    #[error("this user is blocked: unblock the user first")]
    SubjectBlocked,
    /// The user is not known.
    #[error("the user has no reference here yet")]
    UnknownSubject,
    /// A narrower list that names a tool which is not there.
    #[error("virtual server \"{server}\" has no tool \"{}\"; it has: {}", .tool.escape_debug(), listed(.known))]
    UnknownTool {
        /// The virtual server.
        server: Name,
        /// The name asked for.
        tool: String,
        /// The names that exist.
        known: Vec<String>,
    },
    /// A login that the virtual server does not take.
    #[error(
        "virtual server \"{server}\" takes no logins of \"{provider}\": use a token of another issuer, or mint a session"
    )]
    NoLogin {
        /// The virtual server.
        server: Name,
        /// The identity provider.
        provider: Name,
    },
    /// The identity provider is out of use.
    #[error("the identity provider \"{0}\" is not in use: use a token of another issuer, or mint a session")]
    ProviderNotInUse(Name),
    /// It would have ended before it began.
    #[error("the time that the session was to end at is over: get a new token")]
    Over,
    /// Accounts that the user has to connect first.
    #[error("the user has no usable account at: {}; connect the accounts first", accounts(.0))]
    AccountsMissing(Vec<(Name, Status)>),
    /// A life that is too short or too long.
    #[error("ttl_seconds is {0}: choose {TTL_SECONDS_MIN} to {TTL_SECONDS_MAX}")]
    Ttl(u32),
    /// An outcome of a call that is not open.
    #[error("no call {0} is open in this session: it was never admitted, or it has ended")]
    UnknownCall(CallId),
    /// A second admission of a call that is open.
    #[error("a call {0} is open in this session already: give each call an identifier of its own")]
    CallExists(CallId),
}

/// An admitted call that has not ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InFlight {
    /// The process that makes it.
    pub replica: ReplicaId,
    /// The agent's name for its request.
    pub request: Option<String>,
    /// Whether the agent asked to cancel it.
    pub cancel_requested: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Refused {
    tool: String,
    reason: Refusal,
    call: CallId,
}

/// The refusals recorded in one minute, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Refusals {
    minute: i64,
    recorded: Vec<Refused>,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Session {
    version: u64,
    terms: Option<Arc<Terms>>,
    opened_at: Position,
    revoked: bool,
    calls_admitted: u32,
    pace: Pace,
    in_flight: BTreeMap<CallId, InFlight>,
    abandoned: BTreeSet<CallId>,
    refusals: Refusals,
    manifest_served: Option<(String, i64)>,
}

impl Session {
    /// The terms it was opened on; `None` when it never was.
    #[must_use]
    pub fn terms(&self) -> Option<&Arc<Terms>> {
        self.terms.as_ref()
    }

    /// Where its opening stands in the journal.
    #[must_use]
    pub fn opened_at(&self) -> Position {
        self.opened_at
    }

    /// Whether it was revoked by itself (not by a cut).
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        self.revoked
    }

    /// How many calls were admitted.
    #[must_use]
    pub fn calls_admitted(&self) -> u32 {
        self.calls_admitted
    }

    /// Its admitted calls that have not ended.
    #[must_use]
    pub fn in_flight(&self) -> &BTreeMap<CallId, InFlight> {
        &self.in_flight
    }

    /// The refused call of the same minute that already stands for this tool, as the agent named
    /// it, and this reason; beyond [`REFUSALS_PER_MINUTE_MAX`] for this reason alone.
    #[must_use]
    pub fn refused_before(&self, tool: &str, reason: Refusal, at: Micros) -> Option<&CallId> {
        if self.refusals.minute != at.minute() {
            return None;
        }
        let recorded = &self.refusals.recorded;
        let tool = judge::tool_for_the_record(tool);
        let same = recorded.iter().find(|refused| refused.reason == reason && refused.tool == tool);
        let alike = || {
            let full = recorded.len() >= REFUSALS_PER_MINUTE_MAX;
            recorded.iter().find(|refused| full && refused.reason == reason)
        };
        same.or_else(alike).map(|refused| &refused.call)
    }

    fn open(
        &self,
        at: Micros,
        opening: &Opening,
        grounds: &OpeningGrounds,
    ) -> Result<Vec<SessionEvent>, SessionError> {
        if self.terms.is_some() {
            return Err(SessionError::Exists);
        }
        if !(TTL_SECONDS_MIN..=TTL_SECONDS_MAX).contains(&opening.ttl_seconds) {
            return Err(SessionError::Ttl(opening.ttl_seconds));
        }
        if !grounds.server.is_known() {
            return Err(SessionError::UnknownServer(opening.virtual_server.clone()));
        }
        if grounds.server.is_retired() {
            return Err(SessionError::RetiredServer(opening.virtual_server.clone()));
        }
        if !grounds.subject.is_registered() {
            return Err(SessionError::UnknownSubject);
        }
        if grounds.subject.is_blocked() {
            return Err(SessionError::SubjectBlocked);
        }
        if let By::Login(provider) = &opening.by {
            let taken = grounds.server.definition().login.as_ref();
            if taken.is_none_or(|login| login.provider != *provider) {
                let (server, provider) = (opening.virtual_server.clone(), provider.clone());
                return Err(SessionError::NoLogin { server, provider });
            }
            if !grounds.provider.as_ref().is_some_and(|provider| provider.is_usable()) {
                return Err(SessionError::ProviderNotInUse(provider.clone()));
            }
        }
        if opening.until.is_some_and(|until| until <= at) {
            return Err(SessionError::Over);
        }
        let unknown = opening.tools.iter().flatten().find(|tool| grounds.server.tool(tool).is_none());
        if let Some(tool) = unknown {
            return Err(SessionError::UnknownTool {
                server: opening.virtual_server.clone(),
                tool: tool.clone(),
                known: grounds.server.tool_names().map(str::to_owned).collect(),
            });
        }
        let needed = |name: &Name| {
            let chosen =
                |tool: &str| opening.tools.as_ref().is_none_or(|tools| tools.iter().any(|t| t == tool));
            let tools = grounds.server.tool_names().filter(|tool| chosen(tool));
            tools.filter_map(|tool| grounds.server.tool(tool)).any(|tool| tool.connection == *name)
        };
        let missing: Vec<_> = grounds
            .user_connections
            .iter()
            .filter(|account| needed(&account.name))
            .filter_map(|account| {
                let status = account.user_connection.status_for(account.connection.takes()?);
                (status != Status::Active).then(|| (account.name.clone(), status))
            })
            .collect();
        let refused = grounds.server.definition().missing_accounts == MissingAccounts::Refuse;
        if refused && !missing.is_empty() {
            return Err(SessionError::AccountsMissing(missing));
        }
        let (limits, default) = (opening.limits, grounds.server.definition().session_limits);
        Ok(vec![SessionEvent::SessionOpened {
            by: opening.by.clone(),
            version: grounds.server.revision(),
            terms: Terms {
                subject: opening.subject.clone(),
                virtual_server: opening.virtual_server.clone(),
                access: opening.access,
                tools: opening.tools.clone(),
                expires_at: match opening.until {
                    Some(until) => until.min(at.plus_seconds(opening.ttl_seconds)),
                    None => at.plus_seconds(opening.ttl_seconds),
                },
                calls_max: limits.calls_max.or(default.calls_max).unwrap_or(CALLS_MAX_DEFAULT),
                calls_per_minute_max: limits.calls_per_minute_max.or(default.calls_per_minute_max),
                label_indexes: opening.label_indexes.clone(),
            },
        }])
    }

    fn request(
        &self,
        terms: &Terms,
        at: Micros,
        request: &CallRequest,
        grounds: &CallGrounds,
    ) -> Result<Vec<SessionEvent>, SessionError> {
        if self.is_open(&request.call) {
            return Err(SessionError::CallExists(request.call.clone()));
        }
        Ok(match self.judge(terms, at, request, grounds) {
            Ok(route) => vec![SessionEvent::ToolCallAdmitted {
                call: request.call.clone(),
                tool: request.tool.clone(),
                route,
                replica: request.replica.clone(),
                request: request.request.clone(),
                client: request.client.clone(),
                trace: request.trace.clone(),
                arguments_bytes: request.arguments_bytes,
            }],
            Err(Denial { reason, .. }) if self.refused_before(&request.tool, reason, at).is_some() => {
                Vec::new()
            }
            Err(Denial { reason, route, retry_at }) => {
                vec![SessionEvent::ToolCallRefused {
                    call: request.call.clone(),
                    tool: judge::tool_for_the_record(&request.tool),
                    reason,
                    route: route.map(|route| *route),
                    client: request.client.clone(),
                    trace: request.trace.clone(),
                    arguments_bytes: request.arguments_bytes,
                    retry_at,
                }]
            }
        })
    }

    fn calls_where(
        &self,
        wanted: impl Fn(&InFlight) -> bool,
        event: impl Fn(CallId) -> SessionEvent,
    ) -> Vec<SessionEvent> {
        self.in_flight.iter().filter(|(_, call)| wanted(call)).map(|(call, _)| event(call.clone())).collect()
    }

    /// Whether an outcome of this call can still come.
    fn is_open(&self, call: &CallId) -> bool {
        self.in_flight.contains_key(call) || self.abandoned.contains(call)
    }
}

fn accounts(missing: &[(Name, Status)]) -> String {
    let shown = |(name, status): &(Name, Status)| format!("{name} ({})", status.code());
    missing.iter().map(shown).collect::<Vec<_>>().join(", ")
}

fn listed(tools: &[String]) -> String {
    if tools.is_empty() { "none".to_owned() } else { tools.join(", ") }
}

aggregate!(Session, "session", SessionCommand, SessionEvent, SessionError);

impl Decider for Session {
    fn decide(&self, command: &SessionCommand) -> Result<Vec<SessionEvent>, SessionError> {
        use SessionCommand as Command;
        match (self.terms.as_deref(), command) {
            (_, Command::Open { at, opening, grounds }) => self.open(*at, opening, grounds),
            (None, _) => Err(SessionError::Unknown),
            (Some(terms), Command::RequestToolCall { at, request, grounds }) => {
                self.request(terms, *at, request, grounds)
            }
            (Some(_), Command::RecordRefusedAgain { call, times }) => {
                Ok(vec![SessionEvent::ToolCallRefusedAgain { call: call.clone(), times: *times }])
            }
            (Some(_), Command::RecordManifest { at, manifest, times: 1, .. })
                if self.manifest_served.as_ref() == Some(&(manifest.clone(), at.minute())) =>
            {
                Ok(Vec::new())
            }
            (Some(_), Command::RecordManifest { manifest, version, tools, client, times, .. }) => {
                Ok(vec![SessionEvent::ManifestServed {
                    manifest: manifest.clone(),
                    version: *version,
                    tools: *tools,
                    client: client.clone(),
                    times: *times,
                }])
            }
            (Some(_), Command::RequestCancel { request }) => {
                let asked =
                    |call: &InFlight| call.request.as_ref() == Some(request) && !call.cancel_requested;
                Ok(self.calls_where(asked, |call| SessionEvent::ToolCallCancelRequested { call }))
            }
            (Some(_), Command::RecordOutcome { call, .. }) if !self.is_open(call) => {
                Err(SessionError::UnknownCall(call.clone()))
            }
            (Some(_), Command::RecordOutcome { call, outcome, duration_us, result_bytes }) => {
                Ok(vec![SessionEvent::ToolCallEnded {
                    call: call.clone(),
                    outcome: outcome.clone(),
                    duration_us: *duration_us,
                    result_bytes: *result_bytes,
                    late: self.abandoned.contains(call),
                }])
            }
            (Some(_), Command::AbandonCalls { replica }) => {
                let theirs = |call: &InFlight| call.replica == *replica;
                Ok(self.calls_where(theirs, |call| SessionEvent::ToolCallAbandoned { call }))
            }
            (Some(_), Command::Revoke { .. }) if self.revoked => Ok(Vec::new()),
            (Some(_), Command::Revoke { by, reason }) => {
                Ok(vec![SessionEvent::SessionRevoked { by: by.clone(), reason: reason.clone() }])
            }
        }
    }

    fn evolve(&mut self, event: &SessionEvent, place: Place) {
        self.version += 1;
        match event {
            SessionEvent::SessionOpened { terms, .. } => {
                self.terms = Some(Arc::new(terms.clone()));
                self.opened_at = place.position;
            }
            SessionEvent::ManifestServed { manifest, .. } => {
                self.manifest_served = Some((manifest.clone(), place.recorded_at.minute()));
            }
            SessionEvent::ToolCallAdmitted { call, replica, request, .. } => {
                self.calls_admitted += 1;
                if let Some(most) = self.terms.as_ref().and_then(|terms| terms.calls_per_minute_max) {
                    self.pace.admitted(place.recorded_at, most);
                }
                let in_flight =
                    InFlight { replica: replica.clone(), request: request.clone(), cancel_requested: false };
                self.in_flight.insert(call.clone(), in_flight);
            }
            SessionEvent::ToolCallRefused { call, tool, reason, .. } => {
                let minute = place.recorded_at.minute();
                if self.refusals.minute != minute {
                    self.refusals = Refusals { minute, recorded: Vec::new() };
                }
                self.refusals.recorded.push(Refused {
                    tool: tool.clone(),
                    reason: *reason,
                    call: call.clone(),
                });
            }
            SessionEvent::ToolCallRefusedAgain { .. } => {}
            SessionEvent::ToolCallCancelRequested { call } => {
                if let Some(call) = self.in_flight.get_mut(call) {
                    call.cancel_requested = true;
                }
            }
            SessionEvent::ToolCallEnded { call, .. } => {
                self.in_flight.remove(call);
                self.abandoned.remove(call);
            }
            SessionEvent::ToolCallAbandoned { call } => {
                self.in_flight.remove(call);
                self.abandoned.insert(call.clone());
            }
            SessionEvent::SessionRevoked { .. } => self.revoked = true,
        }
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn valid_until(&self, command: &SessionCommand, ahead: usize) -> Option<Micros> {
        match command {
            SessionCommand::RequestToolCall { .. } => self.terms.as_ref().map(|terms| {
                let most = terms.calls_per_minute_max;
                match most.is_none_or(|most| self.pace.is_free_at_any_time(ahead, most)) {
                    true => terms.expires_at,
                    false => Micros::BEFORE_ALL,
                }
            }),
            SessionCommand::Open { .. }
            | SessionCommand::RecordManifest { .. }
            | SessionCommand::RecordRefusedAgain { .. }
            | SessionCommand::RequestCancel { .. }
            | SessionCommand::RecordOutcome { .. }
            | SessionCommand::AbandonCalls { .. }
            | SessionCommand::Revoke { .. } => None,
        }
    }

    fn set_time(command: &mut SessionCommand, now: Micros) {
        match command {
            SessionCommand::Open { at, .. }
            | SessionCommand::RequestToolCall { at, .. }
            | SessionCommand::RecordManifest { at, .. } => *at = now,
            SessionCommand::RecordRefusedAgain { .. }
            | SessionCommand::RequestCancel { .. }
            | SessionCommand::RecordOutcome { .. }
            | SessionCommand::AbandonCalls { .. }
            | SessionCommand::Revoke { .. } => {}
        }
    }
}
