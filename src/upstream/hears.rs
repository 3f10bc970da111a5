//! Whoever made a call hears what its upstream says before it answers.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use serde_json::value::RawValue;

/// See the module.
pub trait Hears {
    /// A notification that belongs to the call.
    fn notification(&mut self, notification: &RawValue);

    /// A request of a legacy upstream that belongs to the call. The answer is a member of a JSON-RPC
    /// message, `"result":…` or `"error":…`; none refuses the request.
    fn request(&mut self, method: &str, params: Option<&RawValue>) -> impl Future<Output = Option<String>>;
}

/// Whoever hears notifications alone.
impl<F: FnMut(&RawValue)> Hears for F {
    fn notification(&mut self, notification: &RawValue) {
        self(notification);
    }

    async fn request(&mut self, _: &str, _: Option<&RawValue>) -> Option<String> {
        None
    }
}

/// Time that does not count against a call's deadline, because its upstream waits for the agent.
#[derive(Debug)]
pub struct Pause(Mutex<(Duration, Option<Instant>)>);

impl Pause {
    /// None so far.
    #[must_use]
    pub const fn none() -> Self {
        Self(Mutex::new((Duration::ZERO, None)))
    }

    /// The upstream waits from here on, until what is given back is dropped.
    pub fn begin(&self) -> Paused<'_> {
        self.with(|(_, since)| *since = Some(Instant::now()));
        Paused(self)
    }

    /// How long it was altogether; `None` while it goes on.
    pub(super) fn over(&self) -> Option<Duration> {
        self.with(|(total, since)| since.is_none().then_some(*total))
    }

    fn with<T>(&self, work: impl FnOnce(&mut (Duration, Option<Instant>)) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A pause that goes on.
pub struct Paused<'p>(&'p Pause);

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        self.0.with(|(total, since)| *total += since.take().map(|since| since.elapsed()).unwrap_or_default());
    }
}
