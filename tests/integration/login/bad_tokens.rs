//! Tokens that are no good, each for a reason of its own.

use serde_json::{Value, json};

use super::provider::Provider;
use super::{Office, RESOURCE, knock, refused};
use crate::agent::Agent;

fn now() -> i64 {
    chrono::Utc::now().timestamp()
}

/// The claims of a good token.
fn claims(provider: &Provider) -> Value {
    json!({
        "iss": provider.issuer, "aud": RESOURCE, "sub": "agent", "email": "ada", "client_id": "agent",
        "iat": now(), "exp": now() + 300, "jti": "j1",
    })
}

fn header() -> Value {
    json!({ "alg": "ES256", "typ": "at+jwt" })
}

#[test]
fn each_bad_token_is_refused_with_its_reason_and_opens_nothing() {
    let office = Office::open();
    let provider = &office.provider;
    let bad = |header: &Value, change: &dyn Fn(&mut Value), code: &str| {
        let mut claims = claims(provider);
        change(&mut claims);
        let answer = office.knock(&provider.forge(header, &claims));
        refused(&answer, 401, code);
        assert!(answer.header("www-authenticate").unwrap().contains("error=\"invalid_token\""));
    };
    let nothing = |_: &mut Value| {};
    let set = |claim: &'static str, value: Value| move |claims: &mut Value| claims[claim] = value.clone();
    let with = |member: &str, value: Value| {
        let mut header = header();
        header[member] = value;
        header
    };
    bad(&header(), &set("iss", json!("http://127.0.0.1:1")), "login_wrong_issuer");
    bad(&header(), &set("aud", json!("http://proctor.test/mcp/other")), "login_wrong_audience");
    bad(&header(), &set("aud", json!("agent")), "login_wrong_audience");
    bad(&header(), &set("aud", json!([])), "login_wrong_audience");
    bad(&header(), &set("exp", json!(now() - 1)), "login_expired");
    bad(&header(), &set("nbf", json!(now() + 120)), "login_not_yet_valid");
    bad(&header(), &set("iat", json!(now() + 120)), "login_not_yet_valid");
    bad(&header(), &set("email", Value::Null), "login_no_user");
    bad(&with("alg", json!("none")), &nothing, "login_wrong_algorithm");
    bad(&with("alg", json!("HS256")), &nothing, "login_wrong_algorithm");
    bad(&with("alg", json!("PS256")), &nothing, "login_wrong_algorithm");
    bad(&with("kid", json!("rsa-1")), &nothing, "login_unfit_key");
    bad(&with("kid", json!("nowhere")), &nothing, "login_unknown_key");
    bad(&with("typ", json!("logout+jwt")), &nothing, "login_not_an_access_token");
    // An ID token, as far as one can tell by its audience, and where it is the same by its claims.
    let id_token = |claims: &mut Value| {
        claims["aud"] = json!("agent");
        claims["nonce"] = json!("n");
    };
    bad(&with("typ", json!("JWT")), &id_token, "login_not_an_access_token");
    bad(&with("typ", json!("JWT")), &set("at_hash", json!("h")), "login_not_an_access_token");

    // Signed by nobody, and changed after signing.
    let good = provider.forge(&header(), &claims(provider));
    let (signed, _) = good.rsplit_once('.').unwrap();
    refused(&office.knock(&format!("{signed}.")), 401, "login_bad_signature");
    let other = provider.forge(&header(), &{
        let mut claims = claims(provider);
        claims["email"] = json!("grace");
        claims
    });
    let (_, signature) = other.rsplit_once('.').unwrap();
    refused(&office.knock(&format!("{signed}.{signature}")), 401, "login_bad_signature");
    refused(&office.knock("opaque"), 401, "login_malformed");
    refused(&office.knock(&"x".repeat(20_000)), 401, "login_malformed");
    assert!(office.sessions().is_empty());
    assert!(office.acts("SubjectRegistered").is_empty());
    // All but for that, it is good.
    office.agent(&good).call("echo", "{}").result();
}

#[test]
fn a_token_for_one_virtual_server_is_none_for_another() {
    let office = Office::open();
    let token = office.token("ada");
    office.agent(&token).call("echo", "{}").result();
    let other = Agent { path: "/mcp/other".to_owned(), ..office.agent(&token) };
    refused(&knock(&other), 401, "login_wrong_audience");
}

#[test]
fn a_token_of_the_configured_audience_opens_a_session_at_each_virtual_server() {
    let office = Office::open();
    let mut changed = super::settings(&office.provider);
    changed["audience"] = json!("https://agents.example.com");
    office.world.put("/api/v1/identity-providers/corp", &changed).expect(200);
    let token = office.provider.token("ada", "https://agents.example.com", "&alg=RS256");
    let desk = office.agent(&token);
    let other = Agent { path: "/mcp/other".to_owned(), ..desk.clone() };
    desk.call("echo", "{}").result();
    other.call("echo", "{}").result();
    let servers: Vec<_> = office.sessions().iter().map(|row| row["virtual_server"].clone()).collect();
    assert_eq!(servers.len(), 2, "{servers:?}");
}

#[test]
fn a_key_of_another_provider_is_none_of_this_one() {
    let office = Office::open();
    let stranger = Provider::start();
    let token = stranger.forge(&header(), &claims(&office.provider));
    refused(&office.knock(&token), 401, "login_bad_signature");
    let token = stranger.token("ada", RESOURCE, "");
    refused(&office.knock(&token), 401, "login_wrong_issuer");
}
