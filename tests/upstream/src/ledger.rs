//! The book of everything that reached the upstream.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long [`Ledger::wait_until`] waits before it gives up.
const WAIT_MS_MAX: u64 = 10_000;

/// One HTTP request that reached the upstream, whether or not it was then answered well.
#[derive(Debug, Clone)]
pub struct Received {
    /// When its last byte had arrived.
    pub at: Instant,
    /// HTTP method.
    pub http_method: String,
    /// All headers in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body as it came.
    pub body: String,
    /// JSON-RPC method, if the body had one.
    pub method: Option<String>,
    /// JSON-RPC id as it came, if the body had one.
    pub id: Option<String>,
    /// Name of the called tool, for `tools/call`.
    pub tool: Option<String>,
    /// Arguments of the call as they came, for `tools/call`.
    pub arguments: Option<String>,
    /// Whose token it carried, where the upstream demands tokens and took this one.
    pub subject: Option<String>,
    /// Why the upstream refused the request as one that a correct client does not send.
    pub refused: Option<String>,
}

impl Received {
    /// The only value of the header `name` (in lower case); none if absent or repeated.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(header, _)| header == name);
        let first = values.next().map(|(_, value)| value.as_str());
        if values.next().is_some() { None } else { first }
    }
}

/// A call that was cancelled while it ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancelled {
    /// Name of the tool.
    pub tool: String,
    /// JSON-RPC id of the call as it came.
    pub id: String,
    /// `disconnect`, or `notification` for `notifications/cancelled`.
    pub by: &'static str,
}

/// What is written in the book.
#[derive(Debug, Default, Clone)]
pub struct Record {
    /// Every request, in order of arrival.
    pub received: Vec<Received>,
    /// Every call that was cancelled while it ran, in order.
    pub cancelled: Vec<Cancelled>,
}

impl Record {
    /// The `tools/call` requests.
    pub fn calls(&self) -> impl Iterator<Item = &Received> {
        self.received.iter().filter(|received| received.tool.is_some())
    }

    /// The `tools/call` requests for one tool.
    pub fn calls_of(&self, tool: &str) -> impl Iterator<Item = &Received> {
        self.calls().filter(move |call| call.tool.as_deref() == Some(tool))
    }
}

/// A shared handle on the book.
#[derive(Debug, Default, Clone)]
pub struct Ledger(Arc<(Mutex<Record>, Condvar)>);

impl Ledger {
    /// A copy of everything so far.
    #[must_use]
    pub fn read(&self) -> Record {
        self.lock().clone()
    }

    /// The `tools/call` requests so far.
    #[must_use]
    pub fn calls(&self) -> Vec<Received> {
        self.lock().calls().cloned().collect()
    }

    /// How many `tools/call` requests for one tool have arrived.
    #[must_use]
    pub fn count(&self, tool: &str) -> usize {
        self.lock().calls_of(tool).count()
    }

    /// Waits until `condition` holds, and returns the book as it then is.
    ///
    /// # Panics
    /// When that takes more than ten seconds; `what` says what was waited for.
    pub fn wait_until(&self, what: &str, condition: impl Fn(&Record) -> bool) -> Record {
        let (_, changed) = &*self.0;
        let (record, waited) = changed
            .wait_timeout_while(self.lock(), Duration::from_millis(WAIT_MS_MAX), |record| !condition(record))
            .unwrap_or_else(PoisonError::into_inner);
        assert!(!waited.timed_out(), "the upstream waited in vain for {what}: {record:#?}");
        record.clone()
    }

    pub(crate) fn write(&self, entry: impl FnOnce(&mut Record)) {
        entry(&mut self.lock());
        self.0.1.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
