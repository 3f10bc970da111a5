//! The limits of virtual servers and connections, which replicas share out among them.

use std::time::Duration;

use proctor_test_upstream::{Record, Upstream};
use serde_json::{Value, json};

use super::{both_eras, counted, desk, is_refused, none, told_to_wait};
use crate::agent::{Agent, Answer};
use crate::world::{Server, World, wait_until};

const LONG: &str = r#"{"milliseconds":60000}"#;

/// Both kinds of limits, with the reason for which each refuses.
fn each_kind(limits: &Value) -> [(Value, Value, &'static str); 2] {
    [(limits.clone(), none(), "virtual_server_busy"), (none(), limits.clone(), "connection_busy")]
}

fn arrived(upstream: &Upstream, tool: &str) -> usize {
    upstream.ledger().count(tool)
}

#[track_caller]
fn wait_for_calls(upstream: &Upstream, calls: usize) -> Record {
    upstream.ledger().wait_until("the call to arrive", |record| record.calls().count() >= calls)
}

#[test]
fn no_more_calls_are_on_their_way_than_may_be() {
    for (of_server, of_connection, reason) in each_kind(&json!({ "calls_in_flight_max": 2 })) {
        let (world, upstream) = desk(&[], &of_server, &of_connection);
        let agents = both_eras(&world);
        let sent = agents.each_ref().map(|agent| agent.start_call("7", "slow", r#"{"milliseconds":2500}"#));
        wait_for_calls(&upstream, 2);
        for agent in &agents {
            assert_eq!(told_to_wait(&agent.call("echo", "{}"), reason), Duration::from_secs(1));
            // The same again is counted, not recorded.
            told_to_wait(&agent.call("echo", "{}"), reason);
        }
        assert_eq!((arrived(&upstream, "slow"), arrived(&upstream, "echo")), (2, 0));
        let refused = world.trail("outcome=refused");
        assert_eq!(refused.len(), 2, "{refused:?}");
        assert!(refused.iter().all(|row| row["reason"] == reason && row["connection"] == "fixture"));
        for sent in sent {
            Answer::of(&sent.answer().read()).result();
        }
        for agent in &agents {
            agent.call("echo", "{}").result();
        }
        assert_eq!(counted(&world, reason), 4);
    }
}

#[test]
fn no_more_calls_are_made_in_a_minute_than_may_be() {
    let limits = json!({ "calls_per_minute_max": 3 });
    let kinds = [
        (limits.clone(), none(), "virtual_server_rate_reached"),
        (none(), limits, "connection_rate_reached"),
    ];
    for (of_server, of_connection, reason) in kinds {
        let (world, upstream) = desk(&[], &of_server, &of_connection);
        let agents = both_eras(&world);
        for (agent, tool) in agents.iter().cycle().zip(["nothing", "nothing", "no_tool", "no_tool"]) {
            agent.call(tool, "{}").error();
        }
        for agent in [&agents[0], &agents[1], &agents[0]] {
            agent.call("echo", "{}").result();
        }
        for agent in &agents {
            assert!(told_to_wait(&agent.call("echo", "{}"), reason) > Duration::from_secs(30));
        }
        assert_eq!(arrived(&upstream, "echo"), 3);
        assert_eq!(world.trail("outcome=refused")[0]["reason"], reason);
    }
}

/// How a call that takes the only place ends, and gives it back.
type Ending = (&'static str, fn(&World, &Upstream));

fn agent(world: &World) -> Agent {
    Agent::modern(world, &world.mint("desk", "ada"))
}

/// A call that has arrived and lasts.
fn flying(world: &World, upstream: &Upstream, agent: &Agent) -> crate::http::Sent {
    let before = upstream.ledger().calls().len();
    let sent = agent.start_call("7", "slow", LONG);
    wait_for_calls(upstream, before + 1);
    assert!(is_busy(&self::agent(world).call("echo", "{}")));
    sent
}

fn is_busy(answer: &Answer) -> bool {
    is_refused(answer, "virtual_server_busy") || is_refused(answer, "connection_busy")
}

const ENDINGS: [Ending; 13] = [
    ("a result", |world, _| drop(agent(world).call("echo", "{}").result())),
    ("a result that says it failed", |world, _| drop(agent(world).call("tool_error", "{}").result())),
    ("an error of the upstream", |world, _| drop(agent(world).call("fail", "{}").error())),
    ("no answer of the upstream", |world, _| drop(agent(world).call("vanish", "{}").error())),
    ("a result that is too large", |world, _| {
        drop(agent(world).call("big", r#"{"bytes":9000}"#).error());
    }),
    ("its deadline", |world, _| drop(agent(world).call("slow", LONG).error())),
    ("a tool that it may not call", |world, _| drop(agent(world).call("no_such_tool", "{}").error())),
    ("arguments that cannot be sent", |world, _| {
        let agent = agent(world);
        let request = agent.request("1", "tools/call", r#""name":"echo","arguments":[1]"#);
        drop(agent.send(&request.header("Mcp-Name", "echo")).error());
    }),
    ("a header that says something else", |world, _| {
        let agent = agent(world);
        let params = r#""name":"echo","arguments":{}"#;
        let request = agent.request("1", "tools/call", params).header("Mcp-Name", "big");
        drop(agent.send(&request).error());
    }),
    ("its agent going away", |world, upstream| drop(flying(world, upstream, &agent(world)))),
    ("a legacy agent that cancels it", |world, upstream| {
        let agent = Agent::legacy(world, &world.mint("desk", "ada"));
        let sent = flying(world, upstream, &agent);
        let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#;
        assert_eq!(agent.post(cancel).send(agent.address).status, 202);
        sent.answer().read();
    }),
    ("the revocation of its session", |world, upstream| {
        let session = world.mint("desk", "ada");
        let sent = flying(world, upstream, &Agent::modern(world, &session));
        world.revoke(&session);
        sent.answer().read();
    }),
    ("the revocation of what it uses", |world, upstream| {
        let sent = flying(world, upstream, &agent(world));
        let cut = json!({ "connection": "fixture", "reason": "enough" });
        world.post("/api/v1/revocations", &cut).ok();
        sent.answer().read();
    }),
];

#[test]
fn a_place_is_given_back_however_a_call_ends() {
    // The deadline is long enough for the other ways to come first.
    let limits = json!({ "calls_in_flight_max": 1, "deadline_ms": 4_000, "result_bytes_max": 4_096 });
    for (of_server, of_connection, _) in each_kind(&limits) {
        let (world, upstream) = desk(&[], &of_server, &of_connection);
        for (ending, end) in ENDINGS {
            end(&world, &upstream);
            let next = agent(&world);
            let what = format!("the place of a call that ended with {ending}");
            wait_until(&what, || {
                let answer = next.call("echo", "{}");
                assert!(is_busy(&answer) || answer.json()["result"].is_object(), "{}", answer.text);
                !is_busy(&answer)
            });
        }
        // And given back once: there is still one place, not more.
        let sent = flying(&world, &upstream, &agent(&world));
        assert!(is_busy(&agent(&world).call("echo", "{}")));
        drop(sent);
    }
}

fn shared_among(server: &Server) -> Option<u64> {
    let text = server.request("GET", "/metrics", None).send(server.address).text();
    let number = text.lines().find_map(|line| line.strip_prefix("proctor_limits_shared_among "))?;
    number.split('.').next()?.parse().ok()
}

#[test]
fn replicas_share_a_limit_out_and_take_over_the_part_of_one_that_is_gone() {
    let limits = json!({ "calls_in_flight_max": 4 });
    let (world, upstream) = desk(&[("PROCTOR_LEASE_SECONDS", "2")], &none(), &limits);
    let session = world.mint("desk", "ada");
    let mut other = world.another();
    for server in [&*world, &other] {
        wait_until("both to know of each other", || shared_among(server) == Some(2));
    }
    let mut sent = Vec::new();
    for server in [&*world, &other] {
        let agent = Agent::modern(server, &session);
        for _ in 0..2 {
            sent.push(agent.start_call("7", "slow", LONG));
            wait_for_calls(&upstream, sent.len());
        }
        told_to_wait(&agent.call("echo", "{}"), "connection_busy");
    }
    assert_eq!((arrived(&upstream, "slow"), arrived(&upstream, "echo")), (4, 0));
    other.kill();
    wait_until("the other's part", || shared_among(&world) == Some(1));
    let agent = Agent::modern(&world, &session);
    for _ in 0..2 {
        sent.push(agent.start_call("8", "slow", LONG));
        wait_for_calls(&upstream, sent.len());
    }
    told_to_wait(&agent.call("echo", "{}"), "connection_busy");
}
