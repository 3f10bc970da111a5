//! Session tokens: JSON Web Tokens (RFC 7519) signed with Ed25519 (RFC 8037).
//!
//! A token says which session it opens and until when; whether that session still lives is
//! decided by the session itself, never here.
//!
//! **Invariants.** Only EdDSA is accepted, whatever a token's header says. Audience, expiry and
//! key id are checked on every verification, also of a token that was seen before. A token is
//! never printed or kept: what was seen before is known by its SHA-256.

mod cache;

use std::sync::Arc;

use arc_swap::ArcSwap;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use serde_json::json;
use zeroize::Zeroizing;

use super::VaultError;
use super::purpose_keys::PurposeKey;
use super::sealed::KEY_BYTES;
pub use cache::{Lasting, TokenCache, TokenHash};

/// No token of ours is longer; longer texts are refused unread.
pub const TOKEN_BYTES_MAX: usize = 4_096;

const MICROSECONDS_PER_SECOND: i64 = 1_000_000;

/// What stands before the 32 secret bytes of an Ed25519 key in PKCS #8 (RFC 8410, 10.3).
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// What a session token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who minted it: the public URL of this service.
    #[serde(rename = "iss")]
    pub issuer: String,
    /// Where it counts: the URL of the virtual server.
    #[serde(rename = "aud")]
    pub audience: String,
    /// Whose it is: the subject's reference, `sub_…`.
    #[serde(rename = "sub")]
    pub subject: String,
    /// Which session it opens, `ses_…`.
    #[serde(rename = "jti")]
    pub session: String,
    /// When it was minted, seconds since 1970 UTC.
    #[serde(rename = "iat")]
    pub issued_at_s: i64,
    /// From when it counts no more, seconds since 1970 UTC.
    #[serde(rename = "exp")]
    pub expires_at_s: i64,
}

/// A token whose signature, audience and expiry were found good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedToken {
    /// What it says.
    pub claims: Claims,
    /// The key that signed it.
    pub kid: String,
}

/// Why a token was refused. Says nothing of the token but its key id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a token of ours at all.
    #[error("the session token is malformed: pass the token exactly as it was minted")]
    Malformed,
    /// Signed in a way that is never accepted, such as `none`.
    #[error("the session token names the algorithm {algorithm:?}: only EdDSA is accepted")]
    WrongAlgorithm {
        /// What its header says.
        algorithm: String,
    },
    /// Signed by a key that is not, or no longer, known here.
    #[error("the session token was signed by an unknown key: mint a new session")]
    UnknownKey,
    /// Changed, or not signed by the key that it names.
    #[error("the session token's signature is wrong: pass the token exactly as it was minted")]
    BadSignature,
    /// For another virtual server.
    #[error("the session token is for another virtual server: use the URL that it was minted for")]
    WrongAudience,
    /// Too old.
    #[error("the session token has expired: mint a new session")]
    Expired,
}

/// Signs and verifies session tokens.
pub struct SessionTokens {
    /// The first one signs. Never empty.
    keys: ArcSwap<Vec<SigningKey>>,
    validation: Validation,
    seen: TokenCache<VerifiedToken>,
}

struct SigningKey {
    kid: String,
    encoding: EncodingKey,
    decoding: DecodingKey,
    public: String,
}

#[derive(Deserialize)]
struct UntrustedHeader {
    alg: String,
    kid: Option<String>,
}

impl SessionTokens {
    /// Takes the keys, the one that signs first.
    pub(super) fn new<'a>(keys: impl Iterator<Item = &'a PurposeKey>) -> Result<Self, VaultError> {
        let mut validation = Validation::new(Algorithm::EdDSA);
        // Time is handed in, so expiry and audience are judged here and not in the crate.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        Ok(Self {
            keys: ArcSwap::from_pointee(keys.map(SigningKey::new).collect::<Result<_, _>>()?),
            validation,
            seen: TokenCache::default(),
        })
    }

    /// Takes other keys in their place. What was seen of tokens is kept.
    pub(super) fn take_in<'a>(&self, keys: impl Iterator<Item = &'a PurposeKey>) -> Result<(), VaultError> {
        let keys = keys.map(SigningKey::new).collect::<Result<Vec<_>, _>>()?;
        self.keys.store(keys.into());
        Ok(())
    }

    /// Signs `claims` with the key in force.
    pub fn mint(&self, claims: &Claims) -> String {
        let keys = self.keys.load();
        let key = &keys[0];
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(key.kid.clone());
        jsonwebtoken::encode(&header, claims, &key.encoding)
            .expect("the key was read when the vault was opened, and claims are plain JSON")
    }

    /// Verifies a token presented at `audience` at the time `now_us` (microseconds since 1970
    /// UTC).
    ///
    /// # Errors
    /// One for each way in which a token can be bad; the signature is judged before the claims.
    pub fn verify(&self, token: &str, audience: &str, now_us: i64) -> Result<Arc<VerifiedToken>, TokenError> {
        let verified = self.signed(token, now_us)?;
        if verified.claims.audience != audience {
            return Err(TokenError::WrongAudience);
        }
        if verified.expired(now_us) {
            return Err(TokenError::Expired);
        }
        Ok(verified)
    }

    /// Verifies a token wherever it may be presented: for whoever asks what it says.
    ///
    /// # Errors
    /// As [`SessionTokens::verify`], but for the audience.
    pub fn inspect(&self, token: &str, now_us: i64) -> Result<Arc<VerifiedToken>, TokenError> {
        let verified = self.signed(token, now_us)?;
        if verified.expired(now_us) { Err(TokenError::Expired) } else { Ok(verified) }
    }

    /// The token, if its signature is good.
    fn signed(&self, token: &str, now_us: i64) -> Result<Arc<VerifiedToken>, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Malformed);
        }
        let hash = TokenHash::of(token);
        match self.seen.get(&hash) {
            // A key that was withdrawn takes its tokens with it, seen or not.
            Some(seen) if !self.knows(&seen.kid) => Err(TokenError::UnknownKey),
            Some(seen) => Ok(seen),
            None => {
                let verified = Arc::new(self.check_signature(token)?);
                self.seen.put(hash, &verified, now_us);
                Ok(verified)
            }
        }
    }

    /// The public keys, as a JSON Web Key Set (RFC 7517).
    pub fn jwks(&self) -> serde_json::Value {
        let keys: Vec<_> = self
            .keys
            .load()
            .iter()
            .map(|key| {
                json!({
                    "kty": "OKP",
                    "crv": "Ed25519",
                    "use": "sig",
                    "alg": "EdDSA",
                    "kid": key.kid,
                    "x": key.public,
                })
            })
            .collect();
        json!({ "keys": keys })
    }

    fn knows(&self, kid: &str) -> bool {
        self.keys.load().iter().any(|key| key.kid == kid)
    }

    fn check_signature(&self, token: &str) -> Result<VerifiedToken, TokenError> {
        let header = untrusted_header(token).ok_or(TokenError::Malformed)?;
        if header.alg != "EdDSA" {
            return Err(TokenError::WrongAlgorithm { algorithm: header.alg.chars().take(16).collect() });
        }
        let keys = self.keys.load();
        let named = |kid: String| keys.iter().find(|key| key.kid == kid);
        let key = header.kid.and_then(named).ok_or(TokenError::UnknownKey)?;
        let decoded = jsonwebtoken::decode::<Claims>(token, &key.decoding, &self.validation).map_err(
            |err| match err.kind() {
                ErrorKind::InvalidSignature => TokenError::BadSignature,
                // The header was judged above; the rest is text that is not a token of ours.
                _ => TokenError::Malformed,
            },
        )?;
        Ok(VerifiedToken { claims: decoded.claims, kid: key.kid.clone() })
    }
}

impl std::fmt::Debug for SessionTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionTokens(…)")
    }
}

impl Lasting for VerifiedToken {
    fn expired(&self, now_us: i64) -> bool {
        now_us >= self.claims.expires_at_s.saturating_mul(MICROSECONDS_PER_SECOND)
    }
}

impl SigningKey {
    fn new(key: &PurposeKey) -> Result<Self, VaultError> {
        let mut der = Zeroizing::new([0; PKCS8_PREFIX.len() + KEY_BYTES]);
        der[..PKCS8_PREFIX.len()].copy_from_slice(&PKCS8_PREFIX);
        der[PKCS8_PREFIX.len()..].copy_from_slice(key.bytes.as_slice());
        let encoding = EncodingKey::from_ed_der(der.as_slice());
        let unusable = || VaultError::UnusableKey { purpose: key.purpose, kid: key.kid.clone() };
        let jwk = Jwk::from_encoding_key(&encoding, Algorithm::EdDSA).map_err(|_| unusable())?;
        let AlgorithmParameters::OctetKeyPair(pair) = jwk.algorithm else {
            return Err(unusable());
        };
        Ok(Self {
            kid: key.kid.clone(),
            decoding: DecodingKey::from_ed_components(&pair.x).map_err(|_| unusable())?,
            encoding,
            public: pair.x,
        })
    }
}

fn untrusted_header(token: &str) -> Option<UntrustedHeader> {
    let mut parts = token.split('.');
    let header = parts.next()?;
    if parts.count() != 2 {
        return None;
    }
    let json = URL_SAFE_NO_PAD.decode(header).ok()?;
    serde_json::from_slice(&json).ok()
}

#[cfg(test)]
mod tests;
