//! Tokens that are good, and tokens that are bad, before any signature is looked at.

use serde_json::json;

use super::*;

fn settings() -> Settings {
    Settings {
        issuer: "https://login.example.com".to_owned(),
        audience: None,
        user_claim: "sub".to_owned(),
        algorithms: Algorithm::DEFAULT.to_vec(),
        scopes: Vec::new(),
        private_network: false,
    }
}

fn header() -> Value {
    json!({ "alg": "RS256", "typ": "at+jwt", "kid": "k1" })
}

fn claims() -> Value {
    json!({ "iss": "https://login.example.com", "aud": "a", "sub": "ada", "exp": 2_000, "iat": 1_000 })
}

fn token(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.c2ln", part(header), part(claims))
}

/// The value with this member set, or left out.
fn with(mut value: Value, member: &str, set: Option<Value>) -> Value {
    let members = value.as_object_mut().unwrap();
    match set {
        Some(set) => drop(members.insert(member.to_owned(), set)),
        None => drop(members.remove(member)),
    }
    value
}

fn read(header: &Value, claims: &Value) -> Result<Vec<String>, LoginError> {
    let token = token(header, claims);
    Unverified::read(&token, &Name::new("corp").unwrap(), &settings()).map(|token| token.audiences)
}

#[track_caller]
fn refused(header: &Value, claims: &Value, code: &str) {
    assert_eq!(read(header, claims).unwrap_err().code(), code, "{header} {claims}");
}

#[test]
fn a_token_is_read_as_old_and_new_providers_write_it() {
    for typ in [None, Some(json!("JWT")), Some(json!("at+jwt")), Some(json!("application/AT+JWT"))] {
        assert_eq!(read(&with(header(), "typ", typ), &claims()), Ok(vec!["a".to_owned()]));
    }
    let many = with(claims(), "aud", Some(json!(["a", "b"])));
    assert_eq!(read(&header(), &many), Ok(vec!["a".to_owned(), "b".to_owned()]));
    let none = with(claims(), "aud", None);
    assert_eq!(read(&header(), &none), Ok(Vec::new()));
    let fraction = with(claims(), "exp", Some(json!(2_000.75)));
    assert!(read(&header(), &fraction).is_ok());
}

#[test]
fn an_algorithm_that_the_administrator_did_not_name_is_refused() {
    for alg in ["none", "None", "HS256", "RS512", "PS256", "EdDSA", ""] {
        refused(&with(header(), "alg", Some(json!(alg))), &claims(), "login_wrong_algorithm");
    }
}

#[test]
fn what_is_no_access_token_is_refused() {
    for typ in ["id+jwt", "logout+jwt", "dpop+jwt", "secevent+jwt"] {
        refused(&with(header(), "typ", Some(json!(typ))), &claims(), "login_not_an_access_token");
    }
    for (claim, said) in [
        ("nonce", json!("n")),
        ("at_hash", json!("h")),
        ("c_hash", json!("h")),
        ("events", json!({})),
        ("typ", json!("ID")),
        ("token_use", json!("id")),
    ] {
        refused(&header(), &with(claims(), claim, Some(said)), "login_not_an_access_token");
    }
}

#[test]
fn another_issuer_is_refused_however_alike() {
    for issuer in ["https://login.example.com/", "https://LOGIN.example.com", "http://login.example.com"] {
        refused(&header(), &with(claims(), "iss", Some(json!(issuer))), "login_wrong_issuer");
    }
    refused(&header(), &with(claims(), "iss", None), "login_wrong_issuer");
}

#[test]
fn a_token_without_key_end_or_user_is_refused() {
    refused(&with(header(), "kid", None), &claims(), "login_unknown_key");
    for exp in [None, Some(json!("2000")), Some(json!(1e300))] {
        refused(&header(), &with(claims(), "exp", exp), "login_malformed");
    }
    for user in [None, Some(json!(7)), Some(json!("")), Some(json!("x".repeat(513)))] {
        refused(&header(), &with(claims(), "sub", user), "login_no_user");
    }
}

#[test]
fn what_a_token_demands_to_be_understood_is_not() {
    refused(&with(header(), "crit", Some(json!(["exp"]))), &claims(), "login_malformed");
    refused(&with(header(), "b64", Some(json!(false))), &claims(), "login_malformed");
}

#[test]
fn a_text_of_another_form_is_refused_unread() {
    let name = Name::new("corp").unwrap();
    let long = format!("{}{}", token(&header(), &claims()), "x".repeat(TOKEN_BYTES_MAX));
    for text in ["", ".", "..", "a.b", "a.b.c", "a.b.c.d", &long, "opaque-token"] {
        let error = Unverified::read(text, &name, &settings()).err().unwrap();
        assert_eq!(error, LoginError::Malformed, "{text}");
    }
}

#[test]
fn the_signature_is_no_part_of_what_a_token_is_known_by() {
    let name = Name::new("corp").unwrap();
    let one = token(&header(), &claims());
    let other = format!("{}.b3RoZXI", one.rsplit_once('.').unwrap().0);
    let signed = |text: &str| Unverified::read(text, &name, &settings()).unwrap().signed;
    assert_eq!(signed(&one), signed(&other));
    let later = token(&header(), &with(claims(), "iat", Some(json!(1_001))));
    assert_ne!(signed(&one), signed(&later));
}
