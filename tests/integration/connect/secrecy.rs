//! Nothing of what a user's account rests on is shown, logged, or kept in the open.

use std::time::Duration;

use proctor_test_upstream::{Options, Upstream};
use serde_json::json;

use super::browser::{Browser, parameter};
use super::provider::{CLIENT_SECRET, Setup};
use super::{Scene, account, code, link, path, verify};
use crate::agent::Agent;
use crate::world::World;

#[test]
fn tokens_and_secrets_are_shown_to_nobody_and_kept_sealed() {
    let scene = Scene::start(Setup { lifetime_seconds: 3, ..Setup::default() });
    let url = link(&scene.world, "ada");
    let link_token = url.rsplit('/').next().unwrap().to_owned();
    let mut browser = Browser::new(&scene.world);
    let mut shown = browser.open(&url).text();
    let callback = browser.callback(&url, "ada");
    let answer = browser.visit(callback.as_str());
    shown += &answer.text();
    let back = url::Url::parse(answer.header("location").unwrap()).unwrap();
    shown += &format!("{back} {:?}", answer.headers);
    let proctor_code = code(&back);
    shown += &verify(&scene.world, "ada", &proctor_code).text();
    // Attempts that fail have the most to say.
    shown += &browser.visit(callback.as_str()).text();
    shown += &verify(&scene.world, "grace", &proctor_code).text();
    let mut scene = scene.with_desk("ada");
    let agent = scene.agent("ada");
    for _ in 0..2 {
        shown += &agent.call("whoami", "{}").text;
        std::thread::sleep(Duration::from_secs(4));
    }
    scene.upstream.ban("ada", true);
    shown += &agent.call("whoami", "{}").text;
    scene.upstream.ban("ada", false);
    scene.connect("ada");
    scene.provider.forget("ada");
    std::thread::sleep(Duration::from_secs(4));
    shown += &agent.call("whoami", "{}").text;
    for path in [
        "/api/v1/users/ada/connections",
        &path("ada"),
        "/api/v1/connections",
        "/api/v1/connections/notes",
        "/api/v1/audit/acts",
        "/api/v1/audit/tool-calls",
        "/metrics",
    ] {
        shown += &scene.world.get(path).text();
    }
    shown += &account(&scene.world, "ada").to_string();
    shown += &scene.world.post(&format!("{}/disconnect", path("ada")), &json!({ "reason": "x" })).text();
    std::thread::sleep(Duration::from_millis(100));
    scene.world.server.terminate();

    let record = scene.provider.record();
    let mut secrets = record.given_out();
    assert!(secrets.len() >= 6, "{}", secrets.len());
    secrets.push(CLIENT_SECRET.to_owned());
    for exchange in record.exchanges() {
        secrets.extend(["code_verifier", "code"].map(|name| exchange[name].as_str().unwrap().to_owned()));
    }
    let log = scene.world.log();
    let kept = scene.world.kept();
    for secret in &secrets {
        assert!(!shown.contains(secret.as_str()), "shown: {secret}");
        assert!(!log.contains(secret.as_str()), "logged: {secret}");
        for (name, bytes) in &kept {
            assert!(!holds(bytes, secret), "{name} holds {secret}");
        }
    }
    // Whoever can read the files cannot go on with a link, or hand in a code, either.
    let state = parameter(&callback, "state").unwrap();
    for secret in [&link_token, &proctor_code, &state] {
        assert!(!log.contains(secret.as_str()), "logged: {secret}");
        for (name, bytes) in &kept {
            assert!(!holds(bytes, secret), "{name} holds {secret}");
        }
    }
}

/// Files are large and secrets many: the first byte is looked for before the rest is compared.
fn holds(bytes: &[u8], text: &str) -> bool {
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == text.as_bytes()[0]) {
        rest = &rest[at..];
        if rest.starts_with(text.as_bytes()) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}

#[test]
fn what_people_type_into_a_page_is_shown_to_nobody_and_kept_sealed() {
    const SECRET: &str = "canary-93fe-typed-secret";
    for (auth, mistake, fields) in [
        (json!({ "type": "api_key" }), ("key", "canary-93fe-typed-secret\u{7}"), vec![("key", SECRET)]),
        (json!({ "type": "bearer" }), ("token", "canary-93fe-typed-secret\u{7}"), vec![("token", SECRET)]),
        (
            json!({ "type": "basic" }),
            ("password", "canary-93fe-typed-secret"),
            vec![("username", "ada"), ("password", SECRET)],
        ),
    ] {
        let mut world = World::start_behind_url(&[]);
        let upstream = Upstream::start(Options::default());
        let body = json!({
            "name": "notes", "transport": { "type": "http", "url": upstream.url() },
            "auth": auth, "private_network": true,
        });
        world.post("/api/v1/connections", &body).expect(201);
        world.define("desk", "notes", &["echo", "fail"]);
        let mut browser = Browser::new(&world);
        let page = browser.open(&link(&world, "ada"));
        let mut shown = page.text();
        let refused = browser.submit_once(&page, &[mistake]);
        assert_eq!(refused.status, 422, "{}", refused.text());
        shown += &refused.text();
        let back = browser.submit(&page, &fields);
        shown += back.url.as_str();
        shown += &verify(&world, "ada", &code(&back.url)).text();
        let agent = Agent::modern(&world, &world.mint("desk", "ada"));
        agent.call("echo", "{}").result();
        shown += &agent.call("fail", "{}").text;
        for path in
            [&path("ada"), "/api/v1/connections/notes", "/api/v1/audit/acts", "/api/v1/audit/tool-calls"]
        {
            shown += &world.get(path).text();
        }
        std::thread::sleep(Duration::from_millis(100));
        world.server.terminate();
        shown += &world.log();
        assert!(!shown.contains(SECRET), "{shown}");
        for (name, bytes) in world.kept() {
            assert!(!holds(&bytes, SECRET), "{name} holds the secret");
        }
    }
}
