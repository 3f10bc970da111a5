//! Why somebody ends something.

use proctor_domain::REASON_CHARS_MAX;
use serde::Deserialize;
use utoipa::ToSchema;

use super::problem::{Code, Problem};

/// A body that gives a reason.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Reason {
    /// Why, for whoever reads the audit trail.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// A body that may give a reason.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReasonIfAny {
    /// Why, for whoever reads the audit trail.
    #[schema(max_length = 500)]
    #[serde(default)]
    reason: String,
}

impl Reason {
    pub(super) fn checked(self) -> Result<String, Problem> {
        checked(self.reason)
    }
}

impl ReasonIfAny {
    pub(super) fn checked(self) -> Result<String, Problem> {
        if self.reason.is_empty() { Ok(self.reason) } else { checked(self.reason) }
    }
}

/// A reason that can stand in the journal.
pub(super) fn checked(reason: String) -> Result<String, Problem> {
    if reason.trim().is_empty() || reason.chars().count() > REASON_CHARS_MAX {
        let detail = format!("the reason must have 1 to {REASON_CHARS_MAX} characters: say why");
        return Err(Problem::new(Code::InvalidBody, detail));
    }
    Ok(reason)
}
