//! What the appender counts, for whoever watches a replica.
//!
//! **Invariants.** Nothing here names anybody or anything: numbers only.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// The first bucket of an append's time, in seconds; each is twice the one before.
const APPEND_SECONDS_FIRST: f64 = 0.000_25;
/// How many buckets: the last ends at 4 s, by when an append has failed.
const APPEND_SECONDS_BUCKETS: u16 = 15;
/// The same for how many appends share a transaction: 1, 2, 4 … 512.
const BATCH_BUCKETS: u16 = 10;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Conflict {
    what: &'static str,
}

/// See the module. Clones count together.
#[derive(Clone)]
pub struct Measures {
    pub(super) append_seconds: Histogram,
    pub(super) batch_appends: Histogram,
    pub(super) events: Counter,
    /// Appends and questions that wait while others are served.
    pub(super) waiting: Gauge,
    pub(super) store_errors: Counter,
    pub(super) decided_again: Counter,
    pub(super) stale: Counter,
    conflicts: Family<Conflict, Counter>,
}

impl Default for Measures {
    fn default() -> Self {
        let conflicts: Family<Conflict, Counter> = Family::default();
        let conflict = |what| conflicts.get_or_create(&Conflict { what }).clone();
        Self {
            append_seconds: Histogram::new(exponential_buckets(
                APPEND_SECONDS_FIRST,
                2.0,
                APPEND_SECONDS_BUCKETS,
            )),
            batch_appends: Histogram::new(exponential_buckets(1.0, 2.0, BATCH_BUCKETS)),
            events: Counter::default(),
            waiting: Gauge::default(),
            store_errors: Counter::default(),
            decided_again: conflict("decided_again"),
            stale: conflict("stale"),
            conflicts,
        }
    }
}

impl Measures {
    /// Lists them under their names.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "journal_append_seconds",
            "Time from an append's arrival at the journal to its answer",
            self.append_seconds.clone(),
        );
        registry.register(
            "journal_batch_appends",
            "Appends that shared a transaction",
            self.batch_appends.clone(),
        );
        registry.register("journal_events", "Events that this replica wrote", self.events.clone());
        registry.register(
            "journal_waiting",
            "Appends and questions that waited while the last group was taken",
            self.waiting.clone(),
        );
        registry.register("store_errors", "Times that the journal's store failed", self.store_errors.clone());
        registry.register(
            "journal_conflicts",
            "Decisions whose grounds had moved: made again under the lock, or handed back as stale",
            self.conflicts.clone(),
        );
    }
}
