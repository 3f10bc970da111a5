//! A provider's public keys, as its JSON Web Key Set has them (RFC 7517).
//!
//! **Invariants.** A key verifies only what its type, its curve and its own `alg` are for. What is
//! no public key for signatures is passed over; a set that is too long is refused whole.

use std::sync::Arc;

use jsonwebtoken::DecodingKey;
use proctor_domain::identity_provider::Algorithm;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Most keys of one provider.
pub const KEYS_MAX: usize = 100;
/// Longest key id, in bytes.
pub const KID_BYTES_MAX: usize = 512;
/// Shorter RSA moduli are not safe (RFC 7518, 3.3), in bytes.
const MODULUS_BYTES_MIN: usize = 256;
/// Longer ones cost too much to verify with, in bytes.
const MODULUS_BYTES_MAX: usize = 512;

/// A text that is not a key set.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// Not of the form of a key set.
    #[error("its key set is not one of RFC 7517")]
    Malformed,
    /// Too many.
    #[error("its key set has {0} keys, and at most {KEYS_MAX} are read")]
    TooMany(usize),
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl Kind {
    fn fits(self, algorithm: Algorithm) -> bool {
        use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
        match algorithm {
            RS256 | RS384 | RS512 | PS256 | PS384 | PS512 => self == Self::Rsa,
            ES256 => self == Self::P256,
            ES384 => self == Self::P384,
            EdDSA => self == Self::Ed25519,
        }
    }
}

/// One public key.
pub struct Key {
    kid: String,
    kind: Kind,
    /// The only algorithm that it is for, where it says one.
    algorithm: Option<Algorithm>,
    /// What it verifies with.
    pub decoding: DecodingKey,
    /// SHA-256 of all that the set says of it.
    pub digest: [u8; 32],
}

impl Key {
    fn read(value: &Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value.clone()).ok()?;
        let kid = jwk.kid.filter(|kid| kid.len() <= KID_BYTES_MAX)?;
        let for_signatures = jwk.usage.is_none_or(|usage| usage == "sig")
            && jwk.key_ops.is_none_or(|operations| operations.iter().any(|operation| operation == "verify"));
        if !for_signatures {
            return None;
        }
        let algorithm = match jwk.alg {
            Some(alg) => Some(Algorithm::named(&alg)?),
            None => None,
        };
        let (kind, decoding) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", None) => {
                let modulus = jwk.n?;
                let bytes = modulus.trim_end_matches('=').len() * 3 / 4;
                if !(MODULUS_BYTES_MIN..=MODULUS_BYTES_MAX).contains(&bytes) {
                    return None;
                }
                (Kind::Rsa, DecodingKey::from_rsa_components(&modulus, &jwk.e?))
            }
            ("EC", Some("P-256")) => (Kind::P256, DecodingKey::from_ec_components(&jwk.x?, &jwk.y?)),
            ("EC", Some("P-384")) => (Kind::P384, DecodingKey::from_ec_components(&jwk.x?, &jwk.y?)),
            ("OKP", Some("Ed25519")) => (Kind::Ed25519, DecodingKey::from_ed_components(&jwk.x?)),
            _ => return None,
        };
        let digest = Sha256::digest(value.to_string().as_bytes()).into();
        Some(Self { kid, kind, algorithm, decoding: decoding.ok()?, digest })
    }

    fn fits(&self, algorithm: Algorithm) -> bool {
        self.kind.fits(algorithm) && self.algorithm.is_none_or(|own| own == algorithm)
    }
}

/// All keys of one provider.
pub struct Keys(Vec<Arc<Key>>);

/// What a set says of a key id.
pub enum Found<'a> {
    /// The key.
    Key(&'a Arc<Key>),
    /// A key of this id, for other algorithms.
    Unfit,
    /// Nothing.
    Nothing,
}

impl Keys {
    /// Reads a key set.
    ///
    /// # Errors
    /// When it is none, or too long.
    pub fn read(json: &[u8]) -> Result<Self, KeySetError> {
        let set: KeySet = serde_json::from_slice(json).map_err(|_| KeySetError::Malformed)?;
        if set.keys.len() > KEYS_MAX {
            return Err(KeySetError::TooMany(set.keys.len()));
        }
        Ok(Self(set.keys.iter().filter_map(Key::read).map(Arc::new).collect()))
    }

    /// The key of this id for this algorithm.
    pub fn find(&self, kid: &str, algorithm: Algorithm) -> Found<'_> {
        let mut named = self.0.iter().filter(|key| key.kid == kid).peekable();
        if named.peek().is_none() {
            return Found::Nothing;
        }
        named.find(|key| key.fits(algorithm)).map_or(Found::Unfit, Found::Key)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// RFC 7515, A.3: a key on P-256.
    fn p256() -> Value {
        json!({
            "kty": "EC", "crv": "P-256", "kid": "ec",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        })
    }

    fn with(mut key: Value, more: Value) -> Value {
        if let (Value::Object(key), Value::Object(more)) = (&mut key, more) {
            key.extend(more);
        }
        key
    }

    fn read(keys: &[Value]) -> Keys {
        Keys::read(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_key_is_for_the_algorithms_of_its_curve_and_its_own() {
        let keys = read(&[p256()]);
        assert!(matches!(keys.find("ec", Algorithm::ES256), Found::Key(_)));
        for other in Algorithm::ALL.into_iter().filter(|algorithm| *algorithm != Algorithm::ES256) {
            assert!(matches!(keys.find("ec", other), Found::Unfit), "{other:?}");
        }
        assert!(matches!(keys.find("other", Algorithm::ES256), Found::Nothing));
        let other = read(&[with(p256(), json!({ "alg": "ES384" }))]);
        assert!(matches!(other.find("ec", Algorithm::ES256), Found::Unfit));
    }

    #[test]
    fn what_is_no_public_key_for_signatures_is_passed_over() {
        let others = [
            with(p256(), json!({ "use": "enc" })),
            with(p256(), json!({ "key_ops": ["encrypt"] })),
            with(p256(), json!({ "alg": "HS256" })),
            with(p256(), json!({ "crv": "secp256k1" })),
            with(p256(), json!({ "kid": null })),
            json!({ "kty": "oct", "kid": "ec", "k": "c2VjcmV0", "alg": "HS256" }),
            json!({ "kty": "RSA", "kid": "ec", "n": "3q2-7w", "e": "AQAB" }),
            json!("nonsense"),
        ];
        assert!(matches!(read(&others).find("ec", Algorithm::ES256), Found::Nothing));
        let all: Vec<_> = others.into_iter().chain([p256()]).collect();
        assert!(matches!(read(&all).find("ec", Algorithm::ES256), Found::Key(_)));
    }

    #[test]
    fn a_set_that_is_too_long_or_none_is_refused_whole() {
        let many = json!({ "keys": vec![p256(); KEYS_MAX + 1] }).to_string();
        assert_eq!(Keys::read(many.as_bytes()).err(), Some(KeySetError::TooMany(KEYS_MAX + 1)));
        for text in ["", "[]", "{}", r#"{"keys":{}}"#] {
            assert_eq!(Keys::read(text.as_bytes()).err(), Some(KeySetError::Malformed), "{text}");
        }
    }
}
