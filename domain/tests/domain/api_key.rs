//! ApiKey: every command, in every state that answers it differently.

use std::sync::Arc;

use proctor_domain::Micros;
use proctor_domain::api_key::{ApiKey, ApiKeyCommand, ApiKeyError, ApiKeyEvent, Role, Standing};

use crate::scene::{by, given, reason, state};

const END: Micros = Micros(1_000);

fn create(name: &str, role: Role, expires_at: Option<Micros>) -> ApiKeyCommand {
    ApiKeyCommand::Create { by: by(), name: name.to_owned(), role, expires_at }
}

fn created(name: &str, role: Role, expires_at: Option<Micros>) -> ApiKeyEvent {
    ApiKeyEvent::ApiKeyCreated { by: by(), name: name.to_owned(), role, expires_at }
}

fn revoked() -> ApiKeyEvent {
    ApiKeyEvent::ApiKeyRevoked { by: by(), reason: reason() }
}

fn revoke(remaining: Option<Arc<ApiKey>>) -> ApiKeyCommand {
    ApiKeyCommand::Revoke { by: by(), reason: reason(), remaining }
}

#[test]
fn a_new_key_is_created() {
    given::<ApiKey>(vec![])
        .when(create("backend", Role::Minter, Some(END)))
        .then_expect_events(vec![created("backend", Role::Minter, Some(END))]);
}

#[test]
fn creating_the_same_key_again_changes_nothing() {
    given::<ApiKey>(vec![created("backend", Role::Minter, None)])
        .when(create("backend", Role::Minter, None))
        .then_expect_events(vec![]);
}

#[test]
fn creating_a_key_again_with_another_name_role_or_end_is_an_error() {
    for other in [
        create("other", Role::Minter, None),
        create("backend", Role::Admin, None),
        create("backend", Role::Minter, Some(END)),
    ] {
        given::<ApiKey>(vec![created("backend", Role::Minter, None)])
            .when(other)
            .then_expect_error(ApiKeyError::Exists);
    }
}

#[test]
fn a_revoked_key_does_not_come_back() {
    given::<ApiKey>(vec![created("backend", Role::Minter, None), revoked()])
        .when(create("backend", Role::Minter, None))
        .then_expect_error(ApiKeyError::Revoked);
}

#[test]
fn a_key_is_revoked_once() {
    let created = created("backend", Role::Minter, None);
    given::<ApiKey>(vec![created.clone()]).when(revoke(None)).then_expect_events(vec![revoked()]);
    given::<ApiKey>(vec![created, revoked()]).when(revoke(None)).then_expect_events(vec![]);
}

#[test]
fn an_unknown_key_is_not_revoked() {
    given::<ApiKey>(vec![]).when(revoke(None)).then_expect_error(ApiKeyError::Unknown);
}

#[test]
fn the_last_key_of_an_administrator_without_an_end_is_not_revoked() {
    let root = || created("root", Role::Admin, None);
    let no_heirs = [
        None,
        Some(Arc::default()),
        Some(state::<ApiKey>([(1, created("backend", Role::Minter, None))])),
        Some(state::<ApiKey>([(1, created("for a day", Role::Admin, Some(END)))])),
        Some(state::<ApiKey>([(1, root()), (2, revoked())])),
    ];
    for remaining in no_heirs {
        given::<ApiKey>(vec![root()])
            .when(revoke(remaining))
            .then_expect_error(ApiKeyError::LastAdministrator);
    }
    let other = state::<ApiKey>([(1, created("other", Role::Admin, None))]);
    given::<ApiKey>(vec![root()]).when(revoke(Some(other))).then_expect_events(vec![revoked()]);
    given::<ApiKey>(vec![created("for a day", Role::Admin, Some(END))])
        .when(revoke(None))
        .then_expect_events(vec![revoked()]);
}

#[test]
fn a_key_has_its_role_until_the_moment_it_ends() {
    let key = state::<ApiKey>([(1, created("audit", Role::Auditor, Some(END)))]);
    assert_eq!(key.grant().unwrap().name, "audit");
    assert_eq!(key.standing(Micros(END.0 - 1)), Standing::Active);
    assert_eq!(key.standing(END), Standing::Expired);
    assert_eq!(key.role(Micros(END.0 - 1)), Some(Role::Auditor));
    assert_eq!(key.role(END), None);
}

#[test]
fn an_unknown_or_revoked_key_has_no_role() {
    assert_eq!(ApiKey::default().role(Micros(0)), None);
    assert_eq!(ApiKey::default().standing(Micros(0)), Standing::Unknown);
    let key = state::<ApiKey>([(1, created("root", Role::Admin, Some(END))), (2, revoked())]);
    assert_eq!(key.role(Micros(0)), None);
    assert_eq!(key.standing(END), Standing::Revoked);
    assert_eq!(key.revocation().unwrap().reason, reason());
}
