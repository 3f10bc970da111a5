//! The agents' door in the legacy era (2024-11-05 to 2025-11-25).

use proctor_test_upstream::{Eras, Options, UNKNOWN_RESULT_FIELDS, Upstream};
use serde_json::{Value, json};

use crate::agent::{Agent, Answer, INITIALIZE, LEGACY};
use crate::http::Request;
use crate::rest::Session;
use crate::world::{World, wait_until};

fn desk(options: Options) -> (World, Upstream, Session) {
    let world = World::start_behind_url(&[]);
    let upstream = Upstream::start(options);
    world.desk(&upstream);
    let session = world.mint("desk", "ada");
    (world, upstream, session)
}

#[test]
fn the_handshake_agrees_on_a_version_and_tells_who_we_are() {
    let (world, _upstream, session) = desk(Options::default());
    let agent = Agent::modern(&world, &session);
    for (asked, agreed) in [
        ("2024-11-05", "2024-11-05"),
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("1999-12-31", "2025-11-25"),
    ] {
        let answer = agent.post(&INITIALIZE.replace(LEGACY, asked)).send(agent.address);
        assert!(answer.header("mcp-session-id").is_some_and(|id| id.is_ascii()), "{:?}", answer.headers);
        let result = Answer::of(&answer).result();
        assert_eq!(result["protocolVersion"], agreed);
        assert_eq!(result["instructions"], "Use it well.");
        assert!(result["capabilities"]["tools"].is_object(), "{result}");
        assert_ne!(result["serverInfo"]["name"], "proctor-test-upstream");
    }
}

#[test]
fn a_legacy_agent_pings_lists_and_calls_and_bytes_stay() {
    for eras in [Eras::Modern, Eras::Legacy] {
        let (world, upstream, session) = desk(Options { eras, ..Options::default() });
        let agent = Agent::legacy(&world, &session);
        assert_eq!(agent.send(&agent.request("1", "ping", "")).result(), json!({}));
        assert_eq!(agent.tools().len(), 9);
        let arguments = r#"{"z":1.50,"a":[1e3,"é"],"n":123456789012345678901234567890}"#;
        let answer = agent.call("echo", arguments);
        assert_eq!(answer.result_member("structuredContent"), arguments);
        assert!(answer.text.contains(UNKNOWN_RESULT_FIELDS), "{}", answer.text);
        assert_eq!(upstream.ledger().calls()[0].arguments.as_deref(), Some(arguments));
        let row = &world.trail("")[0];
        assert_eq!((&row["client_name"], &row["client_version"]), (&json!("raw-agent"), &json!("1.2.3")));
        assert_eq!(row["protocol_version"], LEGACY);
    }
}

#[test]
fn any_process_serves_the_next_request_of_a_legacy_session() {
    let (mut world, _upstream, session) = desk(Options::default());
    let mut agent = Agent::legacy(&world, &session);
    let other = world.another();
    agent.address = other.address;
    agent.call("echo", "{}").result();
    world.crash_and_restart();
    agent.address = world.address;
    agent.call("echo", "{}").result();
}

#[test]
fn a_session_id_that_is_missing_invented_or_anothers_is_refused() {
    let (world, upstream, session) = desk(Options::default());
    let agent = Agent::legacy(&world, &session);
    let own = agent.legacy.clone().unwrap();
    let anothers = Agent::legacy(&world, &world.mint("desk", "grace")).legacy.unwrap();
    let again = Agent::legacy(&world, &world.mint("desk", "ada")).legacy.unwrap();
    let good = agent.call_request("1", "echo", "{}");
    let without = good.clone().without("mcp-session-id").send(world.address);
    assert_eq!(without.status, 400, "{}", without.text());
    let half = own[..own.len() / 2].to_owned();
    let mut flipped = own.clone().into_bytes();
    let middle = flipped.len() / 2;
    flipped[middle] = if flipped[middle] == b'A' { b'B' } else { b'A' };
    for bad in [anothers, again, "invented".to_owned(), half, String::from_utf8(flipped).unwrap()] {
        let answer = good.clone().header("Mcp-Session-Id", bad).send(world.address);
        assert_eq!(answer.status, 404, "{}", answer.text());
    }
    assert_eq!(upstream.ledger().calls().len(), 0);
    agent.send(&good).result();
}

#[test]
fn a_version_that_was_not_agreed_on_is_refused() {
    let (world, _upstream, session) = desk(Options::default());
    let agent = Agent::legacy(&world, &session);
    let good = agent.call_request("1", "echo", "{}");
    let answer = good.clone().header("MCP-Protocol-Version", "1999-12-31").send(world.address);
    assert_eq!(answer.status, 400, "{}", answer.text());
    // 2025-06-18: without the header, what was agreed on counts.
    agent.send(&good.without("mcp-protocol-version")).result();
}

#[test]
fn a_cancelled_call_is_cancelled_at_the_upstream() {
    for eras in [Eras::Modern, Eras::Legacy] {
        let (world, upstream, session) = desk(Options { eras, ..Options::default() });
        let agent = Agent::legacy(&world, &session);
        let _sent = agent.start_call(r#""mine""#, "slow", r#"{"milliseconds":60000}"#);
        upstream.ledger().wait_until("the call", |record| record.calls().count() == 1);
        let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"mine","reason":"changed my mind"}}"#;
        assert_eq!(agent.post(cancel).send(world.address).status, 202);
        upstream.ledger().wait_until("its cancellation", |record| record.cancelled.len() == 1);
        wait_until("the outcome", || world.trail("outcome=cancelled").len() == 1);
    }
}

#[test]
fn a_cancellation_that_lands_on_another_process_cancels_too() {
    let (world, upstream, session) = desk(Options::default());
    let mut agent = Agent::legacy(&world, &session);
    let _sent = agent.start_call("1", "slow", r#"{"milliseconds":60000}"#);
    upstream.ledger().wait_until("the call", |record| record.calls().count() == 1);
    let other = world.another();
    agent.address = other.address;
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
    assert_eq!(agent.post(cancel).send(agent.address).status, 202);
    upstream.ledger().wait_until("its cancellation", |record| record.cancelled.len() == 1);
}

#[test]
fn a_closed_connection_does_not_cancel_a_legacy_call() {
    let (world, upstream, session) = desk(Options::default());
    let agent = Agent::legacy(&world, &session);
    let sent = agent.start_call("1", "slow", r#"{"milliseconds":600}"#);
    upstream.ledger().wait_until("the call", |record| record.calls().count() == 1);
    drop(sent);
    wait_until("the outcome", || {
        let trail = world.trail("");
        trail.len() == 1 && trail[0]["outcome"] == "succeeded"
    });
    assert!(upstream.ledger().read().cancelled.is_empty());
}

#[test]
fn progress_is_told_under_the_agents_own_token() {
    for eras in [Eras::Modern, Eras::Legacy] {
        let (world, _upstream, session) = desk(Options { eras, ..Options::default() });
        let agent = Agent::legacy(&world, &session);
        let arguments = r#"{"milliseconds":60,"steps":3}"#;
        let request = agent.call_request_with_meta("7", "slow", arguments, r#""progressToken":42"#);
        let mut stream = request.open(agent.address);
        let mut told = 0;
        loop {
            let event: Value = serde_json::from_str(&stream.event().unwrap()).unwrap();
            if event["method"] != "notifications/progress" {
                assert_eq!(event["id"], 7);
                break;
            }
            assert_eq!(event["params"]["progressToken"], 42);
            told += 1;
        }
        assert_eq!(told, 3);
    }
}

#[test]
fn two_agents_on_one_token_with_the_same_request_ids_do_not_touch_each_other() {
    let (world, upstream, session) = desk(Options::default());
    let (one, two) = (Agent::legacy(&world, &session), Agent::legacy(&world, &session));
    let first = one.start_call("1", "slow", r#"{"milliseconds":1500}"#);
    upstream.ledger().wait_until("the first call", |record| record.calls().count() == 1);
    let _second = two.start_call("1", "slow", r#"{"milliseconds":60000}"#);
    upstream.ledger().wait_until("the second call", |record| record.calls().count() == 2);
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
    assert_eq!(two.post(cancel).send(world.address).status, 202);
    upstream.ledger().wait_until("its cancellation", |record| record.cancelled.len() == 1);
    assert_eq!(Answer::of(&first.answer().read()).content(), "waited");
    assert_eq!(upstream.ledger().read().cancelled.len(), 1);
}

#[test]
fn a_legacy_upstream_that_forgets_its_session_is_greeted_again() {
    let (world, upstream, session) = desk(Options { eras: Eras::Legacy, ..Options::default() });
    let agent = Agent::legacy(&world, &session);
    agent.call("echo", "{}").result();
    upstream.forget_sessions();
    // The call that finds out may fail, because nothing is ever called twice by itself.
    agent.call("echo", "{}");
    agent.call("echo", "{}").result();
}

#[test]
fn a_revision_is_told_to_who_listens() {
    let (world, _upstream, session) = desk(Options::default());
    let agent = Agent::legacy(&world, &session);
    let get = Request::new("GET", &agent.path)
        .header("Authorization", format!("Bearer {}", agent.token))
        .header("Accept", "text/event-stream");
    let without_handshake = get.send(world.address);
    assert_eq!(without_handshake.status, 405);
    let mut stream = get.header("Mcp-Session-Id", agent.legacy.clone().unwrap()).open(world.address);
    assert_eq!(stream.status, 200);
    world.revise("desk", vec![json!({ "connection": "fixture", "tool": "echo" })]);
    let told: Value = serde_json::from_str(&stream.event().unwrap()).unwrap();
    assert_eq!(told["method"], "notifications/tools/list_changed");
    world.revoke(&session);
    while stream.event().is_some() {}
}

#[test]
fn an_unknown_method_and_an_unknown_tool_have_their_errors() {
    let (world, _upstream, session) = desk(Options::default());
    let agent = Agent::legacy(&world, &session);
    assert_eq!(agent.send(&agent.request("1", "no/such/method", "")).error_code(), -32601);
    assert_eq!(agent.call("no_such_tool", "{}").error_code(), -32602);
}
