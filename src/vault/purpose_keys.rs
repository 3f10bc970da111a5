//! The keys that Proctor makes for itself, one or more for each purpose.
//!
//! They are random, sealed under the master key, and stored as [`PurposeKeyRow`]s outside the
//! journal. Of several keys for one purpose the newest whose time has come signs and seals; all verify
//! and open. Only one that signs tokens is forgotten, once no token that it has signed can be good.

use std::fmt;

use proctor_domain::session::TTL_SECONDS_MAX;

use super::VaultError;
use super::master_keys::MasterKeys;
use super::sealed::{Identity, KeyBytes, KeyId, OpenError, random_key};

/// For so long after it was followed by another one, what a key has signed may be good: as long as the
/// longest session, and an hour for clocks that differ.
const SIGNED_SECONDS_MAX: i64 = TTL_SECONDS_MAX as i64 + 3_600;
const MICROSECONDS_PER_SECOND: i64 = 1_000_000;

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
    /// Seals answers that are kept for whoever asks again.
    Answers,
}

impl Purpose {
    /// Every purpose: each needs at least one key.
    pub const ALL: [Self; 7] = [
        Self::TokenSigning,
        Self::Digests,
        Self::BlindIndexes,
        Self::Cursors,
        Self::McpSessions,
        Self::Connect,
        Self::Answers,
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
            Self::Answers => "answers",
        }
    }

    /// The purpose of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
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
    /// When it was made, microseconds UTC.
    pub created_at_us: i64,
    /// From when on it signs and seals, microseconds UTC; 0: from the first.
    pub active_at_us: i64,
}

/// How a key is used at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// It verifies and opens, and signs and seals from its time on.
    Waits,
    /// It signs and seals.
    Seals,
    /// It verifies and opens what it has signed and sealed.
    Opens,
    /// Nothing that it has signed can be good any more.
    Over,
}

impl Use {
    /// As it is shown.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Waits => "waiting",
            Self::Seals => "in_force",
            Self::Opens => "opens",
            Self::Over => "over",
        }
    }
}

/// How each of these rows is used at this time; the newest of a purpose first.
#[must_use]
pub fn uses(rows: &[PurposeKeyRow], now_us: i64) -> Vec<(&PurposeKeyRow, Use)> {
    let mut used = Vec::with_capacity(rows.len());
    for purpose in Purpose::ALL {
        let mut keys: Vec<_> = rows.iter().filter(|row| row.purpose == purpose.name()).collect();
        // The kid decides between keys of the same microsecond, so that every replica agrees.
        keys.sort_by_key(|row| std::cmp::Reverse((row.active_at_us, row.created_at_us, row.kid.as_str())));
        // Of keys that all wait, which no rotation leaves, the oldest does the work.
        let in_force =
            keys.iter().position(|row| row.active_at_us <= now_us).unwrap_or(keys.len().saturating_sub(1));
        for (index, row) in keys.iter().enumerate() {
            let followed = index.checked_sub(1).map(|newer| keys[newer].active_at_us);
            let over_at_us =
                followed.map(|at| at.saturating_add(SIGNED_SECONDS_MAX * MICROSECONDS_PER_SECOND));
            let is_over = purpose == Purpose::TokenSigning && over_at_us.is_some_and(|at| at <= now_us);
            let how = match index.cmp(&in_force) {
                std::cmp::Ordering::Less => Use::Waits,
                std::cmp::Ordering::Equal => Use::Seals,
                std::cmp::Ordering::Greater if is_over => Use::Over,
                std::cmp::Ordering::Greater => Use::Opens,
            };
            used.push((*row, how));
        }
    }
    used
}

/// An opened purpose key.
pub(super) struct PurposeKey {
    pub(super) purpose: Purpose,
    pub(super) kid: String,
    pub(super) bytes: KeyBytes,
    pub(super) how: Use,
}

/// Opens all rows; of each purpose the key that signs and seals first, then the others, newest first.
///
/// A purpose that this version does not know is left alone: a newer version may have made it.
pub(super) fn open_rows(
    master: &MasterKeys,
    rows: &[PurposeKeyRow],
    now_us: i64,
) -> Result<Vec<PurposeKey>, VaultError> {
    let mut used = uses(rows, now_us);
    used.sort_by_key(|(_, how)| *how != Use::Seals);
    let mut keys = Vec::with_capacity(used.len());
    for (row, how) in used {
        let Some(purpose) = Purpose::from_name(&row.purpose).filter(|_| how != Use::Over) else {
            continue;
        };
        let identity = Identity::PurposeKey { purpose: purpose.name(), kid: &row.kid };
        let bytes = master.open_key(identity, &row.sealed).map_err(|err| match err {
            OpenError::OtherKey { sealed_by, tried, .. } => VaultError::WrongMasterKey { sealed_by, tried },
            source @ (OpenError::Format { .. } | OpenError::Altered { .. } | OpenError::Content { .. }) => {
                VaultError::Damaged { source }
            }
        })?;
        keys.push(PurposeKey { purpose, kid: row.kid.clone(), bytes, how });
    }
    Ok(keys)
}

/// New rows for the purposes that have none.
pub(super) fn missing_rows(master: &MasterKeys, rows: &[PurposeKeyRow], now_us: i64) -> Vec<PurposeKeyRow> {
    Purpose::ALL
        .into_iter()
        .filter(|purpose| rows.iter().all(|row| row.purpose != purpose.name()))
        .map(|purpose| new_row(master, purpose, now_us, now_us))
        .collect()
}

/// A new key, sealed.
pub(super) fn new_row(
    master: &MasterKeys,
    purpose: Purpose,
    now_us: i64,
    active_at_us: i64,
) -> PurposeKeyRow {
    let key = random_key();
    let kid = KeyId::of(&key).to_string();
    let identity = Identity::PurposeKey { purpose: purpose.name(), kid: &kid };
    let sealed = master.seal(identity, key.as_slice());
    PurposeKeyRow { purpose: purpose.name().to_owned(), kid, sealed, created_at_us: now_us, active_at_us }
}
