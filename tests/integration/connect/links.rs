//! Hosted links: how long they are good, what replaces them, and those for keys and passwords.

use proctor_test_upstream::{Options, Protection, Upstream};
use serde_json::{Value, json};
use url::form_urlencoded::byte_serialize;

use super::browser::Browser;
use super::provider::Setup;
use super::{RETURN_URL, Scene, account, assert_sent_back_empty, code, link, path, verify};
use crate::agent::Agent;
use crate::past::a_day_passes;
use crate::world::{World, wait_until};

#[track_caller]
fn assert_page(answer: &crate::http::Response, status: u16) {
    assert_eq!(answer.status, status, "{}", answer.text());
    let kind = answer.header("content-type").unwrap_or_default();
    assert!(kind.starts_with("text/html"), "{kind}");
}

#[test]
fn looking_at_a_page_uses_nothing_up() {
    let scene = Scene::start(Setup::default());
    let url = link(&scene.world, "ada");
    for _ in 0..3 {
        assert_page(&Browser::new(&scene.world).visit(&url), 200);
    }
    let back = Browser::new(&scene.world).authorize(&url, "ada");
    verify(&scene.world, "ada", &code(&back)).expect(200);
}

#[test]
fn a_new_link_takes_the_place_of_the_one_before() {
    let scene = Scene::start(Setup::default());
    let first = link(&scene.world, "ada");
    let mut started = Browser::new(&scene.world);
    let callback = started.callback(&first, "ada");
    let second = link(&scene.world, "ada");
    assert_ne!(first, second);
    let page = Browser::new(&scene.world).visit(&first);
    assert!(matches!(page.status, 404 | 409 | 410), "{}: {}", page.status, page.text());
    let answer = started.visit(callback.as_str());
    assert!((400..500).contains(&answer.status), "{}: {}", answer.status, answer.text());
    let back = Browser::new(&scene.world).authorize(&second, "ada");
    verify(&scene.world, "ada", &code(&back)).expect(200);
}

#[test]
fn a_link_survives_a_restart_between_its_steps() {
    let mut scene = Scene::start(Setup::default());
    let url = link(&scene.world, "ada");
    scene.world.crash_and_restart();
    let mut browser = Browser::new(&scene.world);
    let callback = browser.callback(&url, "ada");
    scene.world.crash_and_restart();
    browser.moved_to(&scene.world);
    let back = browser.open(callback.as_str());
    let brought = code(&back.url);
    scene.world.crash_and_restart();
    verify(&scene.world, "ada", &brought).expect(200);
    let scene = scene.with_desk("ada");
    assert_eq!(scene.agent("ada").call("whoami", "{}").content(), "ada");
}

#[test]
fn another_process_takes_up_what_one_has_begun() {
    let scene = Scene::start(Setup::default());
    let other = scene.world.another();
    let url = link(&scene.world, "ada");
    let mut browser = Browser::new(&other);
    let callback = browser.callback(&url, "ada");
    browser.moved_to(&scene.world);
    let back = browser.open(callback.as_str());
    verify(&other, "ada", &code(&back.url)).expect(200);
    assert_eq!(account(&scene.world, "ada")["state"], "active");
}

/// The connection's auth, the fields of the page, and the header that reaches the upstream.
type Typed = (Value, &'static [(&'static str, &'static str)], &'static str, &'static str);

#[test]
fn keys_tokens_and_passwords_are_typed_into_the_page_and_sent_as_the_connection_wants_them() {
    let cases: [Typed; 3] = [
        (json!({ "type": "api_key" }), &[("key", "k-of-ada")], "x-api-key", "k-of-ada"),
        (json!({ "type": "bearer" }), &[("token", "t-of-ada")], "authorization", "Bearer t-of-ada"),
        (
            json!({ "type": "basic" }),
            &[("username", "Aladdin"), ("password", "open sesame")],
            "authorization",
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        ),
    ];
    for (auth, fields, header, value) in cases {
        let world = World::start_behind_url(&[]);
        let upstream = Upstream::start(Options::default());
        let body = json!({
            "name": "notes", "transport": { "type": "http", "url": upstream.url() },
            "auth": auth, "private_network": true,
        });
        world.post("/api/v1/connections", &body).expect(201);
        world.define("desk", "notes", &["echo"]);
        let url = link(&world, "ada");
        let mut browser = Browser::new(&world);
        let page = browser.open(&url);
        for (field, _) in fields {
            assert!(page.text().contains(&format!(r#"name="{field}""#)), "{field}: {}", page.text());
        }
        let secret = if auth["type"] == "basic" { "password" } else { fields[0].0 };
        let typed_hidden = page.text().split("<input").any(|input| {
            let input = input.split('>').next().unwrap_or_default();
            input.contains(&format!(r#"name="{secret}""#)) && input.contains(r#"type="password""#)
        });
        assert!(typed_hidden, "a secret is typed in the open: {}", page.text());

        // What cannot be sent is said so, and can be mended.
        let wrong: Vec<_> = fields.iter().map(|(name, _)| (*name, "a\r\nX-Other: b")).collect();
        let refused = browser.submit_once(&page, if auth["type"] == "basic" { &[] } else { &wrong });
        assert!(matches!(refused.status, 400 | 422), "{}: {}", refused.status, refused.text());
        assert!(!refused.text().contains("X-Other"), "{}", refused.text());
        let back = browser.submit(&page, fields);
        assert!(back.answer.is_none(), "{}: {}", back.url, back.text());
        assert_ne!(account(&world, "ada")["state"], "active");
        assert_eq!(verify(&world, "ada", &code(&back.url)).expect(200)["state"], "active");
        Agent::modern(&world, &world.mint("desk", "ada")).call("echo", "{}").result();
        let call = upstream.ledger().calls().pop().unwrap();
        assert_eq!(call.header(header), Some(value));
        // A stranger who has the link gets no second try.
        let again = Browser::new(&world).submit_once(&page, fields);
        assert!(matches!(again.status, 404 | 409 | 410), "{}: {}", again.status, again.text());
    }
}

#[test]
fn a_connection_that_takes_nothing_from_users_has_no_links() {
    let world = World::start_behind_url(&[]);
    let upstream = Upstream::start(Options::default());
    world.connect("open", &upstream.url());
    let answer = world.post("/api/v1/users/ada/connections/open/link", &json!({ "return_url": RETURN_URL }));
    assert!((400..500).contains(&answer.status), "{}", answer.text());
    answer.problem(answer.status);
}

#[test]
fn a_link_says_where_its_account_is_whatever_the_user_is_called() {
    let world = World::start_behind_url(&[]);
    let upstream = Upstream::start(Options::default());
    let keyed = json!({
        "name": "keyed", "transport": { "type": "http", "url": upstream.url() },
        "auth": { "type": "api_key" }, "private_network": true,
    });
    world.post("/api/v1/connections", &keyed).ok();
    for user in ["ada", "ada@product.test", "Ädä Lövelace", "a/b?c#d+e%20f"] {
        let named: String = byte_serialize(user.as_bytes()).collect();
        let path = format!("/api/v1/users/{}/connections/keyed/link", named.replace('+', "%20"));
        let made = world.post(&path, &json!({ "return_url": RETURN_URL }));
        assert_eq!(made.expect(201)["user"], user);
        assert_eq!(world.get(made.header("location").unwrap()).expect(200)["user"], user);
    }
}

#[test]
fn a_link_is_made_for_a_time_that_makes_sense() {
    let scene = Scene::start(Setup::default());
    let make = |seconds: i64| {
        let body = json!({ "return_url": RETURN_URL, "ttl_seconds": seconds });
        scene.world.post(&format!("{}/link", path("ada")), &body)
    };
    for wrong in [0, -1, 100_000_000] {
        let answer = make(wrong);
        assert!(matches!(answer.status, 400 | 422), "{wrong}: {}", answer.text());
    }
    let made = make(60).expect(201);
    assert!(made["expires_at"].is_string() && made["link_id"].is_string(), "{made}");
    let mut browser = Browser::new(&scene.world);
    assert_page(&browser.visit(made["url"].as_str().unwrap()), 200);
    assert_page(&browser.visit("http://proctor.test/connect/nobody-made-this"), 404);
}

#[test]
fn a_link_ends_with_the_settings_that_it_was_made_for() {
    let scene = Scene::start(Setup::default());
    let url = link(&scene.world, "ada");
    let mut browser = Browser::new(&scene.world);
    let callback = browser.callback(&url, "ada");
    let bearer = json!({
        "transport": { "type": "http", "url": scene.upstream.url() }, "auth": { "type": "bearer" },
        "private_network": true,
    });
    scene.world.put("/api/v1/connections/notes", &bearer).expect(200);
    assert_page(&browser.visit(&url), 404);
    assert_page(&browser.visit(callback.as_str()), 404);
    assert_eq!(scene.provider.record().exchanges().len(), 0);
    scene.assert_not_active("ada");
}

#[test]
fn what_was_found_stays_as_it_is_until_an_administrator_sets_it_anew() {
    let scene = Scene::start(Setup::default());
    let settings = || scene.world.get("/api/v1/connections/notes").expect(200)["auth"].clone();
    let before = settings();
    // The upstream names another server from now on.
    let protection = Protection::of("http://127.0.0.1:9", json!({ "keys": [] }));
    scene.upstream.protect(protection);
    let back = Browser::new(&scene.world).authorize(&link(&scene.world, "ada"), "ada");
    verify(&scene.world, "ada", &code(&back)).expect(200);
    assert_eq!(settings(), before);
    // Setting it anew finds nothing there, and so changes nothing.
    let anew = json!({
        "transport": { "type": "http", "url": scene.upstream.url() }, "auth": scene.auth(Setup::default()),
        "private_network": true,
    });
    let answer = scene.world.put("/api/v1/connections/notes", &anew);
    answer.problem(answer.status);
    assert_eq!(settings(), before);
}

/// The provider has given out tokens for the code, and nobody is there who takes them.
#[test]
fn a_crash_while_a_code_is_exchanged_connects_nothing_and_blocks_nothing() {
    let mut scene = Scene::start(Setup::default());
    let url = link(&scene.world, "ada");
    let mut browser = Browser::new(&scene.world);
    let callback = browser.callback(&url, "ada");
    scene.provider.break_grant("authorization_code", "delay", 1, 20_000);
    let waiting = browser.start(callback.as_str());
    wait_until("the exchange", || scene.provider.record().exchanges().len() == 1);
    scene.world.crash_and_restart();
    assert!(waiting.try_answer().is_err(), "an answer arrived");
    browser.moved_to(&scene.world);
    scene.assert_not_active("ada");
    // The code is not sent once more.
    assert_page(&browser.visit(callback.as_str()), 409);
    assert_page(&browser.visit(&url), 409);
    assert_eq!(scene.provider.record().exchanges().len(), 1);
    scene.connect("ada");
}

#[test]
fn a_provider_that_fails_sends_people_back_with_what_happened() {
    let scene = Scene::start(Setup::default());
    for (manner, reason) in
        [("fail", "provider_unavailable"), ("kill", "provider_unavailable"), ("refuse", "code_refused")]
    {
        let url = link(&scene.world, "ada");
        let mut browser = Browser::new(&scene.world);
        let callback = browser.callback(&url, "ada");
        scene.provider.break_grant("authorization_code", manner, 1, 0);
        assert_eq!(assert_sent_back_empty(&browser.visit(callback.as_str())), reason, "{manner}");
        assert_page(&browser.visit(&url), 409);
        scene.assert_not_active("ada");
    }
    scene.connect("ada");
}

#[test]
fn a_link_whose_time_is_over_says_so_in_plain_words() {
    let scene = Scene::start(Setup::default());
    let url = link(&scene.world, "ada");
    let mut browser = Browser::new(&scene.world);
    let page = browser.open(&url);
    a_day_passes(&scene.world);
    wait_until("the link to end", || browser.visit(&url).status != 200);
    for answer in [browser.visit(&url), browser.submit_once(&page, &[])] {
        assert_page(&answer, 410);
        let text = answer.text();
        assert!(text.contains("This link has expired") && text.contains("Nothing was connected"), "{text}");
        assert_eq!(answer.header("set-cookie"), None);
    }
    assert_eq!(account(&scene.world, "ada")["state"], "missing");
    assert!(scene.provider.record().authorizations().is_empty(), "nobody was sent on");
    scene.connect("ada");
}
