//! Every user with a credential of their own: set, used, replaced, taken back, and shown to nobody.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proctor_test_upstream::{Eras, Options, Upstream};
use serde_json::{Value, json};

use crate::agent::{Agent, Answer};
use crate::rest::ALL_TOOLS;
use crate::world::{Server, World};

const CALLS_EACH: usize = 40;
/// How often an account is taken back while it is used.
const ROUNDS: usize = 4;

fn bearer(token: &str) -> Value {
    json!({ "type": "bearer", "token": token })
}

fn register(server: &Server, upstream: &Upstream, auth: &Value) -> Value {
    let body = json!({
        "name": "fixture", "transport": { "type": "http", "url": upstream.url() },
        "auth": auth, "private_network": true,
    });
    server.post("/api/v1/connections", &body).expect(201)
}

/// The virtual server `desk`, for which every user brings a token.
fn desk(options: Options) -> (World, Upstream) {
    let world = World::start();
    let upstream = Upstream::start(options);
    register(&world, &upstream, &json!({ "type": "bearer" }));
    world.define("desk", "fixture", &ALL_TOOLS);
    (world, upstream)
}

fn account(user: &str) -> String {
    format!("/api/v1/users/{user}/connections/fixture")
}

#[track_caller]
fn connect(server: &Server, user: &str, credential: &Value) -> Value {
    server.put(&format!("{}/credential", account(user)), credential).expect(200)
}

fn disconnect(server: &Server, user: &str) -> Value {
    server.post(&format!("{}/disconnect", account(user)), &json!({ "reason": "left" })).expect(200)
}

fn refusal_of(answer: &Answer) -> String {
    answer.error()["data"]["code"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn each_call_carries_the_credential_of_its_own_user() {
    for eras in [Eras::Modern, Eras::Legacy] {
        let (world, upstream) = desk(Options { eras, ..Options::default() });
        let users = ["ada", "grace", "joan"];
        for user in users {
            connect(&world, user, &bearer(&format!("token-of-{user}")));
        }
        std::thread::scope(|scope| {
            for user in users {
                let agent = Agent::modern(&world, &world.mint("desk", user));
                scope.spawn(move || {
                    for _ in 0..CALLS_EACH {
                        agent.call("echo", &json!({ "user": user }).to_string()).result();
                    }
                });
            }
        });
        let calls = upstream.ledger().calls();
        assert_eq!(calls.len(), users.len() * CALLS_EACH);
        for call in calls {
            let body: Value = serde_json::from_str(&call.body).unwrap();
            let user = body["params"]["arguments"]["user"].as_str().unwrap();
            let expected = format!("Bearer token-of-{user}");
            assert_eq!(call.header("authorization"), Some(expected.as_str()));
        }
        assert!(world.trail("limit=200").iter().all(|row| row["user_generation"] == 1));
        // Nor does anything else go out with another's: greetings have the caller's as well.
        for received in upstream.ledger().read().received {
            let sent = received.header("authorization");
            assert!(sent.is_none_or(|sent| sent.starts_with("Bearer token-of-")), "{sent:?}");
        }
    }
}

#[test]
fn a_session_is_minted_once_the_user_has_connected_every_account() {
    let (world, _upstream) = desk(Options::default());
    let other = Upstream::start(Options::default());
    world.connect("open", &other.url());
    let tool = |connection: &str, tool: &str, name: &str| json!({ "connection": connection, "tool": tool, "name": name });
    world.define_with("both", vec![tool("fixture", "echo", "mine"), tool("open", "echo", "ours")]);
    let mint = json!({ "virtual_server": "both", "user": "ada" });
    let readiness = || world.get("/api/v1/virtual-servers/both/users/ada/readiness").expect(200);

    let problem = world.post("/api/v1/sessions", &mint).problem(409);
    assert_eq!(problem["code"], "accounts_missing");
    assert_eq!(problem["missing"], json!([{ "connection": "fixture", "status": "missing" }]));
    assert_eq!(readiness()["ready"], false);
    let listed = json!([{ "connection": "fixture", "takes": "bearer", "state": "missing" }]);
    assert_eq!(readiness()["connections"], listed);
    // Whoever needs none of its tools needs no account.
    let narrow = json!({ "virtual_server": "both", "user": "ada", "tools": ["ours"] });
    let session = world.mint_with(&narrow);
    Agent::modern(&world, &session).call("ours", "{}").result();

    let set = connect(&world, "ada", &bearer("t"));
    assert_eq!((set["state"].as_str(), set["generation"].as_u64()), (Some("active"), Some(1)));
    assert_eq!(readiness()["ready"], true);
    let agent = Agent::modern(&world, &world.mint_with(&mint));
    agent.call("mine", "{}").result();
    agent.call("ours", "{}").result();
    let accounts = world.pages("/api/v1/users/ada/connections");
    assert_eq!(accounts.len(), 1);
    assert_eq!(accounts[0], world.get(&account("ada")).expect(200));
    assert_eq!(world.get(&account("nobody")).expect(200)["state"], "missing");
}

#[test]
fn taking_an_account_back_stops_its_calls_at_once_and_connecting_it_again_lets_them_pass() {
    let (world, upstream) = desk(Options::default());
    for user in ["ada", "grace"] {
        connect(&world, user, &bearer(user));
    }
    let session = world.mint("desk", "ada");
    let ada = Agent::modern(&world, &session);
    let grace = Agent::modern(&world, &world.mint("desk", "grace"));
    let hers = ada.start_call("1", "slow", r#"{"milliseconds":60000}"#);
    let others = grace.start_call("1", "slow", r#"{"milliseconds":1500}"#);
    upstream.ledger().wait_until("both calls", |record| record.calls().count() == 2);

    assert_eq!(disconnect(&world, "ada")["state"], "disconnected");
    upstream.ledger().wait_until("the cancellation", |record| record.cancelled.len() == 1);
    assert!(Answer::of(&hers.answer().read()).json().get("error").is_some());
    assert_eq!(Answer::of(&others.answer().read()).content(), "waited");
    let arrived = upstream.ledger().calls().len();
    assert_eq!(refusal_of(&ada.call("echo", "{}")), "user_connection_disconnected");
    assert_eq!(upstream.ledger().calls().len(), arrived);
    let mint = json!({ "virtual_server": "desk", "user": "ada" });
    let problem = world.post("/api/v1/sessions", &mint).problem(409);
    assert_eq!(problem["missing"][0]["status"], "disconnected");
    // Again changes nothing.
    disconnect(&world, "ada");

    connect(&world, "ada", &bearer("new"));
    ada.call("echo", "{}").result();
    let last = upstream.ledger().calls().pop().unwrap();
    assert_eq!(last.header("authorization"), Some("Bearer new"));
    let acts = world.pages("/api/v1/audit/acts?user=ada");
    let kinds: Vec<_> = acts.iter().filter_map(|act| act["type"].as_str()).collect();
    let of = |kind: &str| kinds.iter().filter(|known| **known == kind).count();
    assert_eq!((of("UserConnectionActivated"), of("UserConnectionDisconnected")), (2, 1));
}

#[test]
fn a_new_credential_is_used_from_the_next_call_on_and_the_record_says_which_served() {
    let (world, upstream) = desk(Options::default());
    connect(&world, "ada", &bearer("first"));
    let session = world.mint("desk", "ada");
    let agent = Agent::modern(&world, &session);
    agent.call("echo", "{}").result();
    assert_eq!(connect(&world, "ada", &bearer("second"))["generation"], 2);
    agent.call("echo", "{}").result();
    let sent: Vec<_> = upstream
        .ledger()
        .calls()
        .iter()
        .map(|call| call.header("authorization").unwrap_or_default().to_owned())
        .collect();
    assert_eq!(sent, ["Bearer first", "Bearer second"]);
    let admitted: Vec<_> = world
        .timeline(&session)
        .into_iter()
        .filter(|event| event["type"] == "ToolCallAdmitted")
        .map(|event| event.to_string())
        .collect();
    assert_eq!(admitted.len(), 2);
    let names = |generation: u32| {
        admitted.iter().any(|event| event.contains(&format!("\"user_generation\":{generation}")))
    };
    assert!(names(1) && names(2), "{admitted:?}");
}

#[test]
fn another_process_knows_at_once_and_a_restart_loses_nothing() {
    let mut world = World::start_behind_url(&[]);
    let upstream = Upstream::start(Options::default());
    register(&world, &upstream, &json!({ "type": "bearer" }));
    world.define("desk", "fixture", &ALL_TOOLS);
    let other = world.another();
    connect(&world, "ada", &bearer("t"));
    let session = other.mint("desk", "ada");
    let there = Agent::modern(&other, &session);
    there.call("echo", "{}").result();
    disconnect(&world, "ada");
    assert_eq!(refusal_of(&there.call("echo", "{}")), "user_connection_disconnected");
    connect(&other, "ada", &bearer("u"));
    Agent::modern(&world, &session).call("echo", "{}").result();
    world.crash_and_restart();
    Agent::modern(&world, &session).call("echo", "{}").result();
    let last = upstream.ledger().calls().pop().unwrap();
    assert_eq!(last.header("authorization"), Some("Bearer u"));
}

#[test]
fn nothing_is_admitted_anywhere_once_it_is_acknowledged_that_an_account_was_taken_back() {
    let world = World::start_behind_url(&[]);
    let upstream = Upstream::start(Options::default());
    register(&world, &upstream, &json!({ "type": "bearer" }));
    world.define("desk", "fixture", &["echo"]);
    let other = world.another();
    connect(&world, "ada", &bearer("t"));
    let session = world.mint("desk", "ada");
    for _ in 0..ROUNDS {
        let going = AtomicBool::new(true);
        let position = std::thread::scope(|scope| {
            for server in [&world.server, &other] {
                let (agent, going) = (Agent::modern(server, &session), &going);
                scope.spawn(move || {
                    while going.load(Ordering::Relaxed) {
                        agent.call("echo", "{}");
                    }
                });
            }
            let arrived = upstream.ledger().calls().len();
            upstream.ledger().wait_until("calls", |record| record.calls().count() > arrived + 10);
            let position = disconnect(&world, "ada")["position"].as_u64().unwrap();
            std::thread::sleep(Duration::from_millis(100));
            going.store(false, Ordering::Relaxed);
            position
        });
        let late = world.timeline(&session).into_iter().filter(|event| {
            event["type"] == "ToolCallAdmitted" && event["position"].as_u64().unwrap() > position
        });
        assert_eq!(late.count(), 0, "admitted after the account was taken back");
        connect(&other, "ada", &bearer("t"));
    }
}

#[test]
fn keys_and_passwords_are_sent_as_the_connection_wants_them() {
    for (auth, credential, header, value) in [
        (json!({ "type": "api_key" }), json!({ "type": "api_key", "key": "k" }), "x-api-key", "k"),
        (
            json!({ "type": "api_key", "header": "X-Token", "format": "Token {secret}" }),
            json!({ "type": "api_key", "key": "k" }),
            "x-token",
            "Token k",
        ),
        (
            json!({ "type": "basic" }),
            json!({ "type": "basic", "username": "Aladdin", "password": "open sesame" }),
            "authorization",
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        ),
    ] {
        let world = World::start();
        let upstream = Upstream::start(Options::default());
        register(&world, &upstream, &auth);
        world.define("desk", "fixture", &["echo"]);
        connect(&world, "ada", &credential);
        Agent::modern(&world, &world.mint("desk", "ada")).call("echo", "{}").result();
        let call = upstream.ledger().calls().pop().unwrap();
        assert_eq!(call.header(header), Some(value));
    }
}

#[test]
fn a_catalog_that_only_users_may_read_is_read_as_one_of_them() {
    let world = World::start();
    let secret = Some(("authorization".to_owned(), "Bearer t".to_owned()));
    let upstream = Upstream::start(Options { secret, ..Options::default() });
    let registered = register(&world, &upstream, &json!({ "type": "bearer" }));
    assert!(registered["catalog_error"].as_str().is_some_and(|error| error.contains("401")));
    let refresh = "/api/v1/connections/fixture/catalog/refresh";
    assert_eq!(
        world.post(&format!("{refresh}?user=ada"), &json!({})).problem(409)["code"],
        "accounts_missing"
    );
    connect(&world, "ada", &bearer("t"));
    let refreshed = world.post(&format!("{refresh}?user=ada"), &json!({})).expect(200);
    assert_eq!(refreshed["tools"], ALL_TOOLS.len());
    world.post("/api/v1/connections/fixture/test?user=ada", &json!({})).expect(200);
    world.define("desk", "fixture", &["echo"]);
    Agent::modern(&world, &world.mint("desk", "ada")).call("echo", "{}").result();
}

#[test]
fn what_cannot_work_is_refused_with_what_to_do() {
    let (world, upstream) = desk(Options::default());
    world.connect("shared", &upstream.url());
    let put = |path: &str, credential: &Value| world.put(path, credential).json()["code"].clone();
    let of = |connection: &str| format!("/api/v1/users/ada/connections/{connection}/credential");
    assert_eq!(put(&of("shared"), &bearer("t")), "invalid_credential");
    assert_eq!(put(&of("ghost"), &bearer("t")), "connection_not_found");
    assert_eq!(put(&of("fixture"), &json!({ "type": "api_key", "key": "k" })), "invalid_credential");
    assert_eq!(put(&of("fixture"), &bearer("a\r\nX-Other: b")), "invalid_credential");
    assert_eq!(put(&of("fixture"), &bearer("")), "invalid_credential");
    assert_eq!(put(&of("fixture"), &json!({ "type": "bearer" })), "invalid_body");
    let gone = world.post(&format!("{}/disconnect", account("ada")), &json!({ "reason": "x" }));
    assert_eq!(gone.problem(404)["code"], "user_connection_not_found");
    for auth in [
        json!({ "type": "bearer", "format": "no place" }),
        json!({ "type": "bearer", "format": "{secret}{secret}" }),
        json!({ "type": "api_key", "header": "Mcp-Session-Id" }),
    ] {
        let body =
            json!({ "name": "other", "transport": { "type": "http", "url": upstream.url() }, "auth": auth });
        assert_eq!(world.post("/api/v1/connections", &body).problem(422)["code"], "invalid_connection");
    }
    // Set anew to take another kind, an account of the old kind is none.
    connect(&world, "ada", &bearer("t"));
    let agent = Agent::modern(&world, &world.mint("desk", "ada"));
    let basic = json!({
        "transport": { "type": "http", "url": upstream.url() }, "auth": { "type": "basic" },
        "private_network": true,
    });
    world.put("/api/v1/connections/fixture", &basic).expect(200);
    assert_eq!(refusal_of(&agent.call("echo", "{}")), "user_connection_missing");
}

#[test]
fn a_credential_is_shown_to_nobody_and_kept_sealed() {
    const SECRET: &str = "canary-5d1f-user-secret";
    let (mut world, upstream) = desk(Options::default());
    let mut shown = connect(&world, "ada", &bearer(SECRET)).to_string();
    let agent = Agent::modern(&world, &world.mint("desk", "ada"));
    agent.call("echo", "{}").result();
    shown += &agent.call("fail", "{}").text;
    for path in [
        "/api/v1/users/ada/connections",
        "/api/v1/users/ada/connections/fixture",
        "/api/v1/connections/fixture",
        "/api/v1/audit/acts",
        "/api/v1/audit/tool-calls",
    ] {
        shown += &world.get(path).text();
    }
    let wrong = json!({ "type": "bearer", "token": format!("{SECRET}\n") });
    shown += &world.put(&format!("{}/credential", account("ada")), &wrong).text();
    drop(upstream);
    shown += &agent.call("echo", "{}").text;
    std::thread::sleep(Duration::from_millis(100));
    world.server.terminate();
    shown += &world.log();
    assert!(!shown.contains(SECRET), "{shown}");
    for (name, bytes) in world.kept() {
        let found = bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
        assert!(!found, "{name} holds the secret");
    }
}
