//! What each call has to keep to: how large its result may be, and how long it may take.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{both_eras, desk, limited_desk, none};
use crate::agent::Agent;
use crate::world::World;

fn last_row(world: &World) -> (Value, Value) {
    let row = world.trail("limit=1").remove(0);
    (row["outcome"].clone(), row["reason"].clone())
}

fn big(agent: &Agent, bytes: u32) -> crate::agent::Answer {
    agent.call("big", &json!({ "bytes": bytes }).to_string())
}

#[track_caller]
fn too_large(world: &World, agent: &Agent, bytes: u32) {
    let error = big(agent, bytes).error();
    assert_eq!(error["data"]["code"], "too_large", "{error}");
    assert_eq!(error["message"], "the result is larger than the limit");
    assert_eq!(last_row(world), (json!("failed"), json!("too_large")));
}

#[test]
fn the_smallest_limit_on_results_holds() {
    let settings = [("PROCTOR_RESULT_BYTES_MAX", "8192")];
    let connection = json!({ "result_bytes_max": 4_096 });
    let (world, _upstream) = desk(&settings, &json!({ "result_bytes_max": 2_048 }), &connection);
    for agent in both_eras(&world) {
        big(&agent, 1_000).result();
        too_large(&world, &agent, 3_000);
    }
    world.put("/api/v1/virtual-servers/desk", &limited_desk(&none(), &none())).ok();
    for agent in both_eras(&world) {
        big(&agent, 3_000).result();
        too_large(&world, &agent, 5_000);
    }
    let shown = world.get("/api/v1/connections/fixture").expect(200);
    assert_eq!(shown["limits"], connection);
    let wide = json!({
        "transport": shown["transport"], "private_network": true, "limits": { "result_bytes_max": 100_000 },
    });
    world.put("/api/v1/connections/fixture", &wide).ok();
    let agent = Agent::modern(&world, &world.mint("desk", "ada"));
    big(&agent, 5_000).result();
    too_large(&world, &agent, 9_000);
}

#[test]
fn the_smallest_deadline_holds_and_the_upstream_is_told() {
    let settings = [("PROCTOR_CALL_DEADLINE_MS", "60000")];
    let (short, long) = (json!({ "deadline_ms": 400 }), json!({ "deadline_ms": 30_000 }));
    for (of_server, of_connection) in [(&short, &long), (&long, &short)] {
        let (world, upstream) = desk(&settings, of_server, of_connection);
        for agent in both_eras(&world) {
            let cancelled = upstream.ledger().read().cancelled.len();
            let began = Instant::now();
            let error = agent.call("slow", r#"{"milliseconds":25000}"#).error();
            assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
            assert_eq!(error["data"]["code"], "timeout", "{error}");
            assert_eq!(last_row(&world), (json!("failed"), json!("timeout")));
            upstream.ledger().wait_until("its cancellation", |record| record.cancelled.len() > cancelled);
            agent.call("echo", "{}").result();
        }
    }
}
