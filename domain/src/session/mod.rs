//! One agent run of one subject on one virtual server.
//!
//! **Invariants.** A call has at most one admission, and an admitted call ends once, except that one
//! given up as abandoned may still end late. After `SessionRevoked` nothing is admitted. No 60
//! seconds hold more admissions than its terms allow. Whatever an agent asks for, a minute of refusals
//! adds a bounded number of events.

mod command;
mod error;
mod event;
mod judge;
mod pace;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use command::{CallGrounds, CallRequest, HeldBack, Opening, OpeningGrounds, SessionCommand, UserGrounds};
pub use error::SessionError;
pub use event::{Access, Cause, Client, List, LogLevel, Outcome, Refusal, Route, SessionEvent, Terms};
pub use judge::Denial;
use pace::Pace;

use crate::decider::aggregate;
use crate::user_connection::Status;
use crate::virtual_server::{Method, MissingAccounts, VirtualServer, Wanted};
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
/// Wishes for input of one session that are open at a time.
pub const INPUTS_OPEN_MAX: usize = 256;
/// Agents of one session that each have said which log messages they want.
pub const LOG_LEVELS_MAX: usize = 64;
/// For so long an agent may answer a wish for input, in seconds.
pub const INPUT_SECONDS_MAX: u32 = 3_600;

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
    method: Method,
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
    /// Which manifest was served last of each list, and in which minute.
    manifest_served: BTreeMap<List, (String, i64)>,
    /// Wishes for input that are not answered, with their calls and until when they may be.
    inputs: BTreeMap<String, (CallId, Micros)>,
    log_levels: BTreeMap<String, LogLevel>,
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

    /// The least log messages that an agent wants, where it has said so.
    #[must_use]
    pub fn log_level(&self, client: &str) -> Option<LogLevel> {
        self.log_levels.get(client).copied()
    }

    /// The call that a wish for input came up in, while it may be answered.
    #[must_use]
    pub fn input(&self, input: &str) -> Option<&CallId> {
        self.inputs.get(input).map(|(call, _)| call)
    }

    /// The refused call of the same minute that already stands for what is wanted, as it would stand in
    /// the journal, and this reason; beyond [`REFUSALS_PER_MINUTE_MAX`] for this reason alone.
    #[must_use]
    pub fn refused_before(
        &self,
        (wanted, server): (&Wanted, &VirtualServer),
        reason: Refusal,
        at: Micros,
    ) -> Option<&CallId> {
        if self.refusals.minute != at.minute() {
            return None;
        }
        let recorded = &self.refusals.recorded;
        let (method, tool) = (wanted.method(), judge::for_the_record(wanted, server));
        let same = recorded
            .iter()
            .find(|refused| refused.reason == reason && refused.method == method && refused.tool == tool);
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
            let mut beside = grounds.server.definition().connections_beside_tools();
            let tools = grounds.server.tool_names().filter(|tool| chosen(tool));
            beside.any(|connection| connection == name)
                || tools.filter_map(|tool| grounds.server.tool(tool)).any(|tool| tool.connection == *name)
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
                method: request.wanted.method(),
                tool: match &request.wanted {
                    Wanted::Resource(_) | Wanted::ResourceList(_) => route.tool.clone(),
                    named => named.name().to_owned(),
                },
                route,
                replica: request.replica.clone(),
                request: request.request.clone(),
                client: request.client.clone(),
                trace: request.trace.clone(),
                arguments_bytes: request.arguments_bytes,
                continues: request.continues.clone(),
            }],
            Err(Denial { reason, .. })
                if self.refused_before((&request.wanted, &grounds.server), reason, at).is_some() =>
            {
                Vec::new()
            }
            Err(Denial { reason, route, retry_at }) => {
                vec![SessionEvent::ToolCallRefused {
                    call: request.call.clone(),
                    method: request.wanted.method(),
                    tool: judge::for_the_record(&request.wanted, &grounds.server),
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
            (Some(_), Command::RecordManifest { at, list, manifest, times: 1, .. })
                if self.manifest_served.get(list) == Some(&(manifest.clone(), at.minute())) =>
            {
                Ok(Vec::new())
            }
            (Some(_), Command::RecordManifest { list, manifest, version, tools, client, times, .. }) => {
                Ok(vec![SessionEvent::ManifestServed {
                    list: *list,
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
            (Some(terms), Command::RequestInput { at, .. }) if self.revoked || *at >= terms.expires_at => {
                Err(SessionError::Ended)
            }
            (Some(_), Command::RequestInput { at, input, call, method }) => {
                if self.inputs.values().filter(|(_, until)| until > at).count() >= INPUTS_OPEN_MAX {
                    return Err(SessionError::TooManyInputs);
                }
                let (input, call, method) = (input.clone(), call.clone(), method.clone());
                Ok(vec![SessionEvent::InputRequested { input, call, method }])
            }
            (Some(_), Command::SetLogLevel { client, level }) if self.log_level(client) == Some(*level) => {
                Ok(Vec::new())
            }
            (Some(_), Command::SetLogLevel { client, level }) => {
                if self.log_levels.len() >= LOG_LEVELS_MAX && !self.log_levels.contains_key(client) {
                    return Err(SessionError::TooManyLogLevels);
                }
                Ok(vec![SessionEvent::LogLevelSet { client: client.clone(), level: *level }])
            }
            // An answer that comes twice, or to nothing, says nothing.
            (Some(_), Command::GiveInput { input }) => {
                let given = self
                    .input(input)
                    .map(|call| SessionEvent::InputGiven { input: input.clone(), call: call.clone() });
                Ok(given.into_iter().collect())
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
            SessionEvent::ManifestServed { list, manifest, .. } => {
                self.manifest_served.insert(*list, (manifest.clone(), place.recorded_at.minute()));
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
            SessionEvent::ToolCallRefused { call, method, tool, reason, .. } => {
                let minute = place.recorded_at.minute();
                if self.refusals.minute != minute {
                    self.refusals = Refusals { minute, recorded: Vec::new() };
                }
                self.refusals.recorded.push(Refused {
                    method: *method,
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
            SessionEvent::InputRequested { input, call, .. } => {
                let now = place.recorded_at;
                self.inputs.retain(|_, (_, until)| *until > now);
                let until = now.plus_seconds(INPUT_SECONDS_MAX);
                self.inputs.insert(input.clone(), (call.clone(), until));
            }
            SessionEvent::InputGiven { input, .. } => drop(self.inputs.remove(input)),
            SessionEvent::LogLevelSet { client, level } => {
                self.log_levels.insert(client.clone(), *level);
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
            SessionCommand::RequestInput { .. } => self.terms.as_ref().map(|terms| terms.expires_at),
            SessionCommand::Open { .. }
            | SessionCommand::RecordManifest { .. }
            | SessionCommand::RecordRefusedAgain { .. }
            | SessionCommand::RequestCancel { .. }
            | SessionCommand::RecordOutcome { .. }
            | SessionCommand::GiveInput { .. }
            | SessionCommand::SetLogLevel { .. }
            | SessionCommand::AbandonCalls { .. }
            | SessionCommand::Revoke { .. } => None,
        }
    }

    fn set_time(command: &mut SessionCommand, now: Micros) {
        match command {
            SessionCommand::Open { at, .. }
            | SessionCommand::RequestToolCall { at, .. }
            | SessionCommand::RecordManifest { at, .. }
            | SessionCommand::RequestInput { at, .. } => *at = now,
            SessionCommand::RecordRefusedAgain { .. }
            | SessionCommand::RequestCancel { .. }
            | SessionCommand::RecordOutcome { .. }
            | SessionCommand::GiveInput { .. }
            | SessionCommand::SetLogLevel { .. }
            | SessionCommand::AbandonCalls { .. }
            | SessionCommand::Revoke { .. } => {}
        }
    }
}
