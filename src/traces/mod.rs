//! Tells a collector of traces (OpenTelemetry, OTLP over HTTP) how calls went.
//!
//! **Invariants.** A span holds names, identifiers, codes and times: no argument, result, user or secret.
//! Nobody waits for the collector, and what it does not take is lost. Without one there are no spans, and
//! what came of a trace goes on as it came.

mod collector;
mod context;

use std::time::Duration;

use opentelemetry::trace::{
    SpanBuilder, SpanKind, Status, TraceContextExt as _, Tracer as _, TracerProvider as _,
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
        Span(Some(Recording::of(tracer, name, SpanKind::Server, &sender.read())))
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

/// Something that takes time, from here until it is dropped. Nothing where there is no collector.
pub struct Span(Option<Recording>);

struct Recording {
    context: Context,
    tracer: SdkTracer,
}

impl Recording {
    fn of(tracer: &SdkTracer, name: &'static str, kind: SpanKind, parent: &Context) -> Self {
        let span = tracer.build_with_context(SpanBuilder::from_name(name).with_kind(kind), parent);
        Self { context: parent.with_span(span), tracer: tracer.clone() }
    }
}

impl Span {
    /// Begins a part of it that happens here.
    #[must_use]
    pub fn part(&self, name: &'static str) -> Self {
        self.child(name, SpanKind::Internal)
    }

    /// Begins a part of it that happens elsewhere.
    #[must_use]
    pub fn leaving(&self, name: &'static str) -> Self {
        self.child(name, SpanKind::Client)
    }

    fn child(&self, name: &'static str, kind: SpanKind) -> Self {
        Self(self.0.as_ref().map(|whole| Recording::of(&whole.tracer, name, kind, &whole.context)))
    }

    /// Says something of it. Nothing personal, and nothing that an agent or an upstream has made up.
    pub fn say(&self, key: &'static str, value: &str) {
        if let Some(Recording { context, .. }) = &self.0
            && context.span().is_recording()
        {
            context.span().set_attribute(KeyValue::new(key, value.to_owned()));
        }
    }

    /// Says that it failed, by a stable code.
    pub fn fail(&self, code: &str) {
        if let Some(Recording { context, .. }) = &self.0
            && context.span().is_recording()
        {
            context.span().set_attribute(KeyValue::new("error.type", code.to_owned()));
            context.span().set_status(Status::error(""));
        }
    }

    /// The trace that it is part of, in hexadecimal.
    #[must_use]
    pub fn trace_id(&self) -> Option<String> {
        self.0.as_ref().map(|recording| recording.context.span().span_context().trace_id().to_string())
    }

    /// What is told of it to whoever does the part that happens elsewhere: `traceparent` and `tracestate`.
    #[must_use]
    pub fn told(&self) -> Option<(String, String)> {
        self.0.as_ref().map(|recording| context::written(&recording.context))
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
