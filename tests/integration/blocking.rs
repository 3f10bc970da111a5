//! Users who may have no sessions: what they had ends, and nothing new begins until they may again.

use proctor_test_upstream::{Options, Upstream};
use serde_json::{Value, json};

use crate::agent::{Agent, Answer};
use crate::http::Response;
use crate::receiver::{Answers, Receiver};
use crate::rest::Session;
use crate::world::{Server, World, wait_until};

fn desk() -> (World, Upstream) {
    let world = World::start_behind_url(&[]);
    let upstream = Upstream::start(Options::default());
    world.desk(&upstream);
    (world, upstream)
}

fn block(server: &Server, user: &str) -> Response {
    server.post(&format!("/api/v1/users/{user}/block?wait=true"), &json!({ "reason": "left the company" }))
}

fn unblock(server: &Server, user: &str) -> Response {
    server.request("POST", &format!("/api/v1/users/{user}/unblock"), None).send(server.address)
}

fn mint(server: &Server, user: &str) -> Response {
    server.post("/api/v1/sessions", &json!({ "virtual_server": "desk", "user": user }))
}

fn shown(server: &Server, user: &str) -> Value {
    server.get(&format!("/api/v1/users/{user}")).expect(200)
}

fn acts(server: &Server, kind: &str) -> Vec<Value> {
    server.pages(&format!("/api/v1/audit/acts?type={kind}"))
}

#[track_caller]
fn assert_ended(server: &Server, session: &Session, code: &str) {
    let answer = Agent::modern(server, session).call("echo", "{}");
    assert_eq!((answer.status, &answer.error()["data"]["code"]), (401, &json!(code)), "{}", answer.text);
}

#[test]
fn a_blocked_user_has_no_sessions_and_gets_none_until_unblocked() {
    let (world, _upstream) = desk();
    let other = world.another();
    let (ada, grace) = (world.mint("desk", "ada"), world.mint("desk", "grace"));
    world.mint("desk", "ada");
    Agent::modern(&world, &ada).call("echo", "{}").result();
    assert_eq!(shown(&world, "ada")["blocked"], false);

    let blocked = block(&world, "ada").expect(200);
    assert_eq!((&blocked["blocked"], &blocked["sessions"]), (&json!(true), &json!(2)), "{blocked}");
    assert_eq!((&blocked["confirmed"], &blocked["unconfirmed_replicas"]), (&json!(true), &json!([])));
    for server in [&world.server, &other] {
        assert_ended(server, &ada, "subject_blocked");
        assert_eq!(mint(server, "ada").problem(409)["code"], "user_blocked");
        let told = shown(server, "ada");
        assert_eq!((&told["blocked"], &told["reason"]), (&json!(true), &json!("left the company")));
        assert!(told["since"].is_string(), "{told}");
        let ready = server.get("/api/v1/virtual-servers/desk/users/ada/readiness").expect(200);
        assert_eq!((&ready["ready"], &ready["blocked"]), (&json!(false), &json!(true)), "{ready}");
        Agent::modern(server, &grace).call("echo", "{}").result();
    }

    assert_eq!(unblock(&other, "ada").expect(200)["blocked"], false);
    let told = shown(&world, "ada");
    assert_eq!(
        (&told["blocked"], &told["since"], &told["reason"]),
        (&json!(false), &Value::Null, &Value::Null)
    );
    // What was ended stays ended.
    assert_ended(&world, &ada, "subject_cut");
    Agent::modern(&world, &world.mint("desk", "ada")).call("echo", "{}").result();
}

#[test]
fn calls_on_their_way_are_cancelled_when_their_user_is_blocked() {
    let (world, upstream) = desk();
    let session = world.mint("desk", "ada");
    let agent = Agent::modern(&world, &session);
    let sent = agent.start_call("1", "slow", r#"{"milliseconds":60000}"#);
    upstream.ledger().wait_until("the call", |record| record.calls().count() == 1);
    block(&world, "ada").expect(200);
    upstream.ledger().wait_until("its cancellation", |record| record.cancelled.len() == 1);
    Answer::of(&sent.answer().read()).error();
    assert_eq!(world.trail(&format!("session={}", session.id))[0]["outcome"], "cancelled");
}

#[test]
fn blocking_and_unblocking_again_changes_nothing_and_each_is_an_act_with_who_did_it_and_why() {
    let (world, _upstream) = desk();
    world.mint("desk", "ada");
    for _ in 0..2 {
        block(&world, "ada").expect(200);
    }
    let again = json!({ "reason": "another reason" });
    world.post("/api/v1/users/ada/block", &again).expect(200);
    assert_eq!(shown(&world, "ada")["reason"], "left the company");
    for _ in 0..2 {
        world.post("/api/v1/users/ada/unblock", &json!({ "reason": "came back" })).expect(200);
    }
    block(&world, "ada").expect(200);
    unblock(&world, "ada").expect(200);
    let (blocks, unblocks) = (acts(&world, "SubjectBlocked"), acts(&world, "SubjectUnblocked"));
    assert_eq!((blocks.len(), unblocks.len()), (2, 2), "{blocks:?} {unblocks:?}");
    for act in blocks.iter().chain(&unblocks) {
        assert_eq!(act["user"], "ada", "{act}");
        assert!(act["by"]["key"].is_string(), "{act}");
    }
    assert!(blocks.iter().all(|act| act["reason"] == "left the company"), "{blocks:?}");
    let reasons: Vec<_> = unblocks.iter().filter_map(|act| act["reason"].as_str()).collect();
    assert_eq!(reasons, ["came back"], "{unblocks:?}");
}

#[test]
fn somebody_who_was_never_seen_can_be_blocked_beforehand() {
    let (mut world, _upstream) = desk();
    world.get("/api/v1/users/mallory").problem(404);
    assert_eq!(unblock(&world, "mallory").problem(404)["code"], "user_not_found");
    block(&world, "mallory").expect(200);
    world.crash_and_restart();
    assert_eq!(mint(&world, "mallory").problem(409)["code"], "user_blocked");
    assert_eq!(shown(&world, "mallory")["blocked"], true);
}

#[test]
fn a_block_says_why() {
    let (world, _upstream) = desk();
    let path = "/api/v1/users/ada/block";
    for wrong in [json!({}), json!({ "reason": " " }), json!({ "reason": "x".repeat(501) })] {
        let answer = world.post(path, &wrong);
        assert!(matches!(answer.status, 400 | 422), "{}", answer.text());
        answer.problem(answer.status);
    }
    let none = world.request("POST", path, None).send(world.address);
    none.problem(none.status);
    assert!(acts(&world, "SubjectBlocked").is_empty());
}

#[test]
fn backends_are_told_that_the_sessions_have_ended_and_of_nothing_else() {
    let world = World::start_with(&[("PROCTOR_WEBHOOK_RETRY_FIRST_SECONDS", "1")]);
    let upstream = Upstream::start(Options::default());
    world.desk(&upstream);
    let receiver = Receiver::start(&[Answers::Status(204)]);
    let hook = json!({ "url": receiver.url(), "events": ["session.cut"], "private_network": true });
    world.post("/api/v1/webhooks", &hook).expect(201);
    world.mint("desk", "ada");
    block(&world, "ada").expect(200);
    wait_until("the message", || !receiver.messages().is_empty());
    unblock(&world, "ada").expect(200);
    block(&world, "ada").expect(200);
    wait_until("the second message", || receiver.messages().len() == 2);
    for message in receiver.messages() {
        let told = message.json();
        assert_eq!((&told["type"], &told["data"]["user"]), (&json!("session.cut"), &json!("ada")), "{told}");
    }
}
