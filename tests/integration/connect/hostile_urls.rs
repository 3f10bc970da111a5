//! URLs that lead where they must not: from an administrator who errs, and from servers that lie.

use proctor_test_upstream::{Options, Protection, Upstream};
use serde_json::{Value, json};
use url::Url;

use super::browser::{Browser, with_parameter};
use super::canned::Canned;
use super::{Scene, assert_sent_back_empty, link};
use crate::http::Response;
use crate::world::World;

/// The metadata of an honest server, with endpoints at this one.
fn metadata(canned: &Canned) -> Value {
    let at = |path: &str| format!("{}{path}", canned.url());
    json!({
        "issuer": canned.url(), "authorization_endpoint": at("/authorize"), "token_endpoint": at("/token"),
        "response_types_supported": ["code"], "grant_types_supported": ["authorization_code", "refresh_token"],
        "code_challenge_methods_supported": ["S256"],
    })
}

const METADATA: &str = "/.well-known/oauth-authorization-server";

fn register(world: &World, url: &str, auth: &Value, private_network: bool) -> Response {
    let body = json!({
        "name": "notes", "transport": { "type": "http", "url": url }, "auth": auth,
        "private_network": private_network,
    });
    world.post("/api/v1/connections", &body)
}

#[track_caller]
fn assert_refused(answer: &Response, what: &str) {
    assert!(matches!(answer.status, 400 | 422 | 502), "{what}: {} {}", answer.status, answer.text());
    let problem = answer.problem(answer.status);
    assert!(problem["detail"].as_str().unwrap().len() > 20, "{what}: {problem}");
}

/// Ways to write this machine's own addresses and its neighbours'.
fn spellings(port: u16) -> Vec<String> {
    let hosts = [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "127.0.0.1.",
        "127.000.000.001",
        "0",
        "0.0.0.0",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "a.localhost",
        "[::1]",
        "[::]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "１２７.０.０.１",
        "127。0。0。1",
        "%31%32%37.0.0.1",
        "169.254.169.254",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "100.64.0.1",
        "[fe80::1]",
        "[fd00::1]",
        "[fec0::1]",
        "224.0.0.1",
        "255.255.255.255",
        "user@127.0.0.1",
        "example.com@127.0.0.1",
        "127.0.0.1\\@example.com",
    ];
    hosts.iter().map(|host| format!("{host}:{port}")).collect()
}

#[test]
fn discovery_goes_to_no_private_address_however_it_is_written() {
    let world = World::start_behind_url(&[]);
    let trap = Canned::start();
    for spelling in spellings(trap.address.port()) {
        trap.put(METADATA, &metadata(&trap));
        for scheme in ["http", "https"] {
            let issuer = format!("{scheme}://{spelling}");
            let auth = json!({ "type": "oauth2", "client_id": "c", "issuer": issuer });
            let answer = register(&world, "https://mcp.example.com/mcp", &auth, false);
            assert_refused(&answer, &issuer);
        }
    }
    assert_eq!(trap.received(), []);
}

#[test]
fn a_code_and_a_secret_go_to_no_private_address_however_it_is_written() {
    let world = World::start_behind_url(&[]);
    let trap = Canned::start();
    let mut taken = 0;
    for (number, spelling) in spellings(trap.address.port()).into_iter().enumerate() {
        let auth = json!({
            "type": "oauth2", "client_id": "c", "client_secret": "s",
            "authorization_endpoint": "https://login.example.com/authorize",
            "token_endpoint": format!("http://{spelling}/token"),
            "revocation_endpoint": format!("http://{spelling}/revoke"),
        });
        let name = format!("notes{number}");
        let body = json!({
            "name": name, "transport": { "type": "http", "url": "https://mcp.example.com/mcp" }, "auth": auth,
        });
        let answer = world.post("/api/v1/connections", &body);
        if answer.status != 201 {
            assert_refused(&answer, &spelling);
            continue;
        }
        taken += 1;
        let made = world.post(
            &format!("/api/v1/users/ada/connections/{name}/link"),
            &json!({ "return_url": super::RETURN_URL }),
        );
        let made = made.expect(201);
        let mut browser = Browser::new(&world);
        let page = browser.open(made["url"].as_str().unwrap());
        let going = browser.submit_once(&page, &[]);
        let going = Url::parse(going.header("location").unwrap()).unwrap();
        assert_eq!(going.host_str(), Some("login.example.com"));
        let state = super::browser::parameter(&going, "state").unwrap();
        let callback = format!("http://proctor.test/connect/callback/{name}?code=x&state={state}");
        assert_eq!(assert_sent_back_empty(&browser.visit(&callback)), "provider_unavailable", "{spelling}");
    }
    eprintln!("{taken} were taken as settings and refused when they were to be reached");
    assert_eq!(trap.received(), []);
}

#[test]
fn people_are_sent_to_web_pages_only() {
    let world = World::start_behind_url(&[]);
    let upstream = Upstream::start(Options::default());
    let canned = Canned::start();
    for wrong in [
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "ftp://example.com/",
        "x",
        "",
        "//evil.test/a",
    ] {
        let by_hand = json!({
            "type": "oauth2", "client_id": "c", "authorization_endpoint": wrong,
            "token_endpoint": format!("{}/token", canned.url()),
        });
        assert_refused(&register(&world, &upstream.url(), &by_hand, true), wrong);
        for member in ["authorization_endpoint", "token_endpoint"] {
            let mut lying = metadata(&canned);
            lying[member] = json!(wrong);
            canned.put(METADATA, &lying);
            let found = json!({ "type": "oauth2", "client_id": "c", "issuer": canned.url() });
            assert_refused(&register(&world, &upstream.url(), &found, true), &format!("{member} {wrong}"));
        }
    }
}

#[test]
fn documents_that_contradict_themselves_are_refused() {
    let world = World::start_behind_url(&[]);
    let upstream = Upstream::start(Options::default());
    let canned = Canned::start();
    let auth = json!({ "type": "oauth2", "client_id": "c", "issuer": canned.url() });
    let mut wrong = Vec::new();
    for (member, value) in [
        ("issuer", json!("https://other.example.com")),
        ("issuer", Value::Null),
        ("code_challenge_methods_supported", json!(["plain"])),
        ("code_challenge_methods_supported", json!([])),
        ("code_challenge_methods_supported", Value::Null),
        ("authorization_endpoint", Value::Null),
        ("token_endpoint", json!(7)),
    ] {
        let mut document = metadata(&canned);
        if value.is_null() {
            document.as_object_mut().unwrap().remove(member);
        } else {
            document[member] = value;
        }
        wrong.push(document.to_string());
    }
    wrong.push("[]".to_owned());
    wrong.push("<html>".to_owned());
    wrong.push(String::new());
    wrong.push("[".repeat(200_000));
    wrong.push(format!(r#"{{"x":"{}"}}"#, "x".repeat(20_000_000)));
    for document in wrong {
        canned.put_raw(METADATA, 200, "Content-Type: application/json\r\n", &document);
        let short: String = document.chars().take(300).collect();
        assert_refused(&register(&world, &upstream.url(), &auth, true), &short);
    }
    canned.put(METADATA, &metadata(&canned));
    register(&world, &upstream.url(), &auth, true).expect(201);
}

#[test]
fn an_upstream_that_names_another_resource_or_a_wrong_place_is_refused() {
    let world = World::start_behind_url(&[]);
    let canned = Canned::start();
    canned.put(METADATA, &metadata(&canned));
    let auth = json!({ "type": "oauth2", "client_id": "c" });
    let honest = || Protection::of(&canned.url(), json!({ "keys": [] }));
    let others = [
        json!({ "resource": "https://other.example.com/mcp" }),
        json!({ "resource": 7 }),
        json!({ "authorization_servers": [] }),
        json!({ "authorization_servers": ["javascript:alert(1)"] }),
        json!({ "authorization_servers": "x" }),
    ];
    let mut wrong: Vec<_> = others.map(|metadata| Protection { metadata, ..honest() }).into();
    for place in ["file:///etc/passwd", "javascript:alert(1)", "not a url"] {
        wrong.push(Protection { challenge: Some(place.to_owned()), ..honest() });
    }
    for protection in wrong {
        let what = format!("{protection:?}");
        let upstream = Upstream::start(Options::default());
        upstream.protect(protection);
        assert_refused(&register(&world, &upstream.url(), &auth, true), &what);
    }
    // Without a place in the challenge, the well-known one is looked up.
    let upstream = Upstream::start(Options::default());
    upstream.protect(Protection { challenge: Some(String::new()), ..honest() });
    register(&world, &upstream.url(), &auth, true).expect(201);
}

/// A redirect would carry a code, a verifier and a client's secret to whoever it names.
#[test]
fn what_is_secret_does_not_follow_a_redirect() {
    let scene = Scene::unregistered(super::Setup::default(), Options::default());
    let (canned, trap) = (Canned::start(), Canned::start());
    let auth = json!({
        "type": "oauth2", "client_id": "c", "client_secret": "canary-secret",
        "authorization_endpoint": "https://login.example.com/authorize",
        "token_endpoint": format!("{}/token", canned.url()),
    });
    scene.register(&auth).expect(201);
    for status in [301, 302, 303, 307, 308] {
        canned.put_raw("/token", status, &format!("Location: {}/steal\r\n", trap.url()), "");
        let mut browser = Browser::new(&scene.world);
        let page = browser.open(&link(&scene.world, "ada"));
        let going = browser.submit_once(&page, &[]);
        let going = Url::parse(going.header("location").unwrap()).unwrap();
        let state = super::browser::parameter(&going, "state").unwrap();
        let callback = Url::parse(&format!("{}?code=x", super::callback())).unwrap();
        assert_sent_back_empty(&browser.visit(&with_parameter(&callback, "state", Some(&state))));
        scene.assert_not_active("ada");
    }
    assert_eq!(canned.received().len(), 5);
    assert_eq!(trap.received(), []);
}

#[test]
fn a_token_answer_that_makes_no_sense_connects_nothing() {
    let scene = Scene::unregistered(super::Setup::default(), Options::default());
    let canned = Canned::start();
    let auth = json!({
        "type": "oauth2", "client_id": "c", "authorization_endpoint": "https://login.example.com/authorize",
        "token_endpoint": format!("{}/token", canned.url()),
    });
    scene.register(&auth).expect(201);
    for (status, body) in [
        (200, "{}"),
        (200, ""),
        (200, "<html>canary-page"),
        (200, r#"{"access_token":"","token_type":"Bearer"}"#),
        (200, r#"{"access_token":"a\r\nX-Other: b","token_type":"Bearer"}"#),
        (200, r#"{"access_token":7,"token_type":"Bearer"}"#),
        (200, r#"{"access_token":"a","token_type":"mac"}"#),
        (400, r#"{"error":"invalid_client","error_description":"<script>canary</script>"}"#),
        (500, "canary-stack-trace"),
    ] {
        canned.put_raw("/token", status, "Content-Type: application/json\r\n", body);
        let mut browser = Browser::new(&scene.world);
        let page = browser.open(&link(&scene.world, "ada"));
        let going = browser.submit_once(&page, &[]);
        let going = Url::parse(going.header("location").unwrap()).unwrap();
        let state = super::browser::parameter(&going, "state").unwrap();
        let callback = Url::parse(&format!("{}?code=x", super::callback())).unwrap();
        let answer = browser.visit(&with_parameter(&callback, "state", Some(&state)));
        assert_sent_back_empty(&answer);
        assert!(!answer.header("location").unwrap().contains("canary"), "{:?}", answer.headers);
        scene.assert_not_active("ada");
    }
}
