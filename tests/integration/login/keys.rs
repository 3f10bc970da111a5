//! A provider's keys: fetched seldom, replaced without a restart, used on while it is away.

use serde_json::json;

use super::provider::Provider;
use super::{Office, RESOURCE, refused};

#[test]
fn a_storm_of_unknown_keys_asks_the_provider_once_more() {
    let office = Office::open();
    office.agent(&office.token("ada")).call("echo", "{}").result();
    assert_eq!(office.provider.asked(), 1);
    let claims = json!({
        "iss": office.provider.issuer, "aud": RESOURCE, "email": "ada", "exp": chrono::Utc::now().timestamp() + 300,
    });
    let tokens: Vec<_> = (0..40)
        .map(|number| office.provider.forge(&json!({ "alg": "ES256", "kid": format!("k{number}") }), &claims))
        .collect();
    std::thread::scope(|scope| {
        for token in &tokens {
            let office = &office;
            scope.spawn(move || refused(&office.knock(token), 401, "login_unknown_key"));
        }
    });
    assert_eq!(office.provider.asked(), 2);
}

#[test]
fn keys_are_replaced_without_a_restart() {
    let office = Office::open();
    let former = office.token("ada");
    office.agent(&former).call("echo", "{}").result();
    office.provider.rotate();
    let token = office.token("ada");
    office.agent(&token).call("echo", "{}").result();
    // A key that was withdrawn takes its tokens with it.
    refused(&office.knock(&former), 401, "login_unknown_key");
    assert_eq!(office.provider.asked(), 2);
}

#[test]
fn while_the_provider_is_away_its_known_keys_go_on_and_else_it_is_a_503() {
    let mut office = Office::open();
    let (seen, unseen) = (office.token("ada"), office.token("grace"));
    office.agent(&seen).call("echo", "{}").result();
    office.provider.stop();
    office.agent(&seen).call("echo", "{}").result();
    office.agent(&unseen).call("echo", "{}").result();

    office.world.crash_and_restart();
    let answer = office.knock(&seen);
    let error = refused(&answer, 503, "unavailable");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("corp") && message.contains("cannot be reached"), "{message}");
    assert!(answer.header("www-authenticate").is_none());
    // Minted sessions do not care.
    let minted = office.world.mint("desk", "joan");
    crate::agent::Agent::modern(&office.world, &minted).call("echo", "{}").result();

    let port = office.provider.address().port();
    office.provider = Provider::start_at(port);
    let token = office.token("ada");
    crate::world::wait_until("the provider to be asked again", || office.knock(&token).status == 200);
}

#[test]
fn a_provider_that_names_itself_otherwise_is_not_believed() {
    let office = Office::open();
    let mut changed = super::settings(&office.provider);
    changed["issuer"] = json!(format!("{}/", office.provider.issuer));
    office.world.put("/api/v1/identity-providers/corp", &changed).expect(200);
    let claims = json!({
        "iss": changed["issuer"], "aud": RESOURCE, "email": "ada", "exp": chrono::Utc::now().timestamp() + 300,
    });
    let token = office.provider.forge(&json!({ "alg": "ES256" }), &claims);
    let error = refused(&office.knock(&token), 503, "unavailable");
    assert!(error["message"].as_str().unwrap().contains("another issuer"), "{error}");
}

#[test]
fn a_provider_in_a_private_network_is_not_reached_unless_that_is_allowed() {
    let office = Office::open();
    let mut changed = super::settings(&office.provider);
    changed["private_network"] = json!(false);
    let problem = office.world.put("/api/v1/identity-providers/corp", &changed).problem(422);
    assert_eq!(problem["code"], "invalid_identity_provider");
    changed["issuer"] = json!(office.provider.issuer.replace("http://", "https://"));
    office.world.put("/api/v1/identity-providers/corp", &changed).expect(200);
    let claims = json!({
        "iss": changed["issuer"], "aud": RESOURCE, "email": "ada", "exp": chrono::Utc::now().timestamp() + 300,
    });
    let token = office.provider.forge(&json!({ "alg": "ES256" }), &claims);
    let error = refused(&office.knock(&token), 503, "unavailable");
    assert!(error["message"].as_str().unwrap().contains("not globally routable"), "{error}");
    assert_eq!(office.provider.asked(), 0);
}
