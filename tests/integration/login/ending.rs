//! Logins that end: revoked, blocked, cut, taken back by the administrator.

use serde_json::{Value, json};

use super::{Office, refused, settings, with_login};
use crate::world::wait_until;

fn revoke(office: &Office, session: &Value) {
    let path = format!("/api/v1/sessions/{}/revoke", session["session_id"].as_str().unwrap());
    office.world.post(&path, &json!({ "reason": "lost" })).expect(200);
}

fn revoke_all(office: &Office) {
    let body = json!({ "user": "ada", "reason": "left" });
    office.world.post("/api/v1/revocations", &body).ok();
}

/// The other good signature that anybody can make of one by ECDSA on P-256: (r, n - s).
fn mirrored(token: &str) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    const ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let order = hex::decode(ORDER).unwrap();
    let mut borrow = 0;
    for index in (0..32).rev() {
        let difference = i16::from(order[index]) - i16::from(bytes[32 + index]) - borrow;
        borrow = i16::from(difference < 0);
        bytes[32 + index] = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(bytes))
}

#[test]
fn a_revoked_one_stays_revoked_whatever_is_tried_with_its_token() {
    let mut office = Office::open();
    let token = office.token("ada");
    office.agent(&token).call("echo", "{}").result();
    revoke(&office, &office.only_session());
    refused(&office.knock(&token), 401, "session_revoked");
    office.world.crash_and_restart();
    refused(&office.knock(&token), 401, "session_revoked");
    // Another signature of the same makes it no other token.
    refused(&office.knock(&mirrored(&token)), 401, "session_revoked");
    // Neither does a provider that is set anew.
    let mut changed = settings(&office.provider);
    changed["scopes"] = json!(["tools", "more"]);
    office.world.put("/api/v1/identity-providers/corp", &changed).expect(200);
    refused(&office.knock(&token), 401, "session_revoked");
    assert_eq!(office.sessions().len(), 1);
    // A new login is another matter: its user was not blocked.
    office.agent(&office.token("ada")).call("echo", "{}").result();
    assert_eq!(office.sessions().len(), 2);
}

#[test]
fn a_cut_covers_what_was_opened_before_it_and_a_new_token_opens_anew() {
    let office = Office::open();
    let (token, unused) = (office.token("ada"), office.token("ada"));
    office.agent(&token).call("echo", "{}").result();
    revoke_all(&office);
    refused(&office.knock(&token), 401, "subject_cut");
    office.agent(&unused).call("echo", "{}").result();
}

#[test]
fn whoever_has_not_connected_every_account_is_told_which() {
    let mut office = Office::open();
    let mine = json!({
        "name": "mine", "transport": { "type": "http", "url": office.upstream.url() },
        "auth": { "type": "bearer" }, "private_network": true,
    });
    office.world.post("/api/v1/connections", &mine).expect(201);
    office
        .world
        .put("/api/v1/users/setup/connections/mine/credential", &json!({ "type": "bearer", "token": "t" }))
        .expect(200);
    office.world.post("/api/v1/connections/mine/catalog/refresh?user=setup", &json!({})).ok();
    let mut both = with_login("desk", &json!({ "provider": "corp" }));
    both["tools"] = json!([{ "connection": "mine", "tool": "echo" }]);
    office.world.put("/api/v1/virtual-servers/desk", &both).expect(200);
    let token = office.token("ada");
    let error = refused(&office.knock(&token), 403, "accounts_missing");
    assert_eq!(error["data"]["missing"], json!([{ "connection": "mine", "status": "missing" }]));
    // It is on the record when the server stops, and otherwise once a minute.
    office.world.server.terminate();
    office.world.server = office.world.another();
    let act = &office.acts("LoginRefused")[0];
    assert_eq!((act["user"].as_str(), act["reason"].as_str()), (Some("ada"), Some("accounts_missing")));
    assert_eq!(act["details"]["provider"], "corp");
    let failed = office.acts("AuthenticationsFailed");
    assert!(failed.iter().any(|act| act["reason"] == "accounts_missing"), "{failed:?}");
    let credential = json!({ "type": "bearer", "token": "t" });
    office.world.put("/api/v1/users/ada/connections/mine/credential", &credential).expect(200);
    office.agent(&token).call("echo", "{}").result();
}

#[test]
fn a_login_counts_no_more_once_the_administrator_takes_it_back() {
    let office = Office::open();
    let token = office.token("ada");
    office.agent(&token).call("echo", "{}").result();
    let without = with_login("desk", &Value::Null);
    office.world.put("/api/v1/virtual-servers/desk", &without).expect(200);
    assert_eq!(office.knock(&token).status, 401);
    let again = with_login("desk", &json!({ "provider": "corp" }));
    office.world.put("/api/v1/virtual-servers/desk", &again).expect(200);
    office.agent(&token).call("echo", "{}").result();
    office.world.post("/api/v1/identity-providers/corp/retire", &json!({ "reason": "over" })).ok();
    refused(&office.knock(&token), 401, "login_provider_not_in_use");
    refused(&office.knock(&office.token("grace")), 401, "login_provider_not_in_use");
    let problem = office.world.put("/api/v1/virtual-servers/desk", &again).problem(422);
    assert_eq!(problem["code"], "unknown_identity_provider");
    assert_eq!(office.world.get("/api/v1/identity-providers/corp").expect(200)["state"], "retired");
    assert_eq!(office.world.pages("/api/v1/identity-providers").len(), 1);
}

#[test]
fn an_expired_token_is_refused_and_nothing_is_opened_for_it() {
    let office = Office::open();
    let token = office.provider.token("ada", super::RESOURCE, "&ttl=2");
    office.agent(&token).call("echo", "{}").result();
    wait_until("the token to expire", || office.knock(&token).status == 401);
    refused(&office.knock(&token), 401, "login_expired");
    assert_eq!(office.sessions().len(), 1);
}

#[test]
fn a_blocked_user_gets_in_by_no_login_until_unblocked() {
    let office = Office::open();
    let (token, unused) = (office.token("ada"), office.token("ada"));
    office.agent(&token).call("echo", "{}").result();
    let user = office.only_session()["user"].as_str().unwrap().to_owned();
    let block = |act: &str| {
        office.world.post(&format!("/api/v1/users/{user}/{act}"), &json!({ "reason": "left" })).expect(200)
    };
    block("block");
    refused(&office.knock(&token), 401, "subject_blocked");
    // Neither by a token from before nor by one that the provider gives out now.
    for token in [&unused, &office.token("ada")] {
        refused(&office.knock(token), 403, "subject_blocked");
    }
    assert_eq!(office.sessions().len(), 1);
    office.agent(&office.token("grace")).call("echo", "{}").result();
    block("unblock");
    refused(&office.knock(&token), 401, "subject_cut");
    office.agent(&unused).call("echo", "{}").result();
}

#[test]
fn somebody_can_be_blocked_before_their_first_login() {
    let office = Office::open();
    office.agent(&office.token("grace")).call("echo", "{}").result();
    let of_grace = office.only_session()["user"].as_str().unwrap().to_owned();
    let user = of_grace.replace("grace", "mallory");
    office.world.post(&format!("/api/v1/users/{user}/block"), &json!({ "reason": "left" })).expect(200);
    refused(&office.knock(&office.token("mallory")), 403, "subject_blocked");
    assert_eq!(office.sessions().len(), 1);
}
