//! The keys that Proctor makes for itself, one or more for each purpose.
//!
//! They are random, sealed under the master key, and stored as [`PurposeKeyRow`]s outside the
//! journal. Of several keys for one purpose the newest signs and seals; all verify and open.

use std::fmt;

use super::VaultError;
use super::master_keys::MasterKeys;
use super::sealed::{Identity, KeyBytes, KeyId, OpenError, random_key};

/// What a key is for. Its name is stored and never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Signs session tokens (Ed25519).
    TokenSigning,
    /// Digests of what a virtual server does not keep.
    Digests,
    /// Blind indexes of users and labels.
    BlindIndexes,
    /// Seals page cursors.
    Cursors,
    /// Seals legacy MCP session ids.
    McpSessions,
    /// Seals what goes through the browsers of people who connect accounts.
    Connect,
}

impl Purpose {
    /// Every purpose: each needs at least one key.
    pub const ALL: [Self; 6] = [
        Self::TokenSigning,
        Self::Digests,
        Self::BlindIndexes,
        Self::Cursors,
        Self::McpSessions,
        Self::Connect,
    ];

    /// The name as stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::TokenSigning => "token_signing",
            Self::Digests => "digests",
            Self::BlindIndexes => "blind_indexes",
            Self::Cursors => "cursors",
            Self::McpSessions => "mcp_sessions",
            Self::Connect => "connect",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| purpose.name() == name)
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A purpose key as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PurposeKeyRow {
    /// The purpose's name, [`Purpose::name`].
    pub purpose: String,
    /// Names the key, also in the tokens that it signs.
    pub kid: String,
    /// The key, sealed under the master key.
    pub sealed: Vec<u8>,
    /// When it was made, microseconds UTC. The newest one signs and seals.
    pub created_at_us: i64,
}

/// An opened purpose key.
pub(super) struct PurposeKey {
    pub(super) purpose: Purpose,
    pub(super) kid: String,
    pub(super) bytes: KeyBytes,
    created_at_us: i64,
}

/// Opens all rows, newest first within each purpose.
///
/// A purpose that this version does not know is left alone: a newer version may have made it.
pub(super) fn open_rows(master: &MasterKeys, rows: &[PurposeKeyRow]) -> Result<Vec<PurposeKey>, VaultError> {
    let mut keys = Vec::with_capacity(rows.len());
    for row in rows {
        let Some(purpose) = Purpose::from_name(&row.purpose) else {
            continue;
        };
        let identity = Identity::PurposeKey { purpose: purpose.name(), kid: &row.kid };
        let bytes = master.open_key(identity, &row.sealed).map_err(|err| match err {
            OpenError::OtherKey { sealed_by, tried, .. } => VaultError::WrongMasterKey { sealed_by, tried },
            source @ (OpenError::Format { .. } | OpenError::Altered { .. } | OpenError::Content { .. }) => {
                VaultError::Damaged { source }
            }
        })?;
        keys.push(PurposeKey { purpose, kid: row.kid.clone(), bytes, created_at_us: row.created_at_us });
    }
    // The kid decides between keys of the same microsecond, so that every replica agrees.
    keys.sort_by(|a, b| (b.created_at_us, &b.kid).cmp(&(a.created_at_us, &a.kid)));
    Ok(keys)
}

/// New rows for the purposes that have none.
pub(super) fn missing_rows(master: &MasterKeys, rows: &[PurposeKeyRow], now_us: i64) -> Vec<PurposeKeyRow> {
    Purpose::ALL
        .into_iter()
        .filter(|purpose| rows.iter().all(|row| row.purpose != purpose.name()))
        .map(|purpose| new_row(master, purpose, now_us))
        .collect()
}

fn new_row(master: &MasterKeys, purpose: Purpose, now_us: i64) -> PurposeKeyRow {
    let key = random_key();
    let kid = KeyId::of(&key).to_string();
    let identity = Identity::PurposeKey { purpose: purpose.name(), kid: &kid };
    let sealed = master.seal(identity, key.as_slice());
    PurposeKeyRow { purpose: purpose.name().to_owned(), kid, sealed, created_at_us: now_us }
}
