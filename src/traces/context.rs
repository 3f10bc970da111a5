//! W3C trace context, as requests carry it: read and written.

use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::{SpanContext, TraceFlags};
use opentelemetry_sdk::propagation::TraceContextPropagator;

const PARENT: &str = "traceparent";
const STATE: &str = "tracestate";

/// What a request says of the trace that it is part of. What is not well-formed counts as nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct TraceContext<'a> {
    /// `traceparent`.
    pub parent: Option<&'a str>,
    /// `tracestate`.
    pub state: Option<&'a str>,
}

impl TraceContext<'_> {
    pub(super) fn read(&self) -> Context {
        TraceContextPropagator::new().extract_with_context(&Context::new(), self)
    }
}

impl Extractor for TraceContext<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            PARENT => self.parent,
            STATE => self.state,
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec![PARENT, STATE]
    }
}

/// What a part of a trace is called for whoever goes on with it (W3C Trace Context, 3.2 and 3.3).
pub(super) fn written(span: &SpanContext) -> (String, String) {
    let flags = span.trace_flags() & TraceFlags::SAMPLED;
    let parent = format!("00-{}-{}-{:02x}", span.trace_id(), span.span_id(), flags);
    (parent, span.trace_state().header())
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TraceContextExt as _;

    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn what_was_read_is_written_again() {
        let context = TraceContext { parent: Some(PARENT), state: Some("vendor=1") }.read();
        assert!(context.span().span_context().is_remote());
        assert_eq!(written(context.span().span_context()), (PARENT.to_owned(), "vendor=1".to_owned()));
    }

    #[test]
    fn what_is_not_well_formed_is_nothing() {
        for parent in ["", "00", "00-0-0-01", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "é"]
        {
            let context = TraceContext { parent: Some(parent), state: None }.read();
            assert!(!context.span().span_context().is_valid(), "{parent}");
        }
    }
}
