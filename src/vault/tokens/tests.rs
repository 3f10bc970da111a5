//! What session tokens promise.

use proptest::prelude::*;

use super::*;
use crate::vault::{MasterKey, MasterKeys, Purpose, PurposeKeyRow, Vault};

const NOW_S: i64 = 1_790_000_000;
const NOW_US: i64 = NOW_S * MICROSECONDS_PER_SECOND;
const HERE: &str = "http://127.0.0.1:8700/mcp/support";

fn rows(master: &MasterKeys, at_us: i64) -> Vec<PurposeKeyRow> {
    Vault::missing_rows(master, &[], at_us).unwrap()
}

fn new_vault() -> Vault {
    let master = MasterKeys::from(MasterKey::generate().0);
    Vault::open(&master, &rows(&master, NOW_US), NOW_US + 1).unwrap()
}

fn claims() -> Claims {
    Claims {
        issuer: "http://127.0.0.1:8700".to_owned(),
        audience: HERE.to_owned(),
        subject: "sub_a".to_owned(),
        session: "ses_1".to_owned(),
        issued_at_s: NOW_S,
        expires_at_s: NOW_S + 3_600,
    }
}

/// A token with another header, its claims and signature kept.
fn with_header(token: &str, header: &serde_json::Value) -> String {
    let (_, rest) = token.split_once('.').unwrap();
    let header = URL_SAFE_NO_PAD.encode(header.to_string());
    format!("{header}.{rest}")
}

#[test]
fn a_minted_token_is_verified_and_says_what_was_minted_also_the_second_time() {
    let vault = new_vault();
    let token = vault.tokens().mint(&claims());
    for _ in 0..2 {
        let verified = vault.tokens().verify(&token, HERE, NOW_US).unwrap();
        assert_eq!(verified.claims, claims());
    }
}

#[test]
fn a_token_counts_until_the_microsecond_of_its_expiry_seen_before_or_not() {
    let vault = new_vault();
    let token = vault.tokens().mint(&claims());
    let expiry_us = (NOW_S + 3_600) * MICROSECONDS_PER_SECOND;
    assert!(vault.tokens().verify(&token, HERE, expiry_us - 1).is_ok());
    assert_eq!(vault.tokens().verify(&token, HERE, expiry_us), Err(TokenError::Expired));
    let unseen = vault.tokens().mint(&Claims { session: "ses_2".to_owned(), ..claims() });
    assert_eq!(vault.tokens().verify(&unseen, HERE, expiry_us), Err(TokenError::Expired));
}

#[test]
fn a_token_for_one_virtual_server_is_refused_by_another() {
    let vault = new_vault();
    let token = vault.tokens().mint(&claims());
    let there = "http://127.0.0.1:8700/mcp/sales";
    for _ in 0..2 {
        assert_eq!(vault.tokens().verify(&token, there, NOW_US), Err(TokenError::WrongAudience));
    }
}

#[test]
fn only_eddsa_is_accepted_whatever_the_header_says() {
    let vault = new_vault();
    let token = vault.tokens().mint(&claims());
    let kid = vault.tokens().jwks()["keys"][0]["kid"].clone();
    for algorithm in ["none", "HS256", "ES256", "eddsa", ""] {
        let forged = with_header(&token, &json!({"alg": algorithm, "kid": kid}));
        assert_eq!(
            vault.tokens().verify(&forged, HERE, NOW_US),
            Err(TokenError::WrongAlgorithm { algorithm: algorithm.to_owned() })
        );
    }
}

#[test]
fn a_token_signed_by_the_public_key_as_a_shared_secret_is_refused() {
    let vault = new_vault();
    let jwks = vault.tokens().jwks();
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some(jwks["keys"][0]["kid"].as_str().unwrap().to_owned());
    let secret = URL_SAFE_NO_PAD.decode(jwks["keys"][0]["x"].as_str().unwrap()).unwrap();
    let forged = jsonwebtoken::encode(&header, &claims(), &EncodingKey::from_secret(&secret)).unwrap();
    assert_eq!(
        vault.tokens().verify(&forged, HERE, NOW_US),
        Err(TokenError::WrongAlgorithm { algorithm: "HS256".to_owned() })
    );
}

#[test]
fn a_token_of_another_vault_is_of_an_unknown_key_and_under_our_key_id_of_a_bad_signature() {
    let (vault, other) = (new_vault(), new_vault());
    let foreign = other.tokens().mint(&claims());
    assert_eq!(vault.tokens().verify(&foreign, HERE, NOW_US), Err(TokenError::UnknownKey));
    let kid = vault.tokens().jwks()["keys"][0]["kid"].clone();
    let forged = with_header(&foreign, &json!({"alg": "EdDSA", "kid": kid}));
    assert_eq!(vault.tokens().verify(&forged, HERE, NOW_US), Err(TokenError::BadSignature));
    let without_key = with_header(&foreign, &json!({"alg": "EdDSA"}));
    assert_eq!(vault.tokens().verify(&without_key, HERE, NOW_US), Err(TokenError::UnknownKey));
}

#[test]
fn claims_that_were_changed_are_of_a_bad_signature() {
    let vault = new_vault();
    let token = vault.tokens().mint(&claims());
    let parts: Vec<_> = token.split('.').collect();
    let changed = serde_json::to_vec(&Claims { expires_at_s: NOW_S + 86_400, ..claims() }).unwrap();
    let forged = [parts[0], &URL_SAFE_NO_PAD.encode(changed), parts[2]].join(".");
    assert_eq!(vault.tokens().verify(&forged, HERE, NOW_US), Err(TokenError::BadSignature));
}

#[test]
fn after_a_rotation_the_new_key_signs_and_tokens_of_the_old_one_still_count() {
    let master = MasterKeys::from(MasterKey::generate().0);
    let old_rows = rows(&master, NOW_US);
    let old = Vault::open(&master, &old_rows, NOW_US + 1).unwrap();
    let token = old.tokens().mint(&claims());

    let mut all = old_rows.clone();
    all.extend(rows(&master, NOW_US + 1));
    let rotated = Vault::open(&master, &all, NOW_US + 1).unwrap();
    assert!(rotated.tokens().verify(&token, HERE, NOW_US).is_ok());
    assert_eq!(rotated.tokens().jwks()["keys"].as_array().unwrap().len(), 2);
    let newer = rotated.tokens().mint(&claims());
    assert_eq!(old.tokens().verify(&newer, HERE, NOW_US), Err(TokenError::UnknownKey));
}

#[test]
fn a_key_is_shown_before_it_signs_and_forgotten_a_day_and_an_hour_after_it_was_followed() {
    let master = MasterKeys::from(MasterKey::generate().0);
    let old_rows = rows(&master, NOW_US);
    let vault = Vault::open(&master, &old_rows, NOW_US).unwrap();
    let token = vault.tokens().mint(&Claims { expires_at_s: NOW_S + 1_000_000, ..claims() });
    let kids = || -> Vec<String> {
        let jwks = vault.tokens().jwks();
        jwks["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    };
    let signs = || jsonwebtoken::decode_header(vault.tokens().mint(&claims())).unwrap().kid.unwrap();
    let (first, active_at_us) = (signs(), NOW_US + 360_000_000);
    let new = vault.new_purpose_key(Purpose::TokenSigning, NOW_US, active_at_us);
    let all: Vec<_> = old_rows.into_iter().chain([new.clone()]).collect();
    vault.take_in(&all, active_at_us - 1).unwrap();
    assert_eq!((kids(), signs()), (vec![first.clone(), new.kid.clone()], first.clone()));
    vault.take_in(&all, active_at_us).unwrap();
    assert_eq!((kids(), signs()), (vec![new.kid.clone(), first], new.kid.clone()));
    let over_at_us = active_at_us + 25 * 3_600 * 1_000_000;
    vault.take_in(&all, over_at_us - 1).unwrap();
    assert!(vault.tokens().verify(&token, HERE, over_at_us - 1).is_ok());
    vault.take_in(&all, over_at_us).unwrap();
    assert_eq!(vault.tokens().verify(&token, HERE, over_at_us - 1), Err(TokenError::UnknownKey));
    assert_eq!(kids(), [new.kid]);
}

#[test]
fn the_public_key_set_verifies_a_token_and_holds_nothing_secret() {
    let vault = new_vault();
    let jwks = vault.tokens().jwks();
    assert!(jwks["keys"][0].get("d").is_none());
    let set: jsonwebtoken::jwk::JwkSet = serde_json::from_value(jwks).unwrap();
    let key = DecodingKey::from_jwk(&set.keys[0]).unwrap();
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_audience(&[HERE]);
    // The clock inside the crate is not ours to set.
    validation.validate_exp = false;
    let token = vault.tokens().mint(&claims());
    let decoded = jsonwebtoken::decode::<Claims>(&token, &key, &validation).unwrap();
    assert_eq!(decoded.claims, claims());
}

#[test]
fn what_is_too_long_is_refused_unread() {
    let long = "a".repeat(TOKEN_BYTES_MAX + 1);
    assert_eq!(new_vault().tokens().verify(&long, HERE, NOW_US), Err(TokenError::Malformed));
}

#[test]
fn no_refusal_repeats_the_token() {
    let vault = new_vault();
    let token = vault.tokens().mint(&claims());
    for bad in [&token[..token.len() - 4], &token[4..]] {
        let error = vault.tokens().verify(bad, HERE, NOW_US).unwrap_err();
        assert!(!error.to_string().contains(&bad[..8]));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn text_that_was_never_minted_is_refused_without_a_panic(text in "[ -~]{0,80}") {
        prop_assert!(new_vault().tokens().verify(&text, HERE, NOW_US).is_err());
    }

    #[test]
    fn a_token_with_any_character_changed_is_refused(at: prop::sample::Index, with in "[A-Za-z0-9._-]") {
        let vault = new_vault();
        let token = vault.tokens().mint(&claims());
        let at = at.index(token.len());
        let mut changed = token.clone();
        changed.replace_range(at..=at, &with);
        prop_assume!(changed != token);
        prop_assert!(vault.tokens().verify(&changed, HERE, NOW_US).is_err());
    }
}
