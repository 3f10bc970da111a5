//! Several processes on one store: one looks, all hold.

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
