//! Accounts that are missing: links in a refusal, and agents that ask their users.

use proctor_test_upstream::{Options, Upstream};
use serde_json::{Value, json};

use crate::agent::Agent;
use crate::http::Request;
use crate::world::{Server, World};

const RETURN_URL: &str = "https://app.example.com/accounts";

/// The virtual server `desk`, whose sessions are minted without the accounts that they need.
fn asking() -> (World, Upstream) {
    let world = World::start();
    let upstream = Upstream::start(Options::default());
    let body = json!({
        "name": "fixture", "transport": { "type": "http", "url": upstream.url() },
        "auth": { "type": "api_key", "header": "X-Key" }, "private_network": true,
    });
    world.post("/api/v1/connections", &body).expect(201);
    let desk = json!({
        "name": "desk", "tools": [{ "connection": "fixture", "tool": "echo" }],
        "missing_accounts": "ask", "return_url": RETURN_URL,
    });
    world.post("/api/v1/virtual-servers", &desk).expect(201);
    (world, upstream)
}

/// Fills in the form behind a link, and answers with the code that the browser brings back.
fn fill_in(server: &Server, url: &str, key: &str) -> String {
    let path = &url[url.find("/connect/").unwrap()..];
    let page = Request::new("GET", path).send(server.address);
    assert_eq!(page.status, 200, "{}", page.text());
    assert!(page.text().contains("Connect fixture"));
    let sent = Request::new("POST", path)
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(format!("key={key}"))
        .send(server.address);
    assert_eq!(sent.status, 303, "{}", sent.text());
    let back = sent.header("location").unwrap().to_owned();
    assert!(back.starts_with(RETURN_URL), "{back}");
    let (_, code) = back.split_once("proctor_code=").unwrap();
    code.split('&').next().unwrap().to_owned()
}

fn verify(server: &Server, user: &str, code: &str) -> crate::http::Response {
    server.post(&format!("/api/v1/users/{user}/connections/fixture/verify"), &json!({ "code": code }))
}

#[test]
fn an_agent_that_can_ask_its_user_does_and_the_same_call_then_passes() {
    let (world, upstream) = asking();
    let agent = Agent::modern(&world, &world.mint("desk", "ada"));
    assert_eq!(agent.tools(), ["echo"]);
    let able = agent.call_request("1", "echo", "{}");
    let able = Request { body: with_capability(&able.body), ..able };
    let asked = agent.send(&able).result();
    assert_eq!(asked["resultType"], "input_required");
    let request = &asked["inputRequests"]["connect"];
    assert_eq!(
        (&request["method"], &request["params"]["mode"]),
        (&json!("elicitation/create"), &json!("url"))
    );
    let url = request["params"]["url"].as_str().unwrap();
    // Asked once more, it names the same link.
    let again = agent.send(&able).result()["inputRequests"]["connect"]["params"]["elicitationId"].clone();
    assert_eq!(again, request["params"]["elicitationId"]);

    let code = fill_in(&world, url, "key-of-ada");
    assert_eq!(agent.send(&able).result()["resultType"], "input_required", "it is not confirmed yet");
    assert_eq!(verify(&world, "ada", &code).expect(200)["state"], "active");
    agent.send(&able).result()["content"].as_array().unwrap();
    let calls = upstream.ledger().calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].header("x-key"), Some("key-of-ada"));
    assert_eq!(verify(&world, "ada", &code).problem(409)["code"], "code_unknown");
}

fn with_capability(body: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(body.to_vec()).unwrap();
    let key = r#""io.modelcontextprotocol/clientCapabilities":{"#;
    let able = text.replacen(&format!("{key}}}"), &format!(r#"{key}"elicitation":{{"url":{{}}}}}}"#), 1);
    assert_ne!(able, text);
    able.into_bytes()
}

#[test]
fn an_agent_that_cannot_ask_is_told_where_its_user_can_connect() {
    let (world, _upstream) = asking();
    let session = world.mint("desk", "ada");
    for agent in [Agent::modern(&world, &session), Agent::legacy(&world, &session)] {
        let error = agent.call("echo", "{}").error();
        assert_eq!(error["data"]["code"], "user_connection_missing", "{error}");
        assert!(error["message"].as_str().unwrap().contains("/connect/"), "{error}");
    }
}

#[test]
fn a_link_that_somebody_else_followed_connects_nobody() {
    let (world, upstream) = asking();
    let link = |user: &str| {
        let body = json!({ "return_url": RETURN_URL });
        let path = format!("/api/v1/users/{user}/connections/fixture/link");
        world.post(&path, &body).expect(201)["url"].as_str().unwrap().to_owned()
    };
    // Mallory's link, which was sent to Ada; it is Ada who comes back to the product.
    let code = fill_in(&world, &link("mallory"), "key-of-ada");
    assert_eq!(verify(&world, "ada", &code).problem(403)["code"], "verification_failed");
    for user in ["ada", "mallory"] {
        let shown = world.get(&format!("/api/v1/users/{user}/connections/fixture")).expect(200);
        assert_eq!(shown["state"], "missing", "{user}");
        assert_eq!(verify(&world, user, &code).problem(409)["code"], "code_unknown", "{user}");
    }
    // What is waiting is not in force, and the newest link is the only one.
    let first = link("ada");
    let code = fill_in(&world, &link("ada"), "key-of-ada");
    let path = &first[first.find("/connect/").unwrap()..];
    assert_eq!(Request::new("GET", path).send(world.address).status, 404);
    assert_eq!(verify(&world, "ada", &code).expect(200)["generation"], 1);
    assert!(upstream.ledger().calls().is_empty());
}

#[test]
fn a_refused_session_brings_links_where_they_are_wanted() {
    let (world, _upstream) = asking();
    let strict = json!({ "name": "strict", "tools": [{ "connection": "fixture", "tool": "echo" }] });
    world.post("/api/v1/virtual-servers", &strict).expect(201);
    let mint = |more: Value| {
        let mut body = json!({ "virtual_server": "strict", "user": "ada" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        world.post("/api/v1/sessions", &body)
    };
    assert!(mint(json!({})).problem(409)["missing"][0].get("link").is_none());
    let with_links = json!({ "include_links": true, "return_url": RETURN_URL });
    let problem = mint(with_links.clone()).problem(409);
    let url = problem["missing"][0]["link"]["url"].as_str().unwrap().to_owned();
    assert_eq!(mint(json!({ "include_links": true })).problem(422)["code"], "invalid_terms");
    let odd = json!({ "include_links": true, "return_url": "javascript:alert(1)" });
    assert_eq!(mint(odd).problem(422)["code"], "invalid_link");
    let code = fill_in(&world, &url, "k");
    verify(&world, "ada", &code).expect(200);
    mint(with_links).expect(201);
}

#[test]
fn a_page_asks_again_for_what_no_header_can_carry() {
    let (world, _upstream) = asking();
    let body = json!({ "return_url": RETURN_URL });
    let link = world.post("/api/v1/users/ada/connections/fixture/link", &body).expect(201);
    let url = link["url"].as_str().unwrap();
    let path = &url[url.find("/connect/").unwrap()..];
    for typed in ["", "key=", "key=a%0D%0AX-Other%3A+b", "token=x"] {
        let sent = Request::new("POST", path)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(typed)
            .send(world.address);
        assert_eq!(sent.status, 422, "{typed}");
        assert!(sent.text().contains("role=\"alert\""), "{typed}");
    }
    let twice = fill_in(&world, url, "k");
    assert!(!twice.is_empty());
    assert_eq!(Request::new("GET", path).send(world.address).status, 409, "it was used");
    for path in ["/connect/nonsense", "/connect/callback/fixture?state=x&code=y", "/connect/callback/fixture"]
    {
        assert_eq!(Request::new("GET", path).send(world.address).status, 404, "{path}");
    }
}
