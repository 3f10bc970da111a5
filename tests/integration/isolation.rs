//! One user's token shows and does nothing of another's.

use proctor_test_upstream::{Eras, Options, Upstream};
use serde_json::json;

use crate::agent::{Agent, Answer};
use crate::world::World;

fn desk(options: Options) -> (World, Upstream) {
    let world = World::start();
    let upstream = Upstream::start(options);
    world.desk(&upstream);
    (world, upstream)
}

#[test]
fn a_token_for_one_virtual_server_opens_no_other() {
    let (world, upstream) = desk(Options::default());
    world.define("other", "fixture", &["delete_thing"]);
    let agent = Agent::modern(&world, &world.mint("desk", "ada"));
    let elsewhere = Agent { path: "/mcp/other".to_owned(), ..agent.clone() };
    assert_eq!(elsewhere.call("delete_thing", r#"{"id":"1"}"#).status, 401);
    assert_eq!(elsewhere.send(&elsewhere.request("1", "tools/list", "")).status, 401);
    assert_eq!(upstream.ledger().calls().len(), 0);
    agent.call("echo", "{}").result();
}

#[test]
fn no_token_of_ours_ever_reaches_an_upstream() {
    for eras in [Eras::Modern, Eras::Legacy] {
        let (world, upstream) = desk(Options { eras, ..Options::default() });
        let session = world.mint("desk", "ada");
        Agent::modern(&world, &session).call("echo", "{}").result();
        Agent::legacy(&world, &session).call("echo", "{}").result();
        for received in upstream.ledger().read().received {
            assert_eq!(received.header("authorization"), None);
            let all = format!("{:?}{}", received.headers, received.body);
            assert!(!all.contains(&session.token) && !all.contains("ada"), "{all}");
            assert!(!all.contains(crate::world::ADMIN_KEY), "{all}");
        }
    }
}

#[test]
fn users_have_upstream_sessions_of_their_own() {
    let (world, upstream) = desk(Options { eras: Eras::Legacy, ..Options::default() });
    let session_at_the_upstream = |user: &str| {
        let agent = Agent::modern(&world, &world.mint("desk", user));
        agent.call("echo", &json!({ "user": user }).to_string()).result();
        let calls = upstream.ledger().calls();
        calls.last().unwrap().header("mcp-session-id").unwrap().to_owned()
    };
    let (ada, grace) = (session_at_the_upstream("ada"), session_at_the_upstream("grace"));
    assert_ne!(ada, grace);
    assert_eq!(session_at_the_upstream("ada"), ada);
}

#[test]
fn one_users_cancellation_does_not_touch_anothers_call() {
    let (world, upstream) = desk(Options::default());
    let ada = Agent::legacy(&world, &world.mint("desk", "ada"));
    let grace = Agent::legacy(&world, &world.mint("desk", "grace"));
    let running = ada.start_call("1", "slow", r#"{"milliseconds":800}"#);
    upstream.ledger().wait_until("the call", |record| record.calls().count() == 1);
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
    assert_eq!(grace.post(cancel).send(world.address).status, 202);
    // With ada's session id, but not her token.
    let stolen = Agent { legacy: ada.legacy.clone(), ..grace };
    assert_eq!(stolen.post(cancel).send(world.address).status, 404);
    assert_eq!(Answer::of(&running.answer().read()).content(), "waited");
}

#[test]
fn a_cut_of_one_user_spares_the_other() {
    let (world, _upstream) = desk(Options::default());
    let ada = Agent::modern(&world, &world.mint("desk", "ada"));
    let grace = Agent::modern(&world, &world.mint("desk", "grace"));
    world.post("/api/v1/revocations", &json!({ "user": "ada", "reason": "left" })).ok();
    assert_eq!(ada.call("echo", "{}").status, 401);
    grace.call("echo", "{}").result();
}

#[test]
fn one_users_rows_and_timeline_hold_nothing_of_another() {
    let (world, _upstream) = desk(Options::default());
    let (ada, grace) = (world.mint("desk", "ada"), world.mint("desk", "grace"));
    Agent::modern(&world, &ada).call("echo", r#"{"text":"of ada"}"#).result();
    Agent::modern(&world, &grace).call("echo", r#"{"text":"of grace"}"#).result();
    let rows = world.trail("user=ada");
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["session_id"], json!(ada.id));
    let timeline = format!("{:?}", world.timeline(&ada));
    assert!(!timeline.contains("grace") && !timeline.contains(&grace.id), "{timeline}");
}
