//! One agent run of one subject on one virtual server.
//!
//! **Invariants.** A call has at most one admission, and an admitted call ends once, except that one
//! given up as abandoned may still end late. After `SessionRevoked` nothing is admitted.

mod command;
mod event;
mod judge;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use command::{CallGrounds, CallRequest, Opening, OpeningGrounds, SessionCommand};
pub use event::{Access, Cause, Client, Outcome, Refusal, Route, SessionEvent, Terms};

use crate::decider::aggregate;
use crate::{CallId, Decider, Micros, Name, Place, Position, ReplicaId};

/// Shortest life of a session, in seconds.
pub const TTL_SECONDS_MIN: u32 = 60;
/// Longest life of a session, in seconds.
pub const TTL_SECONDS_MAX: u32 = 86_400;
/// Life of a session when nothing is said, in seconds.
pub const TTL_SECONDS_DEFAULT: u32 = 3_600;
/// Admitted calls after which a session ends when nothing is said.
pub const CALLS_MAX_DEFAULT: u32 = 10_000;
/// Refusals remembered for coalescing; the oldest is forgotten first.
const REFUSALS_REMEMBERED_MAX: usize = 64;

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
    #[error("virtual server \"{server}\" has no tool \"{}\"; it has: {}", .tool.escape_debug(), .known.join(", "))]
    UnknownTool {
        /// The virtual server.
        server: Name,
        /// The name asked for.
        tool: String,
        /// The names that exist.
        known: Vec<String>,
    },
    /// A life that is too short or too long.
    #[error("ttl_seconds is {0}: choose {TTL_SECONDS_MIN} to {TTL_SECONDS_MAX}")]
    Ttl(u32),
    /// An outcome of a call that was never admitted.
    #[error("no call {0} was admitted in this session")]
    UnknownCall(CallId),
}

/// An admitted call that has not ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InFlight {
    /// The process that makes it.
    pub replica: ReplicaId,
    /// The agent's name for its request.
    pub request: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Refused {
    minute: i64,
    call: CallId,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Session {
    version: u64,
    terms: Option<Arc<Terms>>,
    opened_at: Position,
    revoked: bool,
    calls_admitted: u32,
    in_flight: BTreeMap<CallId, InFlight>,
    abandoned: BTreeSet<CallId>,
    refusals: Vec<(String, Refusal, Refused)>,
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

    /// The refused call of the same minute that already stands for this tool and reason.
    #[must_use]
    pub fn refused_before(&self, tool: &str, reason: Refusal, at: Micros) -> Option<&CallId> {
        self.refusals
            .iter()
            .find(|(t, r, refused)| t == tool && *r == reason && refused.minute == at.minute())
            .map(|(.., refused)| &refused.call)
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
        let unknown = opening.tools.iter().flatten().find(|tool| grounds.server.tool(tool).is_none());
        if let Some(tool) = unknown {
            return Err(SessionError::UnknownTool {
                server: opening.virtual_server.clone(),
                tool: tool.clone(),
                known: grounds.server.tool_names().map(str::to_owned).collect(),
            });
        }
        Ok(vec![SessionEvent::SessionOpened {
            by: opening.by.clone(),
            version: grounds.server.revision(),
            terms: Terms {
                subject: opening.subject.clone(),
                virtual_server: opening.virtual_server.clone(),
                access: opening.access,
                tools: opening.tools.clone(),
                expires_at: at.plus_seconds(opening.ttl_seconds),
                calls_max: opening.calls_max,
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
    ) -> Vec<SessionEvent> {
        match self.judge(terms, at, request, grounds) {
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
            Err((reason, route)) => {
                let tool = judge::tool_for_the_record(&request.tool);
                if self.refused_before(&tool, reason, at).is_some() {
                    return Vec::new();
                }
                vec![SessionEvent::ToolCallRefused {
                    call: request.call.clone(),
                    tool,
                    reason,
                    route,
                    client: request.client.clone(),
                    trace: request.trace.clone(),
                    arguments_bytes: request.arguments_bytes,
                }]
            }
        }
    }
}

aggregate!(Session, "session", SessionCommand, SessionEvent, SessionError);

impl Decider for Session {
    fn decide(&self, command: &SessionCommand) -> Result<Vec<SessionEvent>, SessionError> {
        use SessionCommand as Command;
        if let Command::Open { at, opening, grounds } = command {
            return self.open(*at, opening, grounds);
        }
        let terms = self.terms.as_deref().ok_or(SessionError::Unknown)?;
        Ok(match command {
            Command::Open { .. } => Vec::new(),
            Command::RequestToolCall { at, request, grounds } => self.request(terms, *at, request, grounds),
            Command::RecordRefusedAgain { call, times } => {
                vec![SessionEvent::ToolCallRefusedAgain { call: call.clone(), times: *times }]
            }
            Command::RecordManifest { at, manifest, times: 1, .. }
                if self.manifest_served.as_ref() == Some(&(manifest.clone(), at.minute())) =>
            {
                Vec::new()
            }
            Command::RecordManifest { manifest, version, tools, client, times, .. } => {
                vec![SessionEvent::ManifestServed {
                    manifest: manifest.clone(),
                    version: *version,
                    tools: *tools,
                    client: client.clone(),
                    times: *times,
                }]
            }
            Command::RequestCancel { request } => self
                .in_flight
                .iter()
                .filter(|(_, call)| call.request.as_ref() == Some(request))
                .map(|(call, _)| SessionEvent::ToolCallCancelRequested { call: call.clone() })
                .collect(),
            Command::RecordOutcome { call, outcome, duration_us, result_bytes } => {
                let late = self.abandoned.contains(call);
                if !late && !self.in_flight.contains_key(call) {
                    return Err(SessionError::UnknownCall(call.clone()));
                }
                vec![SessionEvent::ToolCallEnded {
                    call: call.clone(),
                    outcome: outcome.clone(),
                    duration_us: *duration_us,
                    result_bytes: *result_bytes,
                    late,
                }]
            }
            Command::AbandonCalls { replica } => self
                .in_flight
                .iter()
                .filter(|(_, call)| call.replica == *replica)
                .map(|(call, _)| SessionEvent::ToolCallAbandoned { call: call.clone() })
                .collect(),
            Command::Revoke { .. } if self.revoked => Vec::new(),
            Command::Revoke { by, reason } => {
                vec![SessionEvent::SessionRevoked { by: by.clone(), reason: reason.clone() }]
            }
        })
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
                let in_flight = InFlight { replica: replica.clone(), request: request.clone() };
                self.in_flight.insert(call.clone(), in_flight);
            }
            SessionEvent::ToolCallRefused { call, tool, reason, .. } => {
                self.refusals.retain(|(t, r, _)| t != tool || r != reason);
                if self.refusals.len() == REFUSALS_REMEMBERED_MAX {
                    self.refusals.remove(0);
                }
                let refused = Refused { minute: place.recorded_at.minute(), call: call.clone() };
                self.refusals.push((tool.clone(), *reason, refused));
            }
            SessionEvent::ToolCallRefusedAgain { .. } | SessionEvent::ToolCallCancelRequested { .. } => {}
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

    fn valid_until(&self, command: &SessionCommand) -> Option<Micros> {
        match command {
            SessionCommand::RequestToolCall { .. } => self.terms.as_ref().map(|terms| terms.expires_at),
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
