//! Backends that are told what happens: in full, signed, at least once, whoever is down meanwhile.

use std::collections::BTreeSet;
use std::time::Duration;

use proctor_test_upstream::{Options, Upstream};
use serde_json::{Value, json};

use crate::receiver::{Answers, Message, Receiver};
use crate::world::{Server, World, wait_until};

/// Patient enough for every test, and quick.
const QUICK: &[(&str, &str)] = &[("PROCTOR_WEBHOOK_RETRY_FIRST_SECONDS", "1")];
/// Gives up after the first pause.
const IMPATIENT: &[(&str, &str)] =
    &[("PROCTOR_WEBHOOK_RETRY_FIRST_SECONDS", "1"), ("PROCTOR_WEBHOOK_RETRY_FOR_SECONDS", "2")];

struct Hook {
    id: String,
    secret: String,
}

impl Hook {
    fn path(&self, more: &str) -> String {
        format!("/api/v1/webhooks/{}{more}", self.id)
    }

    fn deliveries(&self, server: &Server, query: &str) -> Vec<Value> {
        server.pages(&self.path(&format!("/deliveries?limit=3{query}")))
    }

    #[track_caller]
    fn wait_for(&self, server: &Server, state: &str, count: usize) -> Vec<Value> {
        let query = format!("&state={state}");
        wait_until(state, || self.deliveries(server, &query).len() == count);
        self.deliveries(server, &query)
    }
}

fn settings(url: &str, events: &[&str]) -> Value {
    json!({ "url": url, "events": events, "private_network": true })
}

#[track_caller]
fn create(server: &Server, receiver: &Receiver, events: &[&str]) -> Hook {
    let made = server.post("/api/v1/webhooks", &settings(&receiver.url(), events)).expect(201);
    let text = |member: &str| made[member].as_str().unwrap().to_owned();
    assert_eq!(made["state"], "active");
    Hook { id: text("id"), secret: text("secret") }
}

/// The virtual server `desk`, for which every user brings a token.
fn desk(settings: &[(&str, &str)]) -> (World, Upstream) {
    let world = World::start_with(settings);
    let upstream = Upstream::start(Options::default());
    let body = json!({
        "name": "fixture", "transport": { "type": "http", "url": upstream.url() },
        "auth": { "type": "bearer" }, "private_network": true,
    });
    world.post("/api/v1/connections", &body).expect(201);
    world.define("desk", "fixture", &["echo"]);
    connect(&world, "ada");
    (world, upstream)
}

#[track_caller]
fn connect(server: &Server, user: &str) {
    let path = format!("/api/v1/users/{user}/connections/fixture/credential");
    server.put(&path, &json!({ "type": "bearer", "token": "an-accounts-token" })).expect(200);
}

fn ids(messages: &[Message]) -> BTreeSet<String> {
    messages.iter().map(|message| message.id.clone()).collect()
}

#[test]
fn what_happens_is_told_in_full_and_signed() {
    let (world, _upstream) = desk(QUICK);
    let receiver = Receiver::start(&[Answers::Status(204)]);
    // From before it was created it is told nothing.
    world.mint("desk", "ada");
    let hook = create(&world, &receiver, &["session.*", "user_connection.*"]);
    let session = world.mint("desk", "ada");
    world.revoke(&session);
    let cut = world.post("/api/v1/revocations", &json!({ "user": "ada", "reason": "lost laptop" })).ok();
    world.post("/api/v1/users/ada/connections/fixture/disconnect", &json!({ "reason": "left" })).expect(200);
    connect(&world, "grace");
    world.post("/api/v1/virtual-servers/desk/retire", &json!({ "reason": "no more" })).ok();
    let messages = receiver.wait_for(6);
    hook.wait_for(&world, "delivered", 6);

    assert_eq!((messages.len(), ids(&messages).len()), (6, 6));
    for message in &messages {
        assert!(message.is_signed_with(&hook.secret) && message.signatures.len() == 1);
        assert_eq!(message.path, "/hooks?of=proctor");
        assert!(message.id.starts_with("dlv_"), "{}", message.id);
        let told = message.json();
        assert!(told["timestamp"].as_str().unwrap().ends_with('Z'), "{told}");
        assert!(told["data"]["event_id"].as_str().unwrap().starts_with("evt_"), "{told}");
        assert!(told["data"]["position"].as_u64().unwrap() > 0, "{told}");
    }
    let told = |kind: &str, with: &str| {
        let mut found = messages.iter().map(Message::json);
        let mut data = found.find(|told| told["type"] == kind && told["data"].get(with).is_some()).unwrap();
        let data = data["data"].as_object_mut().unwrap();
        for member in ["event_id", "position", "expires_at"] {
            data.remove(member);
        }
        Value::from(data.clone())
    };
    let opened = told("session.opened", "session");
    assert_eq!((&opened["user"], &opened["session"]), (&json!("ada"), &json!(session.id)));
    assert_eq!((&opened["virtual_server"], &opened["access"]), (&json!("desk"), &json!("full")));
    let revoked = json!({
        "user": "ada", "session": session.id, "virtual_server": "desk", "reason": "the test says so",
    });
    assert_eq!(told("session.revoked", "session"), revoked);
    let of_user = json!({ "cut": "user", "cause": "revoked", "user": "ada", "reason": "lost laptop" });
    assert_eq!(told("session.cut", "user"), of_user, "{cut}");
    let of_server = json!({
        "cut": "virtual_server", "cause": "retired", "virtual_server": "desk", "reason": "no more",
    });
    assert_eq!(told("session.cut", "virtual_server"), of_server);
    let left = json!({ "user": "ada", "connection": "fixture", "reason": "left" });
    assert_eq!(told("user_connection.disconnected", "user"), left);
    let active = json!({ "user": "grace", "connection": "fixture", "kind": "bearer", "generation": 1 });
    assert_eq!(told("user_connection.activated", "user"), active);
    let metrics = world.get("/metrics").text();
    assert!(metrics.contains(r#"proctor_webhook_attempts_total{outcome="delivered"} 6"#), "{metrics}");
}

#[test]
fn a_secret_is_shown_once_and_kept_sealed() {
    let (world, _upstream) = desk(QUICK);
    let receiver = Receiver::start(&[Answers::Status(500), Answers::Status(200)]);
    let hook = create(&world, &receiver, &["session.*"]);
    world.mint("desk", "ada");
    hook.wait_for(&world, "delivered", 1);
    let rotated = world.post(&hook.path("/rotate-secret"), &json!({})).expect(200);
    let second = rotated["secret"].as_str().unwrap().to_owned();
    let shown = [
        world.get("/api/v1/webhooks").text(),
        world.get(&hook.path("")).text(),
        world.get(&hook.path("/deliveries")).text(),
        world.get("/api/v1/audit/acts?limit=100").text(),
        world.get("/metrics").text(),
        world.log(),
    ];
    for secret in [&hook.secret, &second] {
        let bare = secret.strip_prefix("whsec_").unwrap();
        assert!(!shown.iter().any(|text| text.contains(bare)));
        for (name, bytes) in world.kept() {
            assert!(!bytes.windows(bare.len()).any(|part| part == bare.as_bytes()), "{name}");
        }
    }
    // What it is told names the user; what waits to be told does not.
    for (name, bytes) in world.kept().iter().filter(|(name, _)| name.contains("webhook")) {
        assert!(!bytes.windows(3).any(|part| part == b"ada"), "{name}");
    }
}

#[test]
fn a_message_that_was_not_taken_comes_again_as_the_same_one() {
    let (world, _upstream) = desk(QUICK);
    let answers = [Answers::Status(500), Answers::Redirect, Answers::Status(200)];
    let receiver = Receiver::start(&answers);
    let hook = create(&world, &receiver, &["session.opened"]);
    world.mint("desk", "ada");
    let delivered = hook.wait_for(&world, "delivered", 1);
    let messages = receiver.messages();
    // A redirect is not followed: nothing came to where it points.
    assert!(messages.iter().all(|message| message.path == "/hooks?of=proctor"));
    assert_eq!((messages.len(), ids(&messages).len()), (3, 1));
    assert!(messages.iter().all(|message| message.body == messages[0].body));
    assert!(messages.iter().all(|message| message.is_signed_with(&hook.secret)));
    let pauses: Vec<_> = messages.windows(2).map(|pair| pair[1].at - pair[0].at).collect();
    assert!(pauses[0] > Duration::from_millis(850) && pauses[1] > Duration::from_millis(5_200), "{pauses:?}");
    assert_eq!(delivered[0]["id"], json!(messages[0].id));
    assert_eq!((&delivered[0]["attempts"], &delivered[0]["last_status"]), (&json!(3), &json!(200)));
    assert_eq!(delivered[0]["last_failure"], Value::Null);
}

#[test]
fn nothing_is_lost_while_the_receiver_is_down_and_the_server_is_killed() {
    let (mut world, _upstream) = desk(QUICK);
    let receiver = Receiver::start(&[Answers::Status(200)]);
    let hook = create(&world, &receiver, &["session.*"]);
    let address = receiver.address;
    drop(receiver);
    let mut sessions = BTreeSet::new();
    for round in 0..3 {
        for _ in 0..5 {
            sessions.insert(world.mint("desk", "ada").id);
        }
        if round < 2 {
            world.crash_and_restart();
        }
    }
    let receiver = Receiver::at(address, &[Answers::Status(200)]);
    // In the middle of it once more.
    receiver.wait_for(1);
    world.crash_and_restart();
    wait_until("every session to be told", || {
        let told: BTreeSet<String> = receiver
            .messages()
            .iter()
            .filter_map(|message| Some(message.json()["data"]["session"].as_str()?.to_owned()))
            .collect();
        told == sessions
    });
    hook.wait_for(&world, "delivered", sessions.len());
    assert_eq!(ids(&receiver.messages()).len(), sessions.len());
}

#[test]
fn a_slow_receiver_holds_up_nobody_else() {
    let (world, _upstream) = desk(QUICK);
    let slow = Receiver::start(&[Answers::Never]);
    let endless = Receiver::start(&[Answers::Endless]);
    let quick = Receiver::start(&[Answers::Status(200)]);
    let stuck = create(&world, &slow, &["session.*"]);
    let full = create(&world, &endless, &["session.*"]);
    let hook = create(&world, &quick, &["session.*"]);
    for _ in 0..12 {
        world.mint("desk", "ada");
    }
    hook.wait_for(&world, "delivered", 12);
    // Of a body no more is read than a little, and its status counts.
    full.wait_for(&world, "delivered", 12);
    assert!(slow.messages().len() <= 4);
    wait_until("the slow one to be given up on", || {
        stuck.deliveries(&world, "").iter().any(|delivery| delivery["last_failure"] == "timeout")
    });
}

#[test]
fn whoever_is_gone_is_sent_nothing_until_the_webhook_is_set_anew() {
    let (world, _upstream) = desk(QUICK);
    let receiver = Receiver::start(&[Answers::Status(410)]);
    let hook = create(&world, &receiver, &["session.*"]);
    world.mint("desk", "ada");
    wait_until("the webhook to be disabled", || world.get(&hook.path("")).ok()["state"] == "gone");
    wait_until("what was answered to be written", || {
        hook.deliveries(&world, "&state=dead").iter().any(|dead| dead["last_status"] == 410)
    });
    let dead = hook.wait_for(&world, "dead", 1);
    assert_eq!(dead[0]["last_failure"], "gone");
    let acts = world.pages("/api/v1/audit/acts?limit=100");
    let told = |act: &Value| act["type"] == "WebhookGone" && act["object"].to_string().contains(&hook.id);
    assert!(acts.iter().any(told), "{acts:?}");
    world.mint("desk", "ada");
    assert_eq!(world.post(&hook.path("/test"), &json!({})).problem(409)["code"], "webhook_gone");

    receiver.answer_from_now_on(Answers::Status(200));
    let anew = settings(&receiver.url(), &["session.*"]);
    assert_eq!(world.put(&hook.path(""), &anew).expect(200)["state"], "active");
    let session = world.mint("desk", "ada");
    let told = receiver.wait_for(2);
    assert_eq!(told[1].json()["data"]["session"], json!(session.id));
    // What was not told meanwhile can be asked for, as far as it was to be told at all.
    let path = hook.path(&format!("/deliveries/{}/redeliver", dead[0]["id"].as_str().unwrap()));
    world.post(&path, &json!({})).expect(202);
    assert_eq!(receiver.wait_for(3)[2].body, told[0].body);
    hook.wait_for(&world, "delivered", 2);
}

#[test]
fn what_was_given_up_is_in_the_dead_letters_and_is_sent_again_by_hand() {
    let (world, _upstream) = desk(IMPATIENT);
    let receiver = Receiver::start(&[Answers::Status(503)]);
    let hook = create(&world, &receiver, &["session.*"]);
    for _ in 0..4 {
        world.mint("desk", "ada");
    }
    let dead = hook.wait_for(&world, "dead", 4);
    let places: Vec<_> = dead.iter().map(|delivery| delivery["position"].as_u64().unwrap()).collect();
    assert!(places.is_sorted_by(|newer, older| newer > older), "{places:?}");
    assert_eq!((&dead[0]["last_failure"], &dead[0]["attempts"]), (&json!("status"), &json!(2)));
    wait_until("the dead to be counted", || {
        world.get("/metrics").text().contains("proctor_webhook_deliveries_dead 4.0")
    });
    receiver.answer_from_now_on(Answers::Status(200));
    let id = dead[1]["id"].as_str().unwrap();
    let path = hook.path(&format!("/deliveries/{id}/redeliver"));
    assert_eq!(world.post(&path, &json!({})).expect(202)["delivery"], json!(id));
    assert_eq!(hook.wait_for(&world, "delivered", 1)[0]["id"], json!(id));
    assert_eq!(hook.deliveries(&world, "&state=dead").len(), 3);
    // Also what was delivered: the backend may have lost it.
    let before = receiver.messages().len();
    world.post(&path, &json!({})).expect(202);
    assert_eq!(receiver.wait_for(before + 1).last().unwrap().id, id);
    let nowhere = hook.path("/deliveries/dlv_none/redeliver");
    assert_eq!(world.post(&nowhere, &json!({})).problem(404)["code"], "delivery_not_found");
}

#[test]
fn an_address_of_a_private_network_is_sent_nothing_unless_it_is_ones_own() {
    let (world, _upstream) = desk(IMPATIENT);
    let receiver = Receiver::start(&[Answers::Status(200)]);
    let refused = |url: &str| {
        let body = json!({ "url": url, "events": ["session.*"] });
        let problem = world.post("/api/v1/webhooks", &body).problem(422);
        assert_eq!(problem["code"], "invalid_webhook");
    };
    refused(&receiver.url());
    refused(&receiver.url().replace("http:", "https:"));
    refused("https://169.254.169.254/latest/meta-data");
    // A name tells only when it is looked up.
    let port = receiver.address.port();
    let body = json!({ "url": format!("https://localhost:{port}/"), "events": ["session.*"] });
    let made = world.post("/api/v1/webhooks", &body).expect(201);
    let hook = Hook { id: made["id"].as_str().unwrap().to_owned(), secret: String::new() };
    world.mint("desk", "ada");
    assert_eq!(hook.wait_for(&world, "dead", 1)[0]["last_failure"], "address_forbidden");
    assert!(receiver.messages().is_empty());
}

#[test]
fn while_a_secret_is_replaced_both_sign() {
    let (world, _upstream) = desk(QUICK);
    let receiver = Receiver::start(&[Answers::Status(200)]);
    let hook = create(&world, &receiver, &["session.*"]);
    let rotate = |body: &Value| {
        let answer = world.post(&hook.path("/rotate-secret"), body).expect(200);
        answer["secret"].as_str().unwrap().to_owned()
    };
    let ping = |count: usize| {
        let asked = world.post(&hook.path("/test"), &json!({})).expect(202);
        let message = receiver.wait_for(count).pop().unwrap();
        assert_eq!((&message.kind()[..], &asked["delivery"]), ("webhook.test", &json!(message.id)));
        message
    };
    let second = rotate(&json!({}));
    let both = ping(1);
    assert!(both.is_signed_with(&hook.secret) && both.is_signed_with(&second));
    let third = rotate(&json!({ "overlap_seconds": 0 }));
    let one = ping(2);
    assert!(one.is_signed_with(&third) && one.signatures.len() == 1);
    let long = world.post(&hook.path("/rotate-secret"), &json!({ "overlap_seconds": 700_000 })).problem(422);
    assert_eq!(long["code"], "invalid_webhook");
}

#[test]
fn a_webhook_that_was_retired_is_sent_nothing_any_more() {
    let (world, _upstream) = desk(QUICK);
    let receiver = Receiver::start(&[Answers::Status(500)]);
    let hook = create(&world, &receiver, &["session.*"]);
    let other = create(&world, &receiver, &["user_connection.*"]);
    world.mint("desk", "ada");
    receiver.wait_for(1);
    assert_eq!(world.post(&hook.path("/retire"), &json!({ "reason": "moved" })).ok()["state"], "retired");
    let dead = hook.wait_for(&world, "dead", 1);
    assert_eq!(dead[0]["last_failure"], "webhook_retired");
    world.mint("desk", "ada");
    receiver.answer_from_now_on(Answers::Status(200));
    connect(&world, "grace");
    other.wait_for(&world, "delivered", 1);
    assert_eq!(hook.deliveries(&world, "").len(), 1);
    assert_eq!(world.post(&hook.path("/test"), &json!({})).problem(409)["code"], "webhook_retired");
    let listed = world.pages("/api/v1/webhooks?limit=1");
    let states: Vec<_> = listed.iter().map(|webhook| webhook["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["retired", "active"]);
    let wrong = settings(&receiver.url(), &["session.*", "tool_call.*"]);
    let problem = world.put(&other.path(""), &wrong).problem(422);
    assert!(problem["detail"].as_str().unwrap().contains("session.cut"), "{problem}");
    world.get("/api/v1/webhooks/whk_none").problem(404);
    world.get(&other.path("/deliveries?state=lost")).problem(400);
}

#[test]
fn a_user_who_was_erased_is_not_named_any_more() {
    let (world, _upstream) = desk(QUICK);
    let receiver = Receiver::start(&[Answers::Status(500)]);
    let hook = create(&world, &receiver, &["session.*"]);
    world.mint("desk", "ada");
    assert_eq!(receiver.wait_for(1)[0].json()["data"]["user"], "ada");
    world.sql("DELETE FROM subjects");
    receiver.answer_from_now_on(Answers::Status(200));
    hook.wait_for(&world, "delivered", 1);
    let last = receiver.messages().pop().unwrap();
    assert_eq!(last.json()["data"]["user"], Value::Null);
    assert!(!last.body.contains("ada"), "{}", last.body);
}

#[test]
fn of_two_processes_one_delivers_and_the_other_goes_on_when_it_is_killed() {
    let (mut world, _upstream) = desk(QUICK);
    let mut second = world.another();
    let receiver = Receiver::start(&[Answers::Status(200)]);
    let hook = create(&second, &receiver, &["session.*"]);
    for server in [&world.server, &second] {
        for _ in 0..5 {
            server.mint_with(&json!({ "virtual_server": "desk", "user": "ada" }));
        }
    }
    hook.wait_for(&second, "delivered", 10);
    assert_eq!(receiver.messages().len(), 10, "one of them delivers at a time");
    let delivers = |server: &Server| server.log().contains("this process delivers to webhooks");
    assert!(delivers(&world.server) != delivers(&second));
    if delivers(&second) {
        std::mem::swap(&mut world.server, &mut second);
    }
    world.server.kill();
    second.mint_with(&json!({ "virtual_server": "desk", "user": "ada" }));
    hook.wait_for(&second, "delivered", 11);
    assert!(delivers(&second));
}

fn looks(server: &Server) -> usize {
    let metrics = server.get("/metrics").text();
    let line = metrics.lines().find_map(|line| line.strip_prefix("proctor_webhook_looks_total "));
    line.unwrap_or_else(|| panic!("{metrics}")).parse().unwrap()
}

#[test]
fn the_database_is_asked_for_all_webhooks_at_once_and_only_when_something_has_happened() {
    const WEBHOOKS: usize = 24;
    const SESSIONS: usize = 10;
    let (world, _upstream) = desk(QUICK);
    let receiver = Receiver::start(&[Answers::Status(204)]);
    let hooks: Vec<_> = (0..WEBHOOKS).map(|_| create(&world, &receiver, &["session.opened"])).collect();
    let before = looks(&world);
    for _ in 0..SESSIONS {
        world.mint("desk", "ada");
    }
    receiver.wait_for(WEBHOOKS * SESSIONS);
    for hook in &hooks {
        hook.wait_for(&world, "delivered", SESSIONS);
    }
    // Once for each session that was opened and each message that has ended, for two at the most together;
    // and not once for each webhook.
    let looked = looks(&world) - before;
    assert!(looked <= 2 * SESSIONS + WEBHOOKS * SESSIONS, "{looked}");
    // Whatever happens that no webhook is told of, nothing is asked: but every few seconds once, to be sure.
    std::thread::sleep(Duration::from_secs(1));
    let before = looks(&world);
    for number in 0..50 {
        connect(&world, &format!("user-{number}"));
    }
    std::thread::sleep(Duration::from_secs(1));
    let looked = looks(&world) - before;
    assert!(looked <= 4, "{looked}");
}
