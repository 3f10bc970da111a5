//! The way out: Proctor as a client of the real MCP servers.
//!
//! Calls go through [`Upstreams::call`], which demands an [`Admission`]; tests and refreshes
//! of a connection go through [`Upstreams::probe`] and [`Upstreams::catalog`], and whoever watches what it
//! offers through [`Upstreams::open_catalogs`] and [`Upstreams::listen`] besides. What identity providers
//! publish is read with [`Upstreams::document`].
//! Webhooks' messages go through [`Upstreams::tell`].
//!
//! **Invariants.** No tool call leaves without an admission whose gate was asked immediately
//! before the first byte. No call is repeated by itself, unless no byte of it can have been acted
//! on. An agent's own token never gets here; an upstream's credential never leaves here except in
//! the header it is meant for. Whatever one subject opened (connection, MCP session, child process)
//! serves nobody else, unless the connection is shared.

use std::{borrow::Cow, fmt, time::Duration};

use serde_json::value::RawValue;
use zeroize::Zeroizing;

mod admission;
mod catalog;
mod document;
mod envelope;
mod failure;
mod guard;
mod headers;
mod hears;
mod http;
mod line;
mod pool;
mod sse;
mod stdio;
#[cfg(test)]
mod tests;
mod told;
mod way;
mod well_known;

pub use admission::{Admission, Gate, Passage, Refusal};
pub use catalog::{Catalog, Defined, RejectedTool};
pub use document::DocumentError;
pub use failure::{FailureKind, UpstreamError};
pub use guard::{DialError, Dialer, Endpoint, EndpointError, Reach, may_reach};
pub use headers::{HeaderParam, header_params};
pub use hears::{Hears, Pause, Paused};
pub use http::{FETCHED_BYTES_MAX, Fetch, FetchError, Fetched};
pub use line::Probed;
pub use pool::{Heard, Upstreams};
pub use told::Told;
pub use well_known::{openid_configuration, well_known};

/// The newest protocol version, which needs no handshake.
pub const MODERN_VERSION: &str = "2026-07-28";
/// Versions with the `initialize` handshake, newest first.
pub const LEGACY_VERSIONS: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// The two generations of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Era {
    /// 2026-07-28: each request carries its whole context.
    Modern,
    /// Up to 2025-11-25: an `initialize` handshake, then a session.
    Legacy,
}

/// How an upstream is reached.
#[derive(Clone)]
pub enum Transport {
    /// Streamable HTTP.
    Http {
        /// The endpoint's URL.
        url: String,
    },
    /// A child process that speaks over its standard input and output.
    Stdio {
        /// The program; looked up in `PATH`.
        command: String,
        /// Its arguments.
        args: Vec<String>,
        /// Environment variables beside `PATH`, `HOME` and `LANG`.
        env: Vec<(String, Zeroizing<String>)>,
        /// Those that the user brought; the child is that user's alone.
        of_user: Vec<(String, Zeroizing<String>)>,
    },
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { .. } => f.debug_struct("Http").finish_non_exhaustive(),
            Self::Stdio { command, .. } => {
                f.debug_struct("Stdio").field("command", command).finish_non_exhaustive()
            }
        }
    }
}

/// How Proctor authenticates to an upstream.
#[derive(Clone)]
pub enum Auth {
    /// Not at all.
    None,
    /// With a secret in a header.
    Header {
        /// The header, such as `Authorization`.
        name: String,
        /// Its whole value, such as `Bearer …`.
        value: Zeroizing<String>,
    },
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Header { name, .. } => f.debug_struct("Header").field("name", name).finish_non_exhaustive(),
        }
    }
}

/// One upstream as one configuration and one credential reach it.
#[derive(Clone, Debug)]
pub struct Target {
    /// The connection's name.
    pub connection: String,
    /// Counts the connection's configurations.
    pub generation: u64,
    /// Counts the credential's replacements.
    pub credential_generation: u64,
    /// How it is reached.
    pub transport: Transport,
    /// How Proctor authenticates.
    pub auth: Auth,
    /// Whether an administrator allowed private addresses.
    pub private_network: bool,
    /// Whether all subjects may share sessions and child processes.
    pub shared: bool,
    /// The era, where a probe has found it before.
    pub era: Option<Era>,
}

/// W3C trace context, passed on in `_meta` (SEP-414).
#[derive(Clone, Copy, Debug, Default)]
pub struct Trace<'a> {
    /// `traceparent`.
    pub traceparent: Option<&'a str>,
    /// `tracestate`.
    pub tracestate: Option<&'a str>,
    /// `baggage`.
    pub baggage: Option<&'a str>,
}

/// What a call asks of an upstream. JSON is sent as it is.
#[derive(Clone, Copy, Debug)]
pub enum Ask<'a> {
    /// `tools/call`
    Tool {
        /// The tool's name at the upstream.
        name: &'a str,
        /// Absent where the caller sent none.
        arguments: Option<&'a RawValue>,
    },
    /// `prompts/get`
    Prompt {
        /// The prompt's name at the upstream.
        name: &'a str,
        /// Absent where the caller sent none.
        arguments: Option<&'a RawValue>,
    },
    /// `resources/list`
    ResourceList {
        /// The upstream's own cursor.
        cursor: Option<&'a str>,
    },
    /// `resources/read`
    Resource {
        /// The resource's URI at the upstream.
        uri: &'a str,
    },
    /// `completion/complete`
    Completion {
        /// What has the argument.
        of: Completed<'a>,
        /// The argument so far.
        argument: &'a RawValue,
        /// Arguments that are given already.
        context: Option<&'a RawValue>,
    },
}

/// What has an argument that is to be completed.
#[derive(Clone, Copy, Debug)]
pub enum Completed<'a> {
    /// The prompt of this name.
    Prompt(&'a str),
    /// This resource template.
    ResourceTemplate(&'a str),
}

impl Ask<'_> {
    /// By which method.
    pub fn method(&self) -> &'static str {
        match self {
            Self::Tool { .. } => "tools/call",
            Self::Prompt { .. } => "prompts/get",
            Self::ResourceList { .. } => "resources/list",
            Self::Resource { .. } => "resources/read",
            Self::Completion { .. } => "completion/complete",
        }
    }

    /// What the header `Mcp-Name` says of it.
    fn name(&self) -> Option<&str> {
        match self {
            Self::Tool { name, .. } | Self::Prompt { name, .. } | Self::Resource { uri: name } => Some(name),
            Self::ResourceList { .. } | Self::Completion { .. } => None,
        }
    }

    /// What headers may repeat parts of.
    fn arguments(&self) -> Option<&RawValue> {
        match self {
            Self::Tool { arguments, .. } => *arguments,
            Self::Prompt { .. } | Self::ResourceList { .. } | Self::Resource { .. } => None,
            Self::Completion { .. } => None,
        }
    }
}

/// The input that an upstream wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Input<'a> {
    /// By the upstream's own names.
    pub responses: Option<&'a RawValue>,
    /// What the upstream wants back with it.
    pub state: Option<&'a str>,
}

/// One call, as it is to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// What it asks.
    pub ask: Ask<'a>,
    /// The input that the upstream wanted, where it is asked again. Only the modern era has it.
    pub input: Input<'a>,
    /// What else the caller's `_meta` says.
    pub meta: &'a [(Cow<'a, str>, &'a RawValue)],
    /// Whether the caller wants progress notifications. They come back with Proctor's own progress
    /// token, which the caller replaces by the agent's.
    pub progress_wanted: bool,
    /// The agent's client, as it introduced itself.
    pub client_info: Option<&'a RawValue>,
    /// What the agent's client can do; the upstream is told no more. Where a legacy upstream over HTTP may
    /// know of it, the session is one of clients that can do the same.
    pub client_capabilities: Option<&'a RawValue>,
    /// Whether a legacy upstream may know of it, too.
    pub answers_requests: bool,
    /// Time that does not count against the deadline.
    pub pause: &'a Pause,
    /// Trace context.
    pub trace: Trace<'a>,
    /// The arguments that the tool's schema wants in headers; see [`header_params`].
    pub header_params: &'a [HeaderParam],
    /// A result or an error larger than this is refused, where [`Limits`] does not refuse it before.
    pub answer_bytes_max: usize,
}

#[cfg(test)]
static NO_PAUSE: Pause = Pause::none();

#[cfg(test)]
impl<'a> Call<'a> {
    /// A call of a tool without context.
    fn of_tool(name: &'a str, arguments: Option<&'a RawValue>) -> Self {
        Self {
            ask: Ask::Tool { name, arguments },
            input: Input::default(),
            meta: &[],
            progress_wanted: false,
            answers_requests: false,
            pause: &NO_PAUSE,
            client_info: None,
            client_capabilities: None,
            trace: Trace::default(),
            header_params: &[],
            answer_bytes_max: usize::MAX,
        }
    }
}

/// A JSON-RPC error, as the upstream sent it.
#[derive(Debug)]
pub struct RpcError {
    /// The code.
    pub code: i64,
    /// The message; text from outside that may hold anything.
    pub message: String,
    /// The data.
    pub data: Option<Box<RawValue>>,
}

/// How a call ended.
#[derive(Debug)]
pub enum Outcome {
    /// The upstream answered with a result.
    Succeeded {
        /// The result's JSON text as it was sent.
        result: Box<RawValue>,
        /// Its `isError`.
        is_error: bool,
    },
    /// The upstream answered with a JSON-RPC error.
    RpcError(RpcError),
    /// There is no answer.
    Failed {
        /// What kind of failure.
        kind: FailureKind,
        /// A sentence for people: what was attempted, what was wrong, what to do.
        detail: String,
        /// Whether any byte of the call possibly left; if so, its effect is unknown.
        sent: bool,
    },
    /// The call's cancellation token fired first.
    Cancelled {
        /// Whether any byte of the call possibly left.
        sent: bool,
    },
}

/// Limits on what upstreams may cost.
#[derive(Clone, Debug)]
pub struct Limits {
    /// An answer, a line or an event larger than this is refused.
    pub answer_bytes_max: usize,
    /// Opening a connection takes at most this long.
    pub connect_wait: Duration,
    /// Finding out the era and shaking hands takes at most this long; a child may install itself
    /// first.
    pub handshake_wait: Duration,
    /// What has not been used for so long is closed.
    pub idle_max: Duration,
    /// Isolation keys open at a time.
    pub open_max: usize,
    /// Child processes at a time, those that are ending included.
    pub children_max: usize,
    /// The same of one connection, so that no connection takes the place of all others.
    pub children_of_connection_max: usize,
    /// Tools, prompts and resource templates of one upstream.
    pub features_max: usize,
    /// Bytes of all definitions of one upstream.
    pub catalog_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            answer_bytes_max: 16 * 1024 * 1024,
            connect_wait: Duration::from_secs(10),
            handshake_wait: Duration::from_secs(30),
            idle_max: Duration::from_secs(300),
            open_max: 10_000,
            children_max: 64,
            children_of_connection_max: 48,
            features_max: 2_000,
            catalog_bytes_max: 16 * 1024 * 1024,
        }
    }
}
