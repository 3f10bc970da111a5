//! Accounts that are not there yet: refused at minting, with links on demand, or asked for when an
//! agent needs one.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::browser::Browser;
use super::provider::Setup;
use super::{RETURN_URL, Scene, code, path, verify};
use crate::agent::{Agent, INITIALIZE};
use crate::real_upstreams::{node, root};
use crate::rest::Session;
use crate::world::PUBLIC_URL;

#[test]
fn a_refused_mint_brings_links_when_it_is_asked_to() {
    let scene = Scene::start(Setup::default()).with_account("ada");
    let mut mint = json!({ "virtual_server": "desk", "user": "grace" });
    let problem = scene.world.post("/api/v1/sessions", &mint).problem(409);
    assert_eq!(problem["code"], "accounts_missing");
    assert_eq!(problem["missing"][0]["connection"], "notes");
    assert_eq!(problem["missing"][0]["status"], "missing");
    assert!(problem["missing"][0].get("link").is_none(), "{problem}");

    mint["include_links"] = json!(true);
    mint["return_url"] = json!(RETURN_URL);
    let problem = scene.world.post("/api/v1/sessions", &mint).problem(409);
    let made = &problem["missing"][0]["link"];
    let url = made["url"].as_str().unwrap_or_else(|| panic!("{problem}"));
    let back = Browser::new(&scene.world).authorize(url, "grace");
    verify(&scene.world, "grace", &code(&back)).expect(200);
    let session = Session::of(&scene.world.post("/api/v1/sessions", &mint).expect(201));
    assert_eq!(Agent::modern(&scene.world, &session).call("whoami", "{}").content(), "grace");
}

/// A desk that asks.
fn asking() -> Scene {
    let scene = Scene::start(Setup::default()).with_account("ada");
    let mut body = crate::rest::definition("asks", vec![json!({ "connection": "notes", "tool": "whoami" })]);
    body["missing_accounts"] = json!("ask");
    body["return_url"] = json!(RETURN_URL);
    scene.world.post("/api/v1/virtual-servers", &body).expect(201);
    scene
}

#[track_caller]
fn connect_through(scene: &Scene, url: &str, user: &str) {
    let back = Browser::new(&scene.world).authorize(url, user);
    verify(&scene.world, user, &code(&back)).expect(200);
}

const CAN_OPEN_PAGES: &str = r#""io.modelcontextprotocol/clientCapabilities":{"elicitation":{"url":{}}}"#;

/// A call of a modern agent that can have its user open a page.
fn ask(agent: &Agent) -> Value {
    let mut request = agent.call_request("1", "whoami", "{}");
    let body = String::from_utf8(request.body.clone()).unwrap();
    request.body = body.replace(r#""io.modelcontextprotocol/clientCapabilities":{}"#, CAN_OPEN_PAGES).into();
    agent.send(&request).json()
}

/// The first hosted link in an answer, wherever it stands.
#[track_caller]
fn url_in(answer: &Value) -> String {
    let text = answer.to_string();
    let at = text.find("http://proctor.test/connect/").unwrap_or_else(|| panic!("{answer}"));
    text[at..].split(['"', ' ', '\\']).next().unwrap().to_owned()
}

#[test]
fn a_modern_agent_is_asked_to_have_its_user_open_the_page() {
    let scene = asking();
    let agent = Agent::modern(&scene.world, &scene.world.mint("asks", "grace"));
    let arrived = scene.upstream.ledger().calls().len();
    let answer = ask(&agent);
    let result = &answer["result"];
    assert_eq!(result["resultType"], "input_required", "{answer}");
    let request = result["inputRequests"].as_object().and_then(|requests| requests.values().next()).unwrap();
    assert_eq!(request["method"], "elicitation/create", "{answer}");
    assert_eq!(request["params"]["mode"], "url", "{answer}");
    let url = request["params"]["url"].as_str().unwrap().to_owned();
    assert_eq!(scene.upstream.ledger().calls().len(), arrived);
    connect_through(&scene, &url, "grace");
    assert_eq!(agent.call("whoami", "{}").content(), "grace");
}

#[test]
fn a_modern_agent_that_can_open_no_pages_is_told_where_to_go() {
    let scene = asking();
    let agent = Agent::modern(&scene.world, &scene.world.mint("asks", "grace"));
    let error = agent.call("whoami", "{}").error();
    let message = error["message"].as_str().unwrap();
    let url = message
        .split_whitespace()
        .find(|word| word.contains("/connect/"))
        .unwrap_or_else(|| panic!("{error}"));
    connect_through(&scene, url.trim_end_matches(['.', ',', ')', '"']), "grace");
    assert_eq!(agent.call("whoami", "{}").content(), "grace");
}

#[test]
fn a_legacy_agent_is_told_with_the_error_that_asks_for_a_page() {
    let scene = asking();
    let session = scene.world.mint("asks", "grace");
    let mut agent = Agent::modern(&scene.world, &session);
    let initialize =
        INITIALIZE.replace(r#""capabilities":{}"#, r#""capabilities":{"elicitation":{"url":{}}}"#);
    let answer = agent.post(&initialize).send(agent.address);
    agent.legacy = Some(answer.header("mcp-session-id").unwrap().to_owned());
    agent.post(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).send(agent.address);
    let error = agent.call("whoami", "{}").error();
    assert_eq!(error["code"], -32042, "{error}");
    let asked = &error["data"]["elicitations"][0];
    assert_eq!(asked["mode"], "url");
    assert!(asked["elicitationId"].is_string() && asked["message"].is_string(), "{error}");
    connect_through(&scene, asked["url"].as_str().unwrap(), "grace");
    assert_eq!(agent.call("whoami", "{}").content(), "grace");
}

#[test]
fn an_agent_that_calls_often_does_not_make_the_link_in_its_users_hands_worthless() {
    let scene = asking();
    let agent = Agent::modern(&scene.world, &scene.world.mint("asks", "grace"));
    let first = url_in(&ask(&agent));
    let page = Browser::new(&scene.world).open(&first);
    assert_eq!(page.status(), 200, "{}", page.text());
    let again = url_in(&ask(&agent));
    let latest = Browser::new(&scene.world).open(&again);
    assert_eq!(latest.status(), 200, "{}", latest.text());
    connect_through(&scene, &again, "grace");
}

#[test]
fn an_account_that_ends_while_an_agent_works_is_asked_for_again() {
    let scene = asking();
    let session = scene.world.mint("asks", "ada");
    let agent = Agent::modern(&scene.world, &session);
    assert_eq!(agent.call("whoami", "{}").content(), "ada");
    scene.world.post(&format!("{}/disconnect", path("ada")), &json!({ "reason": "x" })).expect(200);
    let url = url_in(&ask(&agent));
    connect_through(&scene, &url, "ada");
    assert_eq!(agent.call("whoami", "{}").content(), "ada");
}

#[test]
fn a_server_that_does_not_ask_gives_no_links_to_agents() {
    let scene = Scene::start(Setup::default()).with_account("ada");
    let agent = scene.agent("ada");
    scene.world.post(&format!("{}/disconnect", path("ada")), &json!({ "reason": "x" })).expect(200);
    let answer = ask(&agent);
    assert!(answer.get("error").is_some(), "{answer}");
    assert!(!answer.to_string().contains("/connect/"), "{answer}");
}

#[test]
fn a_link_that_an_agent_was_given_is_good_for_its_own_user_alone() {
    let scene = asking();
    let agent = Agent::modern(&scene.world, &scene.world.mint("asks", "mallory"));
    let url = url_in(&ask(&agent));
    // A prompt makes Grace open it, and she has an account over there.
    let back = Browser::new(&scene.world).authorize(&url, "grace");
    assert_eq!(verify(&scene.world, "grace", &code(&back)).problem(403)["code"], "verification_failed");
    assert!(agent.call("whoami", "{}").json().get("error").is_some());
    scene.assert_not_active("mallory");
}

#[test]
fn what_cannot_be_asked_for_is_refused_when_it_is_set() {
    let scene = Scene::start(Setup::default()).with_account("ada");
    let tool = json!({ "connection": "notes", "tool": "whoami" });
    for (asking, return_url) in [
        ("ask", Value::Null),
        ("ask", json!("javascript:alert(1)")),
        ("ask", json!("http://product.test/")),
        ("later", json!(RETURN_URL)),
    ] {
        let mut body = crate::rest::definition("asks", vec![tool.clone()]);
        body["missing_accounts"] = json!(asking);
        if !return_url.is_null() {
            body["return_url"] = return_url;
        }
        let answer = scene.world.post("/api/v1/virtual-servers", &body);
        assert!(matches!(answer.status, 400 | 422), "{body}: {}", answer.text());
        answer.problem(answer.status);
    }
    for return_url in [Value::Null, json!("javascript:alert(1)")] {
        let mut mint = json!({ "virtual_server": "desk", "user": "grace", "include_links": true });
        if !return_url.is_null() {
            mint["return_url"] = return_url;
        }
        let answer = scene.world.post("/api/v1/sessions", &mint);
        assert!(matches!(answer.status, 400 | 422), "{mint}: {}", answer.text());
        answer.problem(answer.status);
    }
}

/// Runs a script of tests/clients that has its user open a page in the middle of a call.
fn opens_a_page(command: &[std::path::PathBuf]) {
    let scene = asking();
    for (era, user) in [("legacy", "grace"), ("modern", "joan")] {
        let session = scene.world.mint("asks", user);
        let url = session.url.replace(PUBLIC_URL, &format!("http://{}", scene.world.address));
        let mut client = Command::new(&command[0])
            .args(&command[1..])
            .args([&url, era, "whoami"])
            .env("MCP_TOKEN", &session.token)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(client.stdout.take().unwrap()).lines();
        let page = said.next().expect("a page to open").unwrap();
        connect_through(&scene, &page, user);
        client.stdin.take().unwrap().write_all(b"done\n").unwrap();
        let result = said.next().expect("a result").unwrap();
        let result: Value = serde_json::from_str(&result).unwrap_or_else(|err| panic!("{err}: {result}"));
        assert_eq!(result["content"][0]["text"], user, "{era}: {result}");
        assert!(client.wait().unwrap().success());
    }
}

#[test]
fn the_typescript_client_has_its_user_open_the_page_and_goes_on() {
    opens_a_page(&[node(), root().join("tests/clients/open_page.mjs")]);
}

#[test]
fn the_python_client_has_its_user_open_the_page_and_goes_on() {
    opens_a_page(&[root().join("tests/python/.venv/bin/python"), root().join("tests/clients/open_page.py")]);
}
