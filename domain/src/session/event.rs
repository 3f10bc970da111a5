//! What happens in a session.

use serde::{Deserialize, Serialize};

use crate::decider::domain_event;
use crate::virtual_server::Method;
use crate::{By, CallId, Micros, Name, ReplicaId, SubjectId};

/// How much of its virtual server a session may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// All of it.
    #[default]
    Full,
    /// Only tools that their upstream marks as read-only.
    ReadOnly,
}

/// The terms that a session is opened on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    /// The user it acts for.
    pub subject: SubjectId,
    /// The virtual server it is for.
    pub virtual_server: Name,
    /// How much of it may be used.
    pub access: Access,
    /// Only these of its tools, by the names the agent sees; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<String>>,
    /// When it ends by itself.
    pub expires_at: Micros,
    /// After how many admitted calls it ends.
    pub calls_max: u32,
    /// How many calls are admitted in any 60 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls_per_minute_max: Option<u32>,
    /// Keyed blind indexes of its labels, in hexadecimal. The labels themselves are sealed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub label_indexes: Vec<String>,
}

/// The agent's software, as it says of itself. Control characters are escaped, length is bounded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The protocol revision it speaks.
    pub protocol: String,
}

/// Why a call was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The session was revoked.
    SessionRevoked,
    /// The session's time is over.
    SessionExpired,
    /// The session has used up its calls.
    CallsMaxReached,
    /// All of the subject's sessions opened so far were revoked.
    SubjectCut,
    /// The subject is blocked.
    SubjectBlocked,
    /// All of the virtual server's sessions opened so far were revoked.
    VirtualServerCut,
    /// The virtual server was retired.
    VirtualServerRetired,
    /// All sessions of the connection opened so far were revoked.
    ConnectionCut,
    /// The connection was retired.
    ConnectionRetired,
    /// The virtual server exposes no tool of this name, or the session was opened for others only.
    NotInScope,
    /// The session is read-only and the tool is not.
    NotReadOnly,
    /// The upstream no longer offered the tool when it was last looked at.
    NotInCatalog,
    /// The user has connected no account to the connection.
    UserConnectionMissing,
    /// The user's account is not accepted by the upstream any more.
    UserConnectionExpired,
    /// The user's account was disconnected.
    UserConnectionDisconnected,
    /// The arguments set something that the administrator fixed, or cannot be read.
    ArgumentsRefused,
    /// The session has made as many calls in 60 seconds as it may.
    CallsPerMinuteMaxReached,
    /// As many calls of the virtual server are on their way as may be.
    VirtualServerBusy,
    /// As many calls of the virtual server were made in 60 seconds as may be.
    VirtualServerRateReached,
    /// As many calls of the connection are on their way as may be.
    ConnectionBusy,
    /// As many calls of the connection were made in 60 seconds as may be.
    ConnectionRateReached,
    /// The upstream offers the tool otherwise than it is in force, or anew, and no administrator has
    /// approved that.
    ToolHeld,
}

impl Refusal {
    /// The stable code of this reason, as stored and shown.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::SessionRevoked => "session_revoked",
            Self::SessionExpired => "session_expired",
            Self::CallsMaxReached => "calls_max_reached",
            Self::SubjectCut => "subject_cut",
            Self::SubjectBlocked => "subject_blocked",
            Self::VirtualServerCut => "virtual_server_cut",
            Self::VirtualServerRetired => "virtual_server_retired",
            Self::ConnectionCut => "connection_cut",
            Self::ConnectionRetired => "connection_retired",
            Self::NotInScope => "not_in_scope",
            Self::NotReadOnly => "not_read_only",
            Self::NotInCatalog => "not_in_catalog",
            Self::UserConnectionMissing => "user_connection_missing",
            Self::UserConnectionExpired => "user_connection_expired",
            Self::UserConnectionDisconnected => "user_connection_disconnected",
            Self::ArgumentsRefused => "arguments_refused",
            Self::CallsPerMinuteMaxReached => "calls_per_minute_max_reached",
            Self::VirtualServerBusy => "virtual_server_busy",
            Self::VirtualServerRateReached => "virtual_server_rate_reached",
            Self::ConnectionBusy => "connection_busy",
            Self::ConnectionRateReached => "connection_rate_reached",
            Self::ToolHeld => "tool_held",
        }
    }

    /// Whether the session as a whole has ended: its token is worth nothing any more.
    #[must_use]
    pub fn ends_session(self) -> bool {
        match self {
            Self::SessionRevoked
            | Self::SessionExpired
            | Self::CallsMaxReached
            | Self::SubjectCut
            | Self::SubjectBlocked
            | Self::VirtualServerCut
            | Self::VirtualServerRetired => true,
            Self::ConnectionCut
            | Self::ConnectionRetired
            | Self::NotInScope
            | Self::NotReadOnly
            | Self::NotInCatalog
            | Self::UserConnectionMissing
            | Self::UserConnectionExpired
            | Self::UserConnectionDisconnected
            | Self::ArgumentsRefused
            | Self::CallsPerMinuteMaxReached
            | Self::VirtualServerBusy
            | Self::VirtualServerRateReached
            | Self::ConnectionBusy
            | Self::ConnectionRateReached
            | Self::ToolHeld => false,
        }
    }
}

/// What a call rests on, as it stood when it was admitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The version of the virtual server.
    pub version: u32,
    /// The connection.
    pub connection: Name,
    /// What it is called there: a tool, a prompt; of a resource, the URI or template by which it is
    /// exposed; empty for a list.
    pub tool: String,
    /// SHA-256 of its definition, in hexadecimal; none of a resource that is exposed by its URI, and of a
    /// list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<String>,
    /// SHA-256 of the connection's catalog, in hexadecimal.
    pub catalog: String,
    /// The generation of the connection's settings and secrets.
    pub generation: u32,
    /// The generation of the user's own credential, where every user brings one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_generation: Option<u32>,
}

/// Why an admitted call was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The agent cancelled it or went away.
    Agent,
    /// Its session, or what the session rests on, was revoked.
    Revocation,
    /// Proctor was stopped while it ran.
    Shutdown,
}

/// How an admitted call ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The upstream gave a result.
    Succeeded,
    /// It did not, or the result says that the tool failed. A stable code: `tool_error`,
    /// `rpc_error:-32602`, `timeout`, `unreachable`, …
    Failed(String),
    /// It was stopped on the way; whether it had an effect is not known.
    Cancelled(Cause),
    /// The upstream wants input from the agent or its user first; another call goes on from here.
    InputRequired,
}

/// A list that is answered from what is pinned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum List {
    /// `tools/list`
    #[default]
    Tools,
    /// `prompts/list`
    Prompts,
    /// `resources/templates/list`
    ResourceTemplates,
}

impl List {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Tools, Self::Prompts, Self::ResourceTemplates];

    /// The stable code, as stored and shown.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::ResourceTemplates => "resource_templates",
        }
    }

    fn is_tools(&self) -> bool {
        *self == Self::Tools
    }
}

/// How grave a log message is, least first (RFC 5424, as MCP has it).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// For whoever looks for a fault.
    Debug,
    /// For whoever wants to know.
    Info,
    /// Unusual, but well.
    Notice,
    /// It may go wrong.
    Warning,
    /// Something went wrong.
    Error,
    /// A part does not work.
    Critical,
    /// Somebody has to act at once.
    Alert,
    /// Nothing works.
    Emergency,
}

impl LogLevel {
    /// All of them, least first.
    pub const ALL: [Self; 8] = [
        Self::Debug,
        Self::Info,
        Self::Notice,
        Self::Warning,
        Self::Error,
        Self::Critical,
        Self::Alert,
        Self::Emergency,
    ];

    /// The level as the protocol writes it.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
            Self::Alert => "alert",
            Self::Emergency => "emergency",
        }
    }

    /// The level that is written so.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.code() == code)
    }
}

/// What happened in a [`super::Session`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SessionEvent {
    /// A session token was minted. Labels are sealed beside it.
    SessionOpened {
        /// Who did it.
        by: By,
        /// The terms.
        terms: Terms,
        /// The virtual server's version at that time.
        version: u32,
    },
    /// A list was answered, this many times since it was last recorded.
    ManifestServed {
        /// Which.
        #[serde(default, skip_serializing_if = "List::is_tools")]
        list: List,
        /// SHA-256 over what was shown, in hexadecimal.
        manifest: String,
        /// The virtual server's version.
        version: u32,
        /// How many definitions were shown.
        tools: u32,
        /// Who asked.
        client: Client,
        /// How many times.
        times: u64,
    },
    /// A tool call, or another request for an upstream, may leave. Its arguments are sealed beside it.
    ToolCallAdmitted {
        /// The call.
        call: CallId,
        /// By which method.
        #[serde(default, skip_serializing_if = "Method::is_tools_call")]
        method: Method,
        /// The tool or prompt as the agent named it; of a resource, what exposes it, as the upstream has
        /// it; empty for a list.
        tool: String,
        /// What it rests on.
        route: Route,
        /// The process that will make it.
        replica: ReplicaId,
        /// The agent's name for its request, keyed so that two agents on one token differ.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request: Option<String>,
        /// Who asked.
        client: Client,
        /// W3C trace id, where the agent sent one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trace: Option<String>,
        /// Size of the arguments as they will be sent, in bytes.
        arguments_bytes: u64,
        /// The call that it goes on from, where that one had ended with the upstream's wish for input.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        continues: Option<CallId>,
    },
    /// A tool call, or another request for an upstream, may not leave. Its arguments are sealed beside it.
    ToolCallRefused {
        /// The call.
        call: CallId,
        /// By which method.
        #[serde(default, skip_serializing_if = "Method::is_tools_call")]
        method: Method,
        /// The same as of an admitted one, escaped; of a URI that nothing exposes, its scheme.
        tool: String,
        /// Why.
        reason: Refusal,
        /// What it would have rested on, as far as that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        route: Option<Route>,
        /// Who asked.
        client: Client,
        /// W3C trace id, where the agent sent one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trace: Option<String>,
        /// Size of the arguments, in bytes.
        arguments_bytes: u64,
        /// From when on it may be let through, where a limit stood in its way.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_at: Option<Micros>,
    },
    /// The same was refused again for the same reason within a minute. Where one minute saw more
    /// refusals than are recorded one by one, also other tools for that reason.
    ToolCallRefusedAgain {
        /// The refused call that stands for all of them.
        call: CallId,
        /// How many more.
        times: u64,
    },
    /// The agent asked to cancel a call.
    ToolCallCancelRequested {
        /// The call.
        call: CallId,
    },
    /// An admitted call ended. Its result or error is sealed beside it.
    ToolCallEnded {
        /// The call.
        call: CallId,
        /// How.
        outcome: Outcome,
        /// Time from its admission to its end, in microseconds.
        duration_us: u64,
        /// Size of the result as it was received, in bytes.
        result_bytes: u64,
        /// Whether it had been given up as abandoned before.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        late: bool,
    },
    /// An upstream wants input from the agent or its user, which is asked of the agent from here on. What it
    /// wants is sealed beside it.
    InputRequested {
        /// The name of this wish.
        input: String,
        /// The call that it came up in.
        call: CallId,
        /// By which of the protocol's methods the agent is asked.
        method: String,
    },
    /// The agent answered a wish for input. Its answer is sealed beside it.
    InputGiven {
        /// The name of the wish.
        input: String,
        /// The call that it came up in.
        call: CallId,
    },
    /// A legacy agent wants log messages of this level and graver ones.
    LogLevelSet {
        /// Which agent, by a hash of its handshake.
        client: String,
        /// The least that it wants.
        level: LogLevel,
    },
    /// The process that made a call is gone; what became of the call is not known.
    ToolCallAbandoned {
        /// The call.
        call: CallId,
    },
    /// It ended before its time.
    SessionRevoked {
        /// Who did it.
        by: By,
        /// Why.
        reason: String,
    },
}

domain_event!(SessionEvent {
    SessionOpened = "1",
    ManifestServed = "1",
    ToolCallAdmitted = "1",
    ToolCallRefused = "1",
    ToolCallRefusedAgain = "1",
    ToolCallCancelRequested = "1",
    ToolCallEnded = "1",
    ToolCallAbandoned = "1",
    InputRequested = "1",
    InputGiven = "1",
    LogLevelSet = "1",
    SessionRevoked = "1",
});
