//! Finds the authorization server of an upstream, as MCP's authorization says, and makes Proctor its
//! client.
//!
//! **Invariants.** Everything is fetched by the guarded way. What a document says counts only when
//! the document is about what it was asked for: the resource is the upstream, the issuer is the one
//! that was named.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use proctor_domain::Name;
use proctor_domain::oauth2::{ClientAuth, Oauth2, Registration};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::{Host, Url};
use zeroize::Zeroizing;

use super::metadata::{Challenge, covers, of_resource, of_server, origin};
use super::redirect_uri;
use super::registration::{self, Client};
use crate::proctor::Proctor;
use crate::upstream::{Endpoint, Fetch, Reach, may_reach};

const URL_CHARS_MAX: usize = 2_048;
pub(super) const SCOPES_MAX: usize = 100;
const SCOPE_CHARS_MAX: usize = 256;
const DESCRIPTION_CHARS_MAX: usize = 500;
const CLIENT_ID_CHARS_MAX: usize = 2_048;
/// What every server that is asked without a credential answers with 401.
const GREETING: &[u8] = br#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"proctor","version":"1"}}}"#;

/// What an administrator says about how users authorize a connection.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    scopes: Option<Vec<String>>,
    #[serde(default)]
    scope_descriptions: BTreeMap<String, String>,
    client_id: Option<String>,
    client_secret: Option<Zeroizing<String>>,
    issuer: Option<String>,
    authorization_endpoint: Option<String>,
    token_endpoint: Option<String>,
    revocation_endpoint: Option<String>,
    resource: Option<String>,
    #[serde(default)]
    revoke_replaced: bool,
}

/// What was found, and the client's secret.
pub struct Discovered {
    /// What stands in the settings.
    pub oauth2: Oauth2,
    /// What is sealed.
    pub client_secret: Option<Zeroizing<String>>,
}

/// An authorization server that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// What the administrator says cannot work.
    #[error("{0}")]
    Wrong(String),
    /// What the upstream or its authorization server says cannot work, or they say nothing.
    #[error("{0}")]
    Failed(String),
}

/// An authorization server, as its metadata describes it (RFC 8414, section 2).
#[derive(Deserialize)]
pub(super) struct ServerMetadata {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    pub(super) registration_endpoint: Option<String>,
    revocation_endpoint: Option<String>,
    #[serde(default)]
    code_challenge_methods_supported: Vec<String>,
    pub(super) token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
    #[serde(default)]
    pub(super) client_id_metadata_document_supported: bool,
}

/// A resource, as its metadata describes it (RFC 9728, section 2).
#[derive(Deserialize)]
struct ResourceMetadata {
    resource: String,
    #[serde(default)]
    authorization_servers: Vec<String>,
    scopes_supported: Option<Vec<String>>,
}

/// What the upstream says about itself.
#[derive(Default)]
struct Upstream {
    issuer: Option<String>,
    resource: Option<String>,
    scopes: Option<Vec<String>>,
}

/// Everything that is looked at on the way.
struct Search<'a> {
    proctor: &'a Proctor,
    reach: Reach,
}

/// Finds out how users authorize the connection `name` at `url`, which was set like `before`.
///
/// # Errors
/// When what is said or found cannot work; nothing was changed then, except that Proctor may have
/// been registered at the authorization server.
pub async fn discover(
    proctor: &Proctor,
    name: &Name,
    url: &str,
    private_network: bool,
    wanted: &Wanted,
    before: Option<(&Oauth2, Option<&Zeroizing<String>>)>,
) -> Result<Discovered, DiscoveryError> {
    wanted.check()?;
    let reach = if private_network { Reach::Private } else { Reach::Global };
    let search = Search { proctor, reach };
    if let Some((authorization, token)) = wanted.by_hand()? {
        let Some(client_id) = wanted.client_id.clone() else {
            return Err(DiscoveryError::Wrong(
                "endpoints that are given by hand need a client_id that was registered there: give it, or leave \
                 the endpoints out so that they are found"
                    .to_owned(),
            ));
        };
        let secret = wanted.secret(before);
        let given = |text: &str| search.endpoint(text, "given").map_err(DiscoveryError::Wrong);
        let oauth2 = Oauth2 {
            issuer: wanted.issuer.clone(),
            authorization_endpoint: given(authorization)?,
            token_endpoint: given(token)?,
            revocation_endpoint: wanted.revocation_endpoint.as_deref().map(given).transpose()?,
            names_issuer: false,
            registration: Registration::PreRegistered,
            client_id,
            client_auth: if secret.is_some() { ClientAuth::Basic } else { ClientAuth::None },
            redirect_uri: None,
            revoke_replaced: wanted.revoke_replaced,
            scopes: wanted.scopes.clone().unwrap_or_default(),
            scope_descriptions: wanted.scope_descriptions.clone(),
            resource: Some(wanted.resource.clone().unwrap_or_else(|| url.to_owned())),
        };
        return Ok(Discovered { oauth2, client_secret: secret });
    }
    let upstream = match &wanted.issuer {
        Some(issuer) => Upstream { issuer: Some(issuer.clone()), ..Upstream::default() },
        None => search.upstream(url).await?,
    };
    // Before there was metadata of resources, the upstream's own origin was its authorization server.
    let issuer = upstream.issuer.clone().map_or_else(|| origin(url), Ok)?;
    let metadata = search.server(&issuer).await?;
    let found = |text: &str| search.endpoint(text, "found").map_err(DiscoveryError::Failed);
    let mut oauth2 = Oauth2 {
        issuer: Some(metadata.issuer.clone()),
        authorization_endpoint: found(&metadata.authorization_endpoint)?,
        token_endpoint: found(&metadata.token_endpoint)?,
        revocation_endpoint: metadata.revocation_endpoint.as_deref().map(found).transpose()?,
        names_issuer: metadata.authorization_response_iss_parameter_supported,
        registration: Registration::PreRegistered,
        client_id: String::new(),
        client_auth: ClientAuth::None,
        redirect_uri: None,
        revoke_replaced: wanted.revoke_replaced,
        scopes: wanted.scopes.clone().or(upstream.scopes).unwrap_or_default(),
        scope_descriptions: wanted.scope_descriptions.clone(),
        resource: Some(wanted.resource.clone().or(upstream.resource).unwrap_or_else(|| url.to_owned())),
    };
    let secret = wanted.secret(before);
    let client = match &wanted.client_id {
        Some(id) => Client::pre_registered(id.clone(), secret, &metadata),
        None => registration::client(proctor, name, reach, &metadata, &oauth2, before).await?,
    };
    oauth2.registration = client.registration;
    oauth2.client_id = client.id;
    oauth2.client_auth = client.auth;
    oauth2.redirect_uri = (client.registration == Registration::Dynamic).then(|| redirect_uri(proctor, name));
    Ok(Discovered { oauth2, client_secret: client.secret })
}

impl Wanted {
    /// Whether it brings a secret.
    #[must_use]
    pub fn brings_secret(&self) -> bool {
        self.client_secret.is_some()
    }

    fn check(&self) -> Result<(), DiscoveryError> {
        let wrong = |text: String| Err(DiscoveryError::Wrong(text));
        let scopes = self.scopes.as_deref().unwrap_or_default();
        if scopes.len() > SCOPES_MAX || !scopes.iter().all(|scope| is_scope(scope)) {
            return wrong(format!(
                "there may be {SCOPES_MAX} scopes of {SCOPE_CHARS_MAX} visible ASCII characters, without \" and \\"
            ));
        }
        let fits = |text: &String| text.chars().count() <= DESCRIPTION_CHARS_MAX;
        if self.scope_descriptions.len() > SCOPES_MAX || !self.scope_descriptions.values().all(fits) {
            return wrong(format!(
                "there may be {SCOPES_MAX} scope_descriptions of {DESCRIPTION_CHARS_MAX} characters: shorten them"
            ));
        }
        let id_fits = |id: &String| (1..=CLIENT_ID_CHARS_MAX).contains(&id.len()) && is_visible(id);
        if !self.client_id.iter().all(id_fits) {
            return wrong(format!(
                "the client_id must have 1 to {CLIENT_ID_CHARS_MAX} visible ASCII characters"
            ));
        }
        if self.client_secret.is_some() && self.client_id.is_none() {
            return wrong("a client_secret goes with a client_id: give both".to_owned());
        }
        Ok(())
    }

    /// Both endpoints, where they are given.
    fn by_hand(&self) -> Result<Option<(&str, &str)>, DiscoveryError> {
        match (&self.authorization_endpoint, &self.token_endpoint) {
            (Some(authorization), Some(token)) => Ok(Some((authorization, token))),
            (None, None) if self.revocation_endpoint.is_none() => Ok(None),
            _ => Err(DiscoveryError::Wrong(
                "give authorization_endpoint and token_endpoint, or no endpoint at all, so that they are found"
                    .to_owned(),
            )),
        }
    }

    /// The secret that is given, or the one of the same client before.
    fn secret(&self, before: Option<(&Oauth2, Option<&Zeroizing<String>>)>) -> Option<Zeroizing<String>> {
        self.client_secret.clone().or_else(|| {
            let (known, secret) = before?;
            (Some(&known.client_id) == self.client_id.as_ref()).then(|| secret.cloned()).flatten()
        })
    }
}

impl Search<'_> {
    /// Asks the upstream without a credential, and reads the document that its refusal names.
    async fn upstream(&self, url: &str) -> Result<Upstream, DiscoveryError> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let body = Bytes::from_static(GREETING);
        let request = Fetch { method: Method::POST, url, reach: self.reach, headers, body };
        let answer = self.proctor.upstreams.fetch(request).await;
        let answer = answer.map_err(|error| DiscoveryError::Failed(format!("the upstream {error}")))?;
        let challenge = Challenge::of(&answer);
        if answer.status != StatusCode::UNAUTHORIZED && challenge.metadata.is_none() {
            return Err(DiscoveryError::Failed(format!(
                "the upstream answered {} without a credential, where it would answer 401 if users had to \
                 authorize: check the url, or say where its authorization server is (issuer, or both endpoints)",
                answer.status.as_u16()
            )));
        }
        let places = match &challenge.metadata {
            Some(place) => vec![place.clone()],
            None => of_resource(url)?,
        };
        for place in places {
            let Some(found) = self.document::<ResourceMetadata>(&place).await? else { continue };
            if !covers(&found.resource, url) {
                return Err(DiscoveryError::Failed(format!(
                    "the upstream's metadata is about the resource {:?}, not about {url:?}: register that URL, or \
                     say where its authorization server is",
                    shown(&found.resource)
                )));
            }
            return Ok(Upstream {
                issuer: found.authorization_servers.into_iter().next(),
                resource: Some(found.resource),
                scopes: challenge.scopes.or(found.scopes_supported).filter(|scopes| {
                    scopes.len() <= SCOPES_MAX && scopes.iter().all(|scope| is_scope(scope))
                }),
            });
        }
        Ok(Upstream { scopes: challenge.scopes, ..Upstream::default() })
    }

    /// Reads the metadata of an authorization server.
    async fn server(&self, issuer: &str) -> Result<ServerMetadata, DiscoveryError> {
        self.endpoint(issuer, "named").map_err(DiscoveryError::Failed)?;
        for place in of_server(issuer)? {
            let Some(found) = self.document::<ServerMetadata>(&place).await? else { continue };
            if found.issuer.trim_end_matches('/') != issuer.trim_end_matches('/') {
                return Err(DiscoveryError::Failed(format!(
                    "the metadata of {:?} is of the issuer {:?}: it is not believed",
                    shown(issuer),
                    shown(&found.issuer)
                )));
            }
            if !found.code_challenge_methods_supported.iter().any(|method| method == "S256") {
                return Err(DiscoveryError::Failed(format!(
                    "the authorization server {:?} does not say that it supports PKCE with S256, without which an \
                     authorization can be stolen: where it does all the same, give its endpoints by hand",
                    shown(issuer)
                )));
            }
            return Ok(found);
        }
        Err(DiscoveryError::Failed(format!(
            "the authorization server {:?} has no metadata document at its well-known places: say where it is \
             (issuer), or give its endpoints by hand",
            shown(issuer)
        )))
    }

    /// A JSON document; `None` where there is none.
    async fn document<T: DeserializeOwned>(&self, place: &str) -> Result<Option<T>, DiscoveryError> {
        self.endpoint(place, "named").map_err(DiscoveryError::Failed)?;
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let request =
            Fetch { method: Method::GET, url: place, reach: self.reach, headers, body: Bytes::new() };
        let answer = self.proctor.upstreams.fetch(request).await;
        let answer = answer.map_err(|error| DiscoveryError::Failed(format!("{:?} {error}", shown(place))))?;
        match answer.status.as_u16() {
            200 => serde_json::from_slice(&answer.body).map(Some).map_err(|error| {
                DiscoveryError::Failed(format!("the document at {:?} cannot be read ({error})", shown(place)))
            }),
            status if answer.status.is_redirection() => Err(DiscoveryError::Failed(format!(
                "{:?} answered with a redirect ({status}), which is not followed",
                shown(place)
            ))),
            _ => Ok(None),
        }
    }

    /// A URL that people are sent to, or that Proctor calls.
    fn endpoint(&self, text: &str, how: &str) -> Result<String, String> {
        let wrong = |why: String| format!("the URL {:?} that was {how} {why}", shown(text));
        if text.len() > URL_CHARS_MAX {
            return Err(wrong("is too long".to_owned()));
        }
        Endpoint::parse(text).map_err(|error| wrong(error.to_string()))?;
        let url = Url::parse(text).map_err(|error| wrong(format!("is no URL ({error})")))?;
        let literal = match url.host() {
            Some(Host::Ipv4(v4)) => Some(v4.into()),
            Some(Host::Ipv6(v6)) => Some(v6.into()),
            Some(Host::Domain(_)) | None => None,
        };
        if self.reach == Reach::Global && url.scheme() != "https" {
            return Err(wrong(
                "is not https, which only a connection with private_network may use".to_owned(),
            ));
        }
        if literal.is_some_and(|address| !may_reach(address, self.reach)) {
            return Err(wrong("has an address that the connection may not reach".to_owned()));
        }
        if url.fragment().is_some() {
            return Err(wrong("has a fragment, which no endpoint has".to_owned()));
        }
        Ok(text.to_owned())
    }
}

fn is_visible(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// RFC 6749, section 3.3.
pub(super) fn is_scope(scope: &str) -> bool {
    (1..=SCOPE_CHARS_MAX).contains(&scope.len())
        && scope.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
}

/// A URL, fit to be shown: cut, and without its query.
pub(super) fn shown(url: &str) -> String {
    url.split(['?', '#']).next().unwrap_or_default().chars().take(200).collect()
}
