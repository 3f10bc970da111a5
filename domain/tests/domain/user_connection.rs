//! User connection: every command, in every state that answers it differently.

use std::sync::Arc;

use proctor_domain::connection::{AuthMethod, Connection, ConnectionEvent, CredentialKind, Settings};
use proctor_domain::user_connection::{Status, UserConnection, UserConnectionCommand, UserConnectionError};

use crate::scene::{
    GMAIL, account, activated, by, connection, disconnected, expired, given, name, of_each_user, reason,
    settings,
};

fn activate(generation: u32, kind: CredentialKind, grounds: Arc<Connection>) -> UserConnectionCommand {
    UserConnectionCommand::Activate {
        by: by(),
        subject: "sub_1".into(),
        connection: name("gmail"),
        kind,
        variables: Vec::new(),
        grounds,
        generation,
    }
}

fn expire(generation: u32) -> UserConnectionCommand {
    UserConnectionCommand::Expire { generation, reason: "unauthorized".to_owned() }
}

fn disconnect() -> UserConnectionCommand {
    UserConnectionCommand::Disconnect { by: by(), reason: reason() }
}

#[test]
fn a_credential_is_put_in_force_and_replaced_in_every_state() {
    for (before, generation) in [
        (vec![], 1),
        (vec![activated(1)], 2),
        (vec![activated(1), expired(1)], 2),
        (vec![activated(1), disconnected()], 2),
    ] {
        given::<UserConnection>(before)
            .when(activate(generation, CredentialKind::Bearer, of_each_user()))
            .then_expect_events(vec![activated(generation)]);
    }
}

#[test]
fn a_credential_that_was_sealed_for_another_generation_is_refused() {
    for (before, generation) in [(vec![], 2), (vec![activated(1)], 1), (vec![activated(1)], 3)] {
        given::<UserConnection>(before)
            .when(activate(generation, CredentialKind::Bearer, of_each_user()))
            .then_expect_error(UserConnectionError::Overtaken);
    }
}

#[test]
fn a_connection_takes_what_it_is_set_to_take() {
    let refused = |grounds, error| {
        given::<UserConnection>(vec![])
            .when(activate(1, CredentialKind::Bearer, grounds))
            .then_expect_error(error);
    };
    refused(Arc::default(), UserConnectionError::NoConnection(name("gmail")));
    let retired = ConnectionEvent::ConnectionRetired { by: by(), reason: reason() };
    refused(connection(&GMAIL, [(4, retired)]), UserConnectionError::NoConnection(name("gmail")));
    refused(connection(&GMAIL, []), UserConnectionError::Shared(name("gmail")));
    let basic = Settings { auth: AuthMethod::Basic, ..settings() };
    let basic = ConnectionEvent::ConnectionReconfigured { by: by(), settings: basic, generation: 2 };
    let error = UserConnectionError::OtherKind {
        connection: name("gmail"),
        takes: CredentialKind::Basic,
        given: CredentialKind::Bearer,
    };
    refused(connection(&GMAIL, [(4, basic)]), error);
}

#[test]
fn the_credential_in_force_expires_once_and_no_older_one_does() {
    given::<UserConnection>(vec![]).when(expire(1)).then_expect_error(UserConnectionError::Unknown);
    given::<UserConnection>(vec![activated(1)]).when(expire(1)).then_expect_events(vec![expired(1)]);
    for before in
        [vec![activated(1), activated(2)], vec![activated(1), expired(1)], vec![activated(1), disconnected()]]
    {
        given::<UserConnection>(before).when(expire(1)).then_expect_events(vec![]);
    }
}

#[test]
fn an_account_is_disconnected_once() {
    given::<UserConnection>(vec![]).when(disconnect()).then_expect_error(UserConnectionError::Unknown);
    for before in [vec![activated(1)], vec![activated(1), expired(1)]] {
        given::<UserConnection>(before).when(disconnect()).then_expect_events(vec![disconnected()]);
    }
    given::<UserConnection>(vec![activated(1), disconnected()]).when(disconnect()).then_expect_events(vec![]);
}

#[test]
fn an_account_is_usable_while_its_credential_is_in_force_and_of_the_right_kind() {
    for (events, status) in [
        (vec![], Status::Missing),
        (vec![activated(1)], Status::Active),
        (vec![activated(1), expired(1)], Status::Expired),
        (vec![activated(1), expired(1), activated(2)], Status::Active),
        (vec![activated(1), disconnected()], Status::Disconnected),
    ] {
        assert_eq!(account(events).status_for(CredentialKind::Bearer), status);
    }
    assert_eq!(account([activated(1)]).status_for(CredentialKind::Basic), Status::Missing);
}

#[test]
fn a_user_and_a_connection_have_one_stream_and_share_it_with_nobody() {
    let id = |subject: &str, connection: &str| UserConnection::id(&subject.into(), &name(connection));
    assert_eq!(id("sub_1", "gmail"), "sub_1.gmail");
    assert_ne!(id("sub_1", "1-gmail"), id("sub_11", "gmail"));
}
