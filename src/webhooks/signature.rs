//! The signature of a message, in the form of the Standard Webhooks specification (1.0.0).
//!
//! **Invariants.** A secret is part of no error, no log line and no debug output, and is wiped when
//! dropped.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

/// Bytes of a secret: as many as the hash has.
const SECRET_BYTES: usize = 32;
/// What a secret begins with.
const PREFIX: &str = "whsec_";

/// What signs messages.
pub struct Secret(Zeroizing<Vec<u8>>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// A random one, as receivers are given it.
    #[must_use]
    pub fn new_text() -> Zeroizing<String> {
        let bytes = Zeroizing::new(rand::random::<[u8; SECRET_BYTES]>());
        let mut text = Zeroizing::new(String::from(PREFIX));
        STANDARD.encode_string(bytes.as_slice(), &mut text);
        text
    }

    /// Reads what receivers were given. `None` when it is no secret.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text.strip_prefix(PREFIX)?).ok()?;
        Some(Self(Zeroizing::new(bytes)))
    }

    fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of every length");
        for part in [id.as_bytes(), b".", timestamp.to_string().as_bytes(), b".", body] {
            mac.update(part);
        }
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

/// The header `webhook-signature`: one signature for each secret, so that a receiver that knows one
/// of them can tell.
#[must_use]
pub fn header(secrets: &[Secret], id: &str, timestamp: i64, body: &[u8]) -> String {
    secrets.iter().map(|secret| secret.sign(id, timestamp, body)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_one_that_the_specification_publishes() {
        let secret = Secret::read("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed =
            header(&[secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn every_secret_in_force_signs() {
        let texts = [Secret::new_text(), Secret::new_text()];
        let secrets: Vec<_> = texts.iter().map(|text| Secret::read(text).unwrap()).collect();
        let each: Vec<_> = secrets.iter().map(|secret| secret.sign("dlv_1", 1, b"{}")).collect();
        assert_ne!(each[0], each[1]);
        assert_eq!(header(&secrets, "dlv_1", 1, b"{}"), each.join(" "));
    }

    #[test]
    fn another_message_identifier_time_or_body_has_another_signature() {
        let secret = Secret::read(&Secret::new_text()).unwrap();
        let signed = secret.sign("dlv_1", 1, b"{}");
        for other in
            [secret.sign("dlv_2", 1, b"{}"), secret.sign("dlv_1", 2, b"{}"), secret.sign("dlv_1", 1, b"[]")]
        {
            assert_ne!(other, signed);
        }
    }

    #[test]
    fn a_new_secret_has_32_random_bytes_and_is_not_shown_by_accident() {
        let text = Secret::new_text();
        let secret = Secret::read(&text).unwrap();
        assert_eq!(secret.0.len(), SECRET_BYTES);
        assert_ne!(text, Secret::new_text());
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        assert!(Secret::read("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").is_none());
    }
}
