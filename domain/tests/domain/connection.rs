//! Connection: every command, in every state that answers it differently.

use proctor_domain::Position;
use proctor_domain::connection::{
    AuthMethod, Connection, ConnectionCommand as Command, ConnectionError, ConnectionEvent, Settings,
};

use crate::scene::{GMAIL, by, catalog, given, reason, refreshed, registered, settings, state};

fn other_settings() -> Settings {
    Settings { auth: AuthMethod::Header { name: "X-Api-Key".to_owned() }, ..settings() }
}

fn reconfigured(settings: Settings, generation: u32) -> ConnectionEvent {
    ConnectionEvent::ConnectionReconfigured { by: by(), settings, generation }
}

fn cut() -> ConnectionEvent {
    ConnectionEvent::ConnectionSessionsCut { by: by(), reason: reason() }
}

fn retired() -> ConnectionEvent {
    ConnectionEvent::ConnectionRetired { by: by(), reason: reason() }
}

fn register() -> Command {
    Command::Register { by: by(), settings: settings() }
}

fn refresh(generation: u32) -> Command {
    Command::RefreshCatalog { by: by(), catalog: catalog(&GMAIL), generation }
}

fn all_but_register_and_retire() -> [Command; 4] {
    [
        Command::Reconfigure { by: by(), settings: other_settings(), new_secrets: true },
        refresh(1),
        Command::RecordTest { by: by(), failure: None },
        Command::CutSessions { by: by(), reason: reason() },
    ]
}

#[test]
fn a_new_connection_is_registered_with_generation_1() {
    given::<Connection>(vec![]).when(register()).then_expect_events(vec![registered()]);
}

#[test]
fn a_name_that_is_taken_is_not_registered_again() {
    given::<Connection>(vec![registered()]).when(register()).then_expect_error(ConnectionError::Exists);
}

#[test]
fn nothing_but_registering_can_be_asked_of_an_unknown_connection() {
    let retire = Command::Retire { by: by(), reason: reason() };
    for command in all_but_register_and_retire().into_iter().chain([retire]) {
        given::<Connection>(vec![]).when(command).then_expect_error(ConnectionError::Unknown);
    }
}

#[test]
fn a_retired_connection_refuses_everything_and_its_name_is_never_used_again() {
    for command in all_but_register_and_retire().into_iter().chain([register()]) {
        given::<Connection>(vec![registered(), retired()])
            .when(command)
            .then_expect_error(ConnectionError::Retired);
    }
}

#[test]
fn a_connection_is_retired_once() {
    let retire = Command::Retire { by: by(), reason: reason() };
    given::<Connection>(vec![registered()]).when(retire.clone()).then_expect_events(vec![retired()]);
    given::<Connection>(vec![registered(), retired()]).when(retire).then_expect_events(vec![]);
}

#[test]
fn the_same_settings_without_new_secrets_change_nothing() {
    given::<Connection>(vec![registered()])
        .when(Command::Reconfigure { by: by(), settings: settings(), new_secrets: false })
        .then_expect_events(vec![]);
}

#[test]
fn the_same_settings_with_new_secrets_make_a_new_generation() {
    given::<Connection>(vec![registered()])
        .when(Command::Reconfigure { by: by(), settings: settings(), new_secrets: true })
        .then_expect_events(vec![reconfigured(settings(), 2)]);
}

#[test]
fn other_settings_make_a_new_generation() {
    given::<Connection>(vec![registered(), reconfigured(settings(), 2)])
        .when(Command::Reconfigure { by: by(), settings: other_settings(), new_secrets: false })
        .then_expect_events(vec![reconfigured(other_settings(), 3)]);
}

#[test]
fn a_catalog_is_put_in_force_also_when_it_is_the_same() {
    given::<Connection>(vec![registered()]).when(refresh(1)).then_expect_events(vec![refreshed(&GMAIL)]);
    given::<Connection>(vec![registered(), refreshed(&GMAIL)])
        .when(refresh(1))
        .then_expect_events(vec![refreshed(&GMAIL)]);
}

#[test]
fn a_catalog_that_was_found_with_older_settings_is_not_put_in_force() {
    given::<Connection>(vec![registered(), reconfigured(other_settings(), 2)])
        .when(refresh(1))
        .then_expect_error(ConnectionError::Reconfigured);
}

#[test]
fn a_test_is_written_down_with_its_failure_or_without() {
    for failure in [None, Some("unreachable".to_owned())] {
        given::<Connection>(vec![registered()])
            .when(Command::RecordTest { by: by(), failure: failure.clone() })
            .then_expect_events(vec![ConnectionEvent::ConnectionTested { by: by(), failure }]);
    }
}

#[test]
fn each_cut_of_a_connection_is_a_new_event_because_sessions_may_have_been_opened_since() {
    given::<Connection>(vec![registered(), cut()])
        .when(Command::CutSessions { by: by(), reason: reason() })
        .then_expect_events(vec![cut()]);
}

#[test]
fn the_state_of_a_connection_follows_from_its_events() {
    let unknown = Connection::default();
    assert!(!unknown.is_usable() && !unknown.is_retired());
    assert_eq!((unknown.settings(), unknown.catalog(), unknown.cut_at()), (None, None, None));

    let tested = ConnectionEvent::ConnectionTested { by: by(), failure: None };
    let events = [registered(), refreshed(&GMAIL), reconfigured(other_settings(), 2), tested, cut()];
    let usable = state::<Connection>((11..).zip(events.clone()));
    assert!(usable.is_usable() && !usable.is_retired());
    assert_eq!(usable.settings().map(|settings| &**settings), Some(&other_settings()));
    assert_eq!(usable.generation(), 2);
    assert_eq!(usable.catalog().map(|catalog| &**catalog), Some(&catalog(&GMAIL)));
    assert_eq!(usable.cut_at(), Some(Position(15)));

    let gone = state::<Connection>((11..).zip(events.into_iter().chain([retired()])));
    assert!(!gone.is_usable() && gone.is_retired());
}
