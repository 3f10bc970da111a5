//! Limits, as agents run into them: what they are told, and that nothing of a refused call leaves.

mod each_call;
mod session;
mod shared;

use std::time::Duration;

use proctor_test_upstream::{Options, Upstream};
use serde_json::{Value, json};

use crate::agent::{Agent, Answer};
use crate::rest::{ALL_TOOLS, Session, definition};
use crate::world::{Server, World};

fn none() -> Value {
    json!({})
}

/// The virtual server `desk` with all tools of `fixture`, each limited so.
fn desk(settings: &[(&str, &str)], of_server: &Value, of_connection: &Value) -> (World, Upstream) {
    let world = World::start_behind_url(settings);
    let upstream = Upstream::start(Options::default());
    let connection = json!({
        "name": "fixture", "transport": { "type": "http", "url": upstream.url() },
        "private_network": true, "limits": of_connection,
    });
    world.post("/api/v1/connections", &connection).expect(201);
    world.post("/api/v1/virtual-servers", &limited_desk(of_server, &none())).expect(201);
    (world, upstream)
}

fn limited_desk(limits: &Value, session_limits: &Value) -> Value {
    let tools = ALL_TOOLS.iter().map(|tool| json!({ "connection": "fixture", "tool": tool })).collect();
    let mut desk = definition("desk", tools);
    (desk["limits"], desk["session_limits"]) = (limits.clone(), session_limits.clone());
    desk
}

fn mint_limited(server: &Server, limits: &Value) -> Session {
    server.mint_with(&json!({ "virtual_server": "desk", "user": "ada", "limits": limits }))
}

/// An agent of each era on a session of its own.
fn both_eras(server: &Server) -> [Agent; 2] {
    [Agent::modern(server, &server.mint("desk", "ada")), Agent::legacy(server, &server.mint("desk", "ada"))]
}

/// The wait that a refusal for this reason tells of.
#[track_caller]
fn told_to_wait(answer: &Answer, reason: &str) -> Duration {
    let error = answer.error();
    assert_eq!((answer.status, &error["code"]), (200, &json!(-32000)), "{error}");
    assert_eq!(error["data"]["code"], reason, "{error}");
    let seconds = error["data"]["retry_after_seconds"].as_u64().unwrap_or_else(|| panic!("{error}"));
    assert!((1..=61).contains(&seconds), "{error}");
    // A model reads the message, and perhaps nothing else.
    let message = error["message"].as_str().unwrap();
    assert!(message.contains(&format!("try again in {seconds} s")), "{message}");
    Duration::from_secs(seconds)
}

/// Whether an answer is a refusal for this reason.
fn is_refused(answer: &Answer, reason: &str) -> bool {
    answer.json()["error"]["data"]["code"] == reason
}

/// How many refusals for this reason `/metrics` counts.
fn counted(server: &Server, reason: &str) -> u64 {
    let text = server.request("GET", "/metrics", None).send(server.address).text();
    let line = format!("proctor_calls_refused_total{{reason=\"{reason}\"}} ");
    text.lines().find_map(|found| found.strip_prefix(&line)?.parse().ok()).unwrap_or(0)
}
