//! A session's own limits, which are exact.

use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{both_eras, counted, desk, is_refused, limited_desk, mint_limited, none, told_to_wait};
use crate::agent::Agent;
use crate::world::wait_until;

const REASON: &str = "calls_per_minute_max_reached";

#[test]
fn one_call_too_many_in_a_minute_is_refused_on_the_record_and_never_leaves() {
    let (world, upstream) = desk(&[], &none(), &none());
    for era in [Agent::modern, Agent::legacy] {
        let session = mint_limited(&world, &json!({ "calls_per_minute_max": 2 }));
        let agent = era(&world, &session);
        let before = upstream.ledger().calls().len();
        // What is refused for another reason does not count.
        agent.call("no_such_tool", "{}").error();
        for _ in 0..2 {
            agent.call("echo", "{}").result();
        }
        for _ in 0..3 {
            assert!(told_to_wait(&agent.call("echo", "{}"), REASON) > Duration::from_secs(30));
        }
        told_to_wait(&agent.call("read_thing", "{}"), REASON);
        assert_eq!(upstream.ledger().calls().len() - before, 2);

        let refused = world.trail(&format!("session={}&outcome=refused", session.id));
        let reasons: Vec<&str> = refused.iter().map(|row| row["reason"].as_str().unwrap()).collect();
        assert_eq!(reasons, [REASON, REASON, "not_in_scope"]);
        let timeline = world.timeline(&session);
        let event = timeline.iter().find(|event| event["data"].to_string().contains(REASON)).unwrap();
        assert!(event["data"].to_string().contains("\"retry_at\":"), "{event}");
        let shown = world.get(&format!("/api/v1/sessions/{}", session.id)).expect(200);
        assert_eq!(shown["limits"], json!({ "calls_max": 10_000, "calls_per_minute_max": 2 }));
        assert_eq!(shown["state"], "open");
    }
    assert_eq!(counted(&world, REASON), 8);
}

#[test]
fn two_processes_that_are_hammered_admit_exactly_as_many_calls_as_a_session_may_make() {
    const MOST: usize = 25;
    let (world, upstream) = desk(&[], &none(), &none());
    let other = world.another();
    let session = mint_limited(&world, &json!({ "calls_per_minute_max": MOST }));
    let began = Instant::now();
    let refused = Mutex::new(0);
    thread::scope(|scope| {
        for (server, tool) in [&*world, &other].into_iter().zip(["echo", "read_thing"]).cycle().take(8) {
            let agent = Agent::modern(server, &session);
            let refused = &refused;
            scope.spawn(move || {
                for _ in 0..20 {
                    let answer = agent.call(tool, "{}");
                    *refused.lock().unwrap() += usize::from(is_refused(&answer, REASON));
                }
            });
        }
    });
    assert!(began.elapsed() < Duration::from_secs(60), "too slow to show anything");
    assert_eq!(upstream.ledger().calls().len(), MOST);
    assert_eq!(refused.into_inner().unwrap(), 160 - MOST);
    let admitted =
        world.timeline(&session).iter().filter(|event| event["type"] == "ToolCallAdmitted").count();
    assert_eq!(admitted, MOST);
}

#[test]
fn who_waits_as_long_as_told_is_let_through() {
    // All at once, because each wait is a minute long.
    let minute = json!({ "calls_per_minute_max": 1 });
    let of = |of_server: &Value, of_connection: &Value, reason| {
        let (world, upstream) = desk(&[], of_server, of_connection);
        let agents = both_eras(&world);
        agents[0].call("echo", "{}").result();
        (world, upstream, agents, reason)
    };
    let (world, upstream) = desk(&[], &none(), &none());
    let paced = [Agent::modern, Agent::legacy].map(|era| era(&world, &mint_limited(&world, &minute)));
    for agent in &paced {
        agent.call("echo", "{}").result();
    }
    let places = [
        (world, upstream, paced, REASON),
        of(&minute, &none(), "virtual_server_rate_reached"),
        of(&none(), &minute, "connection_rate_reached"),
    ];
    thread::scope(|scope| {
        for (_, upstream, agents, reason) in &places {
            let before = upstream.ledger().calls().len();
            // One limit for both where they share it: who comes first is let through.
            let own = *reason == REASON;
            let waits = agents.each_ref().map(|agent| told_to_wait(&agent.call("echo", "{}"), reason));
            assert_eq!(upstream.ledger().calls().len(), before);
            for (agent, wait) in agents.iter().zip(waits).take(if own { 2 } else { 1 }) {
                scope.spawn(move || {
                    thread::sleep(wait);
                    agent.call("echo", "{}").result();
                    told_to_wait(&agent.call("echo", "{}"), reason);
                });
            }
        }
    });
}

#[test]
fn a_virtual_servers_session_limits_hold_for_sessions_that_bring_none() {
    let (world, _upstream) = desk(&[], &none(), &none());
    let limits = json!({ "calls_max": 3, "calls_per_minute_max": 2 });
    let revised = world.put("/api/v1/virtual-servers/desk", &limited_desk(&none(), &limits)).ok();
    assert_eq!(revised["session_limits"], limits);
    let terms = |session: &crate::rest::Session| {
        world.get(&format!("/api/v1/sessions/{}", session.id)).expect(200)["limits"].clone()
    };
    let session = world.mint("desk", "ada");
    assert_eq!(terms(&session), limits);
    assert_eq!(
        terms(&mint_limited(&world, &json!({ "calls_per_minute_max": 9 }))),
        json!({ "calls_max": 3, "calls_per_minute_max": 9 })
    );
    // A session keeps the terms that it was opened on.
    world.put("/api/v1/virtual-servers/desk", &limited_desk(&none(), &none())).ok();
    let agent = Agent::modern(&world, &session);
    agent.call("echo", "{}").result();
    agent.call("echo", "{}").result();
    told_to_wait(&agent.call("echo", "{}"), REASON);
    let versions = world.pages("/api/v1/virtual-servers/desk/versions");
    assert_eq!(versions[1]["definition"]["session_limits"], limits);
}

#[test]
fn limits_that_nothing_can_have_are_refused() {
    let (world, _upstream) = desk(&[], &none(), &none());
    for limits in [
        json!({ "calls_per_minute_max": 0 }),
        json!({ "calls_per_minute_max": 6_001 }),
        json!({ "calls_max": 100_001 }),
        json!({ "calls_per_hour_max": 1 }),
    ] {
        let mint = json!({ "virtual_server": "desk", "user": "ada", "limits": limits });
        let minted = world.post("/api/v1/sessions", &mint);
        assert!(minted.status == 400 || minted.status == 422, "{}", minted.text());
        minted.problem(minted.status);
        let revised = world.put("/api/v1/virtual-servers/desk", &limited_desk(&none(), &limits));
        assert!(revised.status == 400 || revised.status == 422, "{}", revised.text());
    }
    for limits in [json!({ "calls_in_flight_max": 0 }), json!({ "deadline_ms": 600_001 })] {
        let revised = world.put("/api/v1/virtual-servers/desk", &limited_desk(&limits, &none()));
        assert!(revised.problem(revised.status)["detail"].as_str().unwrap().contains("limits."));
        let connection = world.get("/api/v1/connections/fixture").expect(200);
        let body = json!({ "transport": connection["transport"], "private_network": true, "limits": limits });
        let answer = world.put("/api/v1/connections/fixture", &body);
        assert!(answer.problem(answer.status)["detail"].as_str().unwrap().contains("limits."));
    }
}

#[test]
fn a_limited_session_goes_on_after_a_crash_where_it_was() {
    let (mut world, upstream) = desk(&[], &none(), &none());
    let session = mint_limited(&world, &json!({ "calls_per_minute_max": 2 }));
    Agent::modern(&world, &session).call("echo", "{}").result();
    world.crash_and_restart();
    let agent = Agent::modern(&world, &session);
    agent.call("echo", "{}").result();
    told_to_wait(&agent.call("echo", "{}"), REASON);
    wait_until("both calls", || upstream.ledger().calls().len() == 2);
}
