//! Upstreams that say by themselves that their tools have changed.
//!
//! **Invariants.** Nothing waits for whoever takes these hints, and no more than a few are kept: what is
//! not heard is found when the upstream is next looked at.

use serde_json::value::RawValue;
use tokio::sync::mpsc;

use super::envelope::{self, Incoming};

/// Hints that are kept.
pub(super) const KEPT_MAX: usize = 256;
/// What says that something that is pinned has changed.
const LIST_CHANGED: [&str; 2] = ["notifications/tools/list_changed", "notifications/prompts/list_changed"];

/// Who said so: the way to an upstream that one isolation key has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The connection.
    pub connection: String,
    /// The generation of its settings.
    pub generation: u64,
    pub(super) credential_generation: u64,
    /// Absent where all subjects share.
    pub(super) subject: Option<String>,
    pub(super) declares: Option<Box<str>>,
}

/// By which a way to an upstream says so.
#[derive(Clone)]
pub(super) struct Teller {
    pub told: Told,
    pub hints: mpsc::Sender<Told>,
}

impl Teller {
    pub fn tell(&self) {
        let _full_or_unheard = self.hints.try_send(self.told.clone());
    }
}

/// Whether a notification's method says that tools or prompts have changed.
pub(super) fn says_so(method: &str) -> bool {
    LIST_CHANGED.contains(&method)
}

/// Whether a whole message does.
pub(super) fn is_list_changed(message: &RawValue) -> bool {
    // Most messages are not even looked into.
    message.get().contains("/list_changed")
        && matches!(
            envelope::incoming(message.get().as_bytes()),
            Ok(Incoming::Notification { method, .. }) if says_so(&method)
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_notification_itself_is_one() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        assert!(is_list_changed(&raw(r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#)));
        for other in [
            r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"notifications/tools/list_changed"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"notifications/tools/list_changed"}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/progress"}"#,
        ] {
            assert!(!is_list_changed(&raw(other)), "{other}");
        }
    }
}
