//! Revoking: what was acknowledged holds, at once and everywhere.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proctor_test_upstream::{Options, Upstream};
use serde_json::{Value, json};

use crate::agent::Agent;
use crate::rest::Session;
use crate::world::{Server, World, wait_until};

fn desk() -> (World, Upstream) {
    let world = World::start_behind_url(&[]);
    let upstream = Upstream::start(Options::default());
    world.desk(&upstream);
    (world, upstream)
}

/// Revokes while agents call as fast as they can, and looks at what was admitted after it.
fn revoke_under_load(
    world: &World,
    upstream: &Upstream,
    session: &Session,
    servers: &[&Server],
    revoke: impl FnOnce(),
) {
    let stop = AtomicBool::new(false);
    let reached_after = std::thread::scope(|scope| {
        for server in servers {
            for _ in 0..4 {
                let agent = Agent::modern(server, session);
                let stop = &stop;
                scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        agent.call("echo", "{}");
                    }
                });
            }
        }
        upstream.ledger().wait_until("calls", |record| record.calls().count() > 50);
        revoke();
        let reached = upstream.ledger().calls().len();
        std::thread::sleep(Duration::from_millis(500));
        let reached_after = upstream.ledger().calls().len() - reached;
        stop.store(true, Ordering::Relaxed);
        reached_after
    });
    // Every replica had confirmed: nothing more leaves.
    assert_eq!(reached_after, 0);
    let rows = world.trail(&format!("session={}&limit=500", session.id));
    let (mut admitted, mut cancelled) = (0, 0);
    for row in &rows {
        admitted += usize::from(row["outcome"] != "refused");
        cancelled += usize::from(row["outcome"] == "cancelled");
    }
    // Each call that arrived is on the record; one that was cancelled may have arrived, or not.
    let arrived = upstream.ledger().calls().len();
    assert!((admitted - cancelled..=admitted).contains(&arrived), "{arrived} of {admitted}");
}

#[test]
fn an_acknowledged_revocation_admits_nothing_more() {
    let (world, upstream) = desk();
    let session = world.mint("desk", "ada");
    revoke_under_load(&world, &upstream, &session, &[&world], || {
        let path = format!("/api/v1/sessions/{}/revoke?wait=true", session.id);
        world.post(&path, &json!({ "reason": "enough" })).ok();
    });
    let timeline = world.timeline(&session);
    let revoked = timeline.iter().position(|event| event["type"] == "SessionRevoked").unwrap();
    assert!(timeline[revoked..].iter().all(|event| event["type"] != "ToolCallAdmitted"));
    assert_eq!(Agent::modern(&world, &session).call("echo", "{}").status, 401);
}

#[test]
fn it_holds_on_another_process_of_the_same_folder_too() {
    let (world, upstream) = desk();
    let session = world.mint("desk", "ada");
    let other = world.another();
    revoke_under_load(&world, &upstream, &session, &[&world, &other], || {
        let path = format!("/api/v1/sessions/{}/revoke?wait=true", session.id);
        world.post(&path, &json!({ "reason": "enough" })).ok();
    });
}

#[test]
fn a_call_in_flight_is_cancelled_at_the_upstream_and_its_agent_is_told() {
    let (world, upstream) = desk();
    let session = world.mint("desk", "ada");
    let agent = Agent::modern(&world, &session);
    for meta in ["", r#""progressToken":1"#] {
        let session = world.mint("desk", "ada");
        let agent = Agent { token: session.token.clone(), ..agent.clone() };
        let before = upstream.ledger().read();
        let request = agent.call_request_with_meta("1", "slow", r#"{"milliseconds":60000}"#, meta);
        let sent = request.start(agent.address);
        let (calls, cancelled) = (before.calls().count(), before.cancelled.len());
        upstream.ledger().wait_until("the call", |record| record.calls().count() > calls);
        world.revoke(&session);
        upstream.ledger().wait_until("its cancellation", |record| record.cancelled.len() > cancelled);
        let answer = crate::agent::Answer::of(&sent.answer().read());
        answer.error();
        let row = world.trail(&format!("session={}", session.id)).remove(0);
        assert_eq!(row["outcome"], "cancelled", "{row}");
    }
    agent.call("echo", "{}").result();
}

#[test]
fn streams_of_a_revoked_session_are_closed() {
    let (world, _upstream) = desk();
    let session = world.mint("desk", "ada");
    let agent = Agent::modern(&world, &session);
    let listen = agent.request("5", "subscriptions/listen", r#""notifications":{"toolsListChanged":true}"#);
    let mut stream = listen.open(agent.address);
    stream.event().unwrap();
    world.revoke(&session);
    while stream.event().is_some() {}
}

#[test]
fn a_user_a_virtual_server_or_a_connection_is_cut_in_one_act() {
    for what in ["user", "virtual_server", "connection"] {
        let (world, upstream) = desk();
        let other = Upstream::start(Options::default());
        world.connect("other", &other.url());
        world.define("elsewhere", "other", &["echo"]);
        let hit = world.mint("desk", "ada");
        let spared = world.mint("elsewhere", "grace");
        let name = match what {
            "user" => "ada",
            "virtual_server" => "desk",
            _ => "fixture",
        };
        Agent::modern(&world, &hit).call("echo", "{}").result();
        let mut cut = json!({ "reason": "an incident" });
        cut[what] = json!(name);
        let answer = world.post("/api/v1/revocations", &cut).ok();
        assert!(answer.to_string().contains('1'), "{answer}");

        let answer = Agent::modern(&world, &hit).call("echo", "{}");
        assert!(answer.status == 401 || answer.json().get("error").is_some(), "{what}: {}", answer.text);
        assert_eq!(upstream.ledger().calls().len(), 1, "{what}");
        Agent::modern(&world, &spared).call("echo", "{}").result();
        // A cut ends what was opened so far, and nothing that comes after it.
        Agent::modern(&world, &world.mint("desk", "ada")).call("echo", "{}").result();
    }
}

#[test]
fn revoking_twice_is_as_good_as_once_and_the_unknown_is_404() {
    let (world, _upstream) = desk();
    let session = world.mint("desk", "ada");
    world.revoke(&session);
    world.revoke(&session);
    let revoked = |event: &&Value| event["type"] == "SessionRevoked";
    assert_eq!(world.timeline(&session).iter().filter(revoked).count(), 1);
    let unknown = "/api/v1/sessions/ses_0190a5b1-0000-7000-8000-000000000000/revoke";
    world.post(unknown, &json!({ "reason": "x" })).problem(404);
    for bad in [json!({ "reason": "x" }), json!({ "user": "a", "connection": "b", "reason": "x" })] {
        let answer = world.post("/api/v1/revocations", &bad);
        assert!(answer.status == 400 || answer.status == 422, "{}", answer.text());
    }
}

#[test]
fn a_process_that_was_paused_sends_nothing_stale() {
    let (world, upstream) = desk();
    let session = world.mint("desk", "ada");
    let other = world.another();
    let agent = Agent::modern(&other, &session);
    agent.call("echo", "{}").result();
    other.signal("STOP");
    let sent = agent.start_call("1", "echo", "{}");
    world.revoke(&session);
    other.signal("CONT");
    let answer = crate::agent::Answer::of(&sent.answer().read());
    assert!(answer.status == 401 || answer.json().get("error").is_some(), "{}", answer.text);
    assert_eq!(upstream.ledger().calls().len(), 1);
}

#[test]
fn waiting_for_every_replica_ends_with_the_lease_of_one_that_is_gone() {
    let world = World::start_with(&[("PROCTOR_LEASE_SECONDS", "2")]);
    let upstream = Upstream::start(Options::default());
    world.desk(&upstream);
    let session = world.mint("desk", "ada");
    let mut other = world.another();
    other.kill();
    let path = format!("/api/v1/sessions/{}/revoke?wait=true", session.id);
    world.post(&path, &json!({ "reason": "enough" })).ok();
    wait_until("the refusal", || Agent::modern(&world, &session).call("echo", "{}").status == 401);
}
