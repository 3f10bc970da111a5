//! What an upstream defines for agents, pinned by the hashes of the definitions.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Feature;

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

/// One definition of a catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pinned {
    /// SHA-256 of the definition's bytes, in hexadecimal.
    pub digest: String,
    /// Whether it changes nothing: what the upstream says of a tool, and true of all else. A hint: it
    /// may narrow, never widen.
    pub read_only: bool,
}

/// The definitions of all [`Feature`]s.
pub type Features = BTreeMap<Feature, Pinned>;

/// What an upstream can do beside its features. It narrows nothing and is what was last found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abilities {
    /// It has resources, listed and read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resources: bool,
    /// It tells of a resource that has changed to whoever wants to know.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub subscriptions: bool,
    /// It completes arguments.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub completions: bool,
    /// It sends log messages.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub logging: bool,
}

impl Abilities {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// What an upstream offers, as it is in force or as it was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalog {
    /// The era it was found to speak.
    pub era: Era,
    /// The protocol revision that was agreed.
    pub protocol_version: String,
    /// Its features. (The name in the journal is of the time when tools were all of them.)
    #[serde(rename = "tools")]
    pub features: Features,
    /// SHA-256 over keys and digests, in hexadecimal; see [`Catalog::digest_of`].
    pub digest: String,
    /// What else it can do.
    #[serde(default, skip_serializing_if = "Abilities::is_none")]
    pub abilities: Abilities,
}

impl Catalog {
    /// A catalog of these features.
    #[must_use]
    pub fn of(era: Era, protocol_version: String, features: Features) -> Self {
        let digest = Self::digest_of(&features);
        Self { era, protocol_version, features, digest, abilities: Abilities::default() }
    }

    /// The names of its tools.
    pub fn tools(&self) -> impl Iterator<Item = (&str, &Pinned)> {
        self.features.iter().filter_map(|(feature, pinned)| match feature {
            Feature::Tool(name) => Some((name.as_str(), pinned)),
            Feature::Prompt(_) | Feature::ResourceTemplate(_) => None,
        })
    }

    /// SHA-256 over keys and digests, tools first, then prompts, then resource templates, each kind in
    /// the order of its names, and each text with its length in bytes in front (64 bits, big-endian),
    /// in hexadecimal.
    #[must_use]
    pub fn digest_of(features: &Features) -> String {
        let mut hash = Sha256::new();
        for (feature, pinned) in features {
            for text in [&feature.to_string(), &pinned.digest] {
                hash.update((text.len() as u64).to_be_bytes());
                hash.update(text.as_bytes());
            }
        }
        hash.finalize().iter().fold(String::with_capacity(64), |mut digits, byte| {
            let _infallible = write!(digits, "{byte:02x}");
            digits
        })
    }
}
