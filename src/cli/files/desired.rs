//! What a file can say, in the form of the REST API; secrets stand elsewhere.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A file: connections and virtual servers.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Desired {
    /// Upstream MCP servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) connections: Vec<Connection>,
    /// What agents see, one for each role.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) virtual_servers: Vec<VirtualServer>,
}

/// An upstream MCP server.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Connection {
    /// Its name. A name is never used again once it was retired.
    pub(super) name: String,
    /// How it is reached.
    pub(super) transport: Transport,
    /// How calls authenticate there.
    #[serde(default)]
    pub(super) auth: Auth,
    /// Whether it is in a private network.
    #[serde(default)]
    pub(super) private_network: bool,
    /// Whether all users may share connections and child processes.
    #[serde(default)]
    pub(super) shared: bool,
    /// How much all calls to it may use.
    #[serde(default)]
    pub(super) limits: Limits,
    /// Which changes of its tools come into force without an administrator.
    #[serde(default)]
    pub(super) drift: Drift,
}

/// Which changes of a connection's tools come into force without an administrator.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Drift {
    /// None: a tool that changed, or is new, is held.
    #[default]
    Hold,
    /// Those that only narrow what a tool takes.
    Narrowing,
    /// All.
    All,
}

/// How an upstream is reached.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Transport {
    /// Streamable HTTP.
    Http {
        /// Its URL.
        url: String,
    },
    /// A child process.
    Stdio {
        /// The command.
        command: String,
        /// Its arguments.
        #[serde(default)]
        args: Vec<String>,
        /// Its environment variables, and where their values are.
        #[serde(default)]
        env: BTreeMap<String, Secret>,
    },
}

/// Where a secret is.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Secret {
    /// In this environment variable.
    FromEnv(String),
    /// In this file.
    FromFile(PathBuf),
}

/// How calls authenticate at an upstream.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Auth {
    /// Not at all.
    #[default]
    None,
    /// With a secret that all share, in a header.
    Header {
        /// The header's name.
        name: String,
        /// Where the secret is.
        value: Secret,
    },
    /// With each user's own API key.
    ApiKey {
        /// The header that carries it (X-Api-Key).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        header: Option<String>,
        /// The header's value, with {secret} in the key's place.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        format: Option<String>,
    },
    /// With each user's own access token.
    Bearer {
        /// The header that carries it (Authorization).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        header: Option<String>,
        /// The header's value, with {secret} in the token's place.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        format: Option<String>,
    },
    /// With each user's own name and password.
    Basic,
    /// With what each user authorizes at the upstream's authorization server.
    Oauth2(Box<Oauth2>),
    /// With variables that each user brings to a child process.
    Environment {
        /// The variables.
        variables: Vec<Variable>,
    },
}

/// An authorization server, as far as it is not found by itself.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Oauth2 {
    /// What is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) scopes: Option<Vec<String>>,
    /// What a scope means, for the user who is asked.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) scope_descriptions: BTreeMap<String, String>,
    /// The client that was registered there beforehand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) client_id: Option<String>,
    /// Where that client's secret is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) client_secret: Option<Secret>,
    /// The authorization server's issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) issuer: Option<String>,
    /// Where users authorize.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) authorization_endpoint: Option<String>,
    /// Where tokens are had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) token_endpoint: Option<String>,
    /// Where tokens are given back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) revocation_endpoint: Option<String>,
    /// Whether tokens that new ones replace are revoked there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) revoke_replaced: bool,
    /// Whom tokens are for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) resource: Option<String>,
}

/// A variable that each user brings.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Variable {
    /// Its name.
    pub(super) name: String,
    /// What people are asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) label: Option<String>,
}

/// What the agents of one role see.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct VirtualServer {
    /// Its name. A name is never used again once it was retired.
    pub(super) name: String,
    /// What it is for.
    #[serde(default)]
    pub(super) description: String,
    /// What its agents are told at the beginning.
    #[serde(default)]
    pub(super) instructions: String,
    /// The tools that are exposed; nothing else is.
    pub(super) tools: Vec<Tool>,
    /// The prompts that are exposed.
    #[serde(default)]
    pub(super) prompts: Vec<Prompt>,
    /// The resources that are exposed, each by its URI.
    #[serde(default)]
    pub(super) resources: Vec<Resource>,
    /// The resource templates of which every resource is exposed.
    #[serde(default)]
    pub(super) resource_templates: Vec<ResourceTemplate>,
    /// How much of arguments and results is kept.
    #[serde(default)]
    pub(super) capture: Capture,
    /// What becomes of a session whose user lacks an account.
    #[serde(default)]
    pub(super) missing_accounts: MissingAccounts,
    /// Where users come back to who are asked to connect one.
    #[serde(default)]
    pub(super) return_url: Option<String>,
    /// Whose access tokens open sessions by themselves.
    #[serde(default)]
    pub(super) login: Option<Login>,
    /// How much all its sessions together may use.
    #[serde(default)]
    pub(super) limits: Limits,
    /// How much each of its sessions may use, where minting says nothing else.
    #[serde(default)]
    pub(super) session_limits: SessionLimits,
}

/// How much may be used; what is left out is not limited.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    /// Calls on their way at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) calls_in_flight_max: Option<u32>,
    /// Calls in any 60 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) calls_per_minute_max: Option<u32>,
    /// The size of a result, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) result_bytes_max: Option<u64>,
    /// The time of a call, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) deadline_ms: Option<u64>,
}

/// How much one session may use; what is left out is not limited.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SessionLimits {
    /// Calls, after which it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) calls_max: Option<u32>,
    /// Calls in any 60 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) calls_per_minute_max: Option<u32>,
}

/// A tool that is exposed.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Tool {
    /// The connection that offers it.
    pub(super) connection: String,
    /// Its name there.
    pub(super) tool: String,
    /// Another name for agents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    /// Another description for agents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    /// Arguments that agents neither see nor set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) fixed_arguments: Option<Map<String, Value>>,
}

/// A prompt that is exposed.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Prompt {
    /// The connection that offers it.
    pub(super) connection: String,
    /// Its name there.
    pub(super) prompt: String,
    /// Another name for agents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    /// Another description for agents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
}

/// A resource that is exposed.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Resource {
    /// The connection that has it.
    pub(super) connection: String,
    /// Its URI there.
    pub(super) uri: String,
}

/// A resource template of which every resource is exposed.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ResourceTemplate {
    /// The connection that offers it.
    pub(super) connection: String,
    /// The template there (RFC 6570).
    pub(super) uri_template: String,
}

/// How much of arguments and results is kept, sealed.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Capture {
    /// All of it.
    #[default]
    Full,
    /// A keyed digest.
    Digest,
    /// Nothing.
    None,
}

/// What becomes of a session whose user lacks an account.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum MissingAccounts {
    /// None is minted.
    #[default]
    Refuse,
    /// The user is asked when a call needs it.
    Ask,
}

/// Whose access tokens open sessions.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Login {
    /// The identity provider's name.
    pub(super) provider: String,
    /// How long such a session lasts at most, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ttl_seconds_max: Option<u32>,
    /// How much of the virtual server it may use: full or read_only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) access: Option<String>,
}
