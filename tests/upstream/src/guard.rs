//! The upstream as a protected resource: it says where tokens come from, and lets nobody in without
//! one of those (RFC 6750, RFC 9728, and the access tokens of RFC 9068).

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use http::HeaderMap;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::check::header;
use crate::server::lock;

/// The path of the metadata of the resource `/mcp`.
pub const METADATA_PATH: &str = "/.well-known/oauth-protected-resource/mcp";

/// Whose tokens the upstream takes, and where it says that they come from.
#[derive(Debug, Clone)]
pub struct Protection {
    /// The issuer that stands in the tokens.
    pub issuer: String,
    /// The issuer's public keys, as its JWK set.
    pub jwks: Value,
    /// Scopes that the metadata offers.
    pub scopes: Vec<String>,
    /// Members that the metadata has besides, or instead of the usual ones.
    pub metadata: Value,
    /// What a refusal names as `resource_metadata`; the right place when absent, nothing when empty.
    pub challenge: Option<String>,
}

impl Protection {
    /// As it should be.
    #[must_use]
    pub fn of(issuer: &str, jwks: Value) -> Self {
        let scopes = vec!["notes.read".to_owned(), "notes.write".to_owned()];
        Self { issuer: issuer.to_owned(), jwks, scopes, metadata: json!({}), challenge: None }
    }
}

/// The protection that is in force, if any.
#[derive(Debug, Default)]
pub struct Guard {
    protection: Mutex<Option<Protection>>,
    /// Subjects whose tokens are refused, however good they are.
    banned: Mutex<HashSet<String>>,
    /// Tokens issued up to this time (Unix, seconds) are refused.
    stale_until: AtomicU64,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    iat: u64,
}

impl Guard {
    pub fn protect(&self, protection: Protection) {
        *lock(&self.protection) = Some(protection);
    }

    pub fn ban(&self, subject: &str, banned: bool) {
        if banned {
            lock(&self.banned).insert(subject.to_owned());
        } else {
            lock(&self.banned).remove(subject);
        }
    }

    pub fn refuse_issued_before_now(&self) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.stale_until.store(now.as_secs(), Ordering::Relaxed);
    }

    /// The metadata document (RFC 9728) of the resource.
    pub fn metadata(&self, resource: &str) -> Option<String> {
        let protection = lock(&self.protection).clone()?;
        let mut metadata = json!({
            "resource": resource, "authorization_servers": [protection.issuer],
            "scopes_supported": protection.scopes, "bearer_methods_supported": ["header"],
        });
        for (name, value) in protection.metadata.as_object().into_iter().flatten() {
            metadata[name] = value.clone();
        }
        Some(metadata.to_string())
    }

    /// The value of `WWW-Authenticate` for whoever is not let in; `origin` is the upstream's own.
    pub fn challenge(&self, origin: &str) -> Option<String> {
        let challenge = lock(&self.protection).as_ref()?.challenge.clone();
        Some(match challenge.unwrap_or_else(|| format!("{origin}{METADATA_PATH}")) {
            nowhere if nowhere.is_empty() => "Bearer".to_owned(),
            place => format!(r#"Bearer resource_metadata="{place}""#),
        })
    }

    /// Whose token the request carries (none where nothing is demanded), or why it is refused.
    pub fn admit(&self, headers: &HeaderMap, resource: &str) -> Result<Option<String>, String> {
        let Some(protection) = lock(&self.protection).clone() else { return Ok(None) };
        let token = header(headers, "authorization").and_then(|value| value.strip_prefix("Bearer "));
        let token = token.ok_or("no bearer token")?;
        let claims = claims(&protection, token, resource).map_err(|err| format!("bad token: {err}"))?;
        if claims.iat <= self.stale_until.load(Ordering::Relaxed) {
            return Err("the token is older than what is taken now".to_owned());
        }
        let subject = claims.sub;
        if lock(&self.banned).contains(&subject) {
            return Err(format!("{subject} is not let in any more"));
        }
        Ok(Some(subject))
    }
}

fn claims(protection: &Protection, token: &str, resource: &str) -> Result<Claims, String> {
    let header = jsonwebtoken::decode_header(token).map_err(|err| err.to_string())?;
    let keys: JwkSet = serde_json::from_value(protection.jwks.clone()).map_err(|err| err.to_string())?;
    let key = header.kid.as_deref().and_then(|kid| keys.find(kid)).ok_or("an unknown key")?;
    let key = DecodingKey::from_jwk(key).map_err(|err| err.to_string())?;
    let mut wanted = Validation::new(header.alg);
    wanted.leeway = 0;
    wanted.set_audience(&[resource]);
    wanted.set_issuer(&[&protection.issuer]);
    wanted.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
    let token = jsonwebtoken::decode::<Claims>(token, &key, &wanted).map_err(|err| err.to_string())?;
    Ok(token.claims)
}
