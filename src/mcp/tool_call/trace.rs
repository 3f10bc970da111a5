//! What traces are told of a call, and what its upstream is told of the trace.

use std::borrow::Cow;

use proctor_domain::virtual_server::Method;

use crate::mcp::Knock;
use crate::mcp::envelope::Meta;
use crate::traces::{Part, Span, TraceContext};
use crate::upstream::Trace;

/// The trace that a request says it is part of: in `_meta`, or else in its headers.
pub(super) struct Came<'a> {
    pub parent: Option<&'a str>,
    state: Option<&'a str>,
}

impl<'a> Came<'a> {
    pub fn with(knock: &'a Knock, meta: &'a Meta<'_>) -> Self {
        if meta.traceparent.is_some() {
            return Self { parent: meta.traceparent.as_deref(), state: meta.tracestate.as_deref() };
        }
        let header = |name| knock.request.headers().get(name).and_then(|value| value.to_str().ok());
        Self { parent: header("traceparent"), state: header("tracestate") }
    }

    /// Begins the call's span within it.
    pub fn begin(&self, knock: &Knock, method: Method) -> Span {
        let within = TraceContext { parent: self.parent, state: self.state };
        let span = knock.proctor.traces.begin(method.name(), within);
        span.say("mcp.method.name", method.name());
        span.say("proctor.virtual_server", knock.caller.server().as_str());
        span.say("proctor.session.id", knock.caller.session_id.as_str());
        span
    }

    /// What goes on to the upstream: the span of its own part, or what came, where there are no spans.
    pub fn goes_on(&self, leaving: &Part) -> GoesOn<'a> {
        match leaving.told() {
            Some((parent, state)) => GoesOn {
                parent: Some(parent.into()),
                state: Some(state).filter(|state| !state.is_empty()).map(Cow::Owned),
            },
            None => GoesOn { parent: self.parent.map(Cow::Borrowed), state: self.state.map(Cow::Borrowed) },
        }
    }
}

/// See [`Came::goes_on`].
pub(super) struct GoesOn<'a> {
    parent: Option<Cow<'a, str>>,
    state: Option<Cow<'a, str>>,
}

impl GoesOn<'_> {
    pub fn with<'t>(&'t self, meta: &'t Meta<'_>) -> Trace<'t> {
        Trace {
            traceparent: self.parent.as_deref(),
            tracestate: self.state.as_deref(),
            baggage: meta.baggage.as_deref(),
        }
    }
}
