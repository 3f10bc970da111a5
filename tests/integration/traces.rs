//! What a collector of traces is told of calls: by a real OTLP endpoint that decodes what comes.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Attribute;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use proctor_test_upstream::{Options, Upstream};
use prost::Message as _;
use serde_json::{Value, json};

use crate::agent::Agent;
use crate::world::{World, wait_until};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

#[derive(Default)]
struct Came {
    heads: Vec<String>,
    bytes: Vec<u8>,
    spans: Vec<Span>,
    resources: Vec<String>,
}

/// Takes spans, as collectors do.
struct Collector {
    address: SocketAddr,
    came: Arc<Mutex<Came>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let came = Arc::new(Mutex::new(Came::default()));
        let inside = Arc::clone(&came);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let (mut head, mut length) = (String::new(), 0);
                while !head.ends_with("\r\n\r\n") {
                    let before = head.len();
                    reader.read_line(&mut head).unwrap();
                    let line = head[before..].to_ascii_lowercase();
                    if let Some(value) = line.strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                let request = ExportTraceServiceRequest::decode(&body[..]).unwrap();
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
                let mut came = inside.lock().unwrap();
                came.heads.push(head);
                came.bytes.extend(body);
                for resource in request.resource_spans {
                    came.resources.extend(resource.resource.map(|resource| format!("{resource:?}")));
                    came.spans.extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
                }
            }
        });
        Self { address, came }
    }

    fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The spans, once there are as many.
    #[track_caller]
    fn spans(&self, many: usize) -> Vec<Span> {
        wait_until("the spans to come", || self.came.lock().unwrap().spans.len() >= many);
        let spans = self.came.lock().unwrap().spans.clone();
        assert_eq!(spans.len(), many, "{spans:#?}");
        spans
    }
}

fn traced(collector: &Collector, more: &[(&str, &str)]) -> (World, Upstream) {
    let endpoint = collector.endpoint();
    let all = ("OTEL_TRACES_SAMPLER_ARG", "1");
    let settings = [&[("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint), all], more].concat();
    let world = World::start_with(&settings);
    let upstream = Upstream::start(Options::default());
    world.desk(&upstream);
    (world, upstream)
}

#[track_caller]
fn named<'s>(spans: &'s [Span], name: &str, kind: SpanKind) -> &'s Span {
    let mut found = spans.iter().filter(|span| span.name == name && span.kind == i32::from(kind));
    let first = found.next().unwrap_or_else(|| panic!("no {name} in {spans:#?}"));
    assert!(found.next().is_none(), "{name} is there twice");
    first
}

fn said<'s>(span: &'s Span, key: &str) -> Option<&'s str> {
    let attribute = span.attributes.iter().find(|attribute| attribute.key == key)?;
    match attribute.value.as_ref()?.value.as_ref()? {
        Attribute::StringValue(text) => Some(text),
        _ => None,
    }
}

/// The `traceparent` with which the upstream's newest call came.
fn told(upstream: &Upstream) -> String {
    let body: Value = serde_json::from_str(&upstream.ledger().calls().last().unwrap().body).unwrap();
    body["params"]["_meta"]["traceparent"].as_str().unwrap().to_owned()
}

fn sampled_as(flags: &str) -> String {
    format!(r#""traceparent":"00-{TRACE}-{PARENT}-{flags}""#)
}

#[test]
fn a_call_is_one_tree_of_spans_within_the_agents_trace_and_goes_on_at_the_upstream() {
    let collector = Collector::start();
    let (world, upstream) = traced(
        &collector,
        &[("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=acme,authorization=a-secret-of-the-collector")],
    );
    let session = world.mint("desk", "ada.lovelace@example.com");
    let agent = Agent::modern(&world, &session);
    let request = agent.call_request_with_meta("1", "echo", r#"{"text":"an-argument"}"#, &sampled_as("01"));
    agent.send(&request).result();
    let spans = collector.spans(4);
    let whole = named(&spans, "tools/call", SpanKind::Server);
    assert_eq!(
        (hex::encode(&whole.trace_id), hex::encode(&whole.parent_span_id)),
        (TRACE.into(), PARENT.into())
    );
    let leaving = named(&spans, "tools/call", SpanKind::Client);
    for part in [
        named(&spans, "admission", SpanKind::Internal),
        leaving,
        named(&spans, "outcome", SpanKind::Internal),
    ] {
        assert_eq!(part.trace_id, whole.trace_id);
        assert_eq!(part.parent_span_id, whole.span_id);
        assert!(whole.start_time_unix_nano <= part.start_time_unix_nano);
        assert!(part.start_time_unix_nano <= part.end_time_unix_nano);
        assert!(part.end_time_unix_nano <= whole.end_time_unix_nano);
    }
    assert_eq!(told(&upstream), format!("00-{TRACE}-{}-01", hex::encode(&leaving.span_id)));
    let row = &world.trail("user=ada.lovelace%40example.com")[0];
    assert_eq!(row["trace_id"], TRACE);
    assert_eq!(said(whole, "proctor.call.id"), row["call_id"].as_str());
    assert_eq!(said(whole, "proctor.session.id"), Some(&*session.id));
    for (key, value) in [
        ("mcp.method.name", "tools/call"),
        ("proctor.virtual_server", "desk"),
        ("proctor.connection", "fixture"),
        ("gen_ai.tool.name", "echo"),
        ("proctor.outcome", "succeeded"),
    ] {
        assert_eq!(said(whole, key), Some(value), "{key}");
    }
    let came = collector.came.lock().unwrap();
    assert!(came.heads[0].starts_with("POST /v1/traces HTTP/1.1\r\n"), "{}", came.heads[0]);
    assert!(came.heads[0].contains("x-tenant: acme"), "{}", came.heads[0]);
    assert!(came.resources[0].contains("proctor"), "{}", came.resources[0]);
    for secret in ["an-argument", "ada.lovelace", &session.token] {
        assert!(
            !came.bytes.windows(secret.len()).any(|bytes| bytes == secret.as_bytes()),
            "{secret} was told"
        );
    }
    assert!(!world.log().contains("a-secret-of-the-collector"));
}

#[test]
fn a_trace_begins_here_where_the_agent_names_none_or_names_it_in_a_header() {
    let collector = Collector::start();
    let (mut world, upstream) = traced(&collector, &[("OTEL_SERVICE_NAME", "gatehouse")]);
    let session = world.mint("desk", "ada");
    let agent = Agent::legacy(&world, &session);
    let code = agent.call("fail", "{}").error_code();
    let spans = collector.spans(4);
    let whole = named(&spans, "tools/call", SpanKind::Server);
    assert!(whole.parent_span_id.is_empty());
    // Not the code of the answer alone: whose error it was.
    assert_eq!(said(whole, "error.type"), Some(&*format!("rpc_error:{code}")));
    let keys: BTreeSet<_> = whole.attributes.iter().map(|attribute| &attribute.key).collect();
    assert_eq!(keys.len(), whole.attributes.len(), "each is said once: {whole:#?}");
    let trace = hex::encode(&whole.trace_id);
    assert!(told(&upstream).starts_with(&format!("00-{trace}-")));
    assert_eq!(world.trail("outcome=failed")[0]["trace_id"], *trace);
    let request = agent.call_request("2", "echo", "{}");
    agent.send(&request.header("traceparent", format!("00-{TRACE}-{PARENT}-01"))).result();
    assert_eq!(world.trail("outcome=succeeded")[0]["trace_id"], TRACE);
    // What waits is sent when the server stops.
    world.server.terminate();
    let spans = collector.spans(8);
    assert_eq!(spans.iter().filter(|span| hex::encode(&span.trace_id) == TRACE).count(), 4);
    assert!(collector.came.lock().unwrap().resources[0].contains("gatehouse"));
}

#[test]
fn a_refused_call_says_why_and_what_is_not_sampled_is_not_told() {
    let collector = Collector::start();
    let (world, upstream) = traced(&collector, &[]);
    let mint = json!({ "virtual_server": "desk", "user": "ada", "access": "read_only" });
    let agent = Agent::modern(&world, &world.mint_with(&mint));
    let not_sampled = agent.call_request_with_meta("1", "read_thing", "{}", &sampled_as("00"));
    agent.send(&not_sampled).result();
    let goes_on = told(&upstream);
    assert!(goes_on.starts_with(&format!("00-{TRACE}-")) && goes_on.ends_with("-00"), "{goes_on}");
    agent.call("echo", "{}").error();
    let spans = collector.spans(2);
    let whole = named(&spans, "tools/call", SpanKind::Server);
    assert_eq!(said(whole, "proctor.outcome"), Some("refused"));
    assert_eq!(said(whole, "proctor.refusal"), Some("not_read_only"));
    assert_eq!(named(&spans, "admission", SpanKind::Internal).parent_span_id, whole.span_id);
}

#[test]
fn nobody_waits_for_a_collector_that_is_gone() {
    let collector = Collector { address: "127.0.0.1:9".parse().unwrap(), came: Arc::default() };
    let (mut world, _upstream) = traced(&collector, &[]);
    let agent = Agent::modern(&world, &world.mint("desk", "ada"));
    agent.call("echo", "{}").result();
    let says = "failed to send spans to the traces' collector";
    wait_until("the log to say so", || world.log().contains(says));
    agent.call("echo", "{}").result();
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(world.log().matches(says).count(), 1, "it is said once");
    assert!(world.server.terminate().success());
}

#[test]
fn the_metrics_count_calls_by_server_connection_and_outcome_and_time_their_parts() {
    let world = World::start();
    let upstream = Upstream::start(Options::default());
    world.desk(&upstream);
    let agent = Agent::modern(&world, &world.mint("desk", "ada"));
    for _ in 0..3 {
        agent.call("echo", "{}").result();
    }
    agent.call("tool_error", "{}").result();
    agent.call("no_such_tool", "{}").error();
    // The views follow in their own time.
    let open = "\nproctor_sessions_open 1\n";
    wait_until("the session to be counted", || world.get("/metrics").text().contains(open));
    let text = world.get("/metrics").text();
    for line in [
        r#"proctor_calls_total{virtual_server="desk",connection="fixture",outcome="succeeded"} 3"#,
        r#"proctor_calls_total{virtual_server="desk",connection="fixture",outcome="failed"} 1"#,
        r#"proctor_calls_total{virtual_server="desk",connection="",outcome="refused"} 1"#,
        r#"proctor_call_seconds_count{part="admission"} 4"#,
        r#"proctor_call_seconds_count{part="upstream"} 4"#,
        r#"proctor_call_seconds_count{part="outcome"} 4"#,
        "proctor_store_errors_total 0",
        "proctor_journal_waiting 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
    }
    for name in ["ada", "echo", "tool_error", "no_such_tool"] {
        assert!(!text.contains(&format!("\"{name}\"")), "{name} is in {text}");
    }
}
