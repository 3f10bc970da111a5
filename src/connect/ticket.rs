//! What goes through a person's browser, sealed: which account a link, a state or a code is about.
//!
//! **Invariants.** None of them carries a secret or a name. What comes back is read only after it was
//! found to be ours and of its kind; whether it still counts, the user connection says.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proctor_domain::{Name, SubjectId};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::vault::Vault;

const LINK: &str = "link";
const STATE: &str = "state";
const CODE: &str = "code";
const RANDOM_BYTES: usize = 32;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ticket {
    /// The user.
    #[serde(rename = "s")]
    pub subject: SubjectId,
    /// The connection.
    #[serde(rename = "c")]
    pub connection: Name,
    /// The link's identifier.
    #[serde(rename = "l")]
    pub link: String,
    /// Where the browser goes at the end.
    #[serde(rename = "r")]
    pub return_url: String,
    /// In a state, which start it belongs to.
    #[serde(rename = "a", default)]
    pub attempt: u32,
    /// In a state, names the key that the start's verifier follows from. Empty where there was but one.
    #[serde(rename = "k", default, skip_serializing_if = "String::is_empty")]
    pub key: String,
}

/// A code that confirms what a link brought.
#[derive(Serialize, Deserialize)]
pub(super) struct Code {
    #[serde(rename = "s")]
    pub subject: SubjectId,
    #[serde(rename = "c")]
    pub connection: Name,
    #[serde(rename = "l")]
    pub link: String,
    #[serde(rename = "n")]
    nonce: String,
}

impl Ticket {
    /// As the last part of the link's address.
    pub fn to_link(&self, vault: &Vault) -> String {
        self.seal(vault, LINK)
    }

    pub fn of_link(vault: &Vault, text: &str) -> Option<Self> {
        Self::open(vault, LINK, text)
    }

    /// As the `state` of an authorization request.
    pub fn to_state(&self, vault: &Vault, attempt: u32, key: String) -> String {
        Self { attempt, key, ..self.clone() }.seal(vault, STATE)
    }

    pub fn of_state(vault: &Vault, text: &str) -> Option<Self> {
        Self::open(vault, STATE, text)
    }

    fn seal(&self, vault: &Vault, what: &str) -> String {
        let plain = serde_json::to_vec(self).expect("text and a number are always JSON");
        vault.seal_connect(what, &plain).expect("a return URL is shorter than what fits")
    }

    fn open(vault: &Vault, what: &str, text: &str) -> Option<Self> {
        serde_json::from_slice(&vault.open_connect(what, text).ok()?).ok()
    }
}

impl Code {
    /// A new code for what this ticket's link brought.
    pub fn new(ticket: &Ticket) -> Self {
        let Ticket { subject, connection, link, .. } = ticket.clone();
        Self { subject, connection, link, nonce: random() }
    }

    pub fn seal(&self, vault: &Vault) -> String {
        let plain = serde_json::to_vec(self).expect("text is always JSON");
        vault.seal_connect(CODE, &plain).expect("it is shorter than what fits")
    }

    pub fn open(vault: &Vault, text: &str) -> Option<Self> {
        serde_json::from_slice(&vault.open_connect(CODE, text).ok()?).ok()
    }

    /// As it stands in the journal.
    pub fn digest(&self) -> String {
        digest(&self.nonce)
    }
}

/// A random text that nobody guesses.
pub(super) fn random() -> String {
    use rand::Rng as _;
    let mut bytes = [0; RANDOM_BYTES];
    rand::rng().fill_bytes(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// SHA-256 in hexadecimal.
pub(super) fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

/// RFC 7636, section 4.2: what is shown first, and what proves it later.
pub(super) struct Pkce {
    pub verifier: String,
    pub challenge: String,
}

impl Pkce {
    /// None when there is no key of this name.
    pub fn of(vault: &Vault, key: &str, link: &str, attempt: u32) -> Option<Self> {
        let verifier = URL_SAFE_NO_PAD.encode(vault.pkce_verifier(key, link, attempt)?);
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
        Some(Self { verifier, challenge })
    }
}
