//! Proctor at the token endpoint of an authorization server.
//!
//! **Invariants.** A code, a token and a secret leave only in requests to the endpoints that stand in
//! the connection's settings. What an error says comes from a list of words of ours.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use proctor_domain::connection::Connection;
use proctor_domain::oauth2::{ClientAuth, Oauth2};
use proctor_domain::{Micros, Name};
use serde::Deserialize;
use url::form_urlencoded;
use zeroize::Zeroizing;

use crate::credential::Credential;
use crate::proctor::Proctor;
use crate::targets::TargetError;
use crate::upstream::{Fetch, Fetched, Reach};

/// Tokens that live longer count as living so long, in seconds: ten years.
const LIFETIME_SECONDS_MAX: u64 = 315_360_000;
/// Longest token, in bytes: a header has room for it.
const TOKEN_BYTES_MAX: usize = 8_192;
const SCOPES_KEPT_MAX: usize = 100;

/// Codes of refusals that may be repeated (RFC 6749, section 5.2, and RFC 8707, section 2).
const KNOWN_CODES: [&str; 7] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "invalid_target",
];

/// Proctor as the client of one connection's authorization server.
pub(super) struct Client {
    pub oauth2: Oauth2,
    secret: Option<Zeroizing<String>>,
    reach: Reach,
}

/// What a token endpoint gave.
pub(super) struct Tokens {
    access_token: Zeroizing<String>,
    refresh_token: Option<Zeroizing<String>>,
    expires_in: Option<u64>,
    pub scopes: Option<Vec<String>>,
}

/// Why a token endpoint gave nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum TokenError {
    /// It refused.
    #[error("the authorization server refused ({0})")]
    Refused(&'static str),
    /// It could not be asked, or its answer cannot be used.
    #[error("the authorization server {0}")]
    Unusable(String),
}

impl TokenError {
    /// A stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(code) => code,
            Self::Unusable(_) => "provider_unavailable",
        }
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: Zeroizing<String>,
    token_type: String,
    expires_in: Option<serde_json::Number>,
    refresh_token: Option<Zeroizing<String>>,
    scope: Option<String>,
}

#[derive(Deserialize)]
struct ErrorAnswer {
    error: String,
}

impl Client {
    /// The client of a connection that is set to OAuth 2; `None` for another.
    ///
    /// # Errors
    /// When its secret cannot be opened.
    pub async fn of(
        proctor: &Proctor,
        name: &Name,
        connection: &Arc<Connection>,
    ) -> Result<Option<Self>, TargetError> {
        let Some(settings) = connection.settings() else { return Ok(None) };
        let Some(oauth2) = settings.auth.oauth2() else { return Ok(None) };
        let secret = proctor.targets.secrets(name, connection.generation()).await?.client;
        let reach = if settings.private_network { Reach::Private } else { Reach::Global };
        Ok(Some(Self { oauth2: oauth2.clone(), secret, reach }))
    }

    /// Turns a code into tokens (RFC 6749, section 4.1.3, and RFC 7636).
    pub async fn exchange(
        &self,
        proctor: &Proctor,
        code: &str,
        redirect_uri: &str,
        verifier: &str,
    ) -> Result<Tokens, TokenError> {
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect_uri),
            ("code_verifier", verifier),
        ];
        self.ask(proctor, &fields).await
    }

    /// Renews tokens (RFC 6749, section 6).
    pub async fn refresh(&self, proctor: &Proctor, refresh_token: &str) -> Result<Tokens, TokenError> {
        self.ask(proctor, &[("grant_type", "refresh_token"), ("refresh_token", refresh_token)]).await
    }

    async fn ask(&self, proctor: &Proctor, fields: &[(&str, &str)]) -> Result<Tokens, TokenError> {
        let mut fields = fields.to_vec();
        if let Some(resource) = &self.oauth2.resource {
            fields.push(("resource", resource));
        }
        let answer = self.send(proctor, &self.oauth2.token_endpoint, fields).await?;
        let unusable = |why: &str| TokenError::Unusable(why.to_owned());
        if !answer.status.is_success() {
            let said = serde_json::from_slice::<ErrorAnswer>(&answer.body).ok();
            let known = said.and_then(|said| KNOWN_CODES.into_iter().find(|code| *code == said.error));
            let is_refusal = matches!(answer.status, StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED);
            return Err(match known.filter(|_| is_refusal) {
                Some(code) => TokenError::Refused(code),
                None => TokenError::Unusable(format!("answered {}", answer.status.as_u16())),
            });
        }
        let answer: TokenAnswer = serde_json::from_slice(&answer.body)
            .map_err(|_| unusable("gave an answer that cannot be read"))?;
        if !answer.token_type.eq_ignore_ascii_case("bearer") {
            return Err(unusable("gave a token of another type than bearer"));
        }
        let fits = |token: &Zeroizing<String>| {
            (1..=TOKEN_BYTES_MAX).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if !fits(&answer.access_token) || !answer.refresh_token.iter().all(fits) {
            return Err(unusable("gave a token that no header can carry"));
        }
        let seconds = answer.expires_in.and_then(|n| n.as_u64().or_else(|| n.as_f64().map(|n| n as u64)));
        let scopes = answer.scope.map(|scope| {
            scope
                .split_ascii_whitespace()
                .take(SCOPES_KEPT_MAX)
                .map(|s| s.escape_debug().to_string())
                .collect()
        });
        Ok(Tokens {
            access_token: answer.access_token,
            refresh_token: answer.refresh_token,
            expires_in: seconds.map(|seconds| seconds.min(LIFETIME_SECONDS_MAX)),
            scopes,
        })
    }

    async fn send(
        &self,
        proctor: &Proctor,
        url: &str,
        mut fields: Vec<(&str, &str)>,
    ) -> Result<Fetched, TokenError> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        match (self.oauth2.client_auth, &self.secret) {
            (ClientAuth::Basic, Some(secret)) => {
                headers.insert(AUTHORIZATION, basic(&self.oauth2.client_id, secret)?);
            }
            (ClientAuth::Post, Some(secret)) => {
                fields.push(("client_id", &self.oauth2.client_id));
                fields.push(("client_secret", secret));
            }
            (ClientAuth::None, _) => fields.push(("client_id", &self.oauth2.client_id)),
            (ClientAuth::Basic | ClientAuth::Post, None) => {
                let why =
                    "cannot be asked: the client's secret is not there: reconfigure the connection with it";
                return Err(TokenError::Unusable(why.to_owned()));
            }
        }
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request =
            Fetch { method: Method::POST, url, reach: self.reach, headers, body: Bytes::from(body) };
        proctor.upstreams.fetch(request).await.map_err(|error| TokenError::Unusable(error.to_string()))
    }
}

/// RFC 6749, section 2.3.1: both parts are form-encoded before they are joined.
fn basic(id: &str, secret: &str) -> Result<HeaderValue, TokenError> {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let both = Zeroizing::new(format!("{}:{}", encoded(id), encoded(secret)));
    let mut value =
        HeaderValue::try_from(format!("Basic {}", STANDARD.encode(both.as_bytes()))).map_err(|_| {
            TokenError::Unusable("cannot be asked: no header can carry the client's secret".to_owned())
        })?;
    value.set_sensitive(true);
    Ok(value)
}

impl Tokens {
    /// Until when they can be used, if they were asked for at this time.
    pub fn expires_at(&self, asked_at: Micros) -> Option<Micros> {
        let seconds = i64::try_from(self.expires_in?).unwrap_or(i64::MAX);
        Some(Micros(asked_at.0.saturating_add(seconds.saturating_mul(1_000_000))))
    }

    /// As they are kept. A server that gives no new refresh token lets the old one stand (RFC 6749,
    /// section 6).
    pub fn into_credential(self, refresh_token: Option<Zeroizing<String>>) -> Credential {
        Credential::Oauth2 {
            access_token: self.access_token,
            refresh_token: self.refresh_token.or(refresh_token),
        }
    }
}

/// Gives tokens back to the authorization server (RFC 7009). `None` where it takes none back.
pub async fn revoke(
    proctor: &Proctor,
    name: &Name,
    connection: &Arc<Connection>,
    credential: &Credential,
) -> Option<bool> {
    let Credential::Oauth2 { access_token, refresh_token } = credential else { return None };
    let client = match Client::of(proctor, name, connection).await {
        Ok(client) => client?,
        Err(error) => {
            tracing::warn!(connection = %name, %error, "failed to give tokens back");
            return Some(false);
        }
    };
    let url = client.oauth2.revocation_endpoint.clone()?;
    // With the refresh token goes what was made from it (RFC 7009, section 2.1), not at every server.
    let tokens = refresh_token.iter().map(|token| (token, "refresh_token"));
    let mut given_back = true;
    for (token, hint) in tokens.chain([(access_token, "access_token")]) {
        let fields = vec![("token", token.as_str()), ("token_type_hint", hint)];
        match client.send(proctor, &url, fields).await {
            Ok(answer) if answer.status.is_success() => {}
            // This kind of token is not taken back: it ends by itself.
            Ok(answer) if hint == "access_token" && answer.status == StatusCode::BAD_REQUEST => {}
            Ok(answer) => {
                tracing::warn!(connection = %name, status = answer.status.as_u16(), hint, "a token was not taken back");
                given_back = false;
            }
            Err(error) => {
                tracing::warn!(connection = %name, %error, hint, "failed to give a token back");
                given_back = false;
            }
        }
    }
    Some(given_back)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_basic_header_are_encoded_before_they_are_joined() {
        let value = basic("a:b", "p w+%").unwrap();
        let text = STANDARD.decode(value.to_str().unwrap().strip_prefix("Basic ").unwrap()).unwrap();
        assert_eq!(text, b"a%3Ab:p+w%2B%25");
        assert!(value.is_sensitive());
    }

    #[test]
    fn tokens_keep_their_refresh_token_when_no_new_one_comes() {
        let tokens = |refresh: Option<&str>| Tokens {
            access_token: "a".to_owned().into(),
            refresh_token: refresh.map(|token| token.to_owned().into()),
            expires_in: Some(60),
            scopes: None,
        };
        let kept = |tokens: Tokens| match tokens.into_credential(Some("old".to_owned().into())) {
            Credential::Oauth2 { refresh_token, .. } => refresh_token.unwrap().to_string(),
            _ => panic!("another kind"),
        };
        assert_eq!((kept(tokens(None)), kept(tokens(Some("new")))), ("old".to_owned(), "new".to_owned()));
        assert_eq!(tokens(None).expires_at(Micros(5)), Some(Micros(60_000_005)));
    }
}
