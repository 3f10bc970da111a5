//! Admission: what may leave, and every reason why something may not.

use std::sync::Arc;

use proctor_domain::connection::{Connection, ConnectionEvent};
use proctor_domain::session::{
    Access, CallGrounds, CallRequest, Refusal, Route, Session, SessionCommand, SessionError, SessionEvent,
    Terms,
};
use proctor_domain::subject::SubjectEvent;
use proctor_domain::user_connection::UserConnection;
use proctor_domain::virtual_server::{Definition, ExposedTool, VirtualServerEvent};
use proctor_domain::{Micros, Position};

use crate::scene::{
    EXPIRES_AT, GMAIL, NOW, account, activated, by, call, call_grounds, client, connection, definition,
    disconnected, expired, given, name, of_each_user, opened, reason, registered, server, state, subject,
    terms, tool,
};
use proctor_domain::virtual_server::Method;

fn route(tool: &str) -> Route {
    Route {
        version: 1,
        connection: name("gmail"),
        tool: tool.to_owned(),
        definition: Some(format!("digest of {tool}")),
        catalog: "digest of 3 tools".to_owned(),
        generation: 1,
        user_generation: None,
    }
}

fn admitted(request: CallRequest, route: Route) -> SessionEvent {
    SessionEvent::ToolCallAdmitted {
        call: request.call,
        method: Method::ToolsCall,
        tool: request.wanted.name().to_owned(),
        route,
        replica: request.replica,
        request: request.request,
        client: request.client,
        trace: request.trace,
        arguments_bytes: request.arguments_bytes,
        continues: None,
    }
}

fn refused(call: &str, tool: &str, reason: Refusal, route: Option<Route>) -> SessionEvent {
    SessionEvent::ToolCallRefused {
        call: call.into(),
        method: Method::ToolsCall,
        tool: tool.to_owned(),
        reason,
        route,
        client: client(),
        trace: Some("4bf92f3577b34da6a3ce929d0e0e4736".to_owned()),
        arguments_bytes: 200,
        retry_at: None,
    }
}

fn request(request: CallRequest, at: Micros, grounds: CallGrounds) -> SessionCommand {
    SessionCommand::RequestToolCall { at, request, grounds }
}

/// Asks for one call in a session of these terms, opened at position 1.
fn asked(terms: Terms, tool: &str, grounds: CallGrounds) -> Vec<SessionEvent> {
    given::<Session>(vec![opened(terms)])
        .when(request(call("call_1", tool), NOW, grounds))
        .inspect_result()
        .unwrap()
}

fn expect_refusal(grounds: CallGrounds, reason: Refusal, route: Option<Route>) {
    assert_eq!(asked(terms(), "search", grounds), [refused("call_1", "search", reason, route)]);
}

fn expect_admission(grounds: CallGrounds) {
    assert_eq!(asked(terms(), "search", grounds), [admitted(call("call_1", "search"), route("search"))]);
}

fn with_connection(connection: Arc<Connection>) -> CallGrounds {
    CallGrounds { connection: Some(connection), ..call_grounds() }
}

#[test]
fn a_tool_in_scope_is_admitted_with_everything_that_it_rests_on() {
    expect_admission(call_grounds());
}

#[test]
fn where_every_user_brings_a_credential_a_call_rests_on_the_one_in_force() {
    let with = |account: Option<Arc<UserConnection>>| CallGrounds {
        user_connection: account,
        ..with_connection(of_each_user())
    };
    let route = Route { generation: 2, ..route("search") };
    for (events, reason) in [
        (vec![], Refusal::UserConnectionMissing),
        (vec![activated(1), expired(1)], Refusal::UserConnectionExpired),
        (vec![activated(1), disconnected()], Refusal::UserConnectionDisconnected),
    ] {
        expect_refusal(with(Some(account(events))), reason, Some(route.clone()));
    }
    expect_refusal(with(None), Refusal::UserConnectionMissing, Some(route.clone()));
    let again = account([activated(1), expired(1), activated(2)]);
    let expected = Route { user_generation: Some(2), ..route };
    assert_eq!(asked(terms(), "search", with(Some(again))), [admitted(call("call_1", "search"), expected)]);
}

#[test]
fn a_renamed_tool_is_admitted_under_its_new_name_and_sent_under_its_own() {
    let renamed = ExposedTool { name: Some("find".to_owned()), ..tool("gmail", "search") };
    let revised = VirtualServerEvent::VirtualServerRevised {
        by: by(),
        definition: Definition { tools: vec![renamed], ..definition() },
    };
    let grounds = CallGrounds { server: server([(5, revised)]), ..call_grounds() };
    let expected = admitted(call("call_1", "find"), Route { version: 2, ..route("search") });
    assert_eq!(asked(terms(), "find", grounds.clone()), [expected]);
    expect_refusal(grounds, Refusal::NotInScope, None);
}

#[test]
fn a_call_in_a_revoked_session_is_refused() {
    let revoked = SessionEvent::SessionRevoked { by: by(), reason: reason() };
    given::<Session>(vec![opened(terms()), revoked])
        .when(request(call("call_1", "search"), NOW, call_grounds()))
        .then_expect_events(vec![refused("call_1", "search", Refusal::SessionRevoked, None)]);
}

#[test]
fn a_call_is_refused_from_the_moment_the_session_expires() {
    let at = |at| {
        given::<Session>(vec![opened(terms())]).when(request(call("call_1", "search"), at, call_grounds()))
    };
    at(Micros(EXPIRES_AT.0 - 1))
        .then_expect_events(vec![admitted(call("call_1", "search"), route("search"))]);
    at(EXPIRES_AT).then_expect_events(vec![refused("call_1", "search", Refusal::SessionExpired, None)]);
}

#[test]
fn a_call_beyond_the_sessions_last_one_is_refused_also_when_the_others_have_ended() {
    let one = Terms { calls_max: 1, ..terms() };
    let ended = SessionEvent::ToolCallEnded {
        call: "call_0".into(),
        outcome: proctor_domain::session::Outcome::Succeeded,
        duration_us: 1,
        result_bytes: 1,
        late: false,
    };
    given::<Session>(vec![opened(one), admitted(call("call_0", "search"), route("search")), ended])
        .when(request(call("call_1", "search"), NOW, call_grounds()))
        .then_expect_events(vec![refused("call_1", "search", Refusal::CallsMaxReached, None)]);
}

#[test]
fn a_call_for_a_blocked_user_is_refused_and_stays_so_for_this_session_after_unblocking() {
    let blocked = (1, SubjectEvent::SubjectBlocked { by: by(), reason: reason() });
    let unblocked = (2, SubjectEvent::SubjectUnblocked { by: by(), reason: String::new() });
    let grounds = CallGrounds { subject: subject([blocked.clone()]), ..call_grounds() };
    expect_refusal(grounds, Refusal::SubjectBlocked, None);
    let grounds = CallGrounds { subject: subject([blocked, unblocked]), ..call_grounds() };
    expect_refusal(grounds, Refusal::SubjectCut, None);
}

#[test]
fn a_cut_of_the_user_ends_sessions_opened_at_or_before_it() {
    let cut = |at| {
        let cut = SubjectEvent::SubjectSessionsCut { by: by(), reason: reason() };
        CallGrounds { subject: subject([(at, cut)]), ..call_grounds() }
    };
    expect_admission(cut(0));
    expect_refusal(cut(1), Refusal::SubjectCut, None);
    expect_refusal(cut(2), Refusal::SubjectCut, None);
}

#[test]
fn a_cut_of_the_virtual_server_ends_sessions_opened_at_or_before_it() {
    let cut = |at| {
        let cut = VirtualServerEvent::VirtualServerSessionsCut { by: by(), reason: reason() };
        CallGrounds { server: server([(at, cut)]), ..call_grounds() }
    };
    expect_admission(cut(0));
    expect_refusal(cut(1), Refusal::VirtualServerCut, None);
    expect_refusal(cut(2), Refusal::VirtualServerCut, None);
}

#[test]
fn a_cut_of_the_connection_refuses_its_tools_to_sessions_opened_at_or_before_it() {
    let cut = |at| {
        let cut = ConnectionEvent::ConnectionSessionsCut { by: by(), reason: reason() };
        with_connection(connection(&GMAIL, [(at, cut)]))
    };
    expect_admission(cut(0));
    expect_refusal(cut(1), Refusal::ConnectionCut, Some(route("search")));
    expect_refusal(cut(2), Refusal::ConnectionCut, Some(route("search")));
}

#[test]
fn a_call_on_a_retired_virtual_server_is_refused() {
    let retired = VirtualServerEvent::VirtualServerRetired { by: by(), reason: reason() };
    let grounds = CallGrounds { server: server([(0, retired)]), ..call_grounds() };
    expect_refusal(grounds, Refusal::VirtualServerRetired, None);
}

#[test]
fn a_call_of_a_retired_connections_tool_is_refused_with_the_route_that_is_known() {
    let retired = || ConnectionEvent::ConnectionRetired { by: by(), reason: reason() };
    let grounds = with_connection(connection(&GMAIL, [(0, retired())]));
    expect_refusal(grounds, Refusal::ConnectionRetired, Some(route("search")));
    let without_catalog = with_connection(state([(0, registered()), (0, retired())]));
    expect_refusal(without_catalog, Refusal::ConnectionRetired, None);
}

#[test]
fn a_call_whose_connection_is_not_there_is_refused() {
    let grounds = CallGrounds { connection: None, ..call_grounds() };
    expect_refusal(grounds, Refusal::ConnectionRetired, None);
}

#[test]
fn a_tool_that_the_virtual_server_does_not_expose_is_refused_and_recorded() {
    let events = asked(terms(), "send", call_grounds());
    assert_eq!(events, [refused("call_1", "send", Refusal::NotInScope, None)]);
}

#[test]
fn a_tool_outside_the_sessions_narrower_list_is_refused() {
    let narrow = Terms { tools: Some(vec!["draft".to_owned()]), ..terms() };
    let events = asked(narrow.clone(), "search", call_grounds());
    assert_eq!(events, [refused("call_1", "search", Refusal::NotInScope, None)]);
    let events = asked(narrow, "draft", call_grounds());
    assert_eq!(events, [admitted(call("call_1", "draft"), route("draft"))]);
}

#[test]
fn a_tool_that_may_change_something_is_refused_to_a_read_only_session() {
    let read_only = Terms { access: Access::ReadOnly, ..terms() };
    let events = asked(read_only.clone(), "draft", call_grounds());
    assert_eq!(events, [refused("call_1", "draft", Refusal::NotReadOnly, Some(route("draft")))]);
    let events = asked(read_only, "search", call_grounds());
    assert_eq!(events, [admitted(call("call_1", "search"), route("search"))]);
}

#[test]
fn a_tool_that_the_upstream_no_longer_offers_is_refused() {
    expect_refusal(with_connection(connection(&[("draft", false)], [])), Refusal::NotInCatalog, None);
    expect_refusal(with_connection(state([(0, registered())])), Refusal::NotInCatalog, None);
}

#[test]
fn arguments_that_cannot_be_sent_are_refused() {
    let bad = CallRequest { arguments_ok: false, ..call("call_1", "search") };
    given::<Session>(vec![opened(terms())]).when(request(bad, NOW, call_grounds())).then_expect_events(vec![
        refused("call_1", "search", Refusal::ArgumentsRefused, Some(route("search"))),
    ]);
}

#[test]
fn a_call_that_is_open_is_not_admitted_again() {
    let first = admitted(call("call_1", "search"), route("search"));
    let abandoned = SessionEvent::ToolCallAbandoned { call: "call_1".into() };
    for given_events in [vec![], vec![abandoned]] {
        given::<Session>(vec![opened(terms()), first.clone()])
            .and(given_events)
            .when(request(call("call_1", "search"), NOW, call_grounds()))
            .then_expect_error(SessionError::CallExists("call_1".into()));
    }
}

#[test]
fn the_name_of_a_refused_tool_is_recorded_escaped_and_bounded() {
    let events = asked(terms(), &format!("rm\u{1b}{}", "x".repeat(1_000)), call_grounds());
    let [SessionEvent::ToolCallRefused { tool, .. }] = &events[..] else { panic!("{events:?}") };
    assert!(tool.starts_with("rm\\u{1b}xxx"), "{tool}");
    assert_eq!(tool.len(), 128);
}

#[test]
fn what_ends_a_session_is_told_apart_from_what_refuses_one_call() {
    let ends = [
        Refusal::SessionRevoked,
        Refusal::SessionExpired,
        Refusal::CallsMaxReached,
        Refusal::SubjectCut,
        Refusal::SubjectBlocked,
        Refusal::VirtualServerCut,
        Refusal::VirtualServerRetired,
    ];
    let refuses = [
        Refusal::ConnectionCut,
        Refusal::ConnectionRetired,
        Refusal::NotInScope,
        Refusal::NotReadOnly,
        Refusal::NotInCatalog,
        Refusal::UserConnectionMissing,
        Refusal::UserConnectionExpired,
        Refusal::UserConnectionDisconnected,
        Refusal::ArgumentsRefused,
    ];
    assert!(ends.into_iter().all(Refusal::ends_session));
    assert!(!refuses.into_iter().any(Refusal::ends_session));
}

#[test]
fn a_session_that_has_used_up_its_calls_has_not_ended_for_those_in_flight() {
    let one = Terms { calls_max: 1, ..terms() };
    let admitted = admitted(call("call_0", "search"), route("search"));
    let session = state::<Session>([(1, opened(one.clone())), (2, admitted)]);
    assert_eq!(session.opened_at(), Position(1));
    assert_eq!(session.ended(&one, NOW, &call_grounds()), None);
    assert_eq!(session.ended(&one, EXPIRES_AT, &call_grounds()), Some(Refusal::SessionExpired));
}
