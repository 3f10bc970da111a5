//! Minting sessions: their terms, and what can be seen of them afterwards.

use proctor_test_upstream::{Options, Upstream};
use serde_json::{Value, json};

use crate::agent::Agent;
use crate::world::World;

#[test]
fn a_minted_session_says_where_to_go_and_when_it_ends() {
    let world = World::start();
    let upstream = Upstream::start(Options::default());
    world.desk(&upstream);
    let answer = world.post("/api/v1/sessions", &json!({ "virtual_server": "desk", "user": "ada" }));
    let body = answer.expect(201);
    assert!(body["session_id"].as_str().unwrap().starts_with("ses_"), "{body}");
    assert_eq!(body["mcp_server_url"], format!("http://{}/mcp/desk", world.address));
    assert!(body["expires_at"].is_string(), "{body}");
    assert!(answer.header("proctor-position").is_some());
    let token = body["token"].as_str().unwrap();
    assert_eq!(token.split('.').count(), 3, "a token is a JWT");
}

#[test]
fn terms_outside_the_limits_are_refused() {
    let world = World::start();
    let upstream = Upstream::start(Options::default());
    world.desk(&upstream);
    for (member, value) in [
        ("ttl_seconds", json!(59)),
        ("ttl_seconds", json!(86_401)),
        ("ttl_seconds", json!("3600")),
        ("access", json!("root")),
        ("user", json!("")),
        ("user", json!(7)),
        ("tools", json!(["no_such_tool"])),
        ("labels", json!("run-1")),
    ] {
        let mut mint = json!({ "virtual_server": "desk", "user": "ada" });
        mint[member] = value;
        let answer = world.post("/api/v1/sessions", &mint);
        assert!(answer.status == 400 || answer.status == 422, "{mint}: {} {}", answer.status, answer.text());
        answer.problem(answer.status);
    }
    let unknown = json!({ "virtual_server": "no-such-server", "user": "ada" });
    let answer = world.post("/api/v1/sessions", &unknown);
    assert!(answer.status == 404 || answer.status == 422, "{} {}", answer.status, answer.text());
    for ttl in [60, 86_400] {
        world.mint_with(&json!({ "virtual_server": "desk", "user": "ada", "ttl_seconds": ttl }));
    }
}

#[test]
fn a_read_only_session_has_only_tools_that_say_they_read() {
    let world = World::start();
    let upstream = Upstream::start(Options::default());
    world.desk(&upstream);
    let mint = json!({ "virtual_server": "desk", "user": "ada", "access": "read_only" });
    let agent = Agent::modern(&world, &world.mint_with(&mint));
    let mut tools = agent.tools();
    tools.sort();
    assert_eq!(tools, ["big", "read_thing"]);
    agent.call("read_thing", "{}").result();
    agent.call("delete_thing", r#"{"id":"1"}"#).error();
    agent.call("echo", "{}").error();
    assert_eq!(upstream.ledger().calls().len(), 1);
    assert_eq!(world.trail("outcome=refused")[0]["reason"], "not_read_only");
}

#[test]
fn a_session_can_be_narrower_than_its_virtual_server() {
    let world = World::start();
    let upstream = Upstream::start(Options::default());
    world.desk(&upstream);
    let mint = json!({ "virtual_server": "desk", "user": "ada", "tools": ["echo"] });
    let agent = Agent::modern(&world, &world.mint_with(&mint));
    assert_eq!(agent.tools(), ["echo"]);
    agent.call("read_thing", "{}").error();
    assert_eq!(upstream.ledger().calls().len(), 0);
    // A revision of the virtual server does not widen it.
    world.revise("desk", vec![json!({ "connection": "fixture", "tool": "read_thing" })]);
    assert_eq!(agent.tools(), Vec::<String>::new());
}

#[test]
fn a_session_ends_with_its_last_call() {
    let world = World::start();
    let upstream = Upstream::start(Options::default());
    world.desk(&upstream);
    let mint = json!({ "virtual_server": "desk", "user": "ada", "limits": { "calls_max": 2 } });
    let session = world.mint_with(&mint);
    let agent = Agent::modern(&world, &session);
    // At once, so that the limit has to be exact.
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| agent.call("echo", "{}"));
        }
    });
    assert_eq!(upstream.ledger().calls().len(), 2);
    let refused = world.trail(&format!("session={}&outcome=refused", session.id));
    assert_eq!(refused[0]["reason"], "calls_max_reached");
}

#[test]
fn a_user_who_is_new_to_many_mints_at_once_is_one_user() {
    let world = World::start_behind_url(&[]);
    let upstream = Upstream::start(Options::default());
    world.desk(&upstream);
    let other = world.another();
    for round in 0..5 {
        let user = format!("user-{round}");
        let mint = json!({ "virtual_server": "desk", "user": user });
        std::thread::scope(|scope| {
            for server in [&*world, &other, &world, &other, &world, &other] {
                let mint = &mint;
                scope.spawn(move || server.mint_with(mint));
            }
        });
        let sessions = world.pages(&format!("/api/v1/sessions?user={user}"));
        assert_eq!(sessions.len(), 6);
        assert!(sessions.iter().all(|session| session["subject"] == sessions[0]["subject"]));
    }
}

#[test]
fn sessions_are_listed_and_shown_with_user_and_labels() {
    let world = World::start();
    let upstream = Upstream::start(Options::default());
    world.desk(&upstream);
    let mint = json!({
        "virtual_server": "desk", "user": "ada", "labels": { "run": "run-1" }, "ttl_seconds": 600
    });
    let session = world.mint_with(&mint);
    world.mint("desk", "grace");
    let shown = world.get(&format!("/api/v1/sessions/{}", session.id)).expect(200);
    assert_eq!((&shown["session_id"], &shown["user"]), (&json!(session.id), &json!("ada")));
    assert_eq!(shown["labels"], json!({ "run": "run-1" }));
    assert_eq!(shown["virtual_server"], "desk");
    let listed = world.pages("/api/v1/sessions");
    assert_eq!(listed.len(), 2);
    assert!(!world.get("/api/v1/sessions").text().contains(&session.token));
    world.get("/api/v1/sessions/ses_0190a5b1-0000-7000-8000-000000000000").problem(404);
}

#[test]
fn the_timeline_tells_everything_that_happened_in_a_session_in_order() {
    let world = World::start();
    let upstream = Upstream::start(Options::default());
    world.desk(&upstream);
    let session = world.mint("desk", "ada");
    let agent = Agent::modern(&world, &session);
    agent.tools();
    agent.call("echo", r#"{"text":"hi"}"#).result();
    agent.call("nothing", "{}").error();
    world.revoke(&session);
    let timeline = world.timeline(&session);
    let types: Vec<&str> = timeline.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(
        types,
        [
            "SessionOpened",
            "ManifestServed",
            "ToolCallAdmitted",
            "ToolCallEnded",
            "ToolCallRefused",
            "SessionRevoked"
        ]
    );
    let positions: Vec<u64> = timeline.iter().map(|event| event["position"].as_u64().unwrap()).collect();
    assert!(positions.is_sorted(), "{positions:?}");
}

#[test]
fn nothing_personal_is_readable_in_the_files() {
    const USER: &str = "ada.lovelace@example.com";
    const LABEL: &str = "a-label-about-ada";
    const ARGUMENT: &str = "an-argument-about-ada";
    let mut world = World::start();
    let upstream = Upstream::start(Options::default());
    world.desk(&upstream);
    let mint = json!({ "virtual_server": "desk", "user": USER, "labels": { "run": LABEL } });
    let session = world.mint_with(&mint);
    let agent = Agent::modern(&world, &session);
    agent.call("echo", &json!({ "text": ARGUMENT }).to_string()).result();
    agent.call("tool_error", &json!({ "text": ARGUMENT }).to_string()).result();
    let trail = world.trail("user=ada.lovelace%40example.com");
    assert_eq!(trail.len(), 2);
    assert_eq!(trail[0]["user"], USER);
    world.server.terminate();
    let mut seen = 0;
    for (name, bytes) in world.kept() {
        seen += bytes.len();
        for secret in [USER, LABEL, ARGUMENT, &session.token] {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{name} holds {secret}");
        }
    }
    assert!(seen > 0);
    for secret in [USER, LABEL, ARGUMENT, &session.token] {
        assert!(!world.log().contains(secret), "the log holds {secret}");
    }
}

#[test]
fn a_session_opened_twice_with_the_same_words_is_two_sessions() {
    let world = World::start();
    let upstream = Upstream::start(Options::default());
    world.desk(&upstream);
    let (one, two) = (world.mint("desk", "ada"), world.mint("desk", "ada"));
    assert_ne!((&one.id, &one.token), (&two.id, &two.token));
    world.revoke(&one);
    Agent::modern(&world, &two).call("echo", "{}").result();
    let state =
        |id: &str| -> Value { world.get(&format!("/api/v1/sessions/{id}")).expect(200)["state"].clone() };
    assert_eq!((state(&one.id), state(&two.id)), (json!("revoked"), json!("open")));
}
