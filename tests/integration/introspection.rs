//! What a token is worth, for whoever asks (RFC 7662).

use proctor_test_upstream::{Options, Upstream};
use serde_json::{Value, json};

use crate::agent::Agent;
use crate::http::{Request, Response};
use crate::rest::Session;
use crate::world::{ADMIN_KEY, Server, World};

const FORM: &str = "application/x-www-form-urlencoded";

fn ask(server: &Server, kind: &str, form: impl Into<Vec<u8>>) -> Response {
    Request::new("POST", "/api/v1/introspect")
        .header("Authorization", format!("Bearer {ADMIN_KEY}"))
        .header("Content-Type", kind)
        .body(form.into())
        .send(server.address)
}

#[track_caller]
fn introspect(server: &Server, token: &str) -> Value {
    let answer = ask(server, FORM, format!("token={token}&token_type_hint=access_token"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    answer.expect(200)
}

/// What ends a session, and how.
type Ends = (&'static str, fn(&World, &Session));

fn desk() -> (World, Upstream) {
    let world = World::start_behind_url(&[]);
    let upstream = Upstream::start(Options::default());
    world.desk(&upstream);
    (world, upstream)
}

#[test]
fn a_token_that_counts_says_whose_it_is_where_and_until_when() {
    let (world, _upstream) = desk();
    let session = world.mint("desk", "ada lovelace");
    let said = introspect(&world, &session.token);
    for (member, value) in [
        ("active", json!(true)),
        ("token_type", json!("Bearer")),
        ("username", json!("ada lovelace")),
        ("jti", json!(session.id)),
        ("aud", json!(session.url)),
        ("virtual_server", json!("desk")),
    ] {
        assert_eq!(said[member], value, "{said}");
    }
    assert!(said["sub"].as_str().unwrap().starts_with("sub_"), "{said}");
    let seconds = |member: &str| said[member].as_i64().unwrap();
    assert!((3_600..=3_601).contains(&(seconds("exp") - seconds("iat"))), "{said}");
}

#[test]
fn whatever_ends_a_session_is_seen_at_once_at_every_replica_as_the_door_sees_it() {
    let (world, _upstream) = desk();
    world.define("other", "fixture", &["echo"]);
    let server = world.another();
    let ends: [Ends; 4] = [
        ("revoked", |world, session| drop(world.revoke(session))),
        ("user", |world, _| {
            world.post("/api/v1/revocations", &json!({ "user": "ada", "reason": "left" })).ok();
        }),
        ("server", |world, _| {
            world.post("/api/v1/revocations", &json!({ "virtual_server": "desk", "reason": "moved" })).ok();
        }),
        ("retired", |world, _| {
            world.post("/api/v1/virtual-servers/desk/retire", &json!({ "reason": "old" })).ok();
        }),
    ];
    for (what, end) in ends {
        let (session, untouched) = (world.mint("desk", "ada"), world.mint("other", "grace"));
        assert_eq!(introspect(&server, &session.token)["active"], true, "{what}");
        end(&world, &session);
        assert_eq!(introspect(&server, &session.token), json!({ "active": false }), "{what}");
        assert_eq!(introspect(&server, &untouched.token)["active"], true, "{what}");
        let door = Agent::modern(&server, &session).call_request("1", "echo", "{}").send(server.address);
        assert_eq!(door.status, 401, "{what}: {}", door.text());
    }
}

#[test]
fn of_what_is_no_token_of_ours_nothing_is_said_and_the_form_is_the_standards() {
    let (world, _upstream) = desk();
    let session = world.mint("desk", "ada");
    let (head, signature) = session.token.rsplit_once('.').unwrap();
    let forged: String = signature.chars().rev().collect();
    for token in ["nonsense", "a.b.c", &format!("{head}.{forged}"), &"x".repeat(9_000)] {
        assert_eq!(introspect(&world, token), json!({ "active": false }), "{token}");
    }
    let no_form = ask(&world, "application/json", json!({ "token": session.token }).to_string());
    assert_eq!(no_form.problem(415)["code"], "wrong_content_type");
    for form in ["", "token=", "token_type_hint=access_token"] {
        assert_eq!(ask(&world, FORM, form).problem(422)["code"], "invalid_body", "{form:?}");
    }
    let anonymous = Request::new("POST", "/api/v1/introspect")
        .header("Content-Type", FORM)
        .body(format!("token={}", session.token));
    assert_eq!(anonymous.send(world.address).problem(401)["code"], "unauthenticated");
}
