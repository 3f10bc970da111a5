//! What can be asked of a session.

use std::sync::Arc;

use super::event::{Access, Client, List, LogLevel, Outcome, Refusal};
use crate::connection::Connection;
use crate::identity_provider::IdentityProvider;
use crate::limits::SessionLimits;
use crate::subject::Subject;
use crate::user_connection::UserConnection;
use crate::virtual_server::{VirtualServer, Wanted};
use crate::{By, CallId, Micros, Name, ReplicaId, SubjectId};

/// What a session is asked to be opened with.
#[derive(Clone, Debug)]
pub struct Opening {
    /// Who asks.
    pub by: By,
    /// The user.
    pub subject: SubjectId,
    /// The virtual server.
    pub virtual_server: Name,
    /// How much of it may be used.
    pub access: Access,
    /// Only these of its tools; all when absent.
    pub tools: Option<Vec<String>>,
    /// How long it lasts, in seconds.
    pub ttl_seconds: u32,
    /// When it ends at the latest.
    pub until: Option<Micros>,
    /// Its limits; where one is not given, the virtual server's default counts.
    pub limits: SessionLimits,
    /// Keyed blind indexes of its labels, in hexadecimal.
    pub label_indexes: Vec<String>,
}

/// The facts of other streams that a mint rests on.
#[derive(Clone, Debug)]
pub struct OpeningGrounds {
    /// The user.
    pub subject: Arc<Subject>,
    /// The virtual server.
    pub server: Arc<VirtualServer>,
    /// Each connection of it for which every user brings a credential, with this user's.
    pub user_connections: Vec<UserGrounds>,
    /// The identity provider, where somebody brought a login of it.
    pub provider: Option<Arc<IdentityProvider>>,
}

/// A connection for which every user brings a credential, and one user's.
#[derive(Clone, Debug)]
pub struct UserGrounds {
    /// The connection's name.
    pub name: Name,
    /// The connection.
    pub connection: Arc<Connection>,
    /// The user's authorization of it.
    pub user_connection: Arc<UserConnection>,
}

/// One request for an upstream as it arrived.
#[derive(Clone, Debug)]
pub struct CallRequest {
    /// Its new identifier.
    pub call: CallId,
    /// What the agent asks for.
    pub wanted: Wanted,
    /// This process.
    pub replica: ReplicaId,
    /// The agent's name for its request, keyed so that two agents on one token differ.
    pub request: Option<String>,
    /// The call that it goes on from, where it brings the input that this one's upstream wanted.
    pub continues: Option<CallId>,
    /// Who asks.
    pub client: Client,
    /// W3C trace id.
    pub trace: Option<String>,
    /// Size of the arguments, in bytes.
    pub arguments_bytes: u64,
    /// Whether the arguments can be sent as the definition wants them.
    pub arguments_ok: bool,
    /// The limit of its virtual server or connection that this process found to be reached.
    pub held_back: Option<HeldBack>,
}

/// A limit that many sessions share, reached in the process that wants to make a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldBack {
    /// Which.
    pub reason: Refusal,
    /// From when on the call may be let through, as far as that can be known.
    pub retry_at: Micros,
}

/// The facts of other streams that an admission rests on.
#[derive(Clone, Debug)]
pub struct CallGrounds {
    /// The user.
    pub subject: Arc<Subject>,
    /// The virtual server.
    pub server: Arc<VirtualServer>,
    /// The connection that it concerns, where the virtual server exposes what is wanted.
    pub connection: Option<Arc<Connection>>,
    /// The user's authorization of it, where every user brings a credential.
    pub user_connection: Option<Arc<UserConnection>>,
}

/// What can be asked of a [`super::Session`].
#[derive(Clone, Debug)]
pub enum SessionCommand {
    /// Mints it.
    Open {
        /// When.
        at: Micros,
        /// With what.
        opening: Opening,
        /// Resting on what.
        grounds: OpeningGrounds,
    },
    /// Asks to let a call leave.
    RequestToolCall {
        /// When.
        at: Micros,
        /// Which.
        request: CallRequest,
        /// Resting on what.
        grounds: CallGrounds,
    },
    /// Writes down that the same was refused again.
    RecordRefusedAgain {
        /// The call that stands for all of them.
        call: CallId,
        /// How many more.
        times: u64,
    },
    /// Writes down what a list showed.
    RecordManifest {
        /// When.
        at: Micros,
        /// Which list.
        list: List,
        /// SHA-256 over what was shown.
        manifest: String,
        /// The virtual server's version.
        version: u32,
        /// How many definitions were shown.
        tools: u32,
        /// Who asked.
        client: Client,
        /// How many times since it was last written down. A single time is written down once a
        /// minute; a count always.
        times: u64,
    },
    /// Asks to cancel a call, by the agent's name for its request.
    RequestCancel {
        /// The same as in [`CallRequest::request`].
        request: String,
    },
    /// Writes down how a call ended.
    RecordOutcome {
        /// The call.
        call: CallId,
        /// How.
        outcome: Outcome,
        /// Time since its admission, in microseconds.
        duration_us: u64,
        /// Size of the result, in bytes.
        result_bytes: u64,
    },
    /// Asks to ask the agent for input that an upstream wants.
    RequestInput {
        /// When.
        at: Micros,
        /// The name of the wish.
        input: String,
        /// The call that it came up in.
        call: CallId,
        /// By which of the protocol's methods.
        method: String,
    },
    /// Writes down that the agent answered.
    GiveInput {
        /// The name of the wish.
        input: String,
    },
    /// Says which log messages a legacy agent wants.
    SetLogLevel {
        /// Which agent, by a hash of its handshake.
        client: String,
        /// The least that it wants.
        level: LogLevel,
    },
    /// Gives up every call of a process that is gone.
    AbandonCalls {
        /// The process.
        replica: ReplicaId,
    },
    /// Ends it.
    Revoke {
        /// Who asks.
        by: By,
        /// Why.
        reason: String,
    },
}
