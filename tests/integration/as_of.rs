//! How things stood at a moment in the past.

use std::time::Duration;

use proctor_test_upstream::{Options, Upstream};
use serde_json::{Value, json};

use crate::agent::Agent;
use crate::rest::Session;
use crate::world::{Server, World};

/// What is shown of a session, and the position that the answer has seen.
fn shown(server: &Server, session: &Session) -> (Value, String) {
    let answer = server.get(&path(session, ""));
    let position = answer.header("proctor-position").unwrap().to_owned();
    (answer.expect(200), position)
}

fn path(session: &Session, query: &str) -> String {
    format!("/api/v1/sessions/{}{query}", session.id)
}

/// What is shown of a session as of a moment, without the moment itself.
#[track_caller]
fn as_of(server: &Server, session: &Session, at: &str) -> (Value, Value) {
    let mut shown = server.get(&path(session, &format!("?at={at}"))).expect(200);
    let moment = shown.as_object_mut().unwrap().remove("as_of").unwrap();
    (shown, moment)
}

#[test]
fn what_is_shown_of_a_moment_is_what_was_shown_at_that_moment() {
    let world = World::start();
    let upstream = Upstream::start(Options::default());
    world.desk(&upstream);
    let before = world.get("/api/v1/virtual-servers/desk").header("proctor-position").unwrap().to_owned();
    let (one, two) = (world.mint("desk", "ada"), world.mint("desk", "ada"));
    let agent = Agent::modern(&world, &one);
    let mut seen = Vec::new();
    let mut see = || {
        let (one, at) = shown(&world, &one);
        let (two, _) = shown(&world, &two);
        let now = now();
        // Two moments that are to be told apart.
        std::thread::sleep(Duration::from_millis(5));
        seen.push((at, now, one, two));
    };
    see();
    agent.call("echo", "{}").result();
    see();
    agent.call("no_such_tool", "{}").error();
    see();
    agent.call("echo", "{}").result();
    see();
    world.revoke(&one);
    see();
    let cut = json!({ "user": "ada", "reason": "gone" });
    world.post("/api/v1/revocations", &cut).ok();
    see();
    world.post("/api/v1/virtual-servers/desk/retire", &json!({ "reason": "old" })).ok();
    see();
    let other = world.another();
    for (position, now, one_then, two_then) in &seen {
        for server in [&world.server, &other] {
            for at in [position, now] {
                let (shown, moment) = as_of(server, &one, at);
                assert_eq!(shown, *one_then, "as of {at}");
                assert_eq!(as_of(server, &two, at).0, *two_then, "as of {at}");
                assert_eq!(moment["position"].to_string(), *position, "as of {at}");
            }
        }
    }
    let states: Vec<_> = seen.iter().map(|(.., two)| two["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["open", "open", "open", "open", "open", "revoked", "revoked"]);
    let refused = world.get(&path(&one, &format!("?at={before}"))).expect(404);
    assert_eq!(refused["code"], "session_not_found");
}

/// The time in the form that clients write.
fn now() -> String {
    chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}

#[test]
fn a_moment_that_is_none_is_refused_with_what_there_is() {
    let world = World::start();
    let upstream = Upstream::start(Options::default());
    world.desk(&upstream);
    let session = world.mint("desk", "ada");
    let (_, head) = shown(&world, &session);
    let beyond = (head.parse::<u64>().unwrap() + 1).to_string();
    for (at, says) in [
        (&*beyond, &*format!("from 1 to {head}")),
        ("0", "from 1 to"),
        ("2999-01-01T00:00:00Z", "still to come"),
        ("yesterday", "RFC 3339"),
        ("-1", "RFC 3339"),
    ] {
        let refused = world.get(&path(&session, &format!("?at={at}"))).expect(400);
        assert_eq!(refused["code"], "invalid_query", "{at}");
        assert!(refused["detail"].as_str().unwrap().contains(says), "{at}: {refused}");
    }
    // Before anything was.
    world.get(&path(&session, "?at=2001-01-01T00:00:00Z")).expect(404);
    world.get(&path(&session, "?when=1")).expect(400);
}
