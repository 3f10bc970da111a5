//! What is recorded once a minute: identical refusals and manifests.

use proctor_domain::session::{
    List, REFUSALS_PER_MINUTE_MAX, Refusal, Session, SessionCommand as Command, SessionEvent,
};
use proctor_domain::{Decider, Micros, Place, Position};

use crate::scene::{NOW, SECOND, call, call_grounds, client, opened, server, session, terms};
use proctor_domain::virtual_server::{Method, Wanted};

const NEXT_MINUTE: Micros = Micros(60 * SECOND);

fn refused(call: &str, tool: &str) -> SessionEvent {
    SessionEvent::ToolCallRefused {
        call: call.into(),
        method: Method::ToolsCall,
        tool: tool.to_owned(),
        reason: Refusal::NotInScope,
        route: None,
        client: client(),
        trace: Some("4bf92f3577b34da6a3ce929d0e0e4736".to_owned()),
        arguments_bytes: 200,
        retry_at: None,
    }
}

fn request(id: &str, tool: &str, at: Micros) -> Command {
    Command::RequestToolCall { at, request: call(id, tool), grounds: call_grounds() }
}

fn manifest(manifest: &str, at: Micros, times: u64) -> Command {
    Command::RecordManifest {
        at,
        list: List::Tools,
        manifest: manifest.to_owned(),
        version: 1,
        tools: 2,
        client: client(),
        times,
    }
}

fn served(manifest: &str, times: u64) -> SessionEvent {
    SessionEvent::ManifestServed {
        list: List::Tools,
        manifest: manifest.to_owned(),
        version: 1,
        tools: 2,
        client: client(),
        times,
    }
}

#[test]
fn the_same_refusal_within_a_minute_is_recorded_once() {
    session([refused("call_1", "send")]).when(request("call_2", "send", NOW)).then_expect_events(vec![]);
}

#[test]
fn the_same_refusal_in_the_next_minute_is_recorded_again() {
    session([refused("call_1", "send")])
        .when(request("call_2", "send", NEXT_MINUTE))
        .then_expect_events(vec![refused("call_2", "send")]);
}

#[test]
fn a_refusal_of_another_tool_or_for_another_reason_is_recorded() {
    session([refused("call_1", "send")])
        .when(request("call_2", "delete", NOW))
        .then_expect_events(vec![refused("call_2", "delete")]);
    let revoked = SessionEvent::SessionRevoked { by: crate::scene::by(), reason: String::new() };
    let events = session([refused("call_1", "send"), revoked])
        .when(request("call_2", "send", NOW))
        .inspect_result()
        .unwrap();
    let [SessionEvent::ToolCallRefused { reason, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(*reason, Refusal::SessionRevoked);
}

#[test]
fn a_name_that_is_recorded_escaped_coalesces_under_the_name_as_it_came() {
    session([refused("call_1", "rm\\u{1b}")])
        .when(request("call_2", "rm\u{1b}", NOW))
        .then_expect_events(vec![]);
    let session = evolved([refused("call_1", "rm\\u{1b}")]);
    let before =
        session.refused_before((&Wanted::Tool("rm\u{1b}".to_owned()), &server([])), Refusal::NotInScope, NOW);
    assert_eq!(before, Some(&"call_1".into()));
}

fn evolved(then: impl IntoIterator<Item = SessionEvent>) -> Session {
    let mut session = Session::default();
    for (position, event) in (1..).zip([opened(terms())].into_iter().chain(then)) {
        session.evolve(&event, Place { position: Position(position), recorded_at: Micros(0) });
    }
    session
}

#[test]
fn an_agent_that_makes_up_names_adds_a_bounded_number_of_events_a_minute() {
    let mut session = evolved([]);
    let mut place = Place { position: Position(1), recorded_at: NOW };
    for n in 0..1_000 {
        for event in session.decide(&request(&format!("call_{n}"), &format!("tool_{n}"), NOW)).unwrap() {
            place.position.0 += 1;
            session.evolve(&event, place);
        }
    }
    assert_eq!(place.position.0, 1 + u64::try_from(REFUSALS_PER_MINUTE_MAX).unwrap());
    let stands_for_all =
        session.refused_before((&Wanted::Tool("tool_999".to_owned()), &server([])), Refusal::NotInScope, NOW);
    assert_eq!(stands_for_all, Some(&"call_0".into()));
    assert_eq!(
        session.refused_before((&Wanted::Tool("tool_7".to_owned()), &server([])), Refusal::NotInScope, NOW),
        Some(&"call_7".into())
    );
    assert_eq!(
        session.refused_before(
            (&Wanted::Tool("tool_7".to_owned()), &server([])),
            Refusal::NotInScope,
            NEXT_MINUTE
        ),
        None
    );

    let other_reason = session.decide(&Command::RequestToolCall {
        at: NOW,
        request: proctor_domain::session::CallRequest { arguments_ok: false, ..call("call_x", "search") },
        grounds: call_grounds(),
    });
    assert_eq!(other_reason.unwrap().len(), 1, "the first of another reason is still recorded");
}

#[test]
fn that_something_was_refused_again_is_recorded_with_how_often() {
    session([refused("call_1", "send")])
        .when(Command::RecordRefusedAgain { call: "call_1".into(), times: 41 })
        .then_expect_events(vec![SessionEvent::ToolCallRefusedAgain { call: "call_1".into(), times: 41 }]);
}

#[test]
fn a_manifest_is_recorded_once_a_minute() {
    session([]).when(manifest("m", NOW, 1)).then_expect_events(vec![served("m", 1)]);
    session([served("m", 1)]).when(manifest("m", NOW, 1)).then_expect_events(vec![]);
    session([served("m", 1)]).when(manifest("m", NEXT_MINUTE, 1)).then_expect_events(vec![served("m", 1)]);
}

#[test]
fn another_manifest_is_recorded_within_the_minute() {
    session([served("m", 1)]).when(manifest("n", NOW, 1)).then_expect_events(vec![served("n", 1)]);
}

#[test]
fn manifests_that_were_counted_are_recorded_with_their_count() {
    session([served("m", 1)]).when(manifest("m", NOW, 12)).then_expect_events(vec![served("m", 12)]);
}
