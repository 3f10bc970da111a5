//! How users authorize a connection by OAuth 2: the upstream's authorization server as it was found
//! or configured, and what Proctor is there. Pinned in the connection's settings: it changes when an
//! administrator sets the connection anew, and never by itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// An authorization server, and Proctor as its client. The client's secret is sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Oauth2 {
    /// Its issuer, where it has one (RFC 8414).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Where users are sent to authorize.
    pub authorization_endpoint: String,
    /// Where tokens are had.
    pub token_endpoint: String,
    /// Where tokens are given back (RFC 7009).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation_endpoint: Option<String>,
    /// Whether it names itself in every authorization response (RFC 9207).
    #[serde(default, skip_serializing_if = "is_false")]
    pub names_issuer: bool,
    /// How Proctor became its client.
    pub registration: Registration,
    /// Proctor's name there.
    pub client_id: String,
    /// How Proctor authenticates at the token endpoint.
    pub client_auth: ClientAuth,
    /// Where users are sent back to, as it was registered there, if Proctor did so itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect_uri: Option<String>,
    /// Whether the tokens before are given back when a user authorizes once more: many servers then end the
    /// new ones too.
    #[serde(default, skip_serializing_if = "is_false")]
    pub revoke_replaced: bool,
    /// What is asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// What a scope means, for the user who is asked.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub scope_descriptions: BTreeMap<String, String>,
    /// Whom the tokens are for (RFC 8707).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
}

/// How Proctor became the client of an authorization server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Registration {
    /// An administrator registered it there.
    PreRegistered,
    /// Its name is the URL of a document about it.
    MetadataDocument,
    /// It registered itself (RFC 7591).
    Dynamic,
}

/// How a client authenticates at the token endpoint (RFC 7591, section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClientAuth {
    /// Not at all: it has no secret.
    #[serde(rename = "none")]
    None,
    /// Its secret in the header.
    #[serde(rename = "client_secret_basic")]
    Basic,
    /// Its secret in the body.
    #[serde(rename = "client_secret_post")]
    Post,
}

impl ClientAuth {
    /// The method as RFC 7591 names it.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Basic => "client_secret_basic",
            Self::Post => "client_secret_post",
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_false(value: &bool) -> bool {
    !value
}
