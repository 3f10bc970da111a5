//! Wishes for input that calls of this process wait for, and how an agent's answer reaches them, whichever
//! process took it in.
//!
//! **Invariants.** Whoever waits is told only of an answer that is on the record.

use std::sync::Arc;

use dashmap::DashMap;
use proctor_domain::Position;
use serde_json::value::RawValue;
use tokio::sync::oneshot;

struct Waiting {
    tell: oneshot::Sender<Given>,
    /// What this process took in itself, until it is on the record.
    answer: Option<Box<RawValue>>,
}

/// An answer that is on the record.
#[derive(Debug)]
pub struct Given {
    /// Where it stands. What was answered is sealed beside it.
    pub position: Position,
    /// The same, where this process took it in.
    pub answer: Option<Box<RawValue>>,
}

/// See the module.
#[derive(Default)]
pub struct Inputs(DashMap<String, Waiting>);

/// Somebody who waits; gives up when dropped.
pub struct Wait {
    inputs: Arc<Inputs>,
    input: String,
    told: oneshot::Receiver<Given>,
}

impl Inputs {
    /// Begins to wait, before the wish is on the record, so that no answer can be missed.
    #[must_use]
    pub fn wait(self: &Arc<Self>, input: String) -> Wait {
        let (tell, told) = oneshot::channel();
        self.0.insert(input.clone(), Waiting { tell, answer: None });
        Wait { inputs: Arc::clone(self), input, told }
    }

    /// Keeps what was answered at hand for whoever waits in this process.
    pub fn keep(&self, input: &str, answer: &RawValue) {
        if let Some(mut waiting) = self.0.get_mut(input) {
            waiting.answer.get_or_insert_with(|| answer.to_owned());
        }
    }

    /// The answer is on the record.
    pub(super) fn given(&self, input: &str, position: Position) {
        if let Some((_, Waiting { tell, answer })) = self.0.remove(input) {
            // Whoever waited may have given up just now.
            let _ = tell.send(Given { position, answer });
        }
    }
}

impl Wait {
    /// Waits for the answer.
    pub async fn given(&mut self) -> Option<Given> {
        (&mut self.told).await.ok()
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.inputs.0.remove(&self.input);
    }
}
