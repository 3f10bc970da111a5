//! How many calls were refused, and why.

use proctor_domain::session::Refusal;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Because {
    reason: &'static str,
}

/// See the module. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Refused(Family<Because, Counter>);

impl Refused {
    pub fn count(&self, reason: Refusal) {
        self.0.get_or_create(&Because { reason: reason.code() }).inc();
    }

    pub fn register(&self, registry: &mut Registry) {
        registry.register("calls_refused", "Tool calls refused, by reason", self.0.clone());
    }
}
