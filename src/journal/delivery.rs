//! How what was written reaches those who wait for it.

use std::ops::Deref;
use std::sync::Arc;

use proctor_domain::Recorded;

/// An event that is durable. Only the journal makes one, after the commit.
#[derive(Clone, Debug)]
pub struct Delivered(Arc<Recorded>);

impl Delivered {
    pub(super) fn new(recorded: Arc<Recorded>) -> Self {
        Self(recorded)
    }

    /// The event, to be shared.
    #[must_use]
    pub fn recorded(&self) -> &Arc<Recorded> {
        &self.0
    }
}

impl Deref for Delivered {
    type Target = Recorded;

    fn deref(&self) -> &Recorded {
        &self.0
    }
}

/// Somebody who takes in every event, own and foreign, in position order, on the appender's
/// thread: it must be quick and must not block.
pub trait Listener: Send + Sync {
    /// Takes in what was written since the last time; `foreign` when other processes wrote it.
    fn deliver(&self, events: &[Delivered], foreign: bool);
}
