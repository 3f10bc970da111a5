//! Proctor as a client that nobody registered: its name is the URL of a document about it, which the
//! authorization server fetches.

use serde_json::{Value, json};
use url::Url;

use super::browser::{Browser, with_parameter};
use super::provider::{Provider, Setup};
use super::{Scene, code, link, verify};
use crate::http::Request;
use crate::world::PUBLIC_URL_OF_HTTPS;

fn setup() -> Setup {
    Setup { documents: true, ..Setup::default() }
}

fn document() -> String {
    format!("{PUBLIC_URL_OF_HTTPS}/connect/client/notes")
}

/// Where the browser is sent from a link's page.
fn authorization(scene: &Scene, browser: &mut Browser) -> Url {
    let page = browser.open(&link(&scene.world, "ada"));
    let sent = browser.submit_once(&page, &[]);
    assert_eq!(sent.status, 303, "{}", sent.text());
    Url::parse(sent.header("location").unwrap()).unwrap()
}

#[test]
fn an_authorization_server_learns_from_proctors_document_whom_it_has_before_it() {
    let scene = Scene::start(setup());
    let auth = scene.world.get("/api/v1/connections/notes").expect(200)["auth"].clone();
    let known = ["registration", "client_id", "client_auth"].map(|member| auth[member].clone());
    assert_eq!(known, [json!("metadata_document"), json!(document()), json!("none")], "{auth}");
    assert_eq!(scene.provider.record().documents(), Vec::<Value>::new(), "it has asked nobody yet");

    let back = Browser::new(&scene.world).authorize(&link(&scene.world, "ada"), "ada");
    assert_eq!(scene.provider.record().documents(), [json!(document())]);
    verify(&scene.world, "ada", &code(&back)).expect(200);
    let scene = scene.with_desk("ada");
    assert_eq!(scene.agent("ada").call("whoami", "{}").content(), "ada");
    let record = scene.provider.record();
    assert_eq!(record.registrations(), 0);
    let [exchange] = &record.exchanges()[..] else { panic!("{:?}", record.exchanges()) };
    assert_eq!(exchange["client_id"], document());
    let secret = [exchange["basic"].clone(), exchange["secret_in_body"].clone()];
    assert_eq!(secret, [json!(false), json!(false)], "it has no secret: {exchange}");
}

#[test]
fn tokens_are_renewed_and_given_back_in_the_documents_name() {
    let scene = Scene::start(Setup { lifetime_seconds: 3, ..setup() }).with_account("ada");
    std::thread::sleep(std::time::Duration::from_secs(4));
    assert_eq!(scene.agent("ada").call("whoami", "{}").content(), "ada");
    let left = json!({ "reason": "left" });
    let over = scene.world.post(&format!("{}/disconnect", super::path("ada")), &left).expect(200);
    assert_eq!(over["revoked_at_provider"], true, "{over}");
    let record = scene.provider.record();
    assert!(!record.refreshes().is_empty());
    for request in record.refreshes().iter().chain(&record.revocations()) {
        assert_eq!(request["client_id"], document(), "{request}");
    }
}

/// Whoever takes the document's name must come back to where the document says.
#[test]
fn nobody_else_is_sent_an_answer_that_was_asked_for_in_proctors_name() {
    let scene = Scene::start(setup());
    let mut browser = Browser::new(&scene.world);
    let ours = authorization(&scene, &mut browser);
    let elsewhere = "https://mallory.example/connect/callback/notes";
    let others = format!("{PUBLIC_URL_OF_HTTPS}/connect/callback/other");
    for redirect in [elsewhere, others.as_str()] {
        let answer = browser.visit(&with_parameter(&ours, "redirect_uri", Some(redirect)));
        assert_eq!(answer.status, 400, "{redirect}: {}", answer.text());
        assert_eq!(answer.header("location"), None);
        assert!(answer.text().contains("redirect_uri"), "{}", answer.text());
    }
    // A document speaks for its own address alone.
    let other = format!("{PUBLIC_URL_OF_HTTPS}/connect/client/notes?x=1");
    let answer = browser.visit(&with_parameter(&ours, "client_id", Some(&other)));
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(browser.open(ours.as_str()).text().contains("Sign in"), "the one that was meant is good");
}

#[test]
fn the_document_is_there_for_everybody_and_says_the_same_of_any_name() {
    let scene = Scene::start(setup());
    for name in ["notes", "nobody-registered-this"] {
        let path = format!("/connect/client/{name}");
        let document = Request::new("GET", &path).send(scene.world.address).expect(200);
        assert_eq!(document["client_id"], format!("{PUBLIC_URL_OF_HTTPS}{path}"));
        let redirect = format!("{PUBLIC_URL_OF_HTTPS}/connect/callback/{name}");
        assert_eq!(document["redirect_uris"], json!([redirect]));
        assert_eq!(document["token_endpoint_auth_method"], "none");
    }
}

/// Documents stand at https addresses alone.
#[test]
fn where_proctor_is_not_behind_https_it_is_no_client_by_document() {
    let scene = Scene::start(Setup { registration: true, ..Setup::default() });
    let provider = Provider::start(&scene.upstream.url(), "", setup());
    let auth = json!({ "type": "oauth2", "issuer": provider.url });
    let body = json!({
        "name": "other", "transport": { "type": "http", "url": scene.upstream.url() },
        "auth": auth, "private_network": true,
    });
    let problem = scene.world.post("/api/v1/connections", &body);
    let problem = problem.problem(problem.status);
    assert_eq!(problem["code"], "discovery_failed", "{problem}");
    assert!(
        problem["detail"].as_str().unwrap().contains("takes no client that nobody registered"),
        "{problem}"
    );
}
