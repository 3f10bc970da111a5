//! Renewing a credential: one process at a time, and nobody is kept waiting by one that is gone.

use proctor_domain::user_connection::{
    REFRESH_CLAIM_SECONDS, REFRESH_PAUSE_SECONDS, UserConnection, UserConnectionCommand, UserConnectionError,
    UserConnectionEvent,
};
use proctor_domain::{Decider as _, Micros};

use crate::scene::{NOW, SECOND, account, activated, disconnected, expired, given};

const ENDS: Micros = Micros(NOW.0 + 600_000_000);

fn with_end(generation: u32) -> UserConnectionEvent {
    match activated(generation) {
        UserConnectionEvent::UserConnectionActivated {
            by,
            subject,
            connection,
            kind,
            variables,
            generation,
            ..
        } => UserConnectionEvent::UserConnectionActivated {
            by,
            subject,
            connection,
            kind,
            variables,
            generation,
            link: None,
            scopes: Vec::new(),
            expires_at: Some(ENDS),
        },
        other => other,
    }
}

fn claim(at: Micros, generation: u32, replica: &str, refused: bool) -> UserConnectionCommand {
    UserConnectionCommand::ClaimRefresh { at, generation, replica: replica.to_owned().into(), refused }
}

fn claimed(generation: u32, replica: &str) -> UserConnectionEvent {
    let until = NOW.plus_seconds(REFRESH_CLAIM_SECONDS);
    UserConnectionEvent::UserConnectionRefreshClaimed {
        generation,
        replica: replica.to_owned().into(),
        until,
    }
}

fn refreshed(generation: u32) -> UserConnectionEvent {
    UserConnectionEvent::UserConnectionRefreshed { generation, scopes: Vec::new(), expires_at: Some(ENDS) }
}

fn failed(generation: u32) -> UserConnectionEvent {
    UserConnectionEvent::UserConnectionRefreshFailed {
        generation,
        reason: "unreachable".to_owned(),
        retry_at: NOW.plus_seconds(REFRESH_PAUSE_SECONDS),
    }
}

fn complete(generation: u32) -> UserConnectionCommand {
    UserConnectionCommand::CompleteRefresh { generation, scopes: Vec::new(), expires_at: Some(ENDS) }
}

#[test]
fn one_process_renews_at_a_time() {
    given::<UserConnection>(vec![with_end(1)])
        .when(claim(NOW, 1, "a", false))
        .then_expect_events(vec![claimed(1, "a")]);
    for replica in ["a", "b"] {
        given::<UserConnection>(vec![with_end(1), claimed(1, "a")])
            .when(claim(NOW, 1, replica, true))
            .then_expect_events(vec![]);
    }
}

#[test]
fn a_claim_whose_process_is_gone_keeps_nobody_longer_than_its_time() {
    let late = NOW.plus_seconds(REFRESH_CLAIM_SECONDS);
    let until = late.plus_seconds(REFRESH_CLAIM_SECONDS);
    given::<UserConnection>(vec![with_end(1), claimed(1, "a")])
        .when(claim(late, 1, "b", false))
        .then_expect_events(vec![UserConnectionEvent::UserConnectionRefreshClaimed {
            generation: 1,
            replica: "b".to_owned().into(),
            until,
        }]);
}

#[test]
fn what_has_no_end_is_renewed_only_when_the_upstream_refused_it() {
    given::<UserConnection>(vec![activated(1)]).when(claim(NOW, 1, "a", false)).then_expect_events(vec![]);
    given::<UserConnection>(vec![activated(1)])
        .when(claim(NOW, 1, "a", true))
        .then_expect_events(vec![claimed(1, "a")]);
}

#[test]
fn only_the_credential_in_force_is_renewed() {
    for before in [
        vec![with_end(1), with_end(2)],
        vec![with_end(1), claimed(1, "a"), refreshed(2)],
        vec![with_end(1), expired(1)],
        vec![with_end(1), disconnected()],
    ] {
        given::<UserConnection>(before.clone()).when(claim(NOW, 1, "a", true)).then_expect_events(vec![]);
        given::<UserConnection>(before).when(complete(1)).then_expect_error(UserConnectionError::Overtaken);
    }
    given::<UserConnection>(vec![])
        .when(claim(NOW, 1, "a", true))
        .then_expect_error(UserConnectionError::Unknown);
}

#[test]
fn a_renewed_credential_is_the_next_generation_and_can_be_renewed_again() {
    given::<UserConnection>(vec![with_end(1), claimed(1, "a")])
        .when(complete(1))
        .then_expect_events(vec![refreshed(2)]);
    let renewed = vec![with_end(1), claimed(1, "a"), refreshed(2)];
    assert_eq!(account(renewed.clone()).generation(), 2);
    given::<UserConnection>(renewed)
        .when(claim(NOW, 2, "b", false))
        .then_expect_events(vec![claimed(2, "b")]);
}

#[test]
fn who_could_not_renew_lets_others_try_after_a_pause() {
    let release = |replica: &str| UserConnectionCommand::ReleaseRefresh {
        at: NOW,
        generation: 1,
        replica: replica.to_owned().into(),
        reason: "unreachable".to_owned(),
    };
    let before = || vec![with_end(1), claimed(1, "a")];
    given::<UserConnection>(before()).when(release("a")).then_expect_events(vec![failed(1)]);
    // It is another's by now.
    given::<UserConnection>(before()).when(release("b")).then_expect_events(vec![]);
    let paused = [before(), vec![failed(1)]].concat();
    given::<UserConnection>(paused.clone()).when(claim(NOW, 1, "b", true)).then_expect_events(vec![]);
    let later = NOW.plus_seconds(REFRESH_PAUSE_SECONDS);
    assert!(account(paused.clone()).refresh_is_paused(NOW));
    assert!(!account(paused).refresh_is_paused(later));
}

#[test]
fn the_longer_an_authorization_server_is_away_the_more_seldom_it_is_asked() {
    let release = || UserConnectionCommand::ReleaseRefresh {
        at: NOW,
        generation: 1,
        replica: "a".to_owned().into(),
        reason: "unreachable".to_owned(),
    };
    let pause_after = |times: usize| {
        let again = [failed(1), claimed(1, "a")].into_iter().cycle().take(2 * times);
        let before = [vec![with_end(1), claimed(1, "a")], again.collect()].concat();
        match &account(before).decide(&release()).unwrap()[..] {
            [.., UserConnectionEvent::UserConnectionRefreshFailed { retry_at, .. }] => {
                (retry_at.0 - NOW.0) / SECOND
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!([0, 1, 2, 3, 4, 40].map(pause_after), [5, 10, 20, 40, 60, 60]);
}
