//! What comes into force without an administrator, where a connection is set so.

use super::*;

fn connection(upstream: &Upstream, drift: &str) -> Value {
    json!({
        "name": "fixture", "transport": { "type": "http", "url": upstream.url() },
        "auth": { "type": "none" }, "private_network": true, "drift": drift,
    })
}

/// A server with the connection on this policy.
fn scene(drift: &str) -> (World, Upstream, Agent) {
    let world = World::start_with(&[ALWAYS]);
    let upstream = Upstream::start(Options::default());
    upstream.put_tool("echo", &limited("Says what it is told.", 100));
    let made = world.post("/api/v1/connections", &connection(&upstream, drift)).expect(201);
    assert_eq!(made["drift"], drift);
    world.define("desk", "fixture", &["echo", "read_thing"]);
    let agent = Agent::modern(&world, &world.mint("desk", "ada"));
    (world, upstream, agent)
}

fn limited(description: &str, max: u32) -> String {
    let text = json!({ "type": "string", "maxLength": max });
    let schema = json!({ "type": "object", "properties": { "text": text } });
    json!({ "name": "echo", "description": description, "inputSchema": schema }).to_string()
}

#[test]
fn a_policy_that_accepts_what_narrows_lets_a_stricter_schema_through_and_nothing_else() {
    let (world, upstream, agent) = scene("narrowing");
    upstream.put_tool("echo", &limited("Says what it is told.", 50));
    wait_until("the change to be accepted", || acts(&world, "fixture", "CatalogAccepted").len() == 1);
    assert_eq!(differing(&world, "fixture"), []);
    assert!(agent.definitions().iter().any(|tool| tool.contains(r#""maxLength":50"#)));
    agent.call("echo", "{}").result();
    let accepted = acts(&world, "fixture", "CatalogAccepted").remove(0);
    assert_eq!(accepted["details"]["policy"], "narrowing");
    assert_eq!(accepted["details"]["tools"][0]["tool"], "echo");
    assert!(accepted["by"]["replica"].is_string(), "{accepted}");

    upstream.put_tool("echo", &limited("Says what it is told.", 60));
    wait_until_differing(&world, "fixture", &[("echo", "changed")]);
    assert_held(&agent, "echo");
    upstream.put_tool("echo", &limited("Says whatever it is told.", 40));
    upstream.put_tool("tag", r#"{"name":"tag","inputSchema":{"type":"object"}}"#);
    wait_until_differing(&world, "fixture", &[("echo", "changed"), ("tag", "new")]);
    assert_eq!(acts(&world, "fixture", "CatalogAccepted").len(), 1);
}

#[test]
fn a_policy_that_accepts_everything_does() {
    let (world, upstream, agent) = scene("all");
    upstream.put_tool("echo", &limited("Says whatever it likes.", 1_000));
    upstream.put_tool("tag", r#"{"name":"tag","inputSchema":{"type":"object"}}"#);
    upstream.remove_tool("big");
    let in_force = || world.get("/api/v1/connections/fixture/catalog").expect(200)["tools"].to_string();
    wait_until("everything to be accepted", || {
        let tools = in_force();
        tools.contains(r#""tag""#) && !tools.contains(r#""big""#) && tools.contains("whatever it likes")
    });
    agent.call("echo", "{}").result();
    assert_eq!(differing(&world, "fixture"), []);
    let accepted = acts(&world, "fixture", "CatalogAccepted");
    assert!(accepted.iter().all(|act| act["details"]["policy"] == "all"), "{accepted:?}");
}

#[test]
fn a_connection_may_be_set_to_another_policy_and_what_is_held_is_judged_by_that() {
    let (world, upstream, agent) = scene("hold");
    upstream.put_tool("echo", &limited("Says what it is told, and more.", 100));
    wait_until_differing(&world, "fixture", &[("echo", "changed")]);
    assert_held(&agent, "echo");
    let path = "/api/v1/connections/fixture";
    world.put(path, &connection(&upstream, "sometimes")).problem(422);
    assert_eq!(world.put(path, &connection(&upstream, "all")).expect(200)["drift"], "all");
    wait_until_differing(&world, "fixture", &[]);
    agent.call("echo", "{}").result();
}
