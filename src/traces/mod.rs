//! Tells a collector of traces (OpenTelemetry, OTLP over HTTP) how calls went.
//!
//! **Invariants.** A span holds names, identifiers, codes and times: no argument, result, user or secret.
//! Nobody waits for the collector, and what it does not take is lost. Without one there are no spans, and
//! what came of a trace goes on as it came.

mod collector;
mod context;

use std::cell::RefCell;
use std::time::Duration;

use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanKind, Status, TraceContextExt as _, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider,
};

use crate::config::TracesConfig;
use collector::Collector;
pub use context::TraceContext;

/// How many things are said of a request that goes well.
const SAID_USUALLY: usize = 8;
/// By which a span says that it failed.
const FAILED: &str = "error.type";
/// Spans that wait for the collector; more are lost.
const QUEUED_MAX: usize = 16_384;
/// Spans in one request.
const BATCH_MAX: usize = 2_048;
/// How long spans wait at most until they are sent.
const SEND_EVERY: Duration = Duration::from_secs(2);
/// How long the collector may take.
const SEND_WAIT: Duration = Duration::from_secs(5);
/// How long it may take when Proctor stops.
const STOP_WAIT: Duration = Duration::from_secs(2);

/// A collector that cannot be told.
#[derive(Debug, thiserror::Error)]
#[error("failed to set up traces for {endpoint}: {reason}")]
pub struct TracesError {
    endpoint: String,
    reason: String,
}

/// See the module.
#[derive(Default)]
pub struct Traces(Option<(SdkTracerProvider, SdkTracer)>);

impl Traces {
    /// Begins to tell the collector that is configured, if one is. Must be called within a runtime, which
    /// sends.
    ///
    /// # Errors
    /// When it cannot be told at all.
    pub fn open(config: Option<&TracesConfig>) -> Result<Self, TracesError> {
        let Some(config) = config else { return Ok(Self::default()) };
        let failed =
            |reason: String| TracesError { endpoint: config.endpoint.origin().ascii_serialization(), reason };
        let collector = Collector::new(config).map_err(|error| failed(error.to_string()))?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(collector)
            .with_endpoint(config.endpoint.as_str())
            .with_timeout(SEND_WAIT)
            .build()
            .map_err(|error| failed(error.to_string()))?;
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUED_MAX)
            .with_max_export_batch_size(BATCH_MAX)
            .with_scheduled_delay(SEND_EVERY)
            .build();
        let resource = Resource::builder()
            .with_service_name(config.service.clone())
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.ratio)));
        let provider = SdkTracerProvider::builder()
            .with_span_processor(BatchSpanProcessor::builder(exporter).with_batch_config(batches).build())
            .with_resource(resource)
            .with_sampler(sampler)
            .build();
        let tracer = provider.tracer("proctor");
        Ok(Self(Some((provider, tracer))))
    }

    /// Begins the span of a request, within the trace that its sender names.
    #[must_use]
    pub fn begin(&self, name: &'static str, sender: TraceContext<'_>) -> Span {
        let Some((_, tracer)) = &self.0 else { return Span(None) };
        let sender = sender.read();
        let span = SpanBuilder::from_name(name).with_kind(SpanKind::Server);
        let span = tracer.build_with_context(span, &sender);
        let said = span.is_recording().then(|| RefCell::new(Vec::with_capacity(SAID_USUALLY)));
        Span(Some(Recording { context: sender.with_span(span), tracer: tracer.clone(), said }))
    }

    /// Sends what is left.
    pub async fn stop(&self) {
        let Some((provider, _)) = &self.0 else { return };
        let provider = provider.clone();
        // It waits for this runtime, which sends.
        let stopped = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(STOP_WAIT)).await;
        match stopped {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "failed to send the last spans to the traces' collector")
            }
            Err(error) => tracing::error!(%error, "failed to stop telling the traces' collector"),
        }
    }
}

/// A request, from here until this is dropped. Nothing where there is no collector.
pub struct Span(Option<Recording>);

struct Recording {
    context: Context,
    tracer: SdkTracer,
    /// Said all at once in the end; nothing where nobody is told.
    said: Option<RefCell<Vec<KeyValue>>>,
}

impl Span {
    /// Begins a part of it that happens here.
    #[must_use]
    pub fn part(&self, name: &'static str) -> Part {
        self.child(name, SpanKind::Internal)
    }

    /// Begins a part of it that happens elsewhere.
    #[must_use]
    pub fn leaving(&self, name: &'static str) -> Part {
        self.child(name, SpanKind::Client)
    }

    fn child(&self, name: &'static str, kind: SpanKind) -> Part {
        let begin = |whole: &Recording| {
            let part = SpanBuilder::from_name(name).with_kind(kind);
            whole.tracer.build_with_context(part, &whole.context)
        };
        Part(self.0.as_ref().map(begin))
    }

    /// Says something of it, in the place of what was said before by that key. Nothing personal, and
    /// nothing that an agent or an upstream has made up.
    pub fn say(&self, key: &'static str, value: &str) {
        let Some(Recording { said: Some(said), .. }) = &self.0 else { return };
        let mut said = said.borrow_mut();
        said.retain(|before| before.key.as_str() != key);
        said.push(KeyValue::new(key, value.to_owned()));
    }

    /// Says that it failed, by a stable code; whoever says so first is nearest to why.
    pub fn fail(&self, code: &str) {
        let Some(Recording { said: Some(said), .. }) = &self.0 else { return };
        let mut said = said.borrow_mut();
        if !said.iter().any(|before| before.key.as_str() == FAILED) {
            said.push(KeyValue::new(FAILED, code.to_owned()));
        }
    }

    /// The trace that it is part of, in hexadecimal.
    #[must_use]
    pub fn trace_id(&self) -> Option<String> {
        self.0.as_ref().map(|recording| recording.context.span().span_context().trace_id().to_string())
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let Some(said) = self.said.take() else { return };
        let (span, said) = (self.context.span(), said.into_inner());
        if said.iter().any(|said| said.key.as_str() == FAILED) {
            span.set_status(Status::error(""));
        }
        span.set_attributes(said);
    }
}

/// A part of a request, until it is dropped.
pub struct Part(Option<opentelemetry_sdk::trace::Span>);

impl Part {
    /// What is told of it to whoever does it elsewhere: `traceparent` and `tracestate`.
    #[must_use]
    pub fn told(&self) -> Option<(String, String)> {
        self.0.as_ref().map(|span| context::written(span.span_context()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_collector_there_is_nothing_and_it_costs_nothing() {
        let span = Traces::default().begin("call", TraceContext::default());
        span.say("key", "value");
        span.fail("code");
        assert!(span.part("part").told().is_none());
        assert!(span.trace_id().is_none());
    }
}
