//! How the domain's words look in JSON: the domain itself knows nothing of this door.
//!
//! What is only here for its schema is held against the real thing by the tests, which look at whatever
//! they are answered.

#![expect(dead_code, reason = "only their schemas are used")]

use std::borrow::Cow;
use std::collections::BTreeMap;

use proctor_domain::connection::{CredentialKind, Drift as Drifting};
use proctor_domain::virtual_server::Method as Asking;
use proctor_domain::webhook::Topic;
use serde_json::Value;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::connect::Wanted;
use crate::journal::DeliveryState;
use crate::vault::Purpose;
use crate::views::CallOutcome;

/// Texts out of a few.
macro_rules! one_of {
    ($($(#[doc = $doc:literal])+ $name:ident = $texts:expr;)+) => {$(
        $(#[doc = $doc])+
        pub(in crate::api) enum $name {}

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let description = concat!($($doc),+).trim();
                ObjectBuilder::new()
                    .schema_type(Type::String)
                    .description(Some(description))
                    .enum_values(Some($texts))
                    .into()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                stringify!($name).into()
            }
        }
    )+};
}

one_of! {
    /// Whether it is in use. What is retired never comes back.
    InUse = ["registered", "retired"];
    /// Whether it is in use. What is retired never comes back.
    Standing = ["defined", "retired"];
    /// Whether sessions are in force: open, over by time, or ended before it.
    SessionState = ["open", "expired", "revoked"];
    /// How a key counts.
    KeyState = ["active", "expired", "revoked"];
    /// What a key may do.
    Role = ["admin", "minter", "auditor"];
    /// Whether messages are sent: `gone` when the receiver said that it is.
    WebhookState = ["active", "gone", "retired"];
    /// How a message stands.
    DeliveryStatus = DeliveryState::ALL.map(DeliveryState::code);
    /// By which of the protocol's methods an agent reaches an upstream.
    Method = Asking::ALL.map(Asking::name);
    /// How a tool call stands: `abandoned` when its process is gone, and nobody knows; `input_required`
    /// when its upstream wants input first, with which another call goes on.
    Outcome = CallOutcome::ALL.iter().map(|outcome| outcome.code());
    /// What a key of Proctor's own is for.
    KeyPurpose = Purpose::ALL.map(Purpose::name);
    /// How a key of Proctor's own is used: `waiting` until its time, then `in_force`; `opens` what it has
    /// sealed and signed before; `over` when nothing of that can be good any more.
    KeyUse = ["waiting", "in_force", "opens", "over"];
    /// How much of its virtual server a session may use: all, or only tools that only read.
    Access = ["full", "read_only"];
    /// How much of arguments and results is kept, sealed: all, a keyed digest, or nothing.
    Capture = ["full", "digest", "none"];
    /// What becomes of a session whose user lacks an account: none is minted, or the user is asked when a
    /// call needs it.
    MissingAccounts = ["refuse", "ask"];
    /// Whether a user's account can be used.
    AccountState = ["missing", "pending", "active", "expired", "disconnected"];
    /// What each user brings to a connection.
    Credential = [
        CredentialKind::ApiKey,
        CredentialKind::Bearer,
        CredentialKind::Basic,
        CredentialKind::Oauth2,
        CredentialKind::Environment,
    ]
    .map(CredentialKind::code);
    /// Which changes at an upstream come into force without an administrator: none, those that only narrow
    /// what a tool takes, or all.
    Drift = [Drifting::Hold, Drifting::Narrowing, Drifting::All].map(Drifting::code);
    /// Whether a tool is offered as it is in force, offered otherwise and so held, or offered no more.
    ToolStanding = ["in_force", "held", "gone"];
    /// Why a tool stands in a difference: its definition changed, it is new, or it is offered no more.
    ToolState = ["changed", "new", "gone"];
    /// Which protocol an upstream speaks: up to 2025-11-25, or 2026-07-28.
    Era = ["legacy", "modern"];
    /// A kind of message: one of the topics, or all that begin alike.
    Topics = Topic::SUBSCRIBED
        .map(Topic::code)
        .into_iter()
        .chain(["connection.*", "user_connection.*", "session.*"]);
    /// An algorithm by which a provider signs.
    Algorithm = proctor_domain::identity_provider::Algorithm::ALL
        .map(proctor_domain::identity_provider::Algorithm::name);
}

/// Whether tokens were given back; `null` where their authorization server takes none back.
pub(in crate::api) enum GivenBack {}

impl PartialSchema for GivenBack {
    fn schema() -> RefOr<Schema> {
        // No type: what can be null by its type is always there.
        ObjectBuilder::new()
            .schema_type(SchemaType::AnyValue)
            .description(Some(
                "Whether tokens were given back; `null` where their authorization server takes none back.",
            ))
            .enum_values(Some([Value::Bool(true), Value::Bool(false), Value::Null]))
            .into()
    }
}

impl ToSchema for GivenBack {}

/// A name, which is never used again once it was retired.
#[derive(ToSchema)]
#[schema(pattern = "^[a-z0-9][a-z0-9_-]{0,62}$", example = "crm")]
pub(in crate::api) struct Name(String);

/// Who did something: the holder of an API key, Proctor itself in one of its processes, or whoever showed
/// an access token of an identity provider.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::api) enum By {
    Key(String),
    Replica(String),
    Login(String),
}

/// How much may be used; what is left out is not limited.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Limits {
    /// Calls on their way at a time.
    #[schema(minimum = 1, maximum = 1_000_000)]
    calls_in_flight_max: Option<u32>,
    /// Calls in any 60 seconds.
    #[schema(minimum = 1, maximum = 10_000_000)]
    calls_per_minute_max: Option<u32>,
    /// The size of a result, in bytes.
    #[schema(minimum = 1_024, maximum = 268_435_456)]
    result_bytes_max: Option<u64>,
    /// The time of a call, in milliseconds.
    #[schema(minimum = 1, maximum = 600_000)]
    deadline_ms: Option<u64>,
}

/// What an upstream can do beside what its catalog lists; what is left out it cannot.
#[derive(ToSchema)]
pub(in crate::api) struct Abilities {
    /// It has resources.
    #[schema(required = false)]
    resources: bool,
    /// It tells of a resource that has changed to whoever wants to know.
    #[schema(required = false)]
    subscriptions: bool,
    /// It completes arguments.
    #[schema(required = false)]
    completions: bool,
    /// It sends log messages.
    #[schema(required = false)]
    logging: bool,
}

/// How much one session may use; what is left out is not limited.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct SessionLimits {
    /// Calls, after which it ends.
    #[schema(minimum = 1, maximum = 100_000)]
    calls_max: Option<u32>,
    /// Calls in any 60 seconds.
    #[schema(minimum = 1, maximum = 6_000)]
    calls_per_minute_max: Option<u32>,
}

/// A tool that agents see.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct ExposedTool {
    /// The connection that offers it.
    #[schema(value_type = Name)]
    connection: (),
    /// Its name there.
    tool: String,
    /// Another name for agents.
    name: Option<String>,
    /// Another description for agents.
    description: Option<String>,
    /// Arguments that agents neither see nor set.
    #[schema(value_type = Option<BTreeMap<String, Value>>)]
    fixed_arguments: Option<()>,
}

/// A prompt that agents may get.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct ExposedPrompt {
    /// The connection that offers it.
    #[schema(value_type = Name)]
    connection: (),
    /// Its name there.
    prompt: String,
    /// Another name for agents.
    name: Option<String>,
    /// Another description for agents.
    description: Option<String>,
}

/// A resource that agents may read.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct ExposedResource {
    /// The connection that has it.
    #[schema(value_type = Name)]
    connection: (),
    /// Its URI there.
    #[schema(max_length = 2_048)]
    uri: String,
}

/// A resource template of which agents may read every resource.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct ExposedResourceTemplate {
    /// The connection that offers it.
    #[schema(value_type = Name)]
    connection: (),
    /// The template there (RFC 6570).
    #[schema(max_length = 2_048)]
    uri_template: String,
}

/// Whose access tokens open sessions by themselves, and on which terms.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Login {
    /// The identity provider's name.
    #[schema(value_type = Name)]
    provider: (),
    /// How long such a session lasts at most, in seconds; as long as its token when left out.
    ttl_seconds_max: Option<u32>,
    /// How much of the virtual server it may use.
    #[schema(value_type = Access, required = false)]
    access: (),
}

/// How an upstream is reached, without what is secret.
#[derive(ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(in crate::api) enum Transport {
    /// By streamable HTTP.
    Http { url: String },
    /// As a child process; of its environment only the names are shown.
    Stdio { command: String, args: Vec<String>, env: Vec<String> },
}

/// How calls authenticate at an upstream, without what is secret.
#[expect(clippy::large_enum_variant, reason = "there are no values of it")]
#[derive(ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(in crate::api) enum Auth {
    /// Not at all.
    None {},
    /// With a secret that all share, in a header.
    Header { name: String },
    /// With each user's own API key, in a header.
    ApiKey { header: String, format: String },
    /// With each user's own access token, in a header.
    Bearer { header: String, format: String },
    /// With each user's own name and password.
    Basic {},
    /// With tokens that each user authorizes at an authorization server.
    Oauth2 {
        #[schema(nullable = false)]
        issuer: Option<String>,
        authorization_endpoint: String,
        token_endpoint: String,
        #[schema(nullable = false)]
        revocation_endpoint: Option<String>,
        /// Whether it names itself in every authorization response.
        #[schema(nullable = false)]
        names_issuer: Option<bool>,
        /// How Proctor became its client: `pre_registered`, `metadata_document` or `dynamic`.
        registration: String,
        client_id: String,
        /// How Proctor authenticates there: `none`, `client_secret_basic` or `client_secret_post`.
        client_auth: String,
        #[schema(nullable = false)]
        redirect_uri: Option<String>,
        #[schema(nullable = false)]
        revoke_replaced: Option<bool>,
        #[schema(nullable = false)]
        scopes: Option<Vec<String>>,
        #[schema(nullable = false)]
        scope_descriptions: Option<BTreeMap<String, String>>,
        #[schema(nullable = false)]
        resource: Option<String>,
    },
    /// With variables that each user brings to a child process of their own.
    Environment { variables: Vec<Variable> },
}

/// A variable that each user brings.
#[derive(ToSchema)]
pub(in crate::api) struct Variable {
    /// Its name in the child's environment.
    name: String,
    /// What people are asked for.
    #[schema(nullable = false)]
    label: Option<String>,
}

/// An authorization server, as far as it is not found by itself, and Proctor as its client.
#[derive(ToSchema)]
pub(in crate::api) struct Oauth2Settings {
    /// What is asked for.
    scopes: Option<Vec<String>>,
    /// What a scope means, for the user who is asked.
    #[schema(required = false)]
    scope_descriptions: BTreeMap<String, String>,
    /// The client that was registered there beforehand.
    client_id: Option<String>,
    client_secret: Option<String>,
    #[schema(format = "uri")]
    issuer: Option<String>,
    #[schema(format = "uri")]
    authorization_endpoint: Option<String>,
    #[schema(format = "uri")]
    token_endpoint: Option<String>,
    #[schema(format = "uri")]
    revocation_endpoint: Option<String>,
    /// Whom tokens are for (RFC 8707).
    resource: Option<String>,
    /// Whether the tokens before are given back when a user authorizes once more.
    #[schema(required = false)]
    revoke_replaced: bool,
}

// As a part of what says its type beside it, it cannot be closed on its own.
impl PartialSchema for Wanted {
    fn schema() -> RefOr<Schema> {
        Oauth2Settings::schema()
    }
}

impl ToSchema for Wanted {
    fn name() -> Cow<'static, str> {
        Oauth2Settings::name()
    }
}
