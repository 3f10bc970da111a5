//! The same story once more in a real browser, on a phone and on a desk.

use std::path::Path;
use std::process::Command;

use proctor_test_upstream::{Options, Upstream};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use url::Url;

use super::browser::Browser;
use super::provider::Setup;
use super::{RETURN_URL, Scene, account, code, link, verify};
use crate::agent::Agent;
use crate::environment;
use crate::real_upstreams::{node, root};
use crate::world::{Folder, Server};

/// Goes through links in Chromium; see tests/node/browser.mjs.
fn chromium(server: &Server, told: Value) -> Value {
    let program = Path::new("/usr/bin/chromium");
    assert!(program.exists(), "{} is missing: run ./test, which installs it", program.display());
    let profile = Folder::new();
    let pictures = root().join("target/screenshots");
    std::fs::create_dir_all(&pictures).unwrap();
    let mut told = told;
    told["profile"] = json!(profile.path());
    told["folder"] = json!(pictures);
    told["resolve"] = json!(format!("MAP proctor.test:80 {}", server.address));
    let output =
        Command::new(node()).arg(root().join("tests/node/browser.mjs")).arg(told.to_string()).output();
    let output = output.unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    serde_json::from_str(&out).unwrap_or_else(|wrong| panic!("{wrong}: {out}\n{err}"))
}

#[test]
fn a_person_connects_an_account_on_a_phone_and_on_a_desk() {
    let scene = Scene::unregistered(Setup::default(), Options::default());
    let mut auth = scene.auth(Setup::default());
    auth["scopes"] = json!(["notes.read", "notes.write"]);
    auth["scope_descriptions"] = json!({
        "notes.read": "Read your notes",
        "notes.write": "Write, change and delete your notes, also those that others have shared with you",
    });
    scene.register(&auth).expect(201);
    scene.connect("warden");
    let scene = scene.with_desk("warden");
    let world = &scene.world;
    let plain = Upstream::start(Options::default());
    for (name, auth) in [("calendar", json!({ "type": "api_key" })), ("mail", json!({ "type": "basic" }))] {
        let body = json!({
            "name": name, "transport": { "type": "http", "url": plain.url() }, "auth": auth, "private_network": true,
        });
        world.post("/api/v1/connections", &body).expect(201);
    }
    let folder = Folder::new();
    let mut child = environment::connection(&folder.path().join("notes"), &[]);
    child["name"] = json!("repositories");
    child["auth"]["variables"][1]["label"] = json!("The access key that you have made at Notes for this");
    world.post("/api/v1/connections", &child).expect(201);
    let tool = |connection: &str, tool: &str| json!({ "connection": connection, "tool": tool });
    world.define_with("office", vec![tool("calendar", "echo"), tool("repositories", "whoami")]);
    let link_to = |user: &str, connection: &str| {
        let path = format!("/api/v1/users/{user}/connections/{connection}/link");
        let made = world.post(&path, &json!({ "return_url": RETURN_URL })).expect(201);
        made["url"].as_str().unwrap().to_owned()
    };
    for (name, width, height) in [("phone", 390, 844), ("desk", 1280, 800)] {
        let used = link(world, name);
        Browser::new(world).authorize(&used, name);
        let told = json!({
            "name": name, "width": width, "height": height,
            "links": [
                { "title": "oauth2", "url": link_to(&format!("ada-{name}"), "notes"), "account": format!("ada-{name}") },
                {
                    "title": "key", "url": link_to("ada", "calendar"), "mistake": { "key": "  " },
                    "fields": { "key": format!("key-{name}") },
                },
                {
                    "title": "password", "url": link_to("ada", "mail"),
                    "fields": { "username": "ada", "password": "open sesame" },
                },
                {
                    "title": "variables", "url": link_to("ada", "repositories"),
                    "mistake": { "env-USER_NAME": "ada", "env-API_KEY": "  " },
                    "fields": { "env-USER_NAME": "ada", "env-API_KEY": format!("key-{name}") },
                },
            ],
            "pages": {
                "unknown": "http://proctor.test/connect/nobody-made-this",
                "used": used,
                "callback": format!("{}?code=x&state=y", super::callback()),
            },
        });
        let seen = chromium(world, told);
        assert_eq!(seen["complaints"], json!([]), "on the {name}");
        let back = |title: &str| Url::parse(seen["backs"][title].as_str().unwrap()).unwrap();
        let user = format!("ada-{name}");
        verify(world, &user, &code(&back("oauth2"))).expect(200);
        assert_eq!(account(world, &user)["state"], "active");
        assert_eq!(scene.agent(&user).call("whoami", "{}").content(), user);
        let verify = |connection: &str, title: &str| {
            let path = format!("/api/v1/users/ada/connections/{connection}/verify");
            world.post(&path, &json!({ "code": code(&back(title)) })).expect(200);
        };
        verify("calendar", "key");
        verify("mail", "password");
        verify("repositories", "variables");
        let agent = Agent::modern(world, &world.mint("office", "ada"));
        agent.call("echo", "{}").result();
        let told = agent.call("whoami", "{}").content();
        let typed = hex::encode(Sha256::digest(format!("key-{name}").as_bytes()));
        assert!(told.contains(&typed), "{told}");
        let key = format!("key-{name}");
        assert_eq!(plain.ledger().calls().pop().unwrap().header("x-api-key"), Some(key.as_str()));
    }
}
