//! Keys and sealed secrets.
//!
//! The master key seals the purpose keys, the subjects' keys and the connections' secrets; a
//! subject's key seals its sessions' keys; a session's key seals what its events say about a
//! person. Rows are handed in and out as plain values: where they are stored is not known here.
//!
//! **Invariants.** Nothing in this room prints, logs or returns a key in the open, and no sealed
//! value opens as another record than the one that it was sealed for.

mod data_keys;
mod key_source;
mod keyed_hash;
mod master_key;
mod master_keys;
mod purpose_keys;
mod sealed;
mod sealed_text;
mod tokens;

pub use data_keys::{SessionKey, SubjectKey};
pub use key_source::{InFile, InText, KeySource};
pub use keyed_hash::KEYED_HASH_BYTES;
pub use master_key::{MasterKey, MasterKeyError};
pub use master_keys::MasterKeys;
pub use purpose_keys::{Purpose, PurposeKeyRow, Use, uses};
pub use sealed::{Identity, KEY_BYTES, KeyId, OpenError, SEALED_OVERHEAD_BYTES, sealed_by};
pub use sealed_text::{McpSession, REQUEST_STATE_BYTES_MAX, SEALED_TEXT_BYTES_MAX, TooLong};
pub use tokens::{
    Claims, Lasting, SessionTokens, TOKEN_BYTES_MAX, TokenCache, TokenError, TokenHash, VerifiedToken,
};

use std::collections::BTreeSet;
use std::fmt;

use arc_swap::ArcSwap;
use zeroize::Zeroizing;

use keyed_hash::KeyedHash;
use purpose_keys::PurposeKey;
use sealed_text::Ring;

/// All that is needed to seal, open, sign and hash. One per process, shared.
pub struct Vault {
    master: MasterKeys,
    tokens: SessionTokens,
    keys: ArcSwap<Keys>,
}

/// The purpose keys that are known; of each purpose the one that signs and seals first.
struct Keys {
    kids: BTreeSet<String>,
    digests: KeyedHash,
    blind_indexes: Vec<KeyedHash>,
    cursors: Ring,
    mcp_sessions: Ring,
    connect: Ring,
    answers: Ring,
    verifiers: Vec<(String, KeyedHash)>,
    oldest_verifier: usize,
}

/// Why the vault did not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// The stored keys belong to another master key.
    #[error(
        "failed to open the stored keys: they are sealed under master key {sealed_by}, but \
         PROCTOR_MASTER_KEY is {tried}: start with the master key that they are sealed under, or name \
         it in PROCTOR_MASTER_KEY_SECOND (without it, what was sealed stays closed)"
    )]
    WrongMasterKey {
        /// The master key that sealed them.
        sealed_by: KeyId,
        /// The master key that seals.
        tried: KeyId,
    },
    /// A row was changed or moved, though the master key is the right one.
    #[error("failed to open a stored key: {source}: restore the key tables from a backup")]
    Damaged {
        /// What did not open, and why.
        #[source]
        source: OpenError,
    },
    /// A purpose has no key.
    #[error(
        "failed to open the vault: there is no key for {purpose}: it must be created under the \
         append lock before the vault is opened"
    )]
    Missing {
        /// The purpose without a key.
        purpose: Purpose,
    },
    /// A key opened, but cannot do what it is for.
    #[error(
        "failed to open the vault: the {purpose} key {kid} opened, but is not usable: restore the \
         key tables from a backup"
    )]
    UnusableKey {
        /// What it is for.
        purpose: Purpose,
        /// Which one.
        kid: String,
    },
    /// No random bytes.
    #[error(
        "failed to open the vault: the operating system gives no random bytes ({reason}): allow \
         the getrandom system call"
    )]
    Randomness {
        /// What the operating system said.
        reason: String,
    },
}

impl Vault {
    /// Opens the stored purpose keys, as they are in force at the time `now_us`.
    ///
    /// # Errors
    /// When the master key is not the one that sealed them, a row was changed, or a purpose has
    /// no key yet (see [`Vault::missing_rows`]).
    pub fn open(master: &MasterKeys, rows: &[PurposeKeyRow], now_us: i64) -> Result<Self, VaultError> {
        sealed::randomness_answers().map_err(|reason| VaultError::Randomness { reason })?;
        let keys = purpose_keys::open_rows(master, rows, now_us)?;
        Ok(Self {
            master: master.clone(),
            tokens: SessionTokens::new(all_of(&keys, Purpose::TokenSigning))?,
            keys: ArcSwap::from_pointee(Keys::of(&keys)?),
        })
    }

    /// Takes in the stored purpose keys anew, as they are in force at the time `now_us`.
    ///
    /// # Errors
    /// As [`Vault::open`]; then everything stays as it was.
    pub fn take_in(&self, rows: &[PurposeKeyRow], now_us: i64) -> Result<(), VaultError> {
        let opened = purpose_keys::open_rows(&self.master, rows, now_us)?;
        let keys = Keys::of(&opened)?;
        self.tokens.take_in(all_of(&opened, Purpose::TokenSigning))?;
        self.keys.store(keys.into());
        Ok(())
    }

    /// Makes a key for a purpose, which signs and seals from `active_at_us` on. The caller stores it.
    #[must_use]
    pub fn new_purpose_key(&self, purpose: Purpose, now_us: i64, active_at_us: i64) -> PurposeKeyRow {
        purpose_keys::new_row(&self.master, purpose, now_us, active_at_us)
    }

    /// Whether a purpose key was taken in.
    #[must_use]
    pub fn knows(&self, kid: &str) -> bool {
        self.keys.load().kids.contains(kid)
    }

    /// Makes keys for the purposes that have none among `rows`. The caller stores them, once,
    /// under the append lock, and opens the vault with all rows then stored.
    ///
    /// # Errors
    /// When the existing rows do not open: a second master key must not creep in beside the first.
    pub fn missing_rows(
        master: &MasterKeys,
        rows: &[PurposeKeyRow],
        now_us: i64,
    ) -> Result<Vec<PurposeKeyRow>, VaultError> {
        sealed::randomness_answers().map_err(|reason| VaultError::Randomness { reason })?;
        purpose_keys::open_rows(master, rows, now_us)?;
        Ok(purpose_keys::missing_rows(master, rows, now_us))
    }

    /// Signs and verifies session tokens.
    pub fn tokens(&self) -> &SessionTokens {
        &self.tokens
    }

    /// Makes a random key for a subject; the bytes are to be stored as its wrapped key.
    pub fn new_subject_key(&self, subject: &str) -> (SubjectKey, Vec<u8>) {
        SubjectKey::create(&self.master, subject)
    }

    /// Opens a subject's wrapped key.
    ///
    /// # Errors
    /// When it was wrapped by another master key, for another subject, or changed.
    pub fn unwrap_subject_key(&self, subject: &str, wrapped: &[u8]) -> Result<SubjectKey, OpenError> {
        SubjectKey::unwrap(&self.master, subject, wrapped)
    }

    /// Seals one generation of a connection's secret.
    pub fn seal_connection_secret(&self, connection: &str, generation: u64, secret: &str) -> Vec<u8> {
        let identity = Identity::ConnectionSecret { connection, generation };
        self.master.seal(identity, secret.as_bytes())
    }

    /// Opens what [`Vault::seal_connection_secret`] sealed. The text is wiped when dropped.
    ///
    /// # Errors
    /// When it belongs to another connection or generation, or was changed.
    pub fn open_connection_secret(
        &self,
        connection: &str,
        generation: u64,
        sealed: &[u8],
    ) -> Result<Zeroizing<String>, OpenError> {
        let identity = Identity::ConnectionSecret { connection, generation };
        String::from_utf8(self.master.open(identity, sealed)?)
            .map(Zeroizing::new)
            .map_err(|_| OpenError::content(identity))
    }

    /// Seals one generation of a webhook's signing secret.
    pub fn seal_webhook_secret(&self, webhook: &str, generation: u32, secret: &str) -> Vec<u8> {
        let identity = Identity::WebhookSecret { webhook, generation };
        self.master.seal(identity, secret.as_bytes())
    }

    /// Opens what [`Vault::seal_webhook_secret`] sealed. The text is wiped when dropped.
    ///
    /// # Errors
    /// When it belongs to another webhook or generation, or was changed.
    pub fn open_webhook_secret(
        &self,
        webhook: &str,
        generation: u32,
        sealed: &[u8],
    ) -> Result<Zeroizing<String>, OpenError> {
        let identity = Identity::WebhookSecret { webhook, generation };
        String::from_utf8(self.master.open(identity, sealed)?)
            .map(Zeroizing::new)
            .map_err(|_| OpenError::content(identity))
    }

    /// Seals where a listing goes on, as a text for the client to hand back.
    ///
    /// # Errors
    /// When it holds more than [`SEALED_TEXT_BYTES_MAX`].
    pub fn seal_cursor(&self, plain: &[u8]) -> Result<String, TooLong> {
        self.keys.load().cursors.seal(Identity::Cursor, plain)
    }

    /// Opens what [`Vault::seal_cursor`] sealed.
    ///
    /// # Errors
    /// When it is not a cursor of ours.
    pub fn open_cursor(&self, text: &str) -> Result<Vec<u8>, OpenError> {
        self.keys.load().cursors.open(Identity::Cursor, text)
    }

    /// Seals a request's state, which a client of this session hands back with the input that an upstream
    /// wanted.
    ///
    /// # Errors
    /// When it holds more than [`REQUEST_STATE_BYTES_MAX`].
    pub fn seal_request_state(&self, session: &str, plain: &[u8]) -> Result<String, TooLong> {
        self.keys.load().cursors.seal(Identity::RequestState { session }, plain)
    }

    /// Opens what [`Vault::seal_request_state`] sealed, for the session of the token at hand.
    ///
    /// # Errors
    /// When it is not ours, or was issued to another session.
    pub fn open_request_state(&self, session: &str, text: &str) -> Result<Vec<u8>, OpenError> {
        self.keys.load().cursors.open(Identity::RequestState { session }, text)
    }

    /// Seals what a legacy MCP session id says, bound to its token's session.
    ///
    /// # Errors
    /// When it holds more than [`SEALED_TEXT_BYTES_MAX`].
    pub fn seal_mcp_session(&self, said: &McpSession) -> Result<String, TooLong> {
        said.seal(&self.keys.load().mcp_sessions)
    }

    /// Opens what [`Vault::seal_mcp_session`] sealed, for the session of the token at hand.
    ///
    /// # Errors
    /// When it is not ours, or was issued to another session.
    pub fn open_mcp_session(&self, session: &str, text: &str) -> Result<McpSession, OpenError> {
        McpSession::open(&self.keys.load().mcp_sessions, session, text)
    }

    /// Seals what goes through the browser of a person who connects an account; `what` it is keeps
    /// one from being taken for another.
    ///
    /// # Errors
    /// When it holds more than [`SEALED_TEXT_BYTES_MAX`].
    pub fn seal_connect(&self, what: &str, plain: &[u8]) -> Result<String, TooLong> {
        self.keys.load().connect.seal(Identity::Connect { what }, plain)
    }

    /// Opens what [`Vault::seal_connect`] sealed.
    ///
    /// # Errors
    /// When it is not ours, or something else.
    pub fn open_connect(&self, what: &str, text: &str) -> Result<Vec<u8>, OpenError> {
        self.keys.load().connect.open(Identity::Connect { what }, text)
    }

    /// Seals what is kept of a request and its answer for whoever asks again.
    pub fn seal_answer(&self, request: &str, plain: &[u8]) -> Vec<u8> {
        self.keys.load().answers.seal_bytes(Identity::Answer { request }, plain)
    }

    /// Opens what [`Vault::seal_answer`] sealed.
    ///
    /// # Errors
    /// When it belongs to another request, or was changed.
    pub fn open_answer(&self, request: &str, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        self.keys.load().answers.open_bytes(Identity::Answer { request }, sealed)
    }

    /// The secret that proves to an authorization server that whoever brings a code is who asked for
    /// it (RFC 7636). It follows from a key, the link and the start, so that nobody has to keep it. None
    /// when there is no such key; an empty name is that of the first one, before there were others.
    pub fn pkce_verifier(&self, kid: &str, link: &str, attempt: u32) -> Option<[u8; KEYED_HASH_BYTES]> {
        let keys = self.keys.load();
        let named = |(other, _): &&(String, KeyedHash)| other == kid;
        let key = match kid {
            "" => keys.verifiers.get(keys.oldest_verifier),
            _ => keys.verifiers.iter().find(named),
        };
        key.map(|(_, key)| key.hash("pkce", &[link.as_bytes(), &attempt.to_be_bytes()]))
    }

    /// Names the key from which [`Vault::pkce_verifier`] follows for a new start.
    pub fn pkce_key(&self) -> String {
        self.keys.load().verifiers[0].0.clone()
    }

    /// By what the records of a user are found: a keyed hash of the caller's own identifier, with each
    /// key. New records get the first one.
    pub fn user_indexes(&self, user: &str) -> Vec<[u8; KEYED_HASH_BYTES]> {
        let keys = self.keys.load();
        keys.blind_indexes.iter().map(|key| key.hash("user", &[user.as_bytes()])).collect()
    }

    /// By what the records with a label are found: a keyed hash of its key and value, with each key. New
    /// records get the first one.
    pub fn label_indexes(&self, key: &str, value: &str) -> Vec<[u8; KEYED_HASH_BYTES]> {
        let fields = [key.as_bytes(), value.as_bytes()];
        self.keys.load().blind_indexes.iter().map(|by| by.hash("label", &fields)).collect()
    }

    /// What stands in the record for arguments and results that are not kept.
    pub fn digest(&self, bytes: &[u8]) -> [u8; KEYED_HASH_BYTES] {
        self.keys.load().digests.hash("capture", &[bytes])
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(…)")
    }
}

fn all_of(keys: &[PurposeKey], purpose: Purpose) -> impl Iterator<Item = &PurposeKey> {
    keys.iter().filter(move |key| key.purpose == purpose)
}

impl Keys {
    fn of(keys: &[PurposeKey]) -> Result<Self, VaultError> {
        for purpose in Purpose::ALL {
            newest(keys, purpose)?;
        }
        Ok(Self {
            kids: keys.iter().map(|key| key.kid.clone()).collect(),
            digests: KeyedHash::new(&newest(keys, Purpose::Digests)?.bytes),
            blind_indexes: all_of(keys, Purpose::BlindIndexes)
                .map(|key| KeyedHash::new(&key.bytes))
                .collect(),
            cursors: Ring::new(all_of(keys, Purpose::Cursors)),
            mcp_sessions: Ring::new(all_of(keys, Purpose::McpSessions)),
            connect: Ring::new(all_of(keys, Purpose::Connect)),
            answers: Ring::new(all_of(keys, Purpose::Answers)),
            verifiers: all_of(keys, Purpose::Connect)
                .map(|key| (key.kid.clone(), KeyedHash::new(&key.bytes)))
                .collect(),
            oldest_verifier: all_of(keys, Purpose::Connect)
                .enumerate()
                .filter_map(|(index, key)| (key.how != Use::Waits).then_some(index))
                .last()
                .unwrap_or_default(),
        })
    }
}

fn newest(keys: &[PurposeKey], purpose: Purpose) -> Result<&PurposeKey, VaultError> {
    all_of(keys, purpose).next().ok_or(VaultError::Missing { purpose })
}

#[cfg(test)]
mod tests;
