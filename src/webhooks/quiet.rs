//! For which webhooks the database need not be asked: nothing is due, and nothing has happened since it
//! said so.
//!
//! **Invariants.** Whatever makes a message due disturbs its webhook: it is enqueued or asked for again,
//! an attempt or a rest has ended, or its time has come.

use std::collections::BTreeMap;

use proctor_domain::Micros;

use crate::journal::Step;

/// Until when nothing has to be looked for, by webhook.
#[derive(Default)]
pub(super) struct Quiet(BTreeMap<String, Micros>);

impl Quiet {
    /// Whether nothing is due for the webhook at this time.
    pub(super) fn is_quiet(&self, webhook: &str, at: Micros) -> bool {
        self.0.get(webhook).is_some_and(|until| at < *until)
    }

    /// Nothing is due before this time.
    pub(super) fn settle(&mut self, webhook: &str, until: Micros) {
        self.0.insert(webhook.to_owned(), until);
    }

    /// Something may be due from here on.
    pub(super) fn disturb(&mut self, webhook: &str) {
        self.0.remove(webhook);
    }

    /// What follows from these steps may be due.
    pub(super) fn disturb_by(&mut self, steps: &[Step]) {
        for step in steps {
            match step {
                Step::Enqueue { webhook, .. } | Step::Again { webhook, .. } => self.disturb(webhook),
                Step::GiveUp { .. } | Step::Reach { .. } => {}
            }
        }
    }

    /// Something may be due for any of them.
    pub(super) fn disturb_all(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use proctor_domain::Position;

    use super::*;

    #[test]
    fn a_webhook_is_quiet_until_its_time_has_come_or_something_happens() {
        let mut quiet = Quiet::default();
        assert!(!quiet.is_quiet("whk_1", Micros(0)), "nobody knows yet");
        for webhook in ["whk_1", "whk_2", "whk_3"] {
            quiet.settle(webhook, Micros(10));
        }
        assert!(quiet.is_quiet("whk_1", Micros(9)));
        assert!(!quiet.is_quiet("whk_1", Micros(10)));
        let enqueue = Step::Enqueue {
            webhook: "whk_1".into(),
            position: Position(1),
            id: "msg_1".to_owned(),
            topic: "session.opened",
            failure: None,
        };
        let again = Step::Again { webhook: "whk_2".into(), id: "msg_2".to_owned() };
        let reach = Step::Reach { webhook: "whk_3".into(), position: Position(2) };
        quiet.disturb_by(&[enqueue, again, reach]);
        assert_eq!(["whk_1", "whk_2", "whk_3"].map(|id| quiet.is_quiet(id, Micros(9))), [false, false, true]);
        quiet.disturb_all();
        assert!(!quiet.is_quiet("whk_3", Micros(9)));
    }
}
