//! Whether an account can be used.

use serde::{Deserialize, Serialize};

/// Whether a user's account can be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The user never connected one.
    #[default]
    Missing,
    /// The user never connected one, and can do so by a link.
    Pending,
    /// A credential is in force.
    Active,
    /// It is not accepted any more.
    Expired,
    /// It was taken out of force.
    Disconnected,
}

impl Status {
    /// The status as it is stored and shown.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Disconnected => "disconnected",
        }
    }
}
