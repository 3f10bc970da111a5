//! The agents' door in the modern era (2026-07-28).

use proctor_test_upstream::{Answers, Eras, Options, UNKNOWN_RESULT_FIELDS, Upstream};
use serde_json::{Value, json};

use crate::agent::{Agent, Answer, MODERN};
use crate::http::Request;
use crate::world::World;

fn desk(options: Options) -> (World, Upstream, Agent) {
    let world = World::start();
    let upstream = Upstream::start(options);
    world.desk(&upstream);
    let agent = Agent::modern(&world, &world.mint("desk", "ada"));
    (world, upstream, agent)
}

#[test]
fn discovery_tells_versions_capabilities_and_instructions() {
    let (_world, _upstream, agent) = desk(Options::default());
    let result = agent.send(&agent.request("1", "server/discover", "")).result();
    assert!(result["supportedVersions"].as_array().unwrap().contains(&json!(MODERN)), "{result}");
    assert_eq!(result["capabilities"]["tools"]["listChanged"], true);
    assert_eq!(result["instructions"], "Use it well.");
    assert_eq!(result["resultType"], "complete");
    assert!(result["ttlMs"].is_u64(), "{result}");
    assert_eq!(result["cacheScope"], "private");
    let info = &result["_meta"]["io.modelcontextprotocol/serverInfo"];
    assert_ne!(info["name"], "proctor-test-upstream");
}

#[test]
fn a_list_is_private_and_always_in_the_same_order() {
    let (_world, _upstream, agent) = desk(Options::default());
    let result = agent.send(&agent.request(r#""a""#, "tools/list", "")).result();
    assert_eq!(result["cacheScope"], "private");
    assert!(result["ttlMs"].is_u64(), "{result}");
    assert_eq!(result["resultType"], "complete");
    assert_eq!(agent.tools(), agent.tools());
}

#[test]
fn a_long_list_comes_in_pages_and_a_cursor_is_good_for_its_own_list_alone() {
    let (world, _upstream, agent) = desk(Options::default());
    let named = |count: usize| {
        let tool = |n| json!({ "connection": "fixture", "tool": "echo", "name": format!("echo_{n:03}") });
        (0..count).map(tool).collect::<Vec<_>>()
    };
    world.revise("desk", named(250));
    let list = |params: &str| agent.send(&agent.request("1", "tools/list", params));
    let first = list("").result();
    assert_eq!(first["tools"].as_array().unwrap().len(), 100);
    let expected: Vec<String> = (0..250).map(|n| format!("echo_{n:03}")).collect();
    assert_eq!(agent.tools(), expected);
    let cursor = format!(r#""cursor":{}"#, first["nextCursor"]);
    list(&cursor).result();
    let other = Agent::modern(&world, &world.mint("desk", "ada"));
    assert_eq!(other.send(&other.request("1", "tools/list", &cursor)).error_code(), -32602);
    assert_eq!(list(r#""cursor":"invented""#).error_code(), -32602);
    world.revise("desk", named(240));
    assert_eq!(list(&cursor).error_code(), -32602, "the list has changed under the cursor");
}

#[test]
fn arguments_and_results_come_through_byte_for_byte() {
    for eras in [Eras::Modern, Eras::Legacy] {
        for answers in [Answers::Json, Answers::Sse] {
            let (world, upstream, agent) = desk(Options { eras, answers, ..Options::default() });
            let arguments = r#"{ "z":1.50, "a" : [1e3,"é\u00e9",{"y":1,"x":2}],"n":123456789012345678901234567890,"unknown":null}"#;
            let answer = agent.call("echo", arguments);
            assert_eq!(answer.result_member("structuredContent"), arguments);
            assert!(answer.text.contains(UNKNOWN_RESULT_FIELDS), "{}", answer.text);
            assert!(answer.text.contains(r#""com.example/kept":1.50"#), "{}", answer.text);
            assert_eq!(answer.result()["resultType"], "complete");
            let calls = upstream.ledger().calls();
            assert_eq!(calls[0].arguments.as_deref(), Some(arguments));

            let row = &world.trail("")[0];
            let record = world.get(&format!("/api/v1/audit/tool-calls/{}", row["call_id"].as_str().unwrap()));
            assert!(record.text().contains(arguments), "{}", record.text());
            assert!(record.text().contains(UNKNOWN_RESULT_FIELDS), "{}", record.text());
        }
    }
}

#[test]
fn ids_come_back_as_they_were() {
    let (_world, upstream, agent) = desk(Options::default());
    for id in ["0", "-7", r#""text""#, r#""é\n""#, "9007199254740993"] {
        let answer = agent.send(&agent.call_request(id, "echo", "{}"));
        assert_eq!(crate::agent::member(&answer.text, "id"), id);
    }
    let own: Vec<_> = upstream.ledger().calls().into_iter().filter_map(|call| call.id).collect();
    assert_eq!(own.len(), 5);
}

#[test]
fn errors_of_the_upstream_reach_the_agent_and_the_record() {
    let (world, _upstream, agent) = desk(Options::default());
    let error = agent.call("fail", "{}").error();
    assert_eq!((&error["code"], &error["message"]), (&json!(-32000), &json!("the upstream failed")));
    assert_eq!(agent.call("tool_error", "{}").result()["isError"], true);
    agent.call("vanish", "{}").error();
    let trail = world.trail("outcome=failed");
    assert_eq!(trail.len(), 3, "{trail:?}");
}

#[test]
fn parameters_named_by_the_schema_travel_in_headers_too() {
    let (_world, upstream, agent) = desk(Options { eras: Eras::Modern, ..Options::default() });
    for region in ["eu", "bären ", ""] {
        let shown = agent.definitions().into_iter().find(|tool| tool.contains(r#""route""#)).unwrap();
        let mut request = agent.call_request("1", "route", &json!({ "region": region }).to_string());
        if shown.contains("x-mcp-header") {
            request = request.header("Mcp-Param-Region", wrapped(region));
        }
        agent.send(&request).result();
    }
    assert!(upstream.ledger().calls().iter().all(|call| call.refused.is_none()));
}

fn wrapped(value: &str) -> String {
    use base64::Engine;
    if value.trim() == value && value.is_ascii() {
        return value.to_owned();
    }
    format!("=?base64?{}?=", base64::engine::general_purpose::STANDARD.encode(value))
}

#[test]
fn headers_that_disagree_with_the_body_are_refused() {
    let (world, upstream, agent) = desk(Options::default());
    let good = agent.call_request("1", "echo", "{}");
    for bad in [
        good.clone().header("Mcp-Method", "tools/list"),
        good.clone().header("Mcp-Name", "delete_thing"),
        good.clone().header("MCP-Protocol-Version", "2025-11-25"),
        good.clone().without("Mcp-Method"),
        good.clone().without("Mcp-Name"),
        good.clone().without("MCP-Protocol-Version"),
    ] {
        let answer = agent.send(&bad);
        assert_eq!((answer.status, answer.error_code()), (400, -32020), "{bad:?}");
    }
    assert_eq!(upstream.ledger().calls().len(), 0);
    assert_eq!(world.trail("outcome=succeeded").len(), 0);
    agent.send(&good).result();
}

#[test]
fn metadata_that_is_missing_or_of_an_unknown_version_is_refused() {
    let (_world, _upstream, agent) = desk(Options::default());
    let list = |meta: &str| {
        let body =
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{{"_meta":{{{meta}}}}}}}"#);
        agent.post(&body).header("MCP-Protocol-Version", MODERN).header("Mcp-Method", "tools/list")
    };
    let version = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28""#;
    let answer = agent.send(&list(version));
    assert_eq!((answer.status, answer.error_code()), (400, -32602));
    let unknown = r#""io.modelcontextprotocol/protocolVersion":"2099-01-01","io.modelcontextprotocol/clientCapabilities":{}"#;
    let answer = agent.send(&list(unknown).header("MCP-Protocol-Version", "2099-01-01"));
    assert_eq!((answer.status, answer.error_code()), (400, -32022));
    let supported = answer.error()["data"]["supported"].clone();
    assert!(supported.as_array().unwrap().contains(&json!(MODERN)), "{supported}");
}

#[test]
fn an_unknown_method_and_an_unknown_tool_have_their_errors() {
    let (_world, _upstream, agent) = desk(Options::default());
    let answer = agent.send(&agent.request("1", "no/such/method", ""));
    assert_eq!((answer.status, answer.error_code()), (404, -32601));
    for legacy_only in ["ping", "logging/setLevel", "resources/subscribe"] {
        let answer = agent.send(&agent.request("1", legacy_only, ""));
        assert_eq!((answer.status, answer.error_code()), (404, -32601), "{legacy_only}");
    }
    assert_eq!(agent.call("no_such_tool", "{}").error_code(), -32602);
}

#[test]
fn there_is_no_get_and_no_delete() {
    let (world, _upstream, agent) = desk(Options::default());
    for method in ["GET", "DELETE", "PUT"] {
        let request = Request::new(method, &agent.path)
            .header("Authorization", format!("Bearer {}", agent.token))
            .header("Accept", "text/event-stream")
            .header("MCP-Protocol-Version", MODERN);
        assert_eq!(request.send(world.address).status, 405, "{method}");
    }
}

#[test]
fn progress_is_told_on_the_stream_under_the_agents_own_token() {
    let (_world, upstream, agent) = desk(Options::default());
    let arguments = r#"{"milliseconds":60,"steps":3}"#;
    let request = agent.call_request_with_meta("7", "slow", arguments, r#""progressToken":"mine/é""#);
    let mut stream = request.open(agent.address);
    let mut steps = Vec::new();
    loop {
        let event: Value =
            serde_json::from_str(&stream.event().expect("a response ends the stream")).unwrap();
        if event["method"] != "notifications/progress" {
            assert_eq!((&event["id"], &event["result"]["isError"]), (&json!(7), &json!(false)));
            break;
        }
        assert_eq!(event["params"]["progressToken"], "mine/é");
        steps.push(event["params"]["progress"].as_u64().unwrap());
    }
    assert_eq!(steps, [1, 2, 3]);
    let sent = upstream.ledger().calls()[0].body.clone();
    assert!(!sent.contains("mine/é"), "two agents may choose the same token: {sent}");
}

#[test]
fn an_agent_that_goes_away_cancels_its_call() {
    for eras in [Eras::Modern, Eras::Legacy] {
        for meta in ["", r#""progressToken":1"#] {
            let (world, upstream, agent) = desk(Options { eras, ..Options::default() });
            let sent = agent
                .call_request_with_meta("1", "slow", r#"{"milliseconds":60000}"#, meta)
                .start(agent.address);
            upstream.ledger().wait_until("the call", |record| record.calls().count() == 1);
            drop(sent);
            upstream.ledger().wait_until("its cancellation", |record| record.cancelled.len() == 1);
            crate::world::wait_until("the outcome", || {
                let trail = world.trail("");
                trail.len() == 1 && trail[0]["outcome"] == "cancelled"
            });
        }
    }
}

#[test]
fn a_revision_is_told_to_who_listens() {
    let (world, _upstream, agent) = desk(Options::default());
    let listen = agent.request("5", "subscriptions/listen", r#""notifications":{"toolsListChanged":true}"#);
    let mut stream = listen.open(agent.address);
    assert_eq!(stream.status, 200);
    let first: Value = serde_json::from_str(&stream.event().unwrap()).unwrap();
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    world.revise("desk", vec![json!({ "connection": "fixture", "tool": "echo" })]);
    let told: Value = serde_json::from_str(&stream.event().unwrap()).unwrap();
    assert_eq!(told["method"], "notifications/tools/list_changed");
    assert_eq!(told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 5);
}

#[test]
fn hosts_and_origins_that_are_not_ours_are_refused() {
    let (world, upstream, agent) = desk(Options::default());
    let good = agent.call_request("1", "echo", "{}");
    let port = world.address.port();
    for bad in [
        good.clone().header("Host", "evil.example.com"),
        good.clone().header("Host", format!("evil.example.com:{port}")),
        good.clone().header("Origin", "https://evil.example.com"),
        good.clone().header("Origin", "null"),
    ] {
        let answer = bad.send(world.address);
        assert!((400..500).contains(&answer.status), "{bad:?}: {} {}", answer.status, answer.text());
    }
    assert_eq!(upstream.ledger().calls().len(), 0);
    agent.send(&good.clone().header("Host", format!("localhost:{port}"))).result();
    agent.send(&good.header("Origin", format!("http://127.0.0.1:{port}"))).result();
}

#[test]
fn many_calls_at_once_are_all_answered_with_their_own_results() {
    let (world, upstream, agent) = desk(Options::default());
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let agent = &agent;
        let threads = (0..16).map(|thread| {
            scope.spawn(move || {
                let one = |call: u32| {
                    let arguments = format!(r#"{{"text":"{thread}/{call}"}}"#);
                    // All agents use the same ids, as they may.
                    let answer: Answer = agent.send(&agent.call_request("1", "echo", &arguments));
                    (answer.result_member("structuredContent") != arguments).then_some(answer.text)
                };
                (0..20).filter_map(one).collect::<Vec<_>>()
            })
        });
        let threads: Vec<_> = threads.collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(upstream.ledger().count("echo"), 320);
    assert_eq!(world.trail("outcome=succeeded&limit=100").len(), 320);
}

#[test]
fn a_result_over_the_limit_is_an_error_and_an_outcome() {
    let world = World::start_with(&[("PROCTOR_RESULT_BYTES_MAX", "100000")]);
    let upstream = Upstream::start(Options::default());
    world.desk(&upstream);
    let agent = Agent::modern(&world, &world.mint("desk", "ada"));
    assert_eq!(agent.call("big", r#"{"bytes":50000}"#).content().len(), 50_000);
    agent.call("big", r#"{"bytes":200000}"#).error();
    assert_eq!(world.trail("outcome=failed").len(), 1);
}

#[test]
fn a_call_that_takes_too_long_is_ended_and_recorded() {
    let world = World::start_with(&[("PROCTOR_CALL_DEADLINE_MS", "200")]);
    let upstream = Upstream::start(Options::default());
    world.desk(&upstream);
    let agent = Agent::modern(&world, &world.mint("desk", "ada"));
    agent.call("slow", r#"{"milliseconds":60000}"#).error();
    upstream.ledger().wait_until("its end at the upstream", |record| record.cancelled.len() == 1);
    assert_eq!(world.trail("outcome=failed")[0]["reason"], "timeout");
}
