//! How many calls there were, how they ended, and how long their parts took.

use std::time::Duration;

use proctor_domain::Name;
use proctor_domain::session::{Outcome, Refusal};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// The first bucket of a part's time, in seconds; each is twice the one before.
const SECONDS_FIRST: f64 = 0.000_25;
/// How many buckets: the last ends at 65 s.
const SECONDS_BUCKETS: u16 = 19;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Because {
    reason: &'static str,
}

/// Names that administrators have given, and a code.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    virtual_server: String,
    connection: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Part {
    part: &'static str,
}

/// See the module. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Measures {
    refused: Family<Because, Counter>,
    calls: Family<Ended, Counter>,
    admission: Histogram,
    upstream: Histogram,
    outcome: Histogram,
    parts: Family<Part, Histogram>,
}

impl Default for Measures {
    fn default() -> Self {
        let seconds = || Histogram::new(exponential_buckets(SECONDS_FIRST, 2.0, SECONDS_BUCKETS));
        let parts = Family::new_with_constructor(seconds as fn() -> Histogram);
        let part = |part| parts.get_or_create(&Part { part }).clone();
        Self {
            refused: Family::default(),
            calls: Family::default(),
            admission: part("admission"),
            upstream: part("upstream"),
            outcome: part("outcome"),
            parts,
        }
    }
}

impl Measures {
    /// A call was not admitted.
    pub fn refused(&self, virtual_server: &Name, connection: Option<&Name>, reason: Refusal) {
        self.refused.get_or_create(&Because { reason: reason.code() }).inc();
        self.count(virtual_server, connection, "refused");
    }

    /// An admitted call is over, and on the record.
    pub fn ended(&self, virtual_server: &Name, connection: &Name, outcome: &Outcome) {
        self.count(virtual_server, Some(connection), code(outcome));
    }

    /// An admitted call is over, but nobody knows how: that could not be recorded.
    pub fn unknown(&self, virtual_server: &Name, connection: &Name) {
        self.count(virtual_server, Some(connection), "unknown");
    }

    fn count(&self, virtual_server: &Name, connection: Option<&Name>, outcome: &'static str) {
        let ended = Ended {
            virtual_server: virtual_server.as_str().to_owned(),
            connection: connection.map_or_else(String::new, |name| name.as_str().to_owned()),
            outcome,
        };
        self.calls.get_or_create(&ended).inc();
    }

    /// How long it took from the request until the call was admitted.
    pub fn admission_took(&self, took: Duration) {
        self.admission.observe(took.as_secs_f64());
    }

    /// How long the upstream took.
    pub fn upstream_took(&self, took: Duration) {
        self.upstream.observe(took.as_secs_f64());
    }

    /// How long it took to record what came back.
    pub fn outcome_took(&self, took: Duration) {
        self.outcome.observe(took.as_secs_f64());
    }

    /// Lists them under their names.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("calls_refused", "Tool calls refused, by reason", self.refused.clone());
        registry.register(
            "calls",
            "Tool calls, by virtual server, connection and how they ended; without a connection where the tool is of none",
            self.calls.clone(),
        );
        registry.register(
            "call_seconds",
            "How long the parts of a call took: until it was admitted, at the upstream, and recording what came back",
            self.parts.clone(),
        );
    }
}

/// The stable code of how a call ended.
pub(super) fn code(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded => "succeeded",
        Outcome::InputRequired => "input_required",
        Outcome::Failed(_) => "failed",
        Outcome::Cancelled(_) => "cancelled",
    }
}
