//! The story as it should go.

use proctor_test_upstream::{Eras, Options};
use serde_json::json;

use super::browser::{Browser, parameter};
use super::provider::{CLIENT_ID, CLIENT_SECRET, Setup};
use super::{RETURN_URL, Scene, account, code, link, path, verify};
use crate::agent::Agent;
use crate::world::PUBLIC_URL;

#[test]
fn a_user_connects_an_account_and_agents_then_act_as_that_user() {
    for eras in [Eras::Modern, Eras::Legacy] {
        let options = Options { eras, ..Options::default() };
        let scene = Scene::unregistered(Setup::default(), options);
        let auth = json!({
            "type": "oauth2", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET,
            "scopes": ["notes.read"], "scope_descriptions": { "notes.read": "Read your notes" },
        });
        scene.register(&auth).expect(201);
        let world = &scene.world;
        let shown = world.get("/api/v1/connections/notes").expect(200);
        assert_eq!(shown["auth"]["type"], "oauth2");
        assert_eq!(shown["auth"]["issuer"], scene.provider.url);
        assert_eq!(shown["auth"]["token_endpoint"], format!("{}/token", scene.provider.url));
        assert_eq!(shown["auth"]["client_id"], CLIENT_ID);
        assert!(!shown.to_string().contains(CLIENT_SECRET), "{shown}");
        assert_eq!(account(world, "ada")["state"], "missing");

        let url = link(world, "ada");
        assert!(url.starts_with(&format!("{PUBLIC_URL}/connect/")), "{url}");
        let mut browser = Browser::new(world);
        let page = browser.open(&url);
        assert_eq!(page.status(), 200);
        for text in ["notes", "Read your notes"] {
            assert!(page.text().contains(text), "{text} is not on the page: {}", page.text());
        }
        assert!(!page.text().contains("<script"), "{}", page.text());
        let back = browser.authorize(&url, "ada-over-there");
        assert_eq!(parameter(&back, "connection").as_deref(), Some("notes"));
        // Nothing is in force before the product has said whose browser it was.
        assert_eq!(account(world, "ada")["state"], "pending");

        let verified = verify(world, "ada", &code(&back)).expect(200);
        assert_eq!(verified["state"], "active", "{verified}");
        let shown = account(world, "ada");
        assert_eq!(shown["state"], "active");
        assert_eq!(shown["takes"], "oauth2");
        assert_eq!(shown["scopes"], json!(["notes.read"]));

        world.post("/api/v1/connections/notes/catalog/refresh?user=ada", &json!({})).expect(200);
        world.define("desk", "notes", &["whoami"]);
        let session = world.mint("desk", "ada");
        for agent in [Agent::modern(world, &session), Agent::legacy(world, &session)] {
            assert_eq!(agent.call("whoami", "{}").content(), "ada-over-there");
        }
        let record = scene.provider.record();
        let asked = &record.authorizations()[0];
        assert_eq!(asked["code_challenge_method"], "S256");
        assert_eq!(asked["resource"], scene.upstream.url());
        assert_eq!(asked["scope"], "notes.read");
        let exchanges = record.exchanges();
        assert_eq!(exchanges.len(), 1);
        assert_eq!(exchanges[0]["resource"], scene.upstream.url());

        let gone =
            world.post(&format!("{}/disconnect", path("ada")), &json!({ "reason": "left" })).expect(200);
        assert_eq!(gone["state"], "disconnected");
        assert_eq!(gone["revoked_at_provider"], true, "{gone}");
        // Its access tokens are signed texts, which it cannot take back; the refresh token it can.
        let revocations = scene.provider.record().revocations();
        let taken: Vec<_> = revocations.iter().filter(|revocation| revocation["status"] == 200).collect();
        assert_eq!(taken.len(), 1, "{revocations:?}");
        assert_eq!(taken[0]["token_type_hint"], "refresh_token");
        let calls = scene.upstream.ledger().calls().len();
        Agent::modern(world, &session).call("whoami", "{}").error();
        assert_eq!(scene.upstream.ledger().calls().len(), calls);
    }
}

#[test]
fn a_server_that_registers_clients_needs_no_settings_at_all() {
    let setup = Setup { registration: true, ..Setup::default() };
    let scene = Scene::start(setup).with_account("ada");
    assert_eq!(scene.agent("ada").call("whoami", "{}").content(), "ada");
    scene.connect("grace");
    assert_eq!(scene.agent("grace").call("whoami", "{}").content(), "grace");
    assert_eq!(scene.provider.record().registrations(), 1);
}

#[test]
fn a_connection_whose_endpoints_are_set_by_hand_works_without_discovery() {
    let scene = Scene::unregistered(Setup::default(), Options::default());
    let at = |path: &str| format!("{}{path}", scene.provider.url);
    let auth = json!({
        "type": "oauth2", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET,
        "authorization_endpoint": at("/auth"), "token_endpoint": at("/token"),
        "revocation_endpoint": at("/token/revocation"), "resource": scene.upstream.url(),
        "scopes": ["notes.read", "notes.write"],
    });
    scene.register(&auth).expect(201);
    let scene = scene.with_account("ada");
    assert_eq!(scene.agent("ada").call("whoami", "{}").content(), "ada");
}

#[test]
fn a_person_who_says_no_is_sent_back_and_nothing_has_changed() {
    let scene = Scene::start(Setup::default());
    let url = link(&scene.world, "ada");
    let page = Browser::new(&scene.world).authorize_with(&url, "ada", "no");
    assert!(page.url.as_str().starts_with(RETURN_URL), "{}: {}", page.url, page.text());
    assert_eq!(parameter(&page.url, "proctor_error").as_deref(), Some("access_denied"));
    assert_eq!(parameter(&page.url, "connection").as_deref(), Some("notes"));
    assert_eq!(parameter(&page.url, "proctor_code"), None);
    scene.assert_not_active("ada");
    assert_eq!(scene.provider.record().exchanges().len(), 0);
}

#[test]
fn an_account_that_was_disconnected_is_connected_again() {
    let scene = Scene::start(Setup::default()).with_account("ada");
    let before = account(&scene.world, "ada")["generation"].as_u64().unwrap();
    scene.world.post(&format!("{}/disconnect", path("ada")), &json!({ "reason": "x" })).expect(200);
    let again = scene.connect("ada");
    assert!(again["generation"].as_u64().unwrap() > before, "{again}");
    assert_eq!(scene.agent("ada").call("whoami", "{}").content(), "ada");
}

#[test]
fn many_calls_of_two_users_at_once_each_carry_their_own_users_token() {
    let scene = Scene::start(Setup { lifetime_seconds: 4, ..Setup::default() }).with_account("ada");
    scene.connect("grace");
    std::thread::scope(|scope| {
        for user in ["ada", "grace"] {
            for _ in 0..4 {
                let agent = scene.agent(user);
                scope.spawn(move || {
                    // Long enough to go over several expiries.
                    let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
                    while std::time::Instant::now() < end {
                        assert_eq!(agent.call("whoami", "{}").content(), user);
                    }
                });
            }
        }
    });
    let refreshes = scene.provider.record().refreshes();
    assert!(refreshes.len() >= 4, "{}", refreshes.len());
    assert!(refreshes.iter().all(|refresh| refresh["status"] == 200), "{refreshes:?}");
}
