//! The fixture itself: what it says must be true before anything is shown with it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::TcpStream;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use proctor_test_upstream::{Answers, Eras, Options, Protection, UNKNOWN_RESULT_FIELDS, Upstream};
use serde_json::{Value, json};

/// Private keys for these tests alone.
const KEYS: [&str; 2] = [
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg5G4VNGs6pHURDFbB1u1dfOhzZuC0SFM6ZUAkmq5XoiehRANCAAQenx7MHVJUTWcpFn8AhkxeP4+SdL8XS24EoEdPUP+NDeSBh+VEFFL6AuHr5hbxC34TEwVz6xkL9x3ddL1jb0nO",
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg7toYGFKL7os0sDKdLhr3I6JFpXpTkSATEPvxtTlq8OahRANCAAQmD4kKoMHXZ41mSi4IztVfhOUP+ENQfYuGF1462wgMpfu5OnwwtvJjbK9VCIFuqv/myu3bGAhHVqLIWwRYIXrq",
];

const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"progressToken":"p1"}"#;

fn send(upstream: &Upstream, headers: &[(&str, &str)], body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(upstream.address()).unwrap();
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    write!(
        stream,
        "POST /mcp HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\
         Accept: application/json, text/event-stream\r\n{headers}\r\n{body}"
    )
    .unwrap();
    stream
}

/// The whole HTTP answer as text.
fn post(upstream: &Upstream, headers: &[(&str, &str)], body: &str) -> String {
    let mut answer = String::new();
    send(upstream, headers, body).read_to_string(&mut answer).unwrap();
    answer
}

fn call(tool: &str, arguments: &str) -> (Vec<(&'static str, String)>, String) {
    let headers = vec![
        ("MCP-Protocol-Version", "2026-07-28".to_owned()),
        ("Mcp-Method", "tools/call".to_owned()),
        ("Mcp-Name", tool.to_owned()),
    ];
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"{tool}","arguments":{arguments},{META}}}}}"#
    );
    (headers, body)
}

fn borrowed<'a>(headers: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    headers.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

#[test]
fn arguments_come_back_and_are_written_down_byte_for_byte() {
    let upstream = Upstream::start(Options::default());
    let arguments = r#"{ "z":1.50, "a" : [1e3,"é"],"n":123456789012345678901234567890}"#;
    let (headers, body) = call("echo", arguments);
    let answer = post(&upstream, &borrowed(&headers), &body);
    assert!(answer.contains(&format!(r#""structuredContent":{arguments}"#)), "{answer}");
    assert!(answer.contains(UNKNOWN_RESULT_FIELDS), "{answer}");
    let calls = upstream.ledger().calls();
    assert_eq!(calls[0].arguments.as_deref(), Some(arguments));
    assert_eq!(calls[0].header("mcp-name"), Some("echo"));
    assert_eq!(calls[0].refused, None);
}

#[test]
fn a_header_that_disagrees_with_the_body_is_refused_and_written_down() {
    let upstream = Upstream::start(Options::default());
    let (mut headers, body) = call("echo", "{}");
    headers[2].1 = "other".to_owned();
    let answer = post(&upstream, &borrowed(&headers), &body);
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("-32020"), "{answer}");
    assert!(upstream.ledger().calls()[0].refused.is_some());

    let (mut headers, body) = call("route", r#"{"region":"bären"}"#);
    let answer = post(&upstream, &borrowed(&headers), &body);
    assert!(answer.contains("-32020"), "{answer}");
    headers.push(("Mcp-Param-Region", "=?base64?YsOkcmVu?=".to_owned()));
    let answer = post(&upstream, &borrowed(&headers), &body);
    assert!(answer.contains(r#""result""#), "{answer}");
}

#[test]
fn a_client_that_goes_away_is_written_down_as_a_cancellation() {
    for answers in [Answers::Json, Answers::Sse] {
        let upstream = Upstream::start(Options { answers, ..Options::default() });
        let (headers, body) = call("slow", r#"{"milliseconds":60000}"#);
        let client = send(&upstream, &borrowed(&headers), &body);
        upstream.ledger().wait_until("the call", |record| record.calls().count() == 1);
        drop(client);
        let record = upstream.ledger().wait_until("the cancellation", |record| !record.cancelled.is_empty());
        assert_eq!((record.cancelled[0].tool.as_str(), record.cancelled[0].by), ("slow", "disconnect"));
    }
}

#[test]
fn progress_is_told_before_the_result() {
    let upstream = Upstream::start(Options::default());
    let (headers, body) = call("slow", r#"{"milliseconds":20,"steps":2}"#);
    let answer = post(&upstream, &borrowed(&headers), &body);
    let events: Vec<&str> = answer.lines().filter(|line| line.starts_with("data:")).collect();
    assert_eq!(events.len(), 3, "{answer}");
    assert!(events[0].contains(r#""progressToken":"p1","progress":1,"total":2"#), "{answer}");
    assert!(events[2].contains("waited"), "{answer}");
    assert!(upstream.ledger().read().cancelled.is_empty());
}

#[test]
fn a_legacy_call_is_cancelled_by_its_notification() {
    let upstream = Upstream::start(Options { eras: Eras::Legacy, ..Options::default() });
    let hello = post(&upstream, &[], r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#);
    let session = hello.lines().find_map(|line| line.strip_prefix("mcp-session-id: ")).unwrap();
    let headers = [("Mcp-Session-Id", session), ("MCP-Protocol-Version", "2025-11-25")];
    let body = r#"{"jsonrpc":"2.0","id":"x","method":"tools/call","params":{"name":"slow","arguments":{"milliseconds":60000}}}"#;
    let mut running = send(&upstream, &headers, body);
    upstream.ledger().wait_until("the call", |record| record.calls().count() == 1);
    let body = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"x"}}"#;
    assert!(post(&upstream, &headers, body).starts_with("HTTP/1.1 202"));
    running.read_to_string(&mut String::new()).unwrap();
    assert_eq!(upstream.ledger().read().cancelled[0].by, "notification");

    upstream.forget_sessions();
    let body = r#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#;
    assert!(post(&upstream, &headers, body).starts_with("HTTP/1.1 404"));
}

#[test]
fn each_era_refuses_what_is_not_of_it() {
    let modern = Upstream::start(Options { eras: Eras::Modern, ..Options::default() });
    let hello = post(&modern, &[], r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#);
    assert!(hello.contains("-32022"), "{hello}");
    let legacy = Upstream::start(Options { eras: Eras::Legacy, ..Options::default() });
    let (headers, body) = call("echo", "{}");
    assert!(post(&legacy, &borrowed(&headers), &body).starts_with("HTTP/1.1 400"));
}

#[test]
fn the_catalog_spreads_over_pages_and_changes_on_demand() {
    let upstream = Upstream::start(Options { eras: Eras::Legacy, ..Options::default() });
    let hello = post(&upstream, &[], r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#);
    let session = hello.lines().find_map(|line| line.strip_prefix("mcp-session-id: ")).unwrap();
    let headers = [("Mcp-Session-Id", session), ("MCP-Protocol-Version", "2025-11-25")];
    upstream.put_tool("echo", r#"{"name":"echo","inputSchema":{"type":"object"}}"#);
    upstream.put_tool("extra", r#"{"name":"extra","inputSchema":{"type":"object"}}"#);
    let first = post(&upstream, &headers, r#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#);
    assert!(first.contains(r#"{"name":"echo","inputSchema":{"type":"object"}}"#), "{first}");
    assert!(first.contains(r#""nextCursor":"tools-from-4""#), "{first}");
    let last = r#"{"jsonrpc":"2.0","id":3,"method":"tools/list","params":{"cursor":"tools-from-8"}}"#;
    let last = post(&upstream, &headers, last);
    assert!(last.contains(r#""name":"extra""#) && !last.contains("nextCursor"), "{last}");
}

#[test]
fn without_the_secret_nobody_comes_in() {
    let secret = Some(("x-api-key".to_owned(), "s3cret".to_owned()));
    let upstream = Upstream::start(Options { secret, ..Options::default() });
    let (mut headers, body) = call("echo", "{}");
    assert!(post(&upstream, &borrowed(&headers), &body).starts_with("HTTP/1.1 401"));
    headers.push(("X-Api-Key", "s3cret".to_owned()));
    assert!(post(&upstream, &borrowed(&headers), &body).starts_with("HTTP/1.1 200"));
}

/// An access token of one of the keys, and that key as an issuer shows it.
fn token(key: usize, claims: &Value) -> (String, Value) {
    let key = EncodingKey::from_ec_der(&BASE64.decode(KEYS[key]).unwrap());
    let mut header = Header::new(Algorithm::ES256);
    header.kid = Some("k".to_owned());
    let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap();
    jwk.common.key_id = Some("k".to_owned());
    (jsonwebtoken::encode(&header, claims, &key).unwrap(), json!({ "keys": [jwk] }))
}

#[test]
fn a_protected_upstream_says_where_tokens_come_from_and_whose_token_came() {
    let upstream = Upstream::start(Options::default());
    let issuer = "http://issuer.test";
    let good =
        json!({ "iss": issuer, "aud": upstream.url(), "sub": "ada", "iat": 1, "exp": 4_000_000_000_u64 });
    let (right, jwks) = token(0, &good);
    upstream.protect(Protection::of(issuer, jwks));
    let (headers, body) = call("whoami", "{}");
    let with = |token: &str| {
        let mut headers = headers.clone();
        headers.push(("Authorization", format!("Bearer {token}")));
        post(&upstream, &borrowed(&headers), &body)
    };
    assert!(with(&right).contains(r#""text":"ada""#));

    let bare = post(&upstream, &borrowed(&headers), &body);
    let place = format!("http://{}/.well-known/oauth-protected-resource/mcp", upstream.address());
    assert!(bare.starts_with("HTTP/1.1 401"), "{bare}");
    assert!(bare.contains(&format!(r#"www-authenticate: Bearer resource_metadata="{place}""#)), "{bare}");
    for (member, value) in [("exp", json!(1_000_000_000)), ("aud", json!("x")), ("iss", json!("x"))] {
        let mut bad = good.clone();
        bad[member] = value;
        assert!(with(&token(0, &bad).0).starts_with("HTTP/1.1 401"), "{member}");
    }
    assert!(with(&token(1, &good).0).starts_with("HTTP/1.1 401"));
    upstream.ban("ada", true);
    assert!(with(&right).starts_with("HTTP/1.1 401"));

    let calls = upstream.ledger().calls();
    let subjects: Vec<_> = calls.iter().filter_map(|call| call.subject.as_deref()).collect();
    assert_eq!((subjects, calls.len()), (vec!["ada"], 7));

    let mut stream = TcpStream::connect(upstream.address()).unwrap();
    let path = "/.well-known/oauth-protected-resource/mcp";
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut metadata = String::new();
    stream.read_to_string(&mut metadata).unwrap();
    assert!(metadata.contains(r#""authorization_servers":["http://issuer.test"]"#), "{metadata}");
    assert!(metadata.contains(&format!(r#""resource":"{}""#, upstream.url())), "{metadata}");
}
