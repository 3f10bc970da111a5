//! The tools of an upstream, pinned by the hashes of their definitions.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The protocol era an upstream speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Era {
    /// Up to 2025-11-25, with `initialize`.
    Legacy,
    /// 2026-07-28.
    Modern,
}

impl Era {
    /// The era as it is stored and shown.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Modern => "modern",
        }
    }
}

/// One tool of a catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogTool {
    /// SHA-256 of the definition's bytes, in hexadecimal.
    pub digest: String,
    /// Whether the upstream says that it changes nothing. A hint: it may narrow, never widen.
    pub read_only: bool,
}

/// The tools that an upstream offers, as they are in force or as they were found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalog {
    /// The era it was found to speak.
    pub era: Era,
    /// The protocol revision that was agreed.
    pub protocol_version: String,
    /// Its tools by name.
    pub tools: BTreeMap<String, CatalogTool>,
    /// SHA-256 over names and digests, in hexadecimal; see [`Catalog::digest_of`].
    pub digest: String,
}

impl Catalog {
    /// A catalog of these tools.
    #[must_use]
    pub fn of(era: Era, protocol_version: String, tools: BTreeMap<String, CatalogTool>) -> Self {
        Self { era, protocol_version, digest: Self::digest_of(&tools), tools }
    }

    /// SHA-256 over names and digests in the names' order, each with its length in bytes in front
    /// (64 bits, big-endian), in hexadecimal.
    #[must_use]
    pub fn digest_of(tools: &BTreeMap<String, CatalogTool>) -> String {
        let mut hash = Sha256::new();
        for text in tools.iter().flat_map(|(name, tool)| [name, &tool.digest]) {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        }
        hash.finalize().iter().fold(String::with_capacity(64), |mut digits, byte| {
            let _infallible = write!(digits, "{byte:02x}");
            digits
        })
    }
}
