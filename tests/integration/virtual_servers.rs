//! Virtual servers: exactly the listed tools, as the administrator wants them to look.

use proctor_test_upstream::{Options, Upstream};
use serde_json::{Value, json};

use crate::agent::{Agent, member};
use crate::rest::definition;
use crate::world::World;

fn tool(name: &str) -> Value {
    json!({ "connection": "fixture", "tool": name })
}

#[test]
fn an_agent_sees_and_calls_exactly_the_listed_tools() {
    let world = World::start();
    let upstream = Upstream::start(Options::default());
    world.connect("fixture", &upstream.url());
    world.define("desk", "fixture", &["echo", "read_thing"]);
    let session = world.mint("desk", "ada");
    for agent in [Agent::modern(&world, &session), Agent::legacy(&world, &session)] {
        assert_eq!(agent.tools(), ["echo", "read_thing"]);
        agent.call("echo", "{}").result();
        assert_eq!(agent.call("delete_thing", r#"{"id":"1"}"#).error_code(), -32602);
    }
    assert_eq!(upstream.ledger().count("delete_thing"), 0);
    let refused = world.trail("outcome=refused");
    assert_eq!(refused[0]["tool"], "delete_thing");
    assert_eq!(refused[0]["reason"], "not_in_scope");
}

#[test]
fn an_empty_list_exposes_nothing() {
    let world = World::start();
    let upstream = Upstream::start(Options::default());
    world.connect("fixture", &upstream.url());
    world.define("desk", "fixture", &[]);
    let agent = Agent::modern(&world, &world.mint("desk", "ada"));
    assert_eq!(agent.tools(), Vec::<String>::new());
    agent.call("echo", "{}").error();
    assert_eq!(upstream.ledger().calls().len(), 0);
}

#[test]
fn definitions_come_through_byte_for_byte() {
    let world = World::start();
    let upstream = Upstream::start(Options::default());
    world.desk(&upstream);
    let session = world.mint("desk", "ada");
    for agent in [Agent::modern(&world, &session), Agent::legacy(&world, &session)] {
        for shown in agent.definitions() {
            let name: Value = serde_json::from_str(member(&shown, "name")).unwrap();
            // `route` may lose its `x-mcp-header`, which is between us and the upstream.
            if name != "route" {
                assert_eq!(shown, upstream.definition(name.as_str().unwrap()).unwrap());
            }
        }
    }
}

#[test]
fn an_unknown_connection_or_tool_is_refused_with_the_names_that_exist() {
    let world = World::start();
    let upstream = Upstream::start(Options::default());
    world.connect("fixture", &upstream.url());
    let unknown_tool = definition("desk", vec![tool("ecko")]);
    let problem = world.post("/api/v1/virtual-servers", &unknown_tool).problem(422);
    assert!(problem["detail"].as_str().unwrap().contains("echo"), "{problem}");
    let unknown_connection = definition("desk", vec![json!({ "connection": "fixtures", "tool": "echo" })]);
    let problem = world.post("/api/v1/virtual-servers", &unknown_connection).problem(422);
    assert!(problem["detail"].as_str().unwrap().contains("fixture"), "{problem}");
    world.get("/api/v1/virtual-servers/desk").problem(404);
}

#[test]
fn a_tool_can_have_another_name_and_description_and_fixed_arguments() {
    let world = World::start();
    let upstream = Upstream::start(Options::default());
    world.connect("fixture", &upstream.url());
    world.define_with(
        "desk",
        vec![json!({
            "connection": "fixture", "tool": "echo", "name": "say", "description": "Says it.",
            "fixed_arguments": { "tenant": "acme" },
        })],
    );
    let session = world.mint("desk", "ada");
    let agent = Agent::modern(&world, &session);
    let shown = agent.definitions();
    let shown: Value = serde_json::from_str(&shown[0]).unwrap();
    assert_eq!((&shown["name"], &shown["description"]), (&json!("say"), &json!("Says it.")));
    assert!(shown["inputSchema"]["properties"].get("tenant").is_none(), "{shown}");
    assert!(shown["inputSchema"]["properties"].get("text").is_some(), "{shown}");
    assert_eq!(shown["x-unknown"], json!({ "b": 1e3, "a": [1.50, "é", null] }));

    agent.call("say", r#"{"text":"hi"}"#).result();
    let calls = upstream.ledger().calls();
    let sent: Value = serde_json::from_str(calls[0].arguments.as_deref().unwrap()).unwrap();
    assert_eq!(sent, json!({ "text": "hi", "tenant": "acme" }));
    assert_eq!(calls[0].tool.as_deref(), Some("echo"));
    assert_eq!((calls[0].header("mcp-name"), &calls[0].refused), (Some("echo"), &None));

    agent.call("say", r#"{"text":"hi","tenant":"other"}"#).error();
    agent.call("echo", r#"{"text":"hi"}"#).error();
    assert_eq!(upstream.ledger().calls().len(), 1);
    let reasons: Vec<_> = world.trail("outcome=refused").iter().map(|row| row["reason"].clone()).collect();
    assert_eq!(reasons, ["not_in_scope", "arguments_refused"]);
}

#[test]
fn tools_of_the_same_name_are_told_apart() {
    let world = World::start();
    let (one, two) = (Upstream::start(Options::default()), Upstream::start(Options::default()));
    world.connect("one", &one.url());
    world.connect("two", &two.url());
    let tools = ["one", "two"].map(|connection| json!({ "connection": connection, "tool": "echo" }));
    world.define_with("desk", tools.to_vec());
    let agent = Agent::modern(&world, &world.mint("desk", "ada"));
    let names = agent.tools();
    assert_eq!(names.len(), 2);
    assert_ne!(names[0], names[1]);
    for name in &names {
        agent.call(name, "{}").result();
    }
    assert_eq!((one.ledger().count("echo"), two.ledger().count("echo")), (1, 1));
}

#[test]
fn a_revision_takes_effect_at_once_and_versions_are_kept() {
    let world = World::start();
    let upstream = Upstream::start(Options::default());
    world.connect("fixture", &upstream.url());
    world.define("desk", "fixture", &["echo"]);
    let session = world.mint("desk", "ada");
    let agent = Agent::modern(&world, &session);
    assert_eq!(agent.tools(), ["echo"]);

    world.revise("desk", vec![tool("read_thing")]);
    assert_eq!(agent.tools(), ["read_thing"]);
    agent.call("echo", "{}").error();
    agent.call("read_thing", "{}").result();
    let trail = world.trail(&format!("session={}&outcome=succeeded", session.id));
    assert_eq!(trail[0]["version"], 2);

    let versions = world.pages("/api/v1/virtual-servers/desk/versions");
    assert_eq!(versions.len(), 2, "{versions:?}");
    let shown = world.get("/api/v1/virtual-servers/desk").expect(200);
    assert_eq!(shown["version"], 2);
    assert_eq!(shown["tools"][0]["tool"], "read_thing");
}

#[test]
fn the_manifest_says_what_it_costs_beside_the_whole_connections() {
    let world = World::start();
    let upstream = Upstream::start(Options::default());
    world.connect("fixture", &upstream.url());
    world.define("desk", "fixture", &["echo"]);
    let manifest = world.get("/api/v1/virtual-servers/desk/manifest").expect(200);
    assert_eq!(manifest["tools"][0]["name"], "echo");
    let tokens = manifest["tokens"].as_u64().unwrap_or_else(|| panic!("{manifest}"));
    let whole = manifest["whole_connections_tokens"].as_u64().unwrap_or_else(|| panic!("{manifest}"));
    assert!(0 < tokens && tokens < whole, "{manifest}");
}

#[test]
fn a_retired_virtual_server_ends_its_sessions_and_keeps_its_name() {
    let world = World::start();
    let upstream = Upstream::start(Options::default());
    world.desk(&upstream);
    let agent = Agent::modern(&world, &world.mint("desk", "ada"));
    agent.call("echo", "{}").result();
    world.post("/api/v1/virtual-servers/desk/retire", &json!({ "reason": "done" })).ok();
    assert_eq!(agent.call("echo", "{}").status, 401);
    assert_eq!(upstream.ledger().calls().len(), 1);
    world.post("/api/v1/virtual-servers", &definition("desk", vec![tool("echo")])).problem(409);
    let mint = json!({ "virtual_server": "desk", "user": "ada" });
    let refused = world.post("/api/v1/sessions", &mint);
    assert!((400..500).contains(&refused.status), "{}", refused.text());
}

#[test]
fn a_definition_that_makes_no_sense_is_refused_with_its_reason() {
    let world = World::start();
    let upstream = Upstream::start(Options::default());
    world.connect("fixture", &upstream.url());
    let named = |name: &str| definition(name, vec![tool("echo")]);
    let with = |tools: Value| {
        let mut body = named("desk");
        body["tools"] = tools;
        body
    };
    let mut capture = named("desk");
    capture["capture"] = json!("everything");
    let clash = json!([
        { "connection": "fixture", "tool": "echo", "name": "same" },
        { "connection": "fixture", "tool": "big", "name": "same" },
    ]);
    let fixed = json!([{ "connection": "fixture", "tool": "echo", "fixed_arguments": ["no object"] }]);
    for body in [
        named("Desk"),
        named("-desk"),
        named(&"a".repeat(64)),
        named("a/b"),
        with(clash),
        with(fixed),
        with(json!([{ "connection": "fixture", "tool": "echo", "name": "no spaces" }])),
        with(json!([{ "connection": "fixture" }])),
        with(json!("echo")),
        capture,
    ] {
        let answer = world.post("/api/v1/virtual-servers", &body);
        assert!(answer.status == 400 || answer.status == 422, "{body}: {} {}", answer.status, answer.text());
        answer.problem(answer.status);
    }
    world.post("/api/v1/virtual-servers", &named(&format!("a{}", "b".repeat(62)))).ok();
}
