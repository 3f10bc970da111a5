//! What becomes of an admitted call: outcome, cancellation, abandonment.

use cqrs_es::test::AggregateTestExecutor;
use proctor_domain::session::{
    Cause, Outcome, Route, Session, SessionCommand as Command, SessionError, SessionEvent,
};

use crate::scene::{by, client, name, opened, reason, session, state, terms};
use proctor_domain::virtual_server::Method;

fn admitted(call: &str, replica: &str, request: &str) -> SessionEvent {
    SessionEvent::ToolCallAdmitted {
        call: call.into(),
        method: Method::ToolsCall,
        tool: "search".to_owned(),
        route: Route {
            version: 1,
            connection: name("gmail"),
            tool: "search".to_owned(),
            definition: Some("d".to_owned()),
            catalog: "c".to_owned(),
            generation: 1,
            user_generation: None,
        },
        replica: replica.into(),
        request: Some(request.to_owned()),
        client: client(),
        trace: None,
        arguments_bytes: 2,
        continues: None,
    }
}

fn record(call: &str, outcome: Outcome) -> Command {
    Command::RecordOutcome { call: call.into(), outcome, duration_us: 1_500, result_bytes: 64 }
}

fn ended(call: &str, outcome: Outcome, late: bool) -> SessionEvent {
    SessionEvent::ToolCallEnded { call: call.into(), outcome, duration_us: 1_500, result_bytes: 64, late }
}

fn abandoned(call: &str) -> SessionEvent {
    SessionEvent::ToolCallAbandoned { call: call.into() }
}

fn cancel_requested(call: &str) -> SessionEvent {
    SessionEvent::ToolCallCancelRequested { call: call.into() }
}

fn cancel(request: &str) -> Command {
    Command::RequestCancel { request: request.to_owned() }
}

/// Two calls of one process and one of another, the third under the first's request name.
fn three_calls() -> AggregateTestExecutor<Session> {
    session([
        admitted("call_1", "rep_1", "a"),
        admitted("call_2", "rep_1", "b"),
        admitted("call_3", "rep_2", "a"),
    ])
}

#[test]
fn every_outcome_of_an_admitted_call_is_recorded() {
    for outcome in [
        Outcome::Succeeded,
        Outcome::Failed("timeout".to_owned()),
        Outcome::Cancelled(Cause::Agent),
        Outcome::Cancelled(Cause::Revocation),
        Outcome::Cancelled(Cause::Shutdown),
    ] {
        three_calls()
            .when(record("call_2", outcome.clone()))
            .then_expect_events(vec![ended("call_2", outcome, false)]);
    }
}

#[test]
fn an_outcome_is_recorded_also_after_revocation() {
    let revoked = SessionEvent::SessionRevoked { by: by(), reason: reason() };
    three_calls()
        .and(vec![revoked])
        .when(record("call_1", Outcome::Cancelled(Cause::Revocation)))
        .then_expect_events(vec![ended("call_1", Outcome::Cancelled(Cause::Revocation), false)]);
}

#[test]
fn an_outcome_of_a_call_that_was_never_admitted_is_an_error() {
    three_calls()
        .when(record("call_9", Outcome::Succeeded))
        .then_expect_error(SessionError::UnknownCall("call_9".into()));
}

#[test]
fn a_call_ends_once() {
    three_calls()
        .and(vec![ended("call_1", Outcome::Succeeded, false)])
        .when(record("call_1", Outcome::Failed("timeout".to_owned())))
        .then_expect_error(SessionError::UnknownCall("call_1".into()));
}

#[test]
fn an_abandoned_call_may_still_end_late_and_once() {
    three_calls()
        .and(vec![abandoned("call_1")])
        .when(record("call_1", Outcome::Succeeded))
        .then_expect_events(vec![ended("call_1", Outcome::Succeeded, true)]);
    three_calls()
        .and(vec![abandoned("call_1"), ended("call_1", Outcome::Succeeded, true)])
        .when(record("call_1", Outcome::Succeeded))
        .then_expect_error(SessionError::UnknownCall("call_1".into()));
}

#[test]
fn the_calls_of_a_process_that_is_gone_are_abandoned_and_no_others() {
    three_calls()
        .when(Command::AbandonCalls { replica: "rep_1".into() })
        .then_expect_events(vec![abandoned("call_1"), abandoned("call_2")]);
}

#[test]
fn only_calls_that_have_not_ended_are_abandoned_and_each_once() {
    three_calls()
        .and(vec![ended("call_1", Outcome::Succeeded, false), abandoned("call_2")])
        .when(Command::AbandonCalls { replica: "rep_1".into() })
        .then_expect_events(vec![]);
}

#[test]
fn a_cancel_reaches_the_calls_in_flight_of_that_request() {
    three_calls().when(cancel("b")).then_expect_events(vec![cancel_requested("call_2")]);
    three_calls()
        .when(cancel("a"))
        .then_expect_events(vec![cancel_requested("call_1"), cancel_requested("call_3")]);
}

#[test]
fn a_cancel_of_a_request_that_is_not_in_flight_changes_nothing() {
    three_calls().when(cancel("z")).then_expect_events(vec![]);
    three_calls()
        .and(vec![ended("call_2", Outcome::Succeeded, false)])
        .when(cancel("b"))
        .then_expect_events(vec![]);
}

#[test]
fn a_second_cancel_of_the_same_call_changes_nothing() {
    three_calls().and(vec![cancel_requested("call_2")]).when(cancel("b")).then_expect_events(vec![]);
}

#[test]
fn calls_in_flight_are_those_admitted_and_neither_ended_nor_abandoned() {
    let session = state::<Session>((1..).zip([
        opened(terms()),
        admitted("call_1", "rep_1", "a"),
        admitted("call_2", "rep_1", "b"),
        admitted("call_3", "rep_2", "c"),
        admitted("call_4", "rep_2", "d"),
        cancel_requested("call_4"),
        ended("call_1", Outcome::Succeeded, false),
        abandoned("call_2"),
    ]));
    assert_eq!(session.calls_admitted(), 4);
    let flying: Vec<_> = session
        .in_flight()
        .iter()
        .map(|(id, call)| {
            (id.as_str(), call.replica.as_str(), call.request.as_deref(), call.cancel_requested)
        })
        .collect();
    assert_eq!(flying, [("call_3", "rep_2", Some("c"), false), ("call_4", "rep_2", Some("d"), true)]);
}
