//! Counts what is not written down one by one: refusals like one that stands in the journal
//! already, and manifests that were served again within a minute.
//!
//! **Invariants.** What cannot be written is counted on. The counts are bounded: beyond the bound,
//! each repeat is written down at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use proctor_domain::session::{Client, List, Session, SessionCommand};
use proctor_domain::{CallId, Micros, SessionId};

use crate::actors::Directory;

/// Sessions and calls that are counted for at once.
const COUNTS_MAX: usize = 100_000;

/// A manifest that was served, as it stands in the journal.
#[derive(Clone, Debug)]
pub(super) struct Served {
    pub list: List,
    pub manifest: String,
    pub version: u32,
    pub tools: u32,
    pub client: Client,
}

impl Served {
    pub fn command(&self, at: Micros, times: u64) -> SessionCommand {
        SessionCommand::RecordManifest {
            at,
            list: self.list,
            manifest: self.manifest.clone(),
            version: self.version,
            tools: self.tools,
            client: self.client.clone(),
            times,
        }
    }
}

#[derive(Default)]
struct Counts {
    refusals: HashMap<(SessionId, CallId), u64>,
    manifests: HashMap<(SessionId, List, String), (Served, u64)>,
}

impl Counts {
    fn refused(&mut self, session: SessionId, call: CallId, times: u64) {
        *self.refusals.entry((session, call)).or_default() += times;
    }

    fn served(&mut self, session: SessionId, served: Served, times: u64) {
        self.manifests.entry((session, served.list, served.manifest.clone())).or_insert((served, 0)).1 +=
            times;
    }

    fn is_full(&self) -> bool {
        self.refusals.len() + self.manifests.len() >= COUNTS_MAX
    }
}

/// See the module.
#[derive(Default)]
pub(super) struct Repeats(Mutex<Counts>);

impl Repeats {
    /// The refused `call` stands for one more.
    pub async fn refused(&self, directory: &Arc<Directory>, session: SessionId, call: CallId) {
        let full = self.with(|counts| {
            counts.refused(session, call, 1);
            counts.is_full()
        });
        if full {
            self.flush(directory).await;
        }
    }

    /// The same manifest was served once more.
    pub async fn served(&self, directory: &Arc<Directory>, session: SessionId, served: Served) {
        let full = self.with(|counts| {
            counts.served(session, served, 1);
            counts.is_full()
        });
        if full {
            self.flush(directory).await;
        }
    }

    /// Writes down what was counted since the last time.
    pub async fn flush(&self, directory: &Arc<Directory>) {
        let Counts { refusals, manifests } = self.with(std::mem::take);
        for ((session, call), times) in refusals {
            let command = SessionCommand::RecordRefusedAgain { call: call.clone(), times };
            if let Err(error) = directory.tell::<Session>(session.as_str(), command).await {
                tracing::warn!(%session, %error, "failed to record repeated refusals; it is tried again");
                self.with(|counts| counts.refused(session, call, times));
            }
        }
        for ((session, ..), (served, times)) in manifests {
            // At no minute of ours: a single repeat must not coalesce with what it repeats.
            let command = served.command(Micros(0), times);
            match directory.tell::<Session>(session.as_str(), command).await {
                Ok(events) if !events.is_empty() => {}
                Ok(_) => self.with(|counts| counts.served(session, served, times)),
                Err(error) => {
                    tracing::warn!(%session, %error, "failed to record repeated manifests; it is tried again");
                    self.with(|counts| counts.served(session, served, times));
                }
            }
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Counts) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
