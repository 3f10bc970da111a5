//! What went wrong, as an RFC 9457 problem document.
//!
//! **Invariants.** Every error of this door has a code from the table below; a code never changes
//! its meaning or its status. No detail repeats a secret.

use std::fmt;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use serde_json::{Map, Value, json};

/// How long a client waits before it asks again, where nothing else is known.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What a problem document is sent as.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";

macro_rules! codes {
    ($($(#[$doc:meta])* $code:ident = $status:literal $text:literal $title:literal;)+) => {
        /// The kinds of problems: a status, a stable code and a title for each.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code {
            $($(#[$doc])* $code,)+
        }

        impl Code {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$code),+];

            /// The stable code, as clients read it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$code => $text),+ }
            }

            pub(super) fn status(self) -> u16 {
                match self { $(Self::$code => $status),+ }
            }

            pub(super) fn title(self) -> &'static str {
                match self { $(Self::$code => $title),+ }
            }
        }
    };
}

codes! {
    /// Not JSON at all.
    MalformedJson = 400 "malformed_json" "The body is not JSON";
    /// A member that stands twice.
    DuplicateKey = 400 "duplicate_key" "A key stands twice in the body";
    /// Nested deeper than the journal can take.
    TooDeep = 400 "too_deep" "The body is nested too deep";
    /// A query parameter that is unknown or wrong.
    InvalidQuery = 400 "invalid_query" "A query parameter is wrong";
    /// A cursor that this list never gave out.
    InvalidCursor = 400 "invalid_cursor" "The cursor is not one of this list";
    /// A name of a request that is none.
    InvalidIdempotencyKey = 400 "invalid_idempotency_key" "The Idempotency-Key is none";
    /// No key, or one that is worth nothing.
    Unauthenticated = 401 "unauthenticated" "A valid API key is needed";
    /// A key whose time is over.
    ApiKeyExpired = 401 "api_key_expired" "The API key has expired";
    /// A key whose role does not reach so far.
    Forbidden = 403 "forbidden" "The key's role does not allow this";
    /// No such address.
    NotFound = 404 "not_found" "Nothing is at this address";
    /// No such connection.
    ConnectionNotFound = 404 "connection_not_found" "There is no such connection";
    /// No such virtual server.
    VirtualServerNotFound = 404 "virtual_server_not_found" "There is no such virtual server";
    /// No such identity provider.
    IdentityProviderNotFound = 404 "identity_provider_not_found" "There is no such identity provider";
    /// No such purpose.
    PurposeNotFound = 404 "purpose_not_found" "There is no such purpose";
    /// No such API key.
    ApiKeyNotFound = 404 "api_key_not_found" "There is no such API key";
    /// No such session.
    SessionNotFound = 404 "session_not_found" "There is no such session";
    /// No such user.
    UserNotFound = 404 "user_not_found" "There is no such user";
    /// No account was ever connected.
    UserConnectionNotFound = 404 "user_connection_not_found" "No account was ever connected";
    /// No such webhook.
    WebhookNotFound = 404 "webhook_not_found" "There is no such webhook";
    /// No such delivery.
    DeliveryNotFound = 404 "delivery_not_found" "There is no such delivery";
    /// No such tool call.
    ToolCallNotFound = 404 "tool_call_not_found" "There is no such tool call";
    /// A catalog that was asked for before it was read.
    CatalogNotFound = 404 "catalog_not_found" "The catalog was never read";
    /// Another method.
    MethodNotAllowed = 405 "method_not_allowed" "The address does not take this method";
    /// The connection's name is taken.
    ConnectionExists = 409 "connection_exists" "The connection exists";
    /// The connection is out of use.
    ConnectionRetired = 409 "connection_retired" "The connection was retired";
    /// The connection's settings changed meanwhile.
    ConnectionReconfigured = 409 "connection_reconfigured" "The connection was reconfigured meanwhile";
    /// What was approved is not what is offered now.
    CatalogChanged = 409 "catalog_changed" "The upstream offers something else by now";
    /// The virtual server's name is taken.
    VirtualServerExists = 409 "virtual_server_exists" "The virtual server exists";
    /// The virtual server is out of use.
    VirtualServerRetired = 409 "virtual_server_retired" "The virtual server was retired";
    /// A code that confirms nothing, or nothing any more.
    CodeUnknown = 409 "code_unknown" "The code confirms nothing";
    /// A code whose time is over.
    CodeExpired = 410 "code_expired" "The code has expired";
    /// Somebody else's account.
    VerificationFailed = 403 "verification_failed" "The account was connected by somebody else";
    /// A link that cannot be made.
    InvalidLink = 422 "invalid_link" "The link cannot be made";
    /// An authorization server that does not let itself be found or used.
    DiscoveryFailed = 502 "discovery_failed" "The authorization server cannot be used";
    /// The identity provider's name is taken.
    IdentityProviderExists = 409 "identity_provider_exists" "The identity provider exists";
    /// The identity provider is out of use.
    IdentityProviderRetired = 409 "identity_provider_retired" "The identity provider was retired";
    /// The webhook is out of use.
    WebhookRetired = 409 "webhook_retired" "The webhook was retired";
    /// The webhook's receiver is gone.
    WebhookGone = 409 "webhook_gone" "The webhook's receiver is gone";
    /// The last new key has not come into force yet.
    KeyWaiting = 409 "key_waiting" "A new key waits already";
    /// A purpose has as many keys as it can have.
    TooManyKeys = 409 "too_many_keys" "There are too many keys";
    /// Nobody could do everything any more.
    LastAdministrator = 409 "last_administrator" "It is the last administrator's key";
    /// More webhooks than are sent to.
    TooManyWebhooks = 409 "too_many_webhooks" "There are too many webhooks";
    /// The user has to connect accounts first.
    AccountsMissing = 409 "accounts_missing" "The user has to connect accounts first";
    /// The user may not have sessions.
    UserBlocked = 409 "user_blocked" "The user is blocked";
    /// Somebody else wrote the same at the same time.
    WrittenMeanwhile = 409 "written_meanwhile" "Somebody else wrote the same meanwhile";
    /// The same request is on its way.
    RequestInProgress = 409 "request_in_progress" "The same request is being carried out";
    /// A request that was begun, and of whose end nothing is known.
    OutcomeUnknown = 409 "outcome_unknown" "Nobody knows whether the request was carried out";
    /// What it was sealed with is destroyed.
    Erased = 410 "erased" "It was erased";
    /// Too long.
    BodyTooLarge = 413 "body_too_large" "The body is too large";
    /// Not declared as JSON.
    WrongContentType = 415 "wrong_content_type" "The body is not declared as JSON";
    /// JSON of another form.
    InvalidBody = 422 "invalid_body" "The body is not of the expected form";
    /// Settings of a connection that cannot work.
    InvalidConnection = 422 "invalid_connection" "The connection cannot be set like this";
    /// An API key that cannot be.
    InvalidApiKey = 422 "invalid_api_key" "An API key cannot be created like this";
    /// A rotation that cannot be.
    InvalidRotation = 422 "invalid_rotation" "Keys cannot be rotated like this";
    /// Settings of a webhook that cannot work.
    InvalidWebhook = 422 "invalid_webhook" "The webhook cannot be set like this";
    /// A credential that the connection does not take, or that cannot be sent.
    InvalidCredential = 422 "invalid_credential" "The credential cannot be used";
    /// Settings of an identity provider that cannot work.
    InvalidIdentityProvider = 422 "invalid_identity_provider" "The identity provider cannot be set like this";
    /// A definition that names an identity provider that is not there.
    UnknownIdentityProvider = 422 "unknown_identity_provider" "The definition names an unknown identity provider";
    /// A definition that contradicts itself or a limit.
    InvalidDefinition = 422 "invalid_definition" "The virtual server cannot be defined like this";
    /// A definition that names a connection that is not there.
    UnknownConnection = 422 "unknown_connection" "The definition names an unknown connection";
    /// A definition that rests on a catalog that was never read.
    CatalogNotRead = 422 "catalog_not_read" "The definition rests on a catalog that was never read";
    /// A tool that is not there.
    UnknownTool = 422 "unknown_tool" "It names an unknown tool";
    /// A prompt that is not there.
    UnknownPrompt = 422 "unknown_prompt" "It names an unknown prompt";
    /// A resource template that is not there.
    UnknownResourceTemplate = 422 "unknown_resource_template" "It names an unknown resource template";
    /// A resource of a connection that offers none.
    NoResources = 422 "no_resources" "It names a resource of a connection that offers none";
    /// A tool that nobody has approved yet.
    ToolHeld = 422 "tool_held" "It names a tool that is held until it is approved";
    /// A fixed argument that the tool does not have.
    UnknownArgument = 422 "unknown_argument" "It fixes an unknown argument";
    /// Terms that no session can have.
    InvalidTerms = 422 "invalid_terms" "A session cannot be opened on these terms";
    /// An upstream that may not be reached as it is set.
    UpstreamRefused = 422 "upstream_not_allowed" "The upstream may not be reached as it is set";
    /// A name that another request has.
    IdempotencyKeyReused = 422 "idempotency_key_reused" "The Idempotency-Key is that of another request";
    /// Our fault.
    Internal = 500 "internal" "Proctor failed";
    /// The upstream failed.
    UpstreamFailed = 502 "upstream_failed" "The upstream failed";
    /// The journal cannot be written or read now.
    JournalUnavailable = 503 "journal_unavailable" "The journal cannot be used now";
    /// The journal could not say whether it was written.
    InDoubt = 503 "in_doubt" "It may have been carried out or not";
    /// The journal was found to be damaged.
    JournalHalted = 503 "journal_halted" "The journal is halted";
    /// What an answer needs is not loaded or keeps changing.
    Busy = 503 "busy" "Proctor is busy";
    /// The views have not reached the journal's head.
    ViewsBehind = 503 "views_behind" "The lists are not up to date yet";
    /// Proctor is stopping.
    Stopping = 503 "stopping" "Proctor is stopping";
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Problem {
    /// What kind of problem it is.
    pub code: Code,
    /// What was attempted, what was wrong, what to do.
    pub detail: String,
    more: Option<Box<More>>,
}

/// What only some problems have.
#[derive(Clone, Debug, Default)]
struct More {
    members: Map<String, Value>,
    allow: Option<String>,
    retry_after: Option<Duration>,
}

impl Problem {
    /// A problem of this kind, described for a person.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), more: None }
    }

    /// The same with one more member for programs.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.get_or_insert_default().members.insert(name.to_owned(), value.into());
        self
    }

    /// The same with the methods that the address takes.
    #[must_use]
    pub(super) fn allowing(mut self, methods: &[&str]) -> Self {
        self.more.get_or_insert_default().allow = Some(methods.join(", "));
        self
    }

    /// The same with how long a client waits before it asks again.
    #[must_use]
    pub(super) fn retried_after(mut self, wait: Duration) -> Self {
        self.more.get_or_insert_default().retry_after = Some(wait);
        self
    }

    /// A failure that nobody outside can do anything about; the reason goes to the log.
    #[must_use]
    pub fn internal(attempt: &str, error: &dyn std::error::Error) -> Self {
        tracing::error!(error = %error, "failed to {attempt}");
        Self::new(Code::Internal, format!("failed to {attempt}: see Proctor's log"))
    }

    /// The document.
    #[must_use]
    pub fn document(&self) -> Value {
        let mut document = json!({
            "type": format!("urn:proctor:problem:{}", self.code.as_str()),
            "title": self.code.title(),
            "status": self.code.status(),
            "detail": self.detail,
            "code": self.code.as_str(),
        });
        if let (Value::Object(members), Some(more)) = (&mut document, &self.more) {
            members.extend(more.members.clone());
        }
        document
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.detail)
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        response.insert_header((header::CACHE_CONTROL, "no-store"));
        let asked_again = self.more.as_ref().and_then(|more| more.retry_after);
        let is_passing = self.status_code() == StatusCode::SERVICE_UNAVAILABLE;
        if let Some(wait) = asked_again.or(is_passing.then_some(RETRY_AFTER)) {
            response.insert_header((header::RETRY_AFTER, wait.as_secs()));
        }
        if self.status_code() == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer realm=\"proctor\""));
        }
        let allow = self.more.as_ref().and_then(|more| more.allow.as_deref());
        if let Some(allow) = allow.and_then(|allow| HeaderValue::from_str(allow).ok()) {
            response.insert_header((header::ALLOW, allow));
        }
        let mut response = response.content_type(PROBLEM_JSON).body(self.document().to_string());
        response.extensions_mut().insert(self.code);
        response
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_is_one_of_its_own_and_has_an_errors_status() {
        let codes: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(codes.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!((400..600).contains(&code.status()), "{}", code.as_str());
        }
    }

    #[test]
    fn a_problem_is_a_document_with_the_members_of_rfc_9457_and_a_code() {
        let problem = Problem::new(Code::Busy, "try again").with("failure", "timeout");
        let response = problem.error_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers().get("content-type").unwrap(), "application/problem+json");
        assert_eq!(response.headers().get("retry-after").unwrap(), "1");
        let expected = json!({
            "type": "urn:proctor:problem:busy", "title": "Proctor is busy", "status": 503,
            "detail": "try again", "code": "busy", "failure": "timeout",
        });
        assert_eq!(problem.document(), expected);
    }
}
