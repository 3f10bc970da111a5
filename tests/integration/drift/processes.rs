//! Several processes on one store: one looks, all hold.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::*;

#[test]
fn several_processes_observe_a_change_once_and_all_of_them_hold_it() {
    let world = World::start_behind_url(&[ALWAYS, ("PROCTOR_LEASE_SECONDS", "5")]);
    let upstream = Upstream::start(Options::default());
    world.desk(&upstream);
    let other = world.another();
    let session = world.mint("desk", "ada");
    let agents = [Agent::modern(&world, &session), Agent::modern(&other, &session)];
    for agent in &agents {
        agent.call("echo", "{}").result();
    }
    upstream.put_tool("echo", &echo("Otherwise."));
    wait_until_differing(&other, "fixture", &[("echo", "changed")]);
    for agent in &agents {
        assert_held(agent, "echo");
    }
    std::thread::sleep(Duration::from_secs(3));
    let observed = acts(&world, "fixture", "CatalogObserved");
    assert_eq!(observed.len(), 1, "{observed:?}");
    // Approved at one, let through at the other.
    approve(&other, "fixture", &diff(&world, "fixture")["offered"]);
    for agent in &agents {
        agent.call("echo", "{}").result();
    }
}

#[test]
fn no_call_is_admitted_after_a_hold_is_acknowledged_at_any_process() {
    let world = World::start_behind_url(&[ONLY_HEARD]);
    let upstream = Upstream::start(Options::default());
    world.desk(&upstream);
    let other = world.another();
    let session = world.mint("desk", "ada");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for server in [&world.server, &other] {
            let agent = Agent::modern(server, &session);
            let over = &over;
            scope.spawn(move || {
                while !over.load(Ordering::Acquire) {
                    agent.call("echo", "{}");
                }
            });
        }
        upstream.ledger().wait_until("some calls", |record| record.calls_of("echo").count() > 20);
        upstream.put_tool("echo", &echo("Otherwise."));
        let held = world.post("/api/v1/connections/fixture/catalog/refresh?hold=true", &json!({}));
        assert_eq!(held.expect(200)["tools"][0]["state"], "changed");
        // What had been admitted before may still arrive.
        std::thread::sleep(Duration::from_millis(200));
        let arrived = upstream.ledger().count("echo");
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(upstream.ledger().count("echo"), arrived, "a call arrived long after the hold");
        over.store(true, Ordering::Release);
    });
    let place = |row: &Value| row["position"].as_u64().unwrap();
    let held_at = place(&acts(&world, "fixture", "CatalogObserved")[0]);
    let (refused, admitted): (Vec<_>, Vec<_>) =
        world.trail("limit=500").into_iter().partition(|row| row["outcome"] == "refused");
    assert!(admitted.iter().all(|row| place(row) < held_at), "{admitted:?}");
    assert!(refused.iter().all(|row| row["reason"] == "tool_held"), "{refused:?}");
    assert!(!refused.is_empty());
}

#[test]
fn nothing_is_observed_while_a_process_is_alive_that_could_not_read_it() {
    let world = World::start_behind_url(&[ALWAYS]);
    world.sql(
        "INSERT INTO leases (replica, ends_at, confirmed, reads) VALUES ('rep_old', 9000000000000000, 0, 1)",
    );
    let upstream = Upstream::start(Options::default());
    // It is first counted who is there some seconds after the start.
    std::thread::sleep(Duration::from_secs(6));
    world.desk(&upstream);
    let seen = upstream.ledger().read().received.len();
    upstream.put_tool("echo", &echo("Otherwise."));
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(upstream.ledger().read().received.len(), seen, "the upstream was looked at");
    assert_eq!(differing(&world, "fixture"), []);
    world.sql("DELETE FROM leases WHERE replica = 'rep_old'");
    wait_until_differing(&world, "fixture", &[("echo", "changed")]);
}

#[test]
fn when_the_one_that_looks_is_gone_another_does() {
    let mut world = World::start_behind_url(&[ALWAYS, ("PROCTOR_LEASE_SECONDS", "2")]);
    let upstream = Upstream::start(Options::default());
    world.desk(&upstream);
    let other = world.another();
    // Whichever of the two it is.
    world.server.kill();
    upstream.put_tool("echo", &echo("Otherwise."));
    wait_until_differing(&other, "fixture", &[("echo", "changed")]);
    drop(other);
    world.server = world.another();
    upstream.put_tool("read_thing", &echo("Otherwise.").replace("echo", "read_thing"));
    wait_until_differing(&world, "fixture", &[("echo", "changed"), ("read_thing", "changed")]);
}
