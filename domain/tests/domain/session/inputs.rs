//! What upstreams want of agents, and which log messages agents want.

use std::sync::Arc;

use proctor_domain::session::{
    INPUT_SECONDS_MAX, INPUTS_OPEN_MAX, LOG_LEVELS_MAX, LogLevel, Session, SessionCommand as Command,
    SessionError, SessionEvent,
};
use proctor_domain::{Decider, Micros, Place, Position};

use crate::scene::{EXPIRES_AT, NOW, SECOND, by, given, opened, reason, session, terms};

fn wanted(input: &str) -> SessionEvent {
    let method = "elicitation/create".to_owned();
    SessionEvent::InputRequested { input: input.to_owned(), call: "call_1".into(), method }
}

fn given_input(input: &str) -> SessionEvent {
    SessionEvent::InputGiven { input: input.to_owned(), call: "call_1".into() }
}

fn want(input: &str, at: Micros) -> Command {
    let method = "elicitation/create".to_owned();
    Command::RequestInput { at, input: input.to_owned(), call: "call_1".into(), method }
}

fn give(input: &str) -> Command {
    Command::GiveInput { input: input.to_owned() }
}

#[test]
fn a_wish_for_input_and_its_answer_are_written_down() {
    session([]).when(want("input_1", NOW)).then_expect_events(vec![wanted("input_1")]);
    session([wanted("input_1")]).when(give("input_1")).then_expect_events(vec![given_input("input_1")]);
}

#[test]
fn an_answer_that_comes_twice_or_to_nothing_says_nothing() {
    session([wanted("input_1")]).when(give("input_2")).then_expect_events(vec![]);
    let answered = [wanted("input_1"), given_input("input_1")];
    session(answered).when(give("input_1")).then_expect_events(vec![]);
}

#[test]
fn once_a_session_has_ended_its_agent_is_asked_for_nothing() {
    let revoked = SessionEvent::SessionRevoked { by: by(), reason: reason() };
    session([revoked]).when(want("input_1", NOW)).then_expect_error(SessionError::Ended);
    session([]).when(want("input_1", EXPIRES_AT)).then_expect_error(SessionError::Ended);
}

/// A session whose agent has been asked as much as it may be, at the epoch.
fn asked_much() -> Arc<Session> {
    let mut state = Session::default();
    let wishes = (0..INPUTS_OPEN_MAX).map(|nth| wanted(&format!("input_{nth}")));
    for (event, position) in [opened(terms())].into_iter().chain(wishes).zip(1..) {
        state.evolve(&event, Place { position: Position(position), recorded_at: Micros(0) });
    }
    Arc::new(state)
}

#[test]
fn an_agent_is_asked_a_bounded_number_of_things_at_a_time_and_old_wishes_are_over() {
    let state = asked_much();
    assert_eq!(state.decide(&want("input_x", NOW)), Err(SessionError::TooManyInputs));
    let later = Micros(i64::from(INPUT_SECONDS_MAX) * SECOND - 1);
    assert_eq!(state.decide(&want("input_x", later)), Err(SessionError::TooManyInputs));
    let mut state = Session::clone(&state);
    let over = Micros(i64::from(INPUT_SECONDS_MAX) * SECOND);
    state.evolve(&wanted("input_x"), Place { position: Position(9_999), recorded_at: over });
    assert_eq!((state.input("input_0"), state.input("input_x")), (None, Some(&"call_1".into())));
}

fn level_set(client: &str, level: LogLevel) -> SessionEvent {
    SessionEvent::LogLevelSet { client: client.to_owned(), level }
}

fn set(client: &str, level: LogLevel) -> Command {
    Command::SetLogLevel { client: client.to_owned(), level }
}

#[test]
fn each_agent_has_the_log_level_that_it_set_last_and_the_same_again_is_no_event() {
    let before = [level_set("a", LogLevel::Debug), level_set("b", LogLevel::Alert)];
    session(before.clone()).when(set("a", LogLevel::Debug)).then_expect_events(vec![]);
    session(before).when(set("a", LogLevel::Error)).then_expect_events(vec![level_set("a", LogLevel::Error)]);
    session([]).when(set("a", LogLevel::Info)).then_expect_events(vec![level_set("a", LogLevel::Info)]);
}

#[test]
fn the_agents_of_a_session_that_set_a_log_level_are_bounded() {
    let many = (0..LOG_LEVELS_MAX).map(|nth| level_set(&nth.to_string(), LogLevel::Info));
    let many: Vec<_> = [opened(terms())].into_iter().chain(many).collect();
    let refused = given::<Session>(many.clone()).when(set("another", LogLevel::Info));
    refused.then_expect_error(SessionError::TooManyLogLevels);
    let known = given::<Session>(many).when(set("0", LogLevel::Error));
    known.then_expect_events(vec![level_set("0", LogLevel::Error)]);
}

#[test]
fn log_levels_are_written_as_the_protocol_has_them_and_ordered_by_gravity() {
    for (lesser, graver) in LogLevel::ALL.iter().zip(&LogLevel::ALL[1..]) {
        assert!(lesser < graver);
    }
    for level in LogLevel::ALL {
        assert_eq!(LogLevel::from_code(level.code()), Some(level));
        assert_eq!(serde_json::to_string(&level).unwrap(), format!("\"{}\"", level.code()));
    }
    assert_eq!(LogLevel::from_code("loud"), None);
}
