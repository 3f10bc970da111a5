//! What does not make sense at the agents' door: each gets its answer, and nothing breaks.

use proctor_test_upstream::{Options, Upstream};
use serde_json::json;

use crate::agent::{Agent, Answer, MODERN};
use crate::http::Request;
use crate::world::World;

fn desk() -> (World, Upstream, Agent) {
    let world = World::start_with(&[("PROCTOR_BODY_BYTES_MAX", "100000")]);
    let upstream = Upstream::start(Options::default());
    world.desk(&upstream);
    let agent = Agent::modern(&world, &world.mint("desk", "ada"));
    (world, upstream, agent)
}

/// Nothing reached the upstream, and the next good call works.
#[track_caller]
fn unharmed(upstream: &Upstream, agent: &Agent) {
    assert_eq!(upstream.ledger().calls().len(), 0);
    agent.call("echo", "{}").result();
}

/// A good call as text, to be spoiled.
const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#;

fn modern_call(agent: &Agent, body: impl Into<Vec<u8>>) -> Request {
    agent
        .post("")
        .header("MCP-Protocol-Version", MODERN)
        .header("Mcp-Method", "tools/call")
        .header("Mcp-Name", "echo")
        .body(body)
}

#[test]
fn what_is_not_json_is_a_parse_error() {
    let (world, upstream, agent) = desk();
    let bodies: [&[u8]; 7] = [
        b"",
        b"{",
        b"nonsense",
        b"{\"jsonrpc\":\"2.0\",}",
        b"\xff\xfe",
        &CALL.as_bytes()[..CALL.len() - 2],
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"} trailing",
    ];
    for body in bodies {
        let answer = Answer::of(&modern_call(&agent, body).send(world.address));
        assert_eq!(answer.status, 400, "{}", String::from_utf8_lossy(body));
        assert_eq!(answer.error_code(), -32700, "{}", String::from_utf8_lossy(body));
    }
    unharmed(&upstream, &agent);
}

#[test]
fn what_is_json_but_no_request_is_an_invalid_request() {
    let (world, upstream, agent) = desk();
    let spoil = |from: &str, to: &str| {
        assert!(CALL.contains(from));
        CALL.replace(from, to)
    };
    for body in [
        "7".to_owned(),
        "null".to_owned(),
        r#""text""#.to_owned(),
        "[]".to_owned(),
        format!("[{CALL}]"),
        "{}".to_owned(),
        spoil(r#""jsonrpc":"2.0","#, ""),
        spoil(r#""jsonrpc":"2.0""#, r#""jsonrpc":"1.0""#),
        spoil(r#""id":1"#, r#""id":{}"#),
        spoil(r#""id":1"#, r#""id":null"#),
        spoil(r#""id":1"#, r#""id":true"#),
        spoil(r#""method":"tools/call""#, r#""method":7"#),
        spoil(r#""method":"tools/call","#, ""),
        // The same key twice: two readers could see two different requests.
        spoil(r#""id":1"#, r#""id":1,"id":2"#),
        spoil(r#""method":"tools/call""#, r#""method":"tools/list","method":"tools/call""#),
        spoil(r#""method":"tools/call""#, r#""m\u0065thod":"tools/list","method":"tools/call""#),
    ] {
        let answer = Answer::of(&modern_call(&agent, body.clone()).send(world.address));
        assert_eq!((answer.status, answer.error_code()), (400, -32600), "{body}");
    }
    unharmed(&upstream, &agent);
}

#[test]
fn half_a_surrogate_is_refused_wherever_it_stands() {
    let (world, upstream, agent) = desk();
    for (from, to) in [
        (r#""method":"tools/call""#, r#""method":"tools/\ud800call""#),
        (r#""name":"echo""#, r#""name":"echo\ud800""#),
    ] {
        let body = CALL.replace(from, to);
        let answer = Answer::of(&modern_call(&agent, body.clone()).send(world.address));
        assert!(answer.status == 400 || answer.json().get("error").is_some(), "{body}: {}", answer.text);
    }
    unharmed(&upstream, &agent);
}

#[test]
fn parameters_of_a_wrong_type_are_invalid_parameters() {
    let (world, upstream, agent) = desk();
    let spoil = |from: &str, to: &str| {
        assert!(CALL.contains(from));
        CALL.replace(from, to)
    };
    for body in [
        spoil(r#""arguments":{}"#, r#""arguments":[]"#),
        spoil(r#""arguments":{}"#, r#""arguments":"text""#),
        spoil(r#""arguments":{}"#, r#""arguments":7"#),
        spoil(r#""name":"echo","#, ""),
        spoil(r#""name":"echo""#, r#""name":["echo"]"#),
        spoil(r#""name":"echo""#, r#""name":"echo","name":"delete_thing""#),
        spoil(r#""name":"echo""#, r#""name":"delete_thing","n\u0061me":"echo""#),
    ] {
        let answer = Answer::of(&modern_call(&agent, body.clone()).send(world.address));
        assert!((400..500).contains(&answer.status) || answer.status == 200, "{body}");
        assert!([-32602, -32600, -32020].contains(&answer.error_code()), "{body}: {}", answer.text);
    }
    unharmed(&upstream, &agent);
}

#[test]
fn a_body_over_the_limit_is_not_read() {
    let (world, upstream, agent) = desk();
    let long =
        CALL.replace(r#""arguments":{}"#, &format!(r#""arguments":{{"text":"{}"}}"#, "x".repeat(100_000)));
    assert_eq!(modern_call(&agent, long.clone()).send(world.address).status, 413);
    let promised = modern_call(&agent, "").header("Content-Length", "99999999999");
    let status = promised.try_send(world.address).map(|answer| answer.status);
    assert!(status.as_ref().map_or(true, |status| *status == 413), "{status:?}");
    let chunked = format!("{:x}\r\n{long}\r\n0\r\n\r\n", long.len());
    let chunked = modern_call(&agent, chunked).header("Transfer-Encoding", "chunked");
    let status = chunked.try_send(world.address).map(|answer| answer.status);
    assert!(status.as_ref().map_or(true, |status| *status == 413), "{status:?}");
    unharmed(&upstream, &agent);
}

#[test]
fn deep_nesting_is_refused() {
    let (world, upstream, agent) = desk();
    for depth in [1_000, 40_000] {
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
            let deep = format!("{}1{}", open.repeat(depth / open.len()), close.repeat(depth / open.len()));
            let body = CALL.replace(r#""arguments":{}"#, &format!(r#""arguments":{{"a":{deep}}}"#));
            let answer = modern_call(&agent, body).send(world.address);
            assert_eq!(answer.status, 400, "{}", answer.text());
        }
    }
    unharmed(&upstream, &agent);
}

#[test]
fn what_is_not_said_to_be_json_is_refused() {
    let (world, upstream, agent) = desk();
    let good = modern_call(&agent, CALL);
    for bad in [
        good.clone().without("content-type"),
        good.clone().header("Content-Type", "text/plain"),
        good.clone().header("Content-Type", "application/x-www-form-urlencoded"),
    ] {
        assert_eq!(bad.send(world.address).status, 415);
    }
    let answer = good.clone().header("Accept", "text/html").send(world.address);
    assert_eq!(answer.status, 406);
    unharmed(&upstream, &agent);
    agent.send(&good.header("Content-Type", "application/json; charset=utf-8")).result();
}

#[test]
fn a_token_that_is_missing_bad_or_for_something_else_is_401_and_says_where_to_ask() {
    let (world, upstream, agent) = desk();
    world.define("other", "fixture", &["echo"]);
    let other = world.mint("other", "ada").token;
    let good = agent.call_request("1", "echo", "{}");
    let parts: Vec<&str> = agent.token.split('.').collect();
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
    let tokens = [
        String::new(),
        "nonsense".to_owned(),
        format!("{}.{}", parts[0], parts[1]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}.{}", parts[0], parts[1], "A".repeat(parts[2].len())),
        format!("{none}.{}.", parts[1]),
        other,
        crate::world::ADMIN_KEY.to_owned(),
        "x".repeat(20_000),
    ];
    let mut requests: Vec<Request> =
        tokens.iter().map(|token| good.clone().header("Authorization", format!("Bearer {token}"))).collect();
    requests.push(good.clone().without("authorization"));
    requests.push(good.clone().header("Authorization", format!("Basic {}", agent.token)));
    let mut in_query = good.clone().without("authorization");
    in_query.path += &format!("?access_token={}", agent.token);
    requests.push(in_query);
    for request in requests {
        let answer = request.send(world.address);
        // A header that is absurdly long may be refused earlier.
        if answer.status == 431 {
            continue;
        }
        assert_eq!(answer.status, 401, "{:?}: {}", request.headers, answer.text());
        let challenge = answer.header("www-authenticate").unwrap();
        let metadata = format!("http://{}/.well-known/oauth-protected-resource/mcp/desk", world.address);
        assert!(challenge.starts_with("Bearer "), "{challenge}");
        assert!(challenge.contains(&format!("resource_metadata=\"{metadata}\"")), "{challenge}");
    }
    unharmed(&upstream, &agent);
    let metadata = Request::new("GET", "/.well-known/oauth-protected-resource/mcp/desk").send(world.address);
    let metadata = metadata.expect(200);
    assert_eq!(metadata["resource"], format!("http://{}/mcp/desk", world.address));
    let keys = Request::new("GET", "/.well-known/jwks.json").send(world.address).expect(200);
    assert_eq!(keys["keys"][0]["kty"], "OKP");
    assert!(keys["keys"][0].get("d").is_none(), "{keys}");
}

#[test]
fn a_virtual_server_that_does_not_exist_gives_nothing_away() {
    let (world, _upstream, agent) = desk();
    let mut request = agent.call_request("1", "echo", "{}");
    for path in ["/mcp/no-such-server", "/mcp/", "/mcp", "/mcp/desk/more", "/mcp/%2e%2e/api"] {
        request.path = path.to_owned();
        let status = request.send(world.address).status;
        assert!(status == 401 || status == 404, "{path}: {status}");
    }
}

#[test]
fn failed_authentications_are_on_the_record_and_counted() {
    let (mut world, _upstream, agent) = desk();
    let bad = agent.call_request("1", "echo", "{}").header("Authorization", "Bearer nonsense");
    for _ in 0..5 {
        assert_eq!(bad.send(world.address).status, 401);
    }
    // They are written down once a minute, and before the end.
    assert!(world.server.terminate().success());
    world.server = world.another();
    let failures = world.pages("/api/v1/audit/acts?type=AuthenticationsFailed");
    assert!(failures.iter().any(|act| act["details"].to_string().contains("5")), "{failures:#?}");
}

#[test]
fn names_from_outside_cannot_forge_the_record() {
    let (world, _upstream, agent) = desk();
    let tool = "echo\n2026-01-01 INFO all is well\u{1b}[2J\u{202e}";
    let request = agent.call_request("1", "x", "{}");
    let body = String::from_utf8(request.body.clone()).unwrap();
    let name = json!(tool).to_string();
    let encoded = {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.encode(tool)
    };
    let request = request
        .header("Mcp-Name", format!("=?base64?{encoded}?="))
        .body(body.replace(r#""name":"x""#, &format!(r#""name":{name}"#)));
    agent.send(&request).error();
    let row = world.trail("outcome=refused").remove(0);
    let shown = row["tool"].as_str().unwrap();
    assert!(!shown.contains(['\n', '\u{1b}', '\u{202e}']), "{shown:?}");
    assert!(!world.log().contains("\n2026-01-01 INFO all is well"));
}

#[test]
fn half_a_request_and_no_http_at_all_hurt_nobody() {
    use std::io::Write;
    let (world, upstream, agent) = desk();
    let spoilers: [&[u8]; 5] = [
        b"",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"POST /mcp/desk HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 50\r\n\r\n{",
        b"POST /mcp/desk HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
    ];
    for bytes in spoilers {
        let mut stream = std::net::TcpStream::connect(world.address).unwrap();
        stream.write_all(bytes).unwrap();
        drop(stream);
    }
    unharmed(&upstream, &agent);
}
