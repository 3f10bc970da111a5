//! Prompts, resources, completions, log messages and wishes for input through the door, in both eras and
//! across them. The official suite looks at each of them; here is what it does not: that they are scoped,
//! on the record, told apart, and cross eras and processes.

use proctor_test_upstream::conformance::Fixture;
use serde_json::{Value, json};

use crate::agent::{Agent, Answer};
use crate::http::Stream;
use crate::rest::Session;
use crate::world::{Server, World, wait_until};

const ASKED: &str = r#"{"elicitation":{},"sampling":{},"roots":{}}"#;

fn of<const N: usize>(connection: &str, member: &str, names: [&str; N]) -> Vec<Value> {
    names.iter().map(|name| json!({ "connection": connection, member: name })).collect()
}

/// The virtual server `desk` with a few things of one connection `fixture`.
fn desk(server: &Server, fixture: &Fixture) -> Session {
    server.connect("fixture", &fixture.url());
    let tools = ["test_elicitation", "test_sampling", "test_tool_with_logging", "test_simple_text"];
    let definition = json!({
        "name": "desk",
        "tools": of("fixture", "tool", tools),
        "prompts": [
            { "connection": "fixture", "prompt": "test_simple_prompt", "name": "simple", "description": "Short." },
            { "connection": "fixture", "prompt": "test_prompt_with_arguments" },
        ],
        "resources": of("fixture", "uri", ["test://static-text"]),
        "resource_templates": of("fixture", "uri_template", ["test://template/{id}/data"]),
    });
    server.post("/api/v1/virtual-servers", &definition).ok();
    server.mint("desk", "a user")
}

/// A request that is named in a header in the modern era.
fn named(agent: &Agent, method: &str, name: &str, params: &str) -> Answer {
    let request = agent.request("7", method, params);
    let request = if agent.legacy.is_some() { request } else { request.header("Mcp-Name", name) };
    agent.send(&request)
}

fn read(agent: &Agent, uri: &str) -> Answer {
    named(agent, "resources/read", uri, &format!(r#""uri":{}"#, Value::from(uri)))
}

fn listed(agent: &Agent, method: &str, list: &str, member: &str) -> Vec<String> {
    let result = agent.send(&agent.request("1", method, "")).result();
    let items = result[list].as_array().unwrap().iter();
    items.map(|item| item[member].as_str().unwrap().to_owned()).collect()
}

/// Agents of both eras, in front of upstreams of both.
fn in_all_eras(look: impl Fn(&Server, &Session, &Agent)) {
    for fixture in [Fixture::start(), Fixture::start_legacy()] {
        let world = World::start();
        let session = desk(&world.server, &fixture);
        for agent in [Agent::modern(&world.server, &session), Agent::legacy(&world.server, &session)] {
            look(&world.server, &session, &agent);
        }
    }
}

#[test]
fn an_agent_sees_and_gets_what_is_exposed_and_nothing_else() {
    in_all_eras(|_, _, agent| {
        assert_eq!(
            listed(agent, "prompts/list", "prompts", "name"),
            ["simple", "test_prompt_with_arguments"]
        );
        assert_eq!(listed(agent, "prompts/list", "prompts", "description")[0], "Short.");
        assert_eq!(listed(agent, "resources/list", "resources", "uri"), ["test://static-text"]);
        let templates = listed(agent, "resources/templates/list", "resourceTemplates", "uriTemplate");
        assert_eq!(templates, ["test://template/{id}/data"]);

        let prompt = named(agent, "prompts/get", "simple", r#""name":"simple""#).result();
        assert!(prompt["messages"][0]["content"]["text"].is_string(), "{prompt}");
        assert_eq!(read(agent, "test://static-text").result()["contents"][0]["uri"], "test://static-text");
        let data = read(agent, "test://template/7/data").result();
        assert!(data["contents"][0]["text"].as_str().unwrap().contains('7'), "{data}");
        let completion = r#""ref":{"type":"ref/prompt","name":"test_prompt_with_arguments"},"argument":{"name":"arg1","value":"t"}"#;
        let completed = agent.send(&agent.request("2", "completion/complete", completion)).result();
        assert!(completed["completion"]["values"].is_array(), "{completed}");

        let not_found = if agent.legacy.is_some() { -32_002 } else { -32_602 };
        for uri in ["test://static-binary", "test://template/../data", "test://template/a%2F..%2Fb/data"] {
            let refused = read(agent, uri);
            assert_eq!(refused.error_code(), not_found, "{uri}");
            assert_eq!(refused.error()["data"]["uri"], uri);
        }
        // By the name that the upstream knows it is not exposed.
        let hidden = named(agent, "prompts/get", "test_simple_prompt", r#""name":"test_simple_prompt""#);
        assert_eq!(hidden.error_code(), -32_602);
        let hidden =
            r#""ref":{"type":"ref/resource","uri":"test://other/{id}"},"argument":{"name":"id","value":""}"#;
        assert_eq!(agent.send(&agent.request("3", "completion/complete", hidden)).error_code(), -32_602);
    });
}

/// What the journal says openly of a session.
fn written(server: &Server, session: &Session) -> String {
    server.timeline(session).iter().map(|event| event["data"].to_string()).collect()
}

#[test]
fn each_of_them_is_a_call_on_the_record_and_a_uri_is_sealed() {
    in_all_eras(|server, session, agent| {
        read(agent, "test://template/of-alice/data").result();
        read(agent, "test://secret/of-bob");
        named(agent, "prompts/get", "simple", r#""name":"simple""#).result();
        listed(agent, "resources/list", "resources", "uri");
        let rows = server.trail(&format!("session={}", session.id));
        let row = |method: &str, outcome: &str| -> Value {
            let is_it = |row: &&Value| row["method"] == method && row["outcome"] == outcome;
            rows.iter().find(is_it).unwrap_or_else(|| panic!("{method} {outcome}: {rows:#?}")).clone()
        };
        let template = row("resources/read", "succeeded");
        assert_eq!(
            (&template["tool"], &template["connection"]),
            (&json!("test://template/{id}/data"), &json!("fixture"))
        );
        let whole = server.call_on_record(template["call_id"].as_str().unwrap());
        assert_eq!(whole["arguments"], json!({ "uri": "test://template/of-alice/data" }));
        let refused = row("resources/read", "refused");
        assert_eq!((&refused["tool"], &refused["reason"]), (&json!("test:"), &json!("not_in_scope")));
        let prompt = row("prompts/get", "succeeded");
        assert_eq!(
            (&prompt["tool"], &prompt["upstream_tool"]),
            (&json!("simple"), &json!("test_simple_prompt"))
        );
        assert_eq!(row("resources/list", "succeeded")["tool"], "");
        let written = written(server, session);
        assert!(!written.contains("of-alice") && !written.contains("of-bob"), "{written}");
    });
}

#[test]
fn what_two_connections_have_under_one_uri_is_told_apart() {
    let (one, other) = (Fixture::start(), Fixture::start_legacy());
    let world = World::start();
    let server = &world.server;
    server.connect("one", &one.url());
    server.connect("other", &other.url());
    let uri = "test://static-text";
    let prompt = ["test_simple_prompt"];
    let prompts = [of("one", "prompt", prompt), of("other", "prompt", prompt)].concat();
    let resources = [of("one", "uri", [uri]), of("other", "uri", [uri, "test://embedded-resource"])].concat();
    let definition = json!({
        "name": "both",
        "tools": of("other", "tool", ["test_embedded_resource"]),
        "prompts": prompts,
        "resources": resources,
    });
    server.post("/api/v1/virtual-servers", &definition).ok();
    let session = server.mint("both", "a user");
    for agent in [Agent::modern(server, &session), Agent::legacy(server, &session)] {
        let mut found = Vec::new();
        let mut params = String::new();
        loop {
            let page = agent.send(&agent.request("1", "resources/list", &params)).result();
            found.extend(page["resources"].as_array().unwrap().iter().map(|it| it["uri"].clone()));
            let Some(cursor) = page["nextCursor"].as_str() else { break };
            params = format!(r#""cursor":{}"#, Value::from(cursor));
        }
        assert_eq!(found, ["proctor:one/test://static-text", "proctor:other/test://static-text"]);
        assert_eq!(
            listed(&agent, "prompts/list", "prompts", "name"),
            ["one_test_simple_prompt", "other_test_simple_prompt"]
        );
        for shown in found {
            let result = read(&agent, shown.as_str().unwrap()).result();
            assert_eq!(result["contents"][0]["uri"], shown, "what is read is named as it was asked for");
        }
        read(&agent, uri).error();
        let link = agent.call("test_embedded_resource", "{}").result();
        assert_eq!(link["content"][0]["resource"]["uri"], "proctor:other/test://embedded-resource");
    }
    let rows = server.trail(&format!("session={}&method=resources/read&outcome=succeeded", session.id));
    let connections: Vec<_> = rows.iter().rev().map(|row| row["connection"].as_str().unwrap()).collect();
    assert_eq!(connections, ["one", "other", "one", "other"]);
}

/// Calls a tool that asks something, and hands out the stream and what is asked.
fn asked(agent: &Agent, tool: &str, arguments: &str) -> (Stream, Value) {
    let mut stream = agent.start_call("5", tool, arguments).answer();
    let wish: Value = serde_json::from_str(&stream.event().unwrap()).unwrap();
    (stream, wish)
}

fn answer(agent: &Agent, wish: &Value, result: &Value) -> u16 {
    let body = json!({ "jsonrpc": "2.0", "id": wish["id"], "result": result });
    agent.post(&body.to_string()).send(agent.address).status
}

#[test]
fn a_legacy_agent_is_asked_what_an_upstream_of_either_era_wants_and_answers_at_any_process() {
    for fixture in [Fixture::start(), Fixture::start_legacy()] {
        let world = World::start_behind_url(&[]);
        let session = desk(&world.server, &fixture);
        let agent = Agent::legacy_who_can(&world.server, &session, ASKED);
        let second = world.another();
        let elsewhere = Agent { address: second.address, ..agent.clone() };
        // A process that has just come is known to read all only after a moment.
        for through in [&agent, &elsewhere, &agent] {
            let wish = wait_for_wish(&agent);
            let (mut stream, wish) = wish;
            assert_eq!(wish["method"], "elicitation/create");
            assert_eq!(wish["params"]["requestedSchema"]["required"], json!(["username", "email"]));
            let given = json!({ "action": "accept", "content": { "username": "alice", "email": "a@b" } });
            assert_eq!(answer(through, &wish, &given), 202);
            let result: Value = serde_json::from_str(&stream.event().unwrap()).unwrap();
            assert!(result["result"]["content"][0]["text"].as_str().unwrap().contains("alice"), "{result}");
            assert_eq!(answer(through, &wish, &given), 202, "a second answer says nothing");
        }
        let timeline = world.server.timeline(&session);
        let count = |kind: &str| timeline.iter().filter(|event| event["type"] == kind).count();
        assert_eq!((count("InputRequested"), count("InputGiven")), (3, 3), "{timeline:#?}");
        let written = written(&world.server, &session);
        assert!(!written.contains("alice") && !written.contains("a@b"), "{written}");
    }
}

fn wait_for_wish(agent: &Agent) -> (Stream, Value) {
    let mut wish = None;
    wait_until("the agent is asked", || {
        let (stream, message) = asked(agent, "test_elicitation", r#"{"message":"Who?"}"#);
        wish = message.get("method").is_some().then_some((stream, message));
        wish.is_some()
    });
    wish.unwrap()
}

#[test]
fn an_agent_that_declares_nothing_is_asked_nothing() {
    in_all_eras(|_, _, agent| {
        let refused = agent.call("test_elicitation", r#"{"message":"Who?"}"#);
        assert!(refused.text.contains("error") || refused.result()["isError"] == true, "{}", refused.text);
    });
}

#[test]
fn a_revocation_ends_the_wait_for_an_agents_answer() {
    for fixture in [Fixture::start(), Fixture::start_legacy()] {
        let world = World::start();
        let session = desk(&world.server, &fixture);
        let agent = Agent::legacy_who_can(&world.server, &session, ASKED);
        let (mut stream, wish) = wait_for_wish(&agent);
        world.server.revoke(&session);
        let ended: Value = serde_json::from_str(&stream.event().unwrap()).unwrap();
        assert!(ended.get("error").is_some(), "{ended}");
        assert_eq!(answer(&agent, &wish, &json!({ "action": "decline" })), 401);
    }
}

#[test]
fn what_a_modern_agent_brings_back_serves_its_own_request_and_session_alone() {
    let fixture = Fixture::start();
    let world = World::start();
    let session = desk(&world.server, &fixture);
    let agent = Agent::modern_who_can(&world.server, &session, ASKED);
    let mut first = Value::Null;
    wait_until("input is asked for", || {
        first =
            agent.call("test_elicitation", r#"{"message":"Who?","x":[1,{"a":1,"b":2}]}"#).json()["result"]
                .clone();
        first["resultType"] == "input_required"
    });
    let (key, wish) = first["inputRequests"].as_object().unwrap().iter().next().unwrap();
    assert_eq!(wish["method"], "elicitation/create");
    let responses =
        json!({ key.as_str(): { "action": "accept", "content": { "username": "alice", "email": "a@b" } } });
    let again = |agent: &Agent, arguments: &str, state: &Value| {
        let params = format!(
            r#""name":"test_elicitation","arguments":{arguments},"inputResponses":{responses},"requestState":{state}"#
        );
        agent.send(&agent.request("9", "tools/call", &params).header("Mcp-Name", "test_elicitation"))
    };
    let state = &first["requestState"];
    let other = Agent::modern_who_can(&world.server, &world.server.mint("desk", "another"), ASKED);
    let tampered = Value::from(format!("{}A", state.as_str().unwrap()));
    let arguments = r#"{"message":"Who?","x":[1,{"a":1,"b":2}]}"#;
    for (agent, arguments, state) in [
        (&other, arguments, state),
        (&agent, r#"{"message":"Someone else?"}"#, state),
        (&agent, arguments, &tampered),
        (&agent, arguments, &json!(7)),
    ] {
        assert_eq!(again(agent, arguments, state).error()["data"]["code"], "invalid_request_state");
    }
    let done = again(&agent, r#"{ "x":[1,{"b":2,"a":1}], "message":"Who?" }"#, state);
    assert!(done.content().contains("alice"), "{}", done.text);
    let rows = world.server.trail(&format!("session={}", session.id));
    let wished = rows.iter().find(|row| row["outcome"] == "input_required").unwrap();
    let brought = rows.iter().find(|row| row["outcome"] == "succeeded").unwrap();
    assert_eq!(brought["continues"], wished["call_id"]);
    let whole = world.server.call_on_record(brought["call_id"].as_str().unwrap());
    assert_eq!(whole["input"], responses);
}

#[test]
fn nothing_is_written_while_a_process_is_alive_that_could_not_read_it() {
    let fixture = Fixture::start();
    let world = World::start();
    world.sql(
        "INSERT INTO leases (replica, ends_at, confirmed, reads) VALUES ('rep_old', 9000000000000000, 0, 2)",
    );
    let session = desk(&world.server, &fixture);
    let agent = Agent::legacy_who_can(&world.server, &session, ASKED);
    // It is counted every few seconds who is there.
    wait_until("the older process is noticed", || read(&agent, "test://static-text").status == 503);
    assert_eq!(agent.send(&agent.request("1", "logging/setLevel", r#""level":"info""#)).status, 503);
    agent.call("test_simple_text", "{}").result();
    assert!(!agent.call("test_elicitation", r#"{"message":"Who?"}"#).text.contains("elicitation/create"));
    world.sql("DELETE FROM leases WHERE replica = 'rep_old'");
    wait_until("it is gone", || read(&agent, "test://static-text").status == 200);
}

#[test]
fn a_legacy_agent_hears_log_messages_from_the_level_that_it_set() {
    for fixture in [Fixture::start(), Fixture::start_legacy()] {
        let world = World::start();
        let session = desk(&world.server, &fixture);
        let (agent, other) = (Agent::legacy(&world.server, &session), Agent::legacy(&world.server, &session));
        let set = |level: &str| {
            agent.send(&agent.request("1", "logging/setLevel", &format!(r#""level":"{level}""#)))
        };
        assert_eq!(set("loud").error_code(), -32_602);
        let heard = |agent: &Agent| {
            let text = agent.start_call("2", "test_tool_with_logging", "{}").answer().read().text();
            text.matches("notifications/message").count()
        };
        set("debug").result();
        assert!(heard(&agent) >= 3);
        set("emergency").result();
        assert_eq!(heard(&agent), 0);
        let _whatever_it_likes = heard(&other);
        set("emergency").result();
        let timeline = world.server.timeline(&session);
        let levels = timeline.iter().filter(|event| event["type"] == "LogLevelSet").count();
        assert_eq!(levels, 2, "the same again is no event");
    }
}
