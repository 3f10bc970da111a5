//! The one format in which secrets are stored: authenticated encryption bound to a record.
//!
//! Layout: format byte, id of the sealing key (8 bytes), nonce (12 bytes), ciphertext, tag
//! (16 bytes). AES-256-GCM (NIST SP 800-38D); the associated data is the format byte, the key id
//! and the [`Identity`] of the record.
//!
//! **Invariants.** A sealed value opens only as the record that it was sealed for: copied to
//! another row, it is refused. Nothing here is printed, and keys are wiped when dropped.

use std::fmt;

use aes_gcm::aead::consts::U12;
use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::aes::Aes256Enc;
use aes_gcm::{AesGcm, Nonce, Tag};
use rand::{Rng, TryRng};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Length of every symmetric key in this module.
pub const KEY_BYTES: usize = 32;

const FORMAT: u8 = 1;
const KEY_ID_BYTES: usize = 8;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
const HEADER_BYTES: usize = 1 + KEY_ID_BYTES + NONCE_BYTES;

/// By how much a sealed value is longer than what it holds.
pub const SEALED_OVERHEAD_BYTES: usize = HEADER_BYTES + TAG_BYTES;

const KEY_ID_DOMAIN: &[u8] = b"proctor.key-id.v1\0";

/// Key material that is wiped when dropped.
pub(super) type KeyBytes = Zeroizing<[u8; KEY_BYTES]>;

/// Names a key without saying anything about it: the first 8 bytes of a hash over it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; KEY_ID_BYTES]);

impl KeyId {
    pub(super) fn of(key: &[u8; KEY_BYTES]) -> Self {
        let hash = Sha256::new().chain_update(KEY_ID_DOMAIN).chain_update(key).finalize();
        let mut id = [0; KEY_ID_BYTES];
        id.copy_from_slice(&hash[..KEY_ID_BYTES]);
        Self(id)
    }

    fn of_sealed(sealed: &[u8]) -> Option<Self> {
        let id = sealed.get(1..1 + KEY_ID_BYTES)?;
        Some(Self(id.try_into().ok()?))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// The record that a sealed value belongs to. Part of what is authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity<'a> {
    /// A subject's key, sealed by the master key.
    SubjectKey {
        /// The subject's reference, `sub_…`.
        subject: &'a str,
    },
    /// A session's key, sealed by its subject's key.
    SessionKey {
        /// The session's id, `ses_…`.
        session: &'a str,
    },
    /// The caller's own identifier of a user, sealed by the subject's key.
    User {
        /// The subject's reference, `sub_…`.
        subject: &'a str,
    },
    /// What an event says about a person, sealed by the session's key.
    Payload {
        /// The event's id, `evt_…`.
        event: &'a str,
    },
    /// One generation of a user's credential for a connection, sealed by the subject's key.
    UserCredential {
        /// The subject's reference, `sub_…`.
        subject: &'a str,
        /// The connection's name.
        connection: &'a str,
        /// Which of the user's credentials for it.
        generation: u32,
    },
    /// What a person brought by a link, sealed by the subject's key.
    PendingCredential {
        /// The subject's reference, `sub_…`.
        subject: &'a str,
        /// The connection's name.
        connection: &'a str,
        /// The link's id, `lnk_…`.
        link: &'a str,
    },
    /// One generation of a connection's shared secret, sealed by the master key.
    ConnectionSecret {
        /// The connection's name.
        connection: &'a str,
        /// Which of its secrets, counted up with every change.
        generation: u64,
    },
    /// One generation of a webhook's signing secret, sealed by the master key.
    WebhookSecret {
        /// The webhook's id, `whk_…`.
        webhook: &'a str,
        /// Which of its secrets.
        generation: u32,
    },
    /// A key for one purpose, sealed by the master key.
    PurposeKey {
        /// The purpose's name as stored.
        purpose: &'a str,
        /// The key's id.
        kid: &'a str,
    },
    /// A page cursor that a client hands back.
    Cursor,
    /// What goes through the browser of a person who connects an account.
    Connect {
        /// What it is: a link, a state or a code.
        what: &'a str,
    },
    /// An answer that is kept for whoever asks again.
    Answer {
        /// The request, as it is found.
        request: &'a str,
    },
    /// What a client hands back with the input that an upstream wanted.
    RequestState {
        /// The session that it was issued to, `ses_…`.
        session: &'a str,
    },
    /// What a legacy MCP session id holds.
    McpSession {
        /// The session of the token that it was issued to, `ses_…`.
        session: &'a str,
    },
}

impl Identity<'_> {
    /// The associated data: each field with its length in front, so that no two records share it.
    fn associated_data(&self, key: KeyId) -> Vec<u8> {
        let mut data = Vec::with_capacity(96);
        data.push(FORMAT);
        data.extend_from_slice(&key.0);
        let mut put = |kind: u8, fields: &[&[u8]]| {
            data.push(kind);
            for field in fields {
                data.extend_from_slice(&(field.len() as u64).to_be_bytes());
                data.extend_from_slice(field);
            }
        };
        match *self {
            Self::SubjectKey { subject } => put(1, &[subject.as_bytes()]),
            Self::SessionKey { session } => put(2, &[session.as_bytes()]),
            Self::User { subject } => put(3, &[subject.as_bytes()]),
            Self::Payload { event } => put(4, &[event.as_bytes()]),
            Self::ConnectionSecret { connection, generation } => {
                put(5, &[connection.as_bytes(), &generation.to_be_bytes()])
            }
            Self::PurposeKey { purpose, kid } => put(6, &[purpose.as_bytes(), kid.as_bytes()]),
            Self::Cursor => put(7, &[]),
            Self::McpSession { session } => put(8, &[session.as_bytes()]),
            Self::UserCredential { subject, connection, generation } => {
                put(9, &[subject.as_bytes(), connection.as_bytes(), &generation.to_be_bytes()])
            }
            Self::Connect { what } => put(10, &[what.as_bytes()]),
            Self::PendingCredential { subject, connection, link } => {
                put(11, &[subject.as_bytes(), connection.as_bytes(), link.as_bytes()])
            }
            Self::Answer { request } => put(17, &[request.as_bytes()]),
            Self::RequestState { session } => put(18, &[session.as_bytes()]),
            Self::WebhookSecret { webhook, generation } => {
                put(16, &[webhook.as_bytes(), &generation.to_be_bytes()])
            }
        }
        data
    }
}

impl fmt::Display for Identity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SubjectKey { subject } => write!(f, "the key of {subject}"),
            Self::SessionKey { session } => write!(f, "the key of {session}"),
            Self::User { subject } => write!(f, "the user of {subject}"),
            Self::Payload { event } => write!(f, "the payload of {event}"),
            Self::UserCredential { subject, connection, generation } => {
                write!(f, "the credential of {subject} for {connection:?} (generation {generation})")
            }
            Self::ConnectionSecret { connection, generation } => {
                write!(f, "the secret of connection {connection:?} (generation {generation})")
            }
            Self::WebhookSecret { webhook, generation } => {
                write!(f, "the secret of webhook {webhook} (generation {generation})")
            }
            Self::PurposeKey { purpose, kid } => write!(f, "the {purpose} key {kid}"),
            Self::Cursor => f.write_str("the cursor"),
            Self::Answer { .. } => f.write_str("the kept answer"),
            Self::RequestState { session } => write!(f, "a request's state of {session}"),
            Self::Connect { what } => write!(f, "the {what}"),
            Self::PendingCredential { subject, connection, link } => {
                write!(f, "what {link} brought of {subject} for {connection:?}")
            }
            Self::McpSession { session } => write!(f, "the MCP session id of {session}"),
        }
    }
}

/// Why a sealed value did not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Too short or of an unknown format.
    #[error("failed to open {what}: it is not a sealed value of a format that this version reads")]
    Format {
        /// What was to be opened.
        what: String,
    },
    /// Sealed by another key than the one at hand.
    #[error("failed to open {what}: it was sealed by key {sealed_by}, the key at hand is {tried}")]
    OtherKey {
        /// What was to be opened.
        what: String,
        /// The key that sealed it.
        sealed_by: KeyId,
        /// The key that was tried.
        tried: KeyId,
    },
    /// Changed, or taken from another record.
    #[error("failed to open {what}: it was changed, or belongs to another record")]
    Altered {
        /// What was to be opened.
        what: String,
    },
    /// It opened, but holds something else than such a record holds.
    #[error("failed to read {what}: it opened, but its content has another form")]
    Content {
        /// What was to be opened.
        what: String,
    },
}

impl OpenError {
    pub(super) fn content(identity: Identity<'_>) -> Self {
        Self::Content { what: identity.to_string() }
    }

    pub(super) fn format(identity: Identity<'_>) -> Self {
        Self::Format { what: identity.to_string() }
    }
}

/// A symmetric key, expanded once, that seals and opens.
///
/// Nonces are random: one key must not seal more than 2^32 values (NIST SP 800-38D, 8.3). Data
/// keys are per session, which ends long before.
pub(super) struct Sealer {
    // Only the encrypting half of AES: GCM never decrypts a block.
    cipher: AesGcm<Aes256Enc, U12>,
    id: KeyId,
}

impl Sealer {
    pub(super) fn new(key: &[u8; KEY_BYTES]) -> Self {
        Self { cipher: AesGcm::new(key.into()), id: KeyId::of(key) }
    }

    pub(super) fn id(&self) -> KeyId {
        self.id
    }

    pub(super) fn seal(&self, identity: Identity<'_>, plain: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_BYTES];
        // The thread's generator is a ChaCha stream that the operating system seeds and reseeds:
        // a system call for each nonce would cost as much as the sealing.
        rand::rng().fill_bytes(&mut nonce);

        let mut sealed = Vec::with_capacity(SEALED_OVERHEAD_BYTES + plain.len());
        sealed.push(FORMAT);
        sealed.extend_from_slice(&self.id.0);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let tag = self
            .cipher
            .encrypt_inout_detached(
                &Nonce::from(nonce),
                &identity.associated_data(self.id),
                (&mut sealed[HEADER_BYTES..]).into(),
            )
            .expect("GCM refuses only inputs of 64 GiB and more, and all inputs are bounded");
        sealed.extend_from_slice(&tag);
        sealed
    }

    pub(super) fn open(&self, identity: Identity<'_>, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        let sealed_by = sealed_by(sealed).ok_or_else(|| OpenError::format(identity))?;
        if sealed_by != self.id {
            return Err(OpenError::OtherKey { what: identity.to_string(), sealed_by, tried: self.id });
        }
        let altered = || OpenError::Altered { what: identity.to_string() };
        let (header, rest) = sealed.split_at(HEADER_BYTES);
        let (body, tag) = rest.split_at(rest.len() - TAG_BYTES);
        let nonce = Nonce::try_from(&header[1 + KEY_ID_BYTES..]).map_err(|_| altered())?;
        let tag = Tag::try_from(tag).map_err(|_| altered())?;
        let mut plain = body.to_vec();
        self.cipher
            .decrypt_inout_detached(
                &nonce,
                &identity.associated_data(self.id),
                plain.as_mut_slice().into(),
                &tag,
            )
            .map_err(|_| altered())?;
        Ok(plain)
    }

    /// Opens a sealed key. The bytes are wiped when dropped, also when they have the wrong length.
    pub(super) fn open_key(&self, identity: Identity<'_>, sealed: &[u8]) -> Result<KeyBytes, OpenError> {
        let plain = Zeroizing::new(self.open(identity, sealed)?);
        let mut key = KeyBytes::default();
        if plain.len() != KEY_BYTES {
            return Err(OpenError::content(identity));
        }
        key.copy_from_slice(&plain);
        Ok(key)
    }
}

/// Which key sealed a value; `None` when it is not a sealed value of a known format.
pub fn sealed_by(sealed: &[u8]) -> Option<KeyId> {
    if sealed.len() < SEALED_OVERHEAD_BYTES || sealed[0] != FORMAT {
        return None;
    }
    KeyId::of_sealed(sealed)
}

/// A new random key, straight from the operating system.
pub(super) fn random_key() -> KeyBytes {
    let mut key = KeyBytes::default();
    rand::rngs::SysRng
        .try_fill_bytes(key.as_mut_slice())
        .expect("the operating system's generator answered when the vault was opened");
    key
}

/// Whether the operating system gives random bytes; asked once, before any key is made.
pub(super) fn randomness_answers() -> Result<(), String> {
    let mut probe = [0; KEY_BYTES];
    rand::rngs::SysRng.try_fill_bytes(&mut probe).map_err(|err| err.to_string())
}

#[cfg(test)]
mod tests;
