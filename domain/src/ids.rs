//! Identifiers and names.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The identifier as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// One agent run: `ses_` and a UUID: version 7 where it was minted, version 8 where it follows
    /// from the token of whoever brought a login.
    SessionId
);
id!(
    /// One tool call: `call_` and a UUIDv7.
    CallId
);
id!(
    /// A user, as far as the journal knows: `sub_` and a random UUID.
    SubjectId
);
id!(
    /// An API key: the SHA-256 of the key, in hexadecimal.
    KeyId
);
id!(
    /// One run of one server process: `rep_` and a UUIDv7.
    ReplicaId
);

/// The name of a connection, a virtual server or an identity provider: `^[a-z0-9][a-z0-9_-]{0,62}$`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Name(Arc<str>);

/// A text that cannot be a [`Name`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{}\" is not a valid name: use 1 to 63 characters out of a-z, 0-9, _ and -, beginning with a letter or digit",
    .0.escape_debug()
)]
pub struct InvalidName(String);

impl Name {
    /// Longest name, in bytes.
    pub const BYTES_MAX: usize = 63;

    /// Checks `text`.
    ///
    /// # Errors
    /// When it is not of the form of a name.
    pub fn new(text: &str) -> Result<Self, InvalidName> {
        let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let valid = text.len() <= Self::BYTES_MAX
            && text.bytes().next().is_some_and(word)
            && text.bytes().all(|b| word(b) || b == b'_' || b == b'-');
        if valid { Ok(Self(text.into())) } else { Err(InvalidName(text.chars().take(80).collect())) }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

/// Who did something.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// A holder of an API key.
    Key(KeyId),
    /// Proctor itself, in the process of this name.
    Replica(ReplicaId),
    /// Whoever showed an access token of the identity provider of this name.
    Login(Name),
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => write!(f, "key:{key}"),
            Self::Replica(replica) => write!(f, "replica:{replica}"),
            Self::Login(provider) => write!(f, "login:{provider}"),
        }
    }
}

/// Names one stream of the journal: the kind of aggregate and its identifier.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// The aggregate's `TYPE`.
    pub kind: &'static str,
    /// The aggregate's identifier.
    pub id: Arc<str>,
}

impl StreamId {
    /// The stream of the aggregate `A` with this identifier.
    #[must_use]
    pub fn of<A: crate::Decider>(id: &str) -> Self {
        Self { kind: A::TYPE, id: id.into() }
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.id)
    }
}
