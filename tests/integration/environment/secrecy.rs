//! Users' values are shown to nobody, logged nowhere and kept sealed.

use std::time::Duration;

use super::*;
use crate::connect::browser::Browser;
use crate::connect::{code, link, verify};

const SECRET: &str = "canary-71c3-user-value";
const OTHER: &str = "canary-71c3-typed-value";

#[test]
fn users_values_are_shown_to_nobody_logged_nowhere_and_kept_sealed() {
    let mut scene = Scene::start();
    let world = &scene.world;
    let mut shown = set(world, "ada", SECRET).text();
    let mut browser = Browser::new(world);
    let page = browser.open(&link(world, "grace"));
    let long = format!("{OTHER}{}", "x".repeat(8_192));
    shown += &browser.submit_once(&page, &[("env-USER_NAME", "g"), ("env-API_KEY", &long)]).text();
    let back = browser.submit(&page, &[("env-USER_NAME", "grace"), ("env-API_KEY", OTHER)]);
    shown += back.url.as_str();
    shown += &verify(world, "grace", &code(&back.url)).text();
    for user in ["ada", "grace"] {
        let agent = scene.agent(user);
        for tool in ["whoami", "spill", "fail"] {
            shown += &agent.call(tool, "{}").text;
        }
    }
    shown += &world.post("/api/v1/connections/notes/test?user=ada", &json!({})).text();
    shown += &world.post("/api/v1/connections/notes/catalog/refresh?user=ada", &json!({})).text();
    for variables in [json!({ "API_KEY": SECRET }), json!({ SECRET: "x" }), json!({ "API_KEY": [SECRET] })] {
        let wrong = json!({ "type": "environment", "variables": variables });
        shown += &world.put(&format!("{}/credential", path("ada")), &wrong).text();
    }
    for path in [
        "/api/v1/users/ada/connections",
        &path("ada"),
        &path("grace"),
        "/api/v1/connections/notes",
        "/api/v1/audit/acts",
        "/api/v1/audit/tool-calls",
        "/metrics",
    ] {
        shown += &world.get(path).text();
    }
    // A program that cannot be started has the most to say.
    let mut broken = scene.connection(&[]);
    broken["transport"]["command"] = json!("no-such-program");
    world.put("/api/v1/connections/notes", &broken).expect(200);
    shown += &world.post("/api/v1/connections/notes/test?user=ada", &json!({})).text();
    disconnect(world, "ada");
    std::thread::sleep(Duration::from_millis(100));
    scene.world.server.terminate();

    let log = scene.world.log();
    assert!(log.contains("the key is [redacted] or [redacted]"), "{log}");
    assert!(log.contains("cannot go on with [redacted]"), "{log}");
    for secret in [SECRET, OTHER] {
        assert!(!shown.contains(secret), "shown: {secret}");
        assert!(!log.contains(secret), "logged: {secret}");
        for (name, bytes) in scene.world.kept() {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{name} holds {secret}");
        }
    }
}
