//! Minting and revoking.

use std::sync::Arc;

use proctor_domain::identity_provider::IdentityProviderEvent;
use proctor_domain::limits::SessionLimits;
use proctor_domain::session::{
    Access, CALLS_MAX_DEFAULT, List, Opening, OpeningGrounds, Session, SessionCommand as Command,
    SessionError, SessionEvent, TTL_SECONDS_DEFAULT, TTL_SECONDS_MAX, TTL_SECONDS_MIN, Terms, UserGrounds,
};
use proctor_domain::subject::{Subject, SubjectEvent};
use proctor_domain::user_connection::{Status, UserConnectionEvent};
use proctor_domain::virtual_server::{Definition, Login, VirtualServer, VirtualServerEvent};
use proctor_domain::{By, Decider, Micros, Position};

use crate::scene::{
    NOW, account, activated, by, call, call_grounds, client, defined, definition, disconnected, expired,
    given, name, of_each_user, opened, opening, opening_grounds, provider, reason, server, session, state,
    subject, terms,
};

fn open(opening: Opening, grounds: OpeningGrounds) -> Command {
    Command::Open { at: Micros(0), opening, grounds }
}

fn refused(opening: Opening, grounds: OpeningGrounds, error: SessionError) {
    given::<Session>(vec![]).when(open(opening, grounds)).then_expect_error(error);
}

fn revoke() -> Command {
    Command::Revoke { by: by(), reason: reason() }
}

fn revoked() -> SessionEvent {
    SessionEvent::SessionRevoked { by: by(), reason: reason() }
}

#[test]
fn a_session_is_opened_on_the_terms_asked_for_and_the_servers_version() {
    let narrow = Opening {
        access: Access::ReadOnly,
        tools: Some(vec!["search".to_owned()]),
        ttl_seconds: 60,
        limits: SessionLimits { calls_max: Some(3), calls_per_minute_max: Some(2) },
        label_indexes: vec!["ab".to_owned()],
        ..opening()
    };
    let revised = VirtualServerEvent::VirtualServerRevised {
        by: by(),
        definition: Definition {
            tools: vec![crate::scene::tool("gmail", "search")],
            ..Definition::default()
        },
    };
    let grounds = OpeningGrounds { server: server([(5, revised)]), ..opening_grounds() };
    given::<Session>(vec![])
        .when(Command::Open { at: Micros(7), opening: narrow, grounds })
        .then_expect_events(vec![SessionEvent::SessionOpened {
            by: by(),
            version: 2,
            terms: Terms {
                access: Access::ReadOnly,
                tools: Some(vec!["search".to_owned()]),
                expires_at: Micros(60_000_007),
                calls_max: 3,
                calls_per_minute_max: Some(2),
                label_indexes: vec!["ab".to_owned()],
                ..terms()
            },
        }]);
}

#[test]
fn a_session_lasts_an_hour_and_10000_calls_when_nothing_is_said() {
    assert_eq!((TTL_SECONDS_DEFAULT, CALLS_MAX_DEFAULT), (3_600, 10_000));
}

#[test]
fn a_session_lasts_60_to_86400_seconds() {
    for ttl_seconds in [0, TTL_SECONDS_MIN - 1, TTL_SECONDS_MAX + 1, u32::MAX] {
        let error = SessionError::Ttl(ttl_seconds);
        assert_eq!(error.to_string(), format!("ttl_seconds is {ttl_seconds}: choose 60 to 86400"));
        refused(Opening { ttl_seconds, ..opening() }, opening_grounds(), error);
    }
    for ttl_seconds in [TTL_SECONDS_MIN, TTL_SECONDS_MAX] {
        let expires_at = Micros(i64::from(ttl_seconds) * 1_000_000);
        given::<Session>(vec![])
            .when(open(Opening { ttl_seconds, ..opening() }, opening_grounds()))
            .then_expect_events(vec![opened(Terms { expires_at, ..terms() })]);
    }
}

#[test]
fn a_session_identifier_is_used_once() {
    session([]).when(open(opening(), opening_grounds())).then_expect_error(SessionError::Exists);
    session([revoked()]).when(open(opening(), opening_grounds())).then_expect_error(SessionError::Exists);
}

#[test]
fn a_session_is_not_opened_on_an_unknown_virtual_server() {
    let grounds = OpeningGrounds { server: Arc::new(VirtualServer::default()), ..opening_grounds() };
    refused(opening(), grounds, SessionError::UnknownServer(name("support")));
}

#[test]
fn a_session_is_not_opened_on_a_retired_virtual_server() {
    let retired = VirtualServerEvent::VirtualServerRetired { by: by(), reason: reason() };
    let grounds = OpeningGrounds { server: server([(5, retired)]), ..opening_grounds() };
    refused(opening(), grounds, SessionError::RetiredServer(name("support")));
}

#[test]
fn a_session_is_not_opened_for_an_unknown_user() {
    let grounds = OpeningGrounds { subject: Arc::new(Subject::default()), ..opening_grounds() };
    refused(opening(), grounds, SessionError::UnknownSubject);
}

#[test]
fn a_session_is_not_opened_for_a_blocked_user_and_opened_after_unblocking() {
    let blocked = (5, SubjectEvent::SubjectBlocked { by: by(), reason: reason() });
    let unblocked = (6, SubjectEvent::SubjectUnblocked { by: by(), reason: String::new() });
    let grounds = OpeningGrounds { subject: subject([blocked.clone()]), ..opening_grounds() };
    refused(opening(), grounds, SessionError::SubjectBlocked);
    let grounds = OpeningGrounds { subject: subject([blocked, unblocked]), ..opening_grounds() };
    given::<Session>(vec![]).when(open(opening(), grounds)).then_expect_events(vec![opened(terms())]);
}

#[test]
fn a_session_is_opened_once_the_user_has_every_account_that_its_tools_need() {
    let needs = |events: Vec<UserConnectionEvent>| {
        let gmail =
            UserGrounds { name: name("gmail"), connection: of_each_user(), user_connection: account(events) };
        // Exposed by the same virtual server, but by no tool that anybody wants here.
        let other = UserGrounds { name: name("calendar"), user_connection: account([]), ..gmail.clone() };
        OpeningGrounds { user_connections: vec![gmail, other], ..opening_grounds() }
    };
    for (events, status) in [
        (vec![], Status::Missing),
        (vec![activated(1), expired(1)], Status::Expired),
        (vec![activated(1), disconnected()], Status::Disconnected),
    ] {
        refused(opening(), needs(events), SessionError::AccountsMissing(vec![(name("gmail"), status)]));
    }
    given::<Session>(vec![])
        .when(open(opening(), needs(vec![activated(1)])))
        .then_expect_events(vec![opened(terms())]);
}

#[test]
fn a_narrower_list_that_names_an_unknown_tool_is_refused_with_the_names_that_exist() {
    let tools = Some(vec!["search".to_owned(), "send\u{7}".to_owned()]);
    let error = SessionError::UnknownTool {
        server: name("support"),
        tool: "send\u{7}".to_owned(),
        known: vec!["draft".to_owned(), "search".to_owned()],
    };
    let message = "virtual server \"support\" has no tool \"send\\u{7}\"; it has: draft, search";
    assert_eq!(error.to_string(), message);
    refused(Opening { tools, ..opening() }, opening_grounds(), error);
}

#[test]
fn a_narrower_list_on_a_server_that_exposes_nothing_is_refused_and_says_none() {
    let grounds =
        OpeningGrounds { server: state([(0, defined(Definition::default()))]), ..opening_grounds() };
    given::<Session>(vec![])
        .when(open(Opening { tools: Some(vec!["search".to_owned()]), ..opening() }, grounds))
        .then_expect_error_message("virtual server \"support\" has no tool \"search\"; it has: none");
}

#[test]
fn an_empty_narrower_list_is_a_session_that_may_call_nothing() {
    given::<Session>(vec![])
        .when(open(Opening { tools: Some(Vec::new()), ..opening() }, opening_grounds()))
        .then_expect_events(vec![opened(Terms { tools: Some(Vec::new()), ..terms() })]);
}

#[test]
fn nothing_but_opening_can_be_asked_of_an_unknown_session() {
    for command in [
        Command::RequestToolCall { at: NOW, request: call("call_1", "search"), grounds: call_grounds() },
        Command::RecordRefusedAgain { call: "call_1".into(), times: 1 },
        Command::RecordManifest {
            list: List::Tools,
            at: NOW,
            manifest: "m".to_owned(),
            version: 1,
            tools: 1,
            client: client(),
            times: 1,
        },
        Command::RequestCancel { request: "r".to_owned() },
        Command::RecordOutcome {
            call: "call_1".into(),
            outcome: proctor_domain::session::Outcome::Succeeded,
            duration_us: 1,
            result_bytes: 1,
        },
        Command::AbandonCalls { replica: "rep_1".into() },
        revoke(),
    ] {
        given::<Session>(vec![]).when(command).then_expect_error(SessionError::Unknown);
    }
}

#[test]
fn a_session_is_revoked_once() {
    session([]).when(revoke()).then_expect_events(vec![revoked()]);
    session([revoked()]).when(revoke()).then_expect_events(vec![]);
}

#[test]
fn the_state_of_a_session_begins_with_its_opening() {
    let unknown = Session::default();
    assert_eq!((unknown.terms(), unknown.is_revoked(), unknown.calls_admitted()), (None, false, 0));
    let session = state::<Session>([(42, opened(terms())), (50, revoked())]);
    assert_eq!(session.terms().map(|terms| &**terms), Some(&terms()));
    assert_eq!(session.opened_at(), Position(42));
    assert!(session.is_revoked());
    assert_eq!(session.version(), 2);
}

#[test]
fn time_can_be_set_where_a_decision_depends_on_it() {
    let mut command = open(opening(), opening_grounds());
    Session::set_time(&mut command, Micros(9));
    assert!(matches!(command, Command::Open { at: Micros(9), .. }));
    let mut command = Command::RequestToolCall { at: NOW, request: call("c", "t"), grounds: call_grounds() };
    Session::set_time(&mut command, Micros(9));
    assert!(matches!(command, Command::RequestToolCall { at: Micros(9), .. }));
    let session = state::<Session>([(1, opened(terms()))]);
    assert_eq!(session.valid_until(&command, 0), Some(terms().expires_at));
    assert_eq!(session.valid_until(&revoke(), 0), None);
}

fn login() -> Opening {
    Opening { by: By::Login(name("corp")), until: Some(Micros(600_000_000)), ..opening() }
}

fn login_grounds(
    server_takes: Option<&str>,
    then: impl IntoIterator<Item = (u64, IdentityProviderEvent)>,
) -> OpeningGrounds {
    let login = |provider| Login { provider: name(provider), ttl_seconds_max: None, access: Access::Full };
    let definition = Definition { login: server_takes.map(login), ..definition() };
    OpeningGrounds {
        server: state([(0, defined(definition))]),
        provider: Some(provider(then)),
        ..opening_grounds()
    }
}

#[test]
fn a_login_opens_a_session_that_ends_with_its_token() {
    let terms = |opening: Opening| {
        let decided = Session::default().decide(&open(opening, login_grounds(Some("corp"), []))).unwrap();
        match &decided[..] {
            [SessionEvent::SessionOpened { by, terms, .. }] => (by.clone(), terms.clone()),
            other => panic!("{other:?}"),
        }
    };
    let (by, of_token) = terms(login());
    assert_eq!(by, By::Login(name("corp")));
    assert_eq!(of_token.expires_at, Micros(600_000_000));
    let (_, of_limit) = terms(Opening { ttl_seconds: 60, ..login() });
    assert_eq!(of_limit.expires_at, Micros(60_000_000));
    let over = Opening { until: Some(Micros(0)), ..login() };
    refused(over, login_grounds(Some("corp"), []), SessionError::Over);
}

#[test]
fn a_login_opens_nothing_at_a_virtual_server_that_does_not_take_it() {
    for taken in [None, Some("other")] {
        let error = SessionError::NoLogin { server: name("support"), provider: name("corp") };
        refused(login(), login_grounds(taken, []), error);
    }
}

#[test]
fn a_login_of_a_provider_that_is_not_in_use_opens_nothing() {
    let retired = IdentityProviderEvent::IdentityProviderRetired { by: by(), reason: reason() };
    let error = SessionError::ProviderNotInUse(name("corp"));
    refused(login(), login_grounds(Some("corp"), [(1, retired)]), error.clone());
    refused(login(), OpeningGrounds { provider: None, ..login_grounds(Some("corp"), []) }, error);
}

#[test]
fn a_login_of_a_blocked_user_opens_nothing() {
    let blocked = (1, SubjectEvent::SubjectBlocked { by: by(), reason: reason() });
    let grounds = OpeningGrounds { subject: subject([blocked]), ..login_grounds(Some("corp"), []) };
    refused(login(), grounds, SessionError::SubjectBlocked);
}

#[test]
fn the_session_of_a_login_is_opened_once_and_never_again_once_revoked() {
    let SessionEvent::SessionOpened { version, terms, .. } = opened(terms()) else { panic!("not opened") };
    let opened = SessionEvent::SessionOpened { by: By::Login(name("corp")), version, terms };
    for given_events in [vec![opened.clone()], vec![opened, revoked()]] {
        given::<Session>(given_events)
            .when(open(login(), login_grounds(Some("corp"), [])))
            .then_expect_error(SessionError::Exists);
    }
}
