//! One access token, as a resource server checks it (RFC 7519, RFC 8725, RFC 9068).
//!
//! **Invariants.** The algorithm is one of those that the administrator named, never what the token
//! says alone. Nothing that a token says of keys is used but the id of one. No error repeats anything
//! of a token but the name of its algorithm.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{DecodingKey, Validation};
use proctor_domain::Name;
use proctor_domain::identity_provider::{Algorithm, Settings};
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::keys::KID_BYTES_MAX;
use crate::opening::{USER_CHARS_MAX, user_fits};

/// Longer tokens are refused unread.
pub const TOKEN_BYTES_MAX: usize = 16_384;
/// How far a provider's clock may be ahead of this one's, in seconds.
pub const LEEWAY_SECONDS: i64 = 60;

/// Claims that only an ID token has (OpenID Connect Core, 2 and 3.3.2.11).
const CLAIMS_OF_ID_TOKENS: [&str; 4] = ["nonce", "at_hash", "c_hash", "s_hash"];
/// The claim that only security events have, such as logout tokens (RFC 8417).
const CLAIM_OF_EVENTS: &str = "events";

/// Why a token of somebody who brought a login was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// No token at all.
    #[error("the access token is malformed: pass it exactly as the identity provider issued it")]
    Malformed,
    /// Signed in a way that is not allowed.
    #[error("the access token names the algorithm {algorithm:?}, which is not allowed for \"{provider}\"")]
    WrongAlgorithm {
        /// What its header says.
        algorithm: String,
        /// The provider.
        provider: Name,
    },
    /// Something else than an access token.
    #[error("this is no access token (an ID token, perhaps): pass the access token")]
    NotAnAccessToken,
    /// Of another issuer.
    #[error("the access token is of another issuer: this virtual server takes tokens of {issuer}")]
    WrongIssuer {
        /// Whose are taken.
        issuer: String,
    },
    /// For something else.
    #[error("the access token is for something else: ask for one whose audience (resource) is {audience}")]
    WrongAudience {
        /// What it must be for.
        audience: String,
    },
    /// Too old.
    #[error("the access token has expired: get a new one")]
    Expired,
    /// Too young.
    #[error("the access token is not valid yet: check the clocks of both sides")]
    NotYetValid,
    /// Signed by a key that the provider does not publish.
    #[error("the access token was signed by a key that \"{0}\" does not publish: get a new one")]
    UnknownKey(Name),
    /// Signed by a key that is not for this.
    #[error("the access token names a key of \"{0}\" that is not for its algorithm")]
    UnfitKey(Name),
    /// Changed, or not signed by the key that it names.
    #[error("the access token's signature is wrong: pass it exactly as the identity provider issued it")]
    BadSignature,
    /// It does not say who the user is.
    #[error(
        "the access token has no usable claim \"{0}\" (a text of 1 to {USER_CHARS_MAX} characters), which names the user"
    )]
    NoUser(String),
    /// It was used for another user before.
    #[error("the access token opened a session for another user before: get a new one")]
    OtherUser,
    /// The provider is out of use.
    #[error("the identity provider \"{0}\" is not in use any more")]
    ProviderNotInUse(Name),
    /// Whether it is good cannot be found out.
    #[error(
        "the identity provider \"{provider}\" is needed to check the access token, and {reason}; try again soon"
    )]
    Unavailable {
        /// The provider.
        provider: Name,
        /// What was wrong.
        reason: String,
    },
}

impl LoginError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "login_malformed",
            Self::WrongAlgorithm { .. } => "login_wrong_algorithm",
            Self::NotAnAccessToken => "login_not_an_access_token",
            Self::WrongIssuer { .. } => "login_wrong_issuer",
            Self::WrongAudience { .. } => "login_wrong_audience",
            Self::Expired => "login_expired",
            Self::NotYetValid => "login_not_yet_valid",
            Self::UnknownKey(_) => "login_unknown_key",
            Self::UnfitKey(_) => "login_unfit_key",
            Self::BadSignature => "login_bad_signature",
            Self::NoUser(_) => "login_no_user",
            Self::OtherUser => "login_other_user",
            Self::ProviderNotInUse(_) => "login_provider_not_in_use",
            Self::Unavailable { .. } => "login_provider_unavailable",
        }
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<Value>,
    b64: Option<Value>,
}

/// A token whose claims are good, if only its signature is.
pub struct Unverified<'a> {
    token: &'a str,
    /// How it says that it is signed, which is one of the allowed ways.
    pub algorithm: Algorithm,
    /// Which key it names.
    pub kid: String,
    /// SHA-256 of what is signed. The signature itself is not in it: of some algorithms anybody can
    /// make another good one (ECDSA), and it would be another token's.
    pub signed: [u8; 32],
    /// What it is for.
    pub audiences: Vec<String>,
    /// Who the user is.
    pub user: Zeroizing<String>,
    /// From when it counts, seconds since 1970 UTC.
    pub not_before_s: i64,
    /// From when it counts no more, seconds since 1970 UTC.
    pub expires_at_s: i64,
}

impl<'a> Unverified<'a> {
    /// Takes a token apart and judges all that can be judged without a key. Time and audience are
    /// left to whoever asks.
    ///
    /// # Errors
    /// One for each way in which it can be bad.
    pub fn read(token: &'a str, provider: &Name, settings: &Settings) -> Result<Self, LoginError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(LoginError::Malformed);
        }
        let (signing_input, _) = token.rsplit_once('.').ok_or(LoginError::Malformed)?;
        let (header, payload) = signing_input.split_once('.').ok_or(LoginError::Malformed)?;
        let header: Header = part(header)?;
        let algorithm = allowed(&header.alg, provider, settings)?;
        if !is_access_token(header.typ.as_deref()) {
            return Err(LoginError::NotAnAccessToken);
        }
        // What must be understood is not: RFC 7515, 4.1.11.
        if header.crit.is_some() || header.b64.is_some() {
            return Err(LoginError::Malformed);
        }
        let kid = header.kid.filter(|kid| (1..=KID_BYTES_MAX).contains(&kid.len()));
        let kid = kid.ok_or_else(|| LoginError::UnknownKey(provider.clone()))?;
        let claims: Map<String, Value> = part(payload)?;
        if claims.get("iss").and_then(Value::as_str) != Some(&settings.issuer) {
            return Err(LoginError::WrongIssuer { issuer: settings.issuer.clone() });
        }
        let is_other = |claim: &&str| claims.contains_key(*claim);
        let says_other = |claim: &str, what: &str| {
            claims.get(claim).and_then(Value::as_str).is_some_and(|said| said.eq_ignore_ascii_case(what))
        };
        if CLAIMS_OF_ID_TOKENS.iter().chain([&CLAIM_OF_EVENTS]).any(is_other)
            || says_other("typ", "id")
            || says_other("token_use", "id")
        {
            return Err(LoginError::NotAnAccessToken);
        }
        let expires_at_s = seconds(&claims, "exp")?.ok_or(LoginError::Malformed)?;
        let not_before_s = seconds(&claims, "nbf")?.unwrap_or(i64::MIN);
        let issued_at_s = seconds(&claims, "iat")?.unwrap_or(i64::MIN);
        let user = claims.get(&settings.user_claim).and_then(Value::as_str).filter(|user| user_fits(user));
        let user = user.ok_or_else(|| LoginError::NoUser(settings.user_claim.clone()))?;
        Ok(Self {
            token,
            algorithm,
            kid,
            signed: Sha256::digest(signing_input.as_bytes()).into(),
            audiences: audiences(&claims)?,
            user: Zeroizing::new(user.to_owned()),
            not_before_s: not_before_s.max(issued_at_s),
            expires_at_s,
        })
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// When it is not one of this key.
    pub fn verify(&self, key: &DecodingKey) -> Result<(), LoginError> {
        let mut validation = Validation::new(in_the_crate(self.algorithm));
        // All of these are judged here, where time is handed in.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        match jsonwebtoken::decode::<Map<String, Value>>(self.token, key, &validation) {
            Ok(_) => Ok(()),
            Err(error) => Err(match error.kind() {
                ErrorKind::InvalidSignature | ErrorKind::InvalidRsaKey(_) => LoginError::BadSignature,
                _ => LoginError::Malformed,
            }),
        }
    }
}

fn part<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, LoginError> {
    let json = URL_SAFE_NO_PAD.decode(text).map_err(|_| LoginError::Malformed)?;
    serde_json::from_slice(&json).map_err(|_| LoginError::Malformed)
}

/// Whether something of this type can be an access token. Those of RFC 9068 say `at+jwt`, those
/// before it `JWT` or nothing.
fn is_access_token(typ: Option<&str>) -> bool {
    let known = ["at+jwt", "application/at+jwt", "JWT"];
    typ.is_none_or(|typ| known.iter().any(|known| known.eq_ignore_ascii_case(typ)))
}

fn allowed(named: &str, provider: &Name, settings: &Settings) -> Result<Algorithm, LoginError> {
    Algorithm::named(named).filter(|algorithm| settings.algorithms.contains(algorithm)).ok_or_else(|| {
        let algorithm = named.chars().take(16).collect();
        LoginError::WrongAlgorithm { algorithm, provider: provider.clone() }
    })
}

fn in_the_crate(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    use jsonwebtoken::Algorithm as Named;
    match algorithm {
        Algorithm::RS256 => Named::RS256,
        Algorithm::RS384 => Named::RS384,
        Algorithm::RS512 => Named::RS512,
        Algorithm::PS256 => Named::PS256,
        Algorithm::PS384 => Named::PS384,
        Algorithm::PS512 => Named::PS512,
        Algorithm::ES256 => Named::ES256,
        Algorithm::ES384 => Named::ES384,
        Algorithm::EdDSA => Named::EdDSA,
    }
}

/// A moment (RFC 7519, 2: NumericDate, which may have a fraction).
fn seconds(claims: &Map<String, Value>, claim: &str) -> Result<Option<i64>, LoginError> {
    let Some(value) = claims.get(claim) else { return Ok(None) };
    let whole = value.as_i64().or_else(|| {
        let seconds = value.as_f64().filter(|seconds| seconds.abs() < 1e15)?;
        #[expect(clippy::cast_possible_truncation, reason = "it is far within the range")]
        Some(seconds as i64)
    });
    whole.map(Some).ok_or(LoginError::Malformed)
}

fn audiences(claims: &Map<String, Value>) -> Result<Vec<String>, LoginError> {
    match claims.get("aud") {
        None => Ok(Vec::new()),
        Some(Value::String(one)) => Ok(vec![one.clone()]),
        Some(Value::Array(many)) => {
            let text = |value: &Value| value.as_str().map(str::to_owned).ok_or(LoginError::Malformed);
            many.iter().map(text).collect()
        }
        Some(_) => Err(LoginError::Malformed),
    }
}

#[cfg(test)]
mod tests;
