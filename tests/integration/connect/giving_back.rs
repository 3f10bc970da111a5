//! Tokens that nobody will use end at the provider as well.

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use super::browser::Browser;
use super::provider::Setup;
use super::{Scene, account, code, link, verify};
use crate::past::a_day_passes;
use crate::world::wait_until;

/// As often as it is looked, and a little more.
const LOOKED_SECONDS: u64 = 7;

/// The tokens that were given back, each once.
#[track_caller]
fn given_back(scene: &Scene) -> BTreeSet<String> {
    let revocations = scene.provider.record().revocations();
    let tokens: BTreeSet<String> =
        revocations.iter().map(|revocation| revocation["token"].as_str().unwrap().to_owned()).collect();
    // Access tokens of this provider are signed, and end by themselves.
    let mut refresh_tokens = revocations.iter().filter(|sent| sent["token_type_hint"] == "refresh_token");
    assert!(refresh_tokens.all(|sent| sent["status"] == 200), "{revocations:?}");
    assert_eq!(tokens.len(), revocations.len(), "one was given back twice: {revocations:?}");
    tokens
}

fn given_out(scene: &Scene) -> BTreeSet<String> {
    scene.provider.record().given_out().into_iter().collect()
}

fn failures(scene: &Scene) -> Vec<Value> {
    let acts = scene.world.get("/api/v1/audit/acts?type=UserConnectionAuthorizationFailed").expect(200);
    acts["items"].as_array().unwrap().clone()
}

#[test]
fn what_is_not_confirmed_in_time_is_given_back_also_after_a_crash() {
    let mut scene = Scene::start(Setup::default());
    let url = link(&scene.world, "ada");
    let back = Browser::new(&scene.world).authorize(&url, "ada");
    let brought = given_out(&scene);
    assert_eq!(brought.len(), 2, "an access token and a refresh token");
    // As long as it can be confirmed, it is left alone.
    sleep(Duration::from_secs(LOOKED_SECONDS));
    assert_eq!(given_back(&scene), BTreeSet::new());
    assert_eq!(account(&scene.world, "ada")["state"], "pending");

    scene.world.server.kill();
    a_day_passes(&scene.world);
    scene.world.server = scene.world.another();
    wait_until("the tokens to be given back", || given_back(&scene) == brought);
    assert_eq!(account(&scene.world, "ada")["state"], "missing");
    let late = verify(&scene.world, "ada", &code(&back));
    assert!(matches!(late.status, 403 | 409 | 410), "{}", late.text());
    late.problem(late.status);
    wait_until("the act to be shown", || !failures(&scene).is_empty());
    let failures = failures(&scene);
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert_eq!(failures[0]["reason"], "not_confirmed");
    // It is over, and does not begin again.
    sleep(Duration::from_secs(LOOKED_SECONDS));
    assert_eq!(given_back(&scene), brought);
    scene.connect("ada");
}

#[test]
fn what_a_link_brought_is_given_back_when_another_takes_its_place() {
    let scene = Scene::start(Setup::default());
    let back = Browser::new(&scene.world).authorize(&link(&scene.world, "ada"), "ada");
    let brought = given_out(&scene);
    let second = link(&scene.world, "ada");
    wait_until("the tokens to be given back", || given_back(&scene) == brought);
    let answer = verify(&scene.world, "ada", &code(&back));
    answer.problem(answer.status);
    scene.assert_not_active("ada");
    // In the browser in which the first was authorized, or in another.
    let back = Browser::new(&scene.world).authorize(&second, "ada");
    verify(&scene.world, "ada", &code(&back)).expect(200);
    let scene = scene.with_desk("ada");
    assert_eq!(scene.agent("ada").call("whoami", "{}").content(), "ada");
    assert_eq!(given_back(&scene), brought);
}

/// This provider ends everything that it gave for one consent; so do many.
#[test]
fn whoever_connects_an_account_once_more_loses_nothing_to_the_first_time() {
    let scene = Scene::start(Setup { lifetime_seconds: 3, ..Setup::default() });
    let mut browser = Browser::new(&scene.world);
    let back = browser.authorize(&link(&scene.world, "ada"), "ada");
    verify(&scene.world, "ada", &code(&back)).expect(200);
    // She is signed in there and has said yes before.
    let mut again = || {
        let page = browser.open(&link(&scene.world, "ada"));
        browser.submit(&page, &[]).url
    };
    let answer = verify(&scene.world, "ada", &code(&again())).expect(200);
    assert_eq!((&answer["generation"], &answer["revoked_at_provider"]), (&json!(2), &Value::Null));
    // Nor to what was never confirmed.
    code(&again());
    a_day_passes(&scene.world);
    wait_until("it to be given up", || !failures(&scene).is_empty());
    sleep(Duration::from_secs(LOOKED_SECONDS));
    assert_eq!(given_back(&scene), BTreeSet::new());
    let scene = scene.with_desk("ada");
    // The tokens have ended by now, and are renewed.
    assert_eq!(scene.agent("ada").call("whoami", "{}").content(), "ada");
    assert!(!scene.provider.record().refreshes().is_empty());
}

#[test]
fn where_a_connection_says_so_the_tokens_before_are_given_back() {
    let scene = Scene::unregistered(Setup::default(), Default::default());
    let mut auth = scene.auth(Setup::default());
    auth["revoke_replaced"] = json!(true);
    let shown = scene.register(&auth).expect(201);
    assert_eq!(shown["auth"]["revoke_replaced"], true, "{shown}");
    assert_eq!(scene.connect("ada")["revoked_at_provider"], Value::Null, "there were none");
    let first = given_out(&scene);
    assert_eq!(scene.connect("ada")["revoked_at_provider"], true);
    assert_eq!(given_back(&scene), first);
    let scene = scene.with_desk("ada");
    assert_eq!(scene.agent("ada").call("whoami", "{}").content(), "ada");
}

#[test]
fn a_provider_that_does_not_take_them_is_asked_once_more() {
    let scene = Scene::start(Setup::default());
    Browser::new(&scene.world).authorize(&link(&scene.world, "ada"), "ada");
    scene.provider.break_revocations("fail", 2);
    link(&scene.world, "ada");
    let statuses = || -> Vec<Value> {
        let revocations = scene.provider.record().revocations();
        let of_refresh_tokens = revocations.iter().filter(|sent| sent["token_type_hint"] == "refresh_token");
        of_refresh_tokens.map(|sent| sent["status"].clone()).collect()
    };
    wait_until("the first time", || statuses() == [503]);
    wait_until("the second time", || statuses() == [503, 200]);
    sleep(Duration::from_secs(LOOKED_SECONDS));
    assert_eq!(statuses(), [503, 200], "it is over");
}
