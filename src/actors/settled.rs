//! What became of an entity's append, on its way back.
//!
//! **Invariants.** Whoever asked is answered exactly once and only after the entity has taken the
//! events in, also when the entity is not there any more. What was written is never asked again.

use actix::Message;

use super::ask::AskError;
use super::batch::Batch;
use super::kind::Kind;
use crate::journal::{AppendError, Delivered, Stale};

enum Became {
    Committed(Vec<Delivered>),
    Stale(Stale),
    Failed(AppendError),
}

/// See the module.
pub(super) struct Settled<A: Kind> {
    batch: Option<Box<Batch<A>>>,
    became: Became,
}

impl<A: Kind> Message for Settled<A> {
    type Result = ();
}

impl<A: Kind> Settled<A> {
    pub(super) fn committed(batch: Box<Batch<A>>, delivered: Vec<Delivered>) -> Self {
        Self { batch: Some(batch), became: Became::Committed(delivered) }
    }

    pub(super) fn stale(batch: Box<Batch<A>>, stale: Stale) -> Self {
        Self { batch: Some(batch), became: Became::Stale(stale) }
    }

    pub(super) fn failed(batch: Box<Batch<A>>, error: AppendError) -> Self {
        Self { batch: Some(batch), became: Became::Failed(error) }
    }

    /// An append of which nothing more will be heard.
    pub(super) fn forgotten() -> Self {
        Self { batch: None, became: Became::Committed(Vec::new()) }
    }

    /// What was written.
    pub(super) fn events(&self) -> &[Delivered] {
        match &self.became {
            Became::Committed(events) => events,
            Became::Stale(_) | Became::Failed(_) => &[],
        }
    }

    /// Answers everybody who asked.
    pub(super) fn answer(mut self) {
        self.answer_once();
    }

    fn answer_once(&mut self) {
        let Some(batch) = self.batch.take() else { return };
        match &mut self.became {
            Became::Committed(events) => batch.answer(std::mem::take(events)),
            Became::Stale(stale) => batch.answer_all(|| AskError::Stale(stale.clone())),
            Became::Failed(error) => batch.answer_all(|| AskError::Append(error.clone())),
        }
    }
}

impl<A: Kind> Drop for Settled<A> {
    fn drop(&mut self) {
        // The entity has ended with its thread, or was stopped. Another may have taken its place,
        // and would not hear of this otherwise.
        if let Some(batch) = &self.batch {
            batch.pass_on(self.events());
        }
        self.answer_once();
    }
}
