//! Access tokens run out, are renewed once, and fail with a reason when they cannot be.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::provider::{Provider, Setup};
use super::{Scene, account, path};
use crate::world::wait_until;

/// Long enough to do something with a token, short enough to wait for its end.
const SHORT: Setup = Setup { lifetime_seconds: 3, registration: false, renewal: true, documents: false };

/// How long a call may take up what a process that died left behind.
const TAKEN_UP_SECONDS_MAX: u64 = 25;

fn wait_for_expiry() {
    std::thread::sleep(Duration::from_secs(u64::from(SHORT.lifetime_seconds) + 1));
}

/// No refresh token was sent twice: that would look like theft, and end everything.
#[track_caller]
fn assert_each_sent_once(provider: &Provider) {
    let refreshes = provider.record().refreshes();
    let tokens: HashSet<_> = refreshes.iter().map(|refresh| refresh["refresh_token"].to_string()).collect();
    assert_eq!(tokens.len(), refreshes.len(), "{refreshes:?}");
    assert!(refreshes.iter().all(|refresh| refresh["status"] == 200), "{refreshes:?}");
}

fn refusal_of(answer: &crate::agent::Answer) -> Value {
    answer.error()["data"]["code"].clone()
}

#[test]
fn a_hundred_calls_at_two_processes_on_an_expired_token_cause_one_refresh() {
    let scene =
        Scene::start(Setup { lifetime_seconds: 8, registration: false, renewal: true, documents: false })
            .with_account("ada");
    let other = scene.world.another();
    let session = scene.world.mint("desk", "ada");
    std::thread::sleep(Duration::from_secs(9));
    let before = scene.provider.record().refreshes().len();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for number in 0..100 {
            let server = if number % 2 == 0 { &scene.world.server } else { &other };
            let agent = crate::agent::Agent::modern(server, &session);
            scope.spawn(move || assert_eq!(agent.call("whoami", "{}").content(), "ada"));
        }
    });
    // The new token is renewed ahead of time, in the last quarter of its life, should the calls go on.
    let renewals = scene.provider.record().refreshes().len() - before;
    let ahead_of_time = usize::try_from(begun.elapsed().as_secs() / 6).unwrap();
    assert!((1..=1 + ahead_of_time).contains(&renewals), "{renewals} in {:?}", begun.elapsed());
    assert_each_sent_once(&scene.provider);
    let arrived = scene.upstream.ledger().calls();
    assert!(arrived.iter().all(|call| call.refused.is_none()), "an expired token went out");
}

#[test]
fn an_account_stays_usable_over_many_expiries_with_two_processes() {
    let scene = Scene::start(SHORT).with_account("ada");
    let other = scene.world.another();
    let session = scene.world.mint("desk", "ada");
    let end = Instant::now() + Duration::from_secs(10);
    std::thread::scope(|scope| {
        for server in [&scene.world.server, &other] {
            for _ in 0..3 {
                let agent = crate::agent::Agent::modern(server, &session);
                scope.spawn(move || {
                    while Instant::now() < end {
                        assert_eq!(agent.call("whoami", "{}").content(), "ada");
                        std::thread::sleep(Duration::from_millis(20));
                    }
                });
            }
        }
    });
    assert_each_sent_once(&scene.provider);
    assert!(scene.provider.record().refreshes().len() >= 2);
    assert_eq!(account(&scene.world, "ada")["state"], "active");
}

#[test]
fn a_refused_refresh_expires_the_account_with_a_reason_and_connecting_again_mends_it() {
    let scene = Scene::start(SHORT).with_account("ada");
    scene.connect("grace");
    let (agent, others) = (scene.agent("ada"), scene.agent("grace"));
    agent.call("whoami", "{}").result();
    scene.provider.forget("ada");
    wait_for_expiry();
    let refused = agent.call("whoami", "{}");
    assert_eq!(refusal_of(&refused), "user_connection_expired", "{}", refused.text);
    let shown = account(&scene.world, "ada");
    assert_eq!(
        (shown["state"].as_str(), shown["reason"].as_str()),
        (Some("expired"), Some("refresh_refused"))
    );
    let mint = json!({ "virtual_server": "desk", "user": "ada" });
    let problem = scene.world.post("/api/v1/sessions", &mint).problem(409);
    assert_eq!(problem["code"], "accounts_missing");
    assert_eq!(problem["missing"][0]["status"], "expired", "{problem}");
    // It is not asked again and again, and no one else is touched.
    let asked = scene.provider.record().refreshes().len();
    for _ in 0..5 {
        agent.call("whoami", "{}").error();
    }
    let hers = |refresh: &&Value| refresh["status"] == 400;
    assert_eq!(scene.provider.record().refreshes().iter().filter(hers).count(), 1);
    assert!(scene.provider.record().refreshes().len() <= asked + 2);
    assert_eq!(others.call("whoami", "{}").content(), "grace");

    scene.connect("ada");
    assert_eq!(agent.call("whoami", "{}").content(), "ada");
    assert_eq!(account(&scene.world, "ada")["state"], "active");
}

#[test]
fn a_provider_that_is_down_for_a_while_costs_calls_but_not_the_account() {
    let scene = Scene::start(SHORT).with_account("ada");
    let agent = scene.agent("ada");
    scene.provider.break_refreshes("fail", 1_000, 0);
    wait_for_expiry();
    let answer = agent.call("whoami", "{}");
    assert!(!answer.error()["message"].as_str().unwrap().is_empty());
    assert_ne!(account(&scene.world, "ada")["state"], "expired");
    scene.provider.break_refreshes("none", 0, 0);
    wait_until("the account to be good again", || agent.call("whoami", "{}").json().get("result").is_some());
    assert_eq!(account(&scene.world, "ada")["state"], "active");
}

#[test]
fn a_token_that_the_upstream_refuses_is_renewed_and_the_call_made_once_more() {
    let scene = Scene::start(Setup::default()).with_account("ada");
    let session = scene.world.mint("desk", "ada");
    let agent = crate::agent::Agent::modern(&scene.world, &session);
    agent.call("whoami", "{}").result();
    // The keys change over there: every token so far is worthless, and new ones are good.
    scene.upstream.refuse_tokens_issued_before_now();
    std::thread::sleep(Duration::from_millis(1_100));
    assert_eq!(agent.call("whoami", "{}").content(), "ada");
    assert_eq!(scene.provider.record().refreshes().len(), 1);
    // Both attempts are on the record.
    let trail = scene.world.trail(&format!("session={}", session.id));
    let outcomes: Vec<_> = trail.iter().map(|call| call["outcome"].as_str().unwrap_or_default()).collect();
    assert_eq!(outcomes, ["succeeded", "failed", "succeeded"], "{trail:?}");
    assert!(trail[1].to_string().contains("unauthorized"), "{}", trail[1]);
}

#[test]
fn a_token_that_is_refused_right_after_it_was_renewed_expires_the_account() {
    let scene = Scene::start(Setup::default()).with_account("ada");
    scene.connect("grace");
    let agent = scene.agent("ada");
    scene.upstream.ban("ada", true);
    let refused = agent.call("whoami", "{}");
    assert!(refused.json().get("error").is_some(), "{}", refused.text);
    let shown = account(&scene.world, "ada");
    assert_eq!(
        (shown["state"].as_str(), shown["reason"].as_str()),
        (Some("expired"), Some("upstream_unauthorized")),
        "{shown}"
    );
    assert_eq!(scene.provider.record().refreshes().len(), 1);
    assert_eq!(scene.agent("grace").call("whoami", "{}").content(), "grace");
}

/// A process is killed while the provider has renewed the token and its answer has not arrived: the
/// old refresh token is used up, and nobody has the new one.
#[test]
fn a_crash_in_the_middle_of_a_refresh_leaves_an_account_that_says_what_it_is() {
    let mut scene = Scene::start(SHORT).with_account("ada");
    let session = scene.world.mint("desk", "ada");
    scene.provider.break_refreshes("delay", 1, 20_000);
    let asked = || scene.provider.record().refreshes().len();
    wait_for_expiry();
    let before = asked();
    let hanging = crate::agent::Agent::modern(&scene.world, &session).start_call("1", "whoami", "{}");
    wait_until("the refresh", || asked() > before);
    scene.world.crash_and_restart();
    drop(hanging);
    assert_settles(&scene, &session);
}

/// The same without a crash: the provider's answer is lost on its way.
#[test]
fn an_answer_to_a_refresh_that_is_lost_leaves_an_account_that_says_what_it_is() {
    let scene = Scene::start(SHORT).with_account("ada");
    let session = scene.world.mint("desk", "ada");
    scene.provider.break_refreshes("kill", 1, 0);
    wait_for_expiry();
    let _ = crate::agent::Agent::modern(&scene.world, &session).call("whoami", "{}");
    assert_settles(&scene, &session);
}

/// Within the time after which a refresh is taken up by another, the account works, or has expired
/// with a reason, and then connecting it again mends it.
#[track_caller]
fn assert_settles(scene: &Scene, session: &crate::rest::Session) {
    let agent = crate::agent::Agent::modern(&scene.world, session);
    let end = Instant::now() + Duration::from_secs(TAKEN_UP_SECONDS_MAX);
    loop {
        let answer = agent.call("whoami", "{}");
        let shown = account(&scene.world, "ada");
        if answer.json().get("result").is_some() {
            assert_eq!((answer.content().as_str(), shown["state"].as_str()), ("ada", Some("active")));
            return;
        }
        if shown["state"] == "expired" {
            assert!(shown["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{shown}");
            assert_eq!(refusal_of(&agent.call("whoami", "{}")), "user_connection_expired");
            break;
        }
        assert!(Instant::now() < end, "neither usable nor expired: {shown}, {}", answer.text);
        std::thread::sleep(Duration::from_millis(200));
    }
    scene.connect("ada");
    assert_eq!(agent.call("whoami", "{}").content(), "ada");
}

#[test]
fn an_account_whose_token_ran_out_while_nothing_ran_is_renewed_after_a_restart() {
    let mut scene = Scene::start(SHORT).with_account("ada");
    let session = scene.world.mint("desk", "ada");
    scene.world.server.terminate();
    wait_for_expiry();
    scene.world.server = scene.world.another();
    let agent = crate::agent::Agent::modern(&scene.world, &session);
    assert_eq!(agent.call("whoami", "{}").content(), "ada");
    assert_each_sent_once(&scene.provider);
}

#[test]
fn what_a_refresh_brings_for_an_account_that_was_taken_back_meanwhile_is_given_back() {
    let scene = Scene::start(SHORT).with_account("ada");
    let agent = scene.agent("ada");
    scene.provider.break_refreshes("delay", 1, 2_000);
    wait_for_expiry();
    let before = scene.provider.record().refreshes().len();
    let waiting = agent.start_call("1", "whoami", "{}");
    wait_until("the refresh", || scene.provider.record().refreshes().len() > before);
    scene.world.post(&format!("{}/disconnect", path("ada")), &json!({ "reason": "left" })).expect(200);
    let answer = crate::agent::Answer::of(&waiting.answer().read());
    assert!(answer.json().get("error").is_some(), "{}", answer.text);
    let given_back = || {
        let record = scene.provider.record();
        let newest = record.given_out().pop().unwrap();
        record.revocations().iter().any(|revocation| revocation["token"] == newest.as_str())
    };
    wait_until("the newest refresh token to be given back", given_back);
    assert_eq!(account(&scene.world, "ada")["state"], "disconnected");
    assert_eq!(scene.upstream.ledger().calls().len(), 0);
}

#[test]
fn a_token_that_a_user_typed_and_the_upstream_refuses_expires_the_account() {
    let world = crate::world::World::start_behind_url(&[]);
    let upstream = proctor_test_upstream::Upstream::start(proctor_test_upstream::Options {
        secret: Some(("authorization".to_owned(), "Bearer right".to_owned())),
        ..proctor_test_upstream::Options::default()
    });
    let body = json!({
        "name": "notes", "transport": { "type": "http", "url": upstream.url() },
        "auth": { "type": "bearer" }, "private_network": true,
    });
    world.post("/api/v1/connections", &body).expect(201);
    let set = |token: &str| {
        let credential = json!({ "type": "bearer", "token": token });
        world.put(&format!("{}/credential", path("ada")), &credential).expect(200);
    };
    set("right");
    world.post("/api/v1/connections/notes/catalog/refresh?user=ada", &json!({})).expect(200);
    world.define("desk", "notes", &["echo"]);
    let agent = crate::agent::Agent::modern(&world, &world.mint("desk", "ada"));
    agent.call("echo", "{}").result();
    set("wrong");
    agent.call("echo", "{}").error();
    let shown = account(&world, "ada");
    assert_eq!(
        (shown["state"].as_str(), shown["reason"].as_str()),
        (Some("expired"), Some("upstream_unauthorized")),
        "{shown}"
    );
    let arrived = upstream.ledger().calls().len();
    assert_eq!(refusal_of(&agent.call("echo", "{}")), "user_connection_expired");
    assert_eq!(upstream.ledger().calls().len(), arrived);
    set("right");
    agent.call("echo", "{}").result();
}

#[test]
fn an_account_without_a_refresh_token_ends_with_its_access_token() {
    let scene = Scene::start(Setup { renewal: false, ..SHORT }).with_account("ada");
    let agent = scene.agent("ada");
    assert_eq!(agent.call("whoami", "{}").content(), "ada");
    wait_for_expiry();
    assert_eq!(refusal_of(&agent.call("whoami", "{}")), "user_connection_expired");
    let shown = account(&scene.world, "ada");
    assert_eq!(
        (shown["state"].as_str(), shown["reason"].as_str()),
        (Some("expired"), Some("no_refresh_token"))
    );
    assert!(scene.upstream.ledger().calls().iter().all(|call| call.refused.is_none()));
    scene.connect("ada");
    assert_eq!(agent.call("whoami", "{}").content(), "ada");
}
