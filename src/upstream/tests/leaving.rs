//! What a call looks like when it leaves, and what keeps it from leaving.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::{
    scripted::{Scripted, http, legacy, result},
    *,
};

fn fine(seen: &scripted::Seen) -> Vec<scripted::Do> {
    result(seen, json!({"content": []}))
}

#[tokio::test]
async fn a_modern_call_is_one_request_with_all_its_headers_and_its_bytes_untouched() {
    let server = Scripted::start(|seen| {
        let body = format!(
            "{{\"result\": {{\"content\":[ ],\"x\":1.0}},\"id\":{},\"jsonrpc\":\"2.0\"}}",
            seen.body["id"]
        );
        http(200, "content-type: Application/JSON; charset=utf-8", &body)
    })
    .await;
    let mut caller = Caller::new(http_target(&server.url, Some(Era::Modern)));
    caller.target.auth =
        Auth::Header { name: "Authorization".to_owned(), value: Zeroizing::new("Bearer s3cret".to_owned()) };
    let schema = raw(r#"{"properties":{"region":{"type":"string","x-mcp-header":"Region"}}}"#);
    let params = header_params(&schema).unwrap();
    let arguments = raw("{ \"region\":\"eu\",\n \"n\":1.0 }");
    let call = Call { header_params: &params, ..Call::of_tool("Größe", Some(&arguments)) };
    let Outcome::Succeeded { result, is_error: false } = caller.call(call).await else {
        panic!("not a success")
    };
    assert_eq!(result.get(), "{\"content\":[ ],\"x\":1.0}");

    let seen = server.seen();
    let [seen] = &seen[..] else { panic!("not one request: {seen:?}") };
    assert_eq!((seen.verb.as_str(), seen.target.as_str()), ("POST", "/mcp?key=hunter2"));
    assert!(seen.text.contains(arguments.get()));
    for (name, value) in [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "=?base64?R3LDtsOfZQ==?="),
        ("mcp-param-region", "eu"),
        ("accept", "application/json, text/event-stream"),
        ("content-type", "application/json"),
        ("authorization", "Bearer s3cret"),
        ("host", server.url.trim_start_matches("http://").split('/').next().unwrap()),
    ] {
        assert_eq!(seen.header(name), Some(value), "{name}");
    }
    assert_eq!(seen.header("mcp-session-id"), None);
}

#[tokio::test]
async fn calls_one_after_the_other_share_a_connection() {
    let server = Scripted::start(fine).await;
    let mut caller = Caller::new(http_target(&server.url, Some(Era::Modern)));
    for _ in 0..20 {
        succeeded(caller.call(Call::of_tool("t", None)).await);
    }
    assert_eq!((server.seen().len(), server.connections()), (20, 1));
}

/// A gate that writes down what had happened when it was asked.
struct Watching {
    server: Arc<Scripted>,
    asked: AtomicUsize,
    answer: Result<(), Refusal>,
    later: bool,
}

impl Gate for Watching {
    fn may_still_leave(&self, _: &CallId) -> bool {
        self.answer.is_ok()
    }

    fn may_leave<'a>(&'a self, call: &'a CallId) -> Passage<'a> {
        assert_eq!(call.as_str(), "call_9");
        self.asked.fetch_add(1, Ordering::Relaxed);
        if !self.later {
            return Passage::Now(self.answer.clone());
        }
        Passage::Later(Box::pin(async {
            until("connected", || self.server.connections() == 1).await;
            assert_eq!(self.server.seen_of("tools/call").len(), 0, "the call had left");
            self.answer.clone()
        }))
    }
}

async fn through_gate(
    legacy_era: bool,
    answer: Result<(), Refusal>,
    later: bool,
) -> (Arc<Scripted>, Outcome) {
    let (server, era) = match legacy_era {
        true => (Scripted::start(legacy(fine)).await, Era::Legacy),
        false => (Scripted::start(fine).await, Era::Modern),
    };
    let server = Arc::new(server);
    let gate = Arc::new(Watching { server: server.clone(), asked: AtomicUsize::new(0), answer, later });
    let mut caller = Caller::new(http_target(&server.url, Some(era)));
    caller.admission = Some(Admission::of_test("call_9", 9, gate.clone()));
    let outcome = caller.call(Call::of_tool("t", None)).await;
    assert_eq!(gate.asked.load(Ordering::Relaxed), 1);
    (server, outcome)
}

#[tokio::test]
async fn the_gate_is_asked_when_the_connection_stands_and_before_the_call_leaves() {
    for legacy_era in [false, true] {
        for later in [false, true] {
            let (server, outcome) = through_gate(legacy_era, Ok(()), later).await;
            succeeded(outcome);
            assert_eq!(server.seen_of("tools/call").len(), 1);
        }
    }
}

#[tokio::test]
async fn what_the_gate_does_not_let_pass_never_reaches_the_upstream() {
    for legacy_era in [false, true] {
        for later in [false, true] {
            let refusal = Refusal { reason: "the session was revoked".to_owned() };
            let (server, outcome) = through_gate(legacy_era, Err(refusal), later).await;
            let (kind, detail, sent) = failure(outcome);
            assert_eq!((kind, sent), (FailureKind::NotLet, false));
            assert_eq!(detail, "connection \"notes\" was not called: the session was revoked");
            tokio::time::sleep(Duration::from_millis(30)).await;
            assert_eq!(server.seen_of("tools/call").len(), 0);
        }
    }
}

/// A gate that lets a call pass, and finds at the write that it was revoked since.
struct RevokedMeanwhile;

impl Gate for RevokedMeanwhile {
    fn may_leave<'a>(&'a self, _: &'a CallId) -> Passage<'a> {
        Passage::Now(Ok(()))
    }

    fn may_still_leave(&self, _: &CallId) -> bool {
        false
    }
}

#[tokio::test]
async fn a_call_revoked_between_the_gate_and_the_write_never_reaches_the_upstream() {
    for legacy_era in [false, true] {
        let (server, era) = match legacy_era {
            true => (Scripted::start(legacy(fine)).await, Era::Legacy),
            false => (Scripted::start(fine).await, Era::Modern),
        };
        let mut caller = Caller::new(http_target(&server.url, Some(era)));
        // On a new connection, and on one that has served a call.
        for served in 0..2 {
            caller.admission = Some(Admission::of_test("c", 1, Arc::new(RevokedMeanwhile)));
            let (kind, _, sent) = failure(caller.call(Call::of_tool("t", None)).await);
            assert_eq!((kind, sent), (FailureKind::NotLet, false));
            tokio::time::sleep(Duration::from_millis(30)).await;
            assert_eq!(server.seen_of("tools/call").len(), served);
            succeeded(caller.call(Call::of_tool("t", None)).await);
        }
    }
}

#[tokio::test]
async fn a_call_cancelled_beforehand_never_reaches_the_upstream() {
    let server = Scripted::start(fine).await;
    let mut caller = Caller::new(http_target(&server.url, Some(Era::Modern)));
    caller.cancel.cancel();
    assert!(matches!(caller.call(Call::of_tool("t", None)).await, Outcome::Cancelled { sent: false }));
    assert_eq!(server.seen().len(), 0);
}

/// A gate that cancels the call while it is asked, as a revocation at the last moment does.
struct CancelsMeanwhile(CancellationToken);

impl Gate for CancelsMeanwhile {
    fn may_still_leave(&self, _: &CallId) -> bool {
        true
    }

    fn may_leave<'a>(&'a self, _: &'a CallId) -> Passage<'a> {
        self.0.cancel();
        Passage::Now(Ok(()))
    }
}

#[tokio::test]
async fn a_call_cancelled_while_the_gate_is_asked_never_reaches_the_upstream() {
    let server = Scripted::start(fine).await;
    let mut caller = Caller::new(http_target(&server.url, Some(Era::Modern)));
    let gate = Arc::new(CancelsMeanwhile(caller.cancel.clone()));
    caller.admission = Some(Admission::of_test("c", 1, gate));
    assert!(matches!(caller.call(Call::of_tool("t", None)).await, Outcome::Cancelled { sent: false }));
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert_eq!(server.seen().len(), 0);
}

/// A gate that takes its time, until the server has closed the connection.
struct Slow {
    asked: AtomicUsize,
}

impl Gate for Slow {
    fn may_still_leave(&self, _: &CallId) -> bool {
        true
    }

    fn may_leave<'a>(&'a self, _: &'a CallId) -> Passage<'a> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Passage::Later(Box::pin(async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok(())
        }))
    }
}

#[tokio::test]
async fn when_the_connection_closes_while_the_gate_is_asked_another_is_taken_and_the_gate_asked_again() {
    let server = Scripted::start(|seen| {
        let mut steps = fine(seen);
        if seen.connection == 1 {
            steps.extend([scripted::Do::Wait(Duration::from_millis(50)), scripted::Do::Close]);
        }
        steps
    })
    .await;
    let mut caller = Caller::new(http_target(&server.url, Some(Era::Modern)));
    succeeded(caller.call(Call::of_tool("t", None)).await);
    let gate = Arc::new(Slow { asked: AtomicUsize::new(0) });
    caller.admission = Some(Admission::of_test("c", 1, gate.clone()));
    succeeded(caller.call(Call::of_tool("t", None)).await);
    assert_eq!(gate.asked.load(Ordering::Relaxed), 2);
    assert_eq!((server.seen().len(), server.connections()), (2, 2));
}

#[tokio::test]
async fn without_the_mark_for_private_networks_nothing_connects_to_this_machine() {
    let server = Scripted::start(fine).await;
    let mut caller = Caller::new(http_target(&server.url, Some(Era::Modern)));
    caller.target.private_network = false;
    let (kind, detail, sent) = failure(caller.call(Call::of_tool("t", None)).await);
    assert_eq!((kind, sent), (FailureKind::AddressForbidden, false));
    assert!(detail.contains("127.0.0.1") && detail.contains("private_network"), "{detail}");
    assert!(!detail.contains("hunter2"), "{detail}");
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn headers_that_belong_to_the_protocol_cannot_carry_a_credential() {
    let server = Scripted::start(fine).await;
    for (name, value) in
        [("Host", "x"), ("MCP-Session-Id", "x"), ("a b", "x"), ("X-Key", "hunter2\r\nEvil: 1")]
    {
        let mut caller = Caller::new(http_target(&server.url, Some(Era::Modern)));
        caller.target.auth = Auth::Header { name: name.to_owned(), value: Zeroizing::new(value.to_owned()) };
        let (kind, detail, sent) = failure(caller.call(Call::of_tool("t", None)).await);
        assert_eq!((kind, sent), (FailureKind::Configuration, false), "{detail}");
        assert!(!detail.contains("hunter2"), "{detail}");
    }
    assert_eq!(server.connections(), 0);
}
