//! State that travels through the client and comes back unchanged or not at all.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::Rng as _;
use serde_json::{Value, json};
use sha2::Sha256;

/// A key of this process.
#[derive(Debug)]
pub struct Seal([u8; 32]);

impl Default for Seal {
    fn default() -> Self {
        let mut key = [0; 32];
        rand::rng().fill_bytes(&mut key);
        Self(key)
    }
}

impl Seal {
    /// State of a call of `name`, as `requestState`.
    pub fn close(&self, name: &str, state: &Value) -> String {
        let sealed = URL_SAFE_NO_PAD.encode(json!({ "of": name, "state": state }).to_string());
        let mac = URL_SAFE_NO_PAD.encode(self.mac(&sealed).finalize().into_bytes());
        format!("{sealed}.{mac}")
    }

    /// What [`Seal::close`] took, if it was for this name and nobody has touched it since.
    pub fn open(&self, name: &str, text: &str) -> Option<Value> {
        let (sealed, mac) = text.split_once('.')?;
        self.mac(sealed).verify_slice(&URL_SAFE_NO_PAD.decode(mac).ok()?).ok()?;
        let mut state: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(sealed).ok()?).ok()?;
        (state["of"] == name).then(|| state["state"].take())
    }

    fn mac(&self, sealed: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of every length");
        mac.update(sealed.as_bytes());
        mac
    }
}

/// An identifier that nobody can guess.
pub fn unguessable() -> String {
    let mut random = [0; 16];
    rand::rng().fill_bytes(&mut random);
    hex::encode(random)
}
