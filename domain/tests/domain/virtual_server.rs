//! VirtualServer: every command, in every state that answers it differently.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proctor_domain::Position;
use proctor_domain::connection::{Catalog, Connection, ConnectionEvent, Era, Offered, Pinned};
use proctor_domain::identity_provider::IdentityProviderEvent;
use proctor_domain::session::Access;
use proctor_domain::virtual_server::{
    Capture, Connections, DESCRIPTION_CHARS_MAX, Definition, ExposedTool, INSTRUCTIONS_CHARS_MAX,
    InvalidDefinition, Login, Providers, TOOLS_MAX, VirtualServer, VirtualServerCommand as Command,
    VirtualServerError, VirtualServerEvent,
};

use crate::scene::{
    GMAIL, by, connection, defined, definition, given, name, provider, reason, registered, state, tool,
};

fn retired_connection() -> Arc<Connection> {
    let retired = ConnectionEvent::ConnectionRetired { by: by(), reason: reason() };
    connection(&GMAIL, [(1, retired)])
}

fn connections() -> Connections {
    BTreeMap::from([
        (name("gmail"), connection(&GMAIL, [])),
        (name("unread"), state([(0, registered())])),
        (name("gone"), retired_connection()),
    ])
}

fn providers() -> Providers {
    let retired = IdentityProviderEvent::IdentityProviderRetired { by: by(), reason: reason() };
    BTreeMap::from([(name("corp"), provider([])), (name("former"), provider([(1, retired)]))])
}

fn login(provider: &str, ttl_seconds_max: Option<u32>) -> Definition {
    let login = Login { provider: name(provider), ttl_seconds_max, access: Access::Full };
    Definition { login: Some(login), ..definition() }
}

fn define(definition: Definition) -> Command {
    Command::Define { by: by(), definition, connections: connections(), providers: providers() }
}

fn revise(definition: Definition) -> Command {
    Command::Revise { by: by(), definition, connections: connections(), providers: providers() }
}

fn other_definition() -> Definition {
    Definition { tools: vec![tool("gmail", "search")], ..definition() }
}

fn revised(definition: Definition) -> VirtualServerEvent {
    VirtualServerEvent::VirtualServerRevised { by: by(), definition }
}

fn cut() -> VirtualServerEvent {
    VirtualServerEvent::VirtualServerSessionsCut { by: by(), reason: reason() }
}

fn retired() -> VirtualServerEvent {
    VirtualServerEvent::VirtualServerRetired { by: by(), reason: reason() }
}

/// A definition that cannot be put in force is refused by both commands, for the same reason.
fn refused(definition: Definition, error: impl Into<VirtualServerError>) {
    let error = error.into();
    given::<VirtualServer>(vec![]).when(define(definition.clone())).then_expect_error(error.clone());
    given::<VirtualServer>(vec![defined(other_definition())])
        .when(revise(definition))
        .then_expect_error(error);
}

fn with_tools(tools: Vec<ExposedTool>) -> Definition {
    Definition { tools, ..definition() }
}

#[test]
fn a_new_virtual_server_is_defined() {
    given::<VirtualServer>(vec![]).when(define(definition())).then_expect_events(vec![defined(definition())]);
}

#[test]
fn a_virtual_server_may_expose_nothing() {
    given::<VirtualServer>(vec![])
        .when(define(Definition::default()))
        .then_expect_events(vec![defined(Definition::default())]);
}

#[test]
fn a_name_that_is_taken_is_not_defined_again() {
    given::<VirtualServer>(vec![defined(definition())])
        .when(define(definition()))
        .then_expect_error(VirtualServerError::Exists);
}

#[test]
fn nothing_but_defining_can_be_asked_of_an_unknown_virtual_server() {
    for command in [
        revise(definition()),
        Command::CutSessions { by: by(), reason: reason() },
        Command::Retire { by: by(), reason: reason() },
    ] {
        given::<VirtualServer>(vec![]).when(command).then_expect_error(VirtualServerError::Unknown);
    }
}

#[test]
fn a_retired_virtual_server_refuses_everything_and_its_name_is_never_used_again() {
    for command in [
        define(definition()),
        revise(other_definition()),
        Command::CutSessions { by: by(), reason: reason() },
    ] {
        given::<VirtualServer>(vec![defined(definition()), retired()])
            .when(command)
            .then_expect_error(VirtualServerError::Retired);
    }
}

#[test]
fn a_virtual_server_is_retired_once() {
    let retire = Command::Retire { by: by(), reason: reason() };
    let events = vec![defined(definition())];
    given::<VirtualServer>(events.clone()).when(retire.clone()).then_expect_events(vec![retired()]);
    given::<VirtualServer>(events).and(vec![retired()]).when(retire).then_expect_events(vec![]);
}

#[test]
fn a_revision_that_changes_anything_makes_a_new_version() {
    let renamed = ExposedTool { name: Some("find".to_owned()), ..tool("gmail", "search") };
    for changed in [
        other_definition(),
        with_tools(vec![tool("gmail", "draft"), tool("gmail", "search")]),
        with_tools(vec![renamed, tool("gmail", "draft")]),
        Definition { capture: Capture::None, ..definition() },
        Definition { instructions: String::new(), ..definition() },
    ] {
        given::<VirtualServer>(vec![defined(definition())])
            .when(revise(changed.clone()))
            .then_expect_events(vec![revised(changed)]);
    }
}

#[test]
fn a_revision_that_changes_nothing_is_no_event() {
    given::<VirtualServer>(vec![defined(definition())]).when(revise(definition())).then_expect_events(vec![]);
}

#[test]
fn each_cut_of_a_virtual_server_is_a_new_event_because_sessions_may_have_been_opened_since() {
    given::<VirtualServer>(vec![defined(definition()), cut()])
        .when(Command::CutSessions { by: by(), reason: reason() })
        .then_expect_events(vec![cut()]);
}

#[test]
fn an_unknown_or_retired_connection_is_refused_with_the_names_that_can_be_used() {
    for missing in ["nowhere", "gone"] {
        let known = vec!["gmail".to_owned(), "unread".to_owned()];
        let error = VirtualServerError::UnknownConnection { name: name(missing), known };
        assert_eq!(
            error.to_string(),
            format!("there is no connection \"{missing}\"; there are: gmail, unread")
        );
        refused(with_tools(vec![tool(missing, "search")]), error);
    }
}

#[test]
fn where_there_is_no_connection_the_refusal_says_none() {
    let command = Command::Define {
        by: by(),
        definition: definition(),
        connections: BTreeMap::new(),
        providers: providers(),
    };
    given::<VirtualServer>(vec![])
        .when(command)
        .then_expect_error_message("there is no connection \"gmail\"; there are: none");
}

#[test]
fn an_unknown_tool_is_refused_with_the_names_that_exist() {
    let known = vec!["draft".to_owned(), "search".to_owned(), "send".to_owned()];
    let error =
        VirtualServerError::UnknownFeature { connection: name("gmail"), feature: "rm\u{7}".into(), known };
    assert_eq!(
        error.to_string(),
        "connection \"gmail\" has no tool \"rm\\u{7}\"; it has: draft, search, send"
    );
    let odd = ExposedTool { name: Some("rm".to_owned()), ..tool("gmail", "rm\u{7}") };
    refused(with_tools(vec![odd]), error);
}

#[test]
fn a_new_tool_that_nobody_has_approved_is_refused_with_the_way_to_approve_it() {
    let catalog = Catalog::digest_of(&BTreeMap::new());
    let tag = Pinned { digest: "tag 1".to_owned(), read_only: false };
    let offered = Offered {
        era: Era::Modern,
        protocol_version: "2026-07-28".to_owned(),
        digest: catalog,
        changed: BTreeMap::new(),
        new: BTreeMap::from([("tag".into(), tag)]),
        gone: BTreeSet::new(),
    };
    let observed = ConnectionEvent::CatalogObserved { by: by(), offered };
    let connections = BTreeMap::from([(name("gmail"), connection(&GMAIL, [(1, observed)]))]);
    let definition = with_tools(vec![tool("gmail", "tag")]);
    let command = Command::Define { by: by(), definition, connections, providers: providers() };
    let error = VirtualServerError::HeldFeature { connection: name("gmail"), feature: "tag".into() };
    let said = error.to_string();
    assert!(said.contains("held") && said.contains("`proctor connection approve gmail`"), "{said}");
    given::<VirtualServer>(vec![]).when(command).then_expect_error(error);
}

#[test]
fn a_connection_whose_catalog_was_never_read_is_refused() {
    refused(with_tools(vec![tool("unread", "search")]), VirtualServerError::NoCatalog(name("unread")));
}

#[test]
fn two_tools_of_one_name_are_refused() {
    let tools = vec![tool("gmail", "search"), tool("gmail", "search")];
    refused(with_tools(tools), InvalidDefinition::NameClash("search".to_owned()));
}

#[test]
fn a_tool_name_that_the_protocol_does_not_allow_is_refused() {
    let renamed = ExposedTool { name: Some("find mail".to_owned()), ..tool("gmail", "search") };
    refused(with_tools(vec![renamed]), InvalidDefinition::ToolName("find mail".to_owned()));
}

#[test]
fn more_tools_than_allowed_are_refused() {
    let many = vec![tool("gmail", "search"); TOOLS_MAX + 1];
    refused(with_tools(many), InvalidDefinition::TooManyTools(TOOLS_MAX + 1));
}

#[test]
fn a_text_may_be_as_long_as_its_limit_and_not_longer() {
    let with = |description: usize, instructions: usize, of_tool: usize| Definition {
        description: "ä".repeat(description),
        instructions: "ä".repeat(instructions),
        tools: vec![ExposedTool { description: Some("ä".repeat(of_tool)), ..tool("gmail", "search") }],
        ..Definition::default()
    };
    let longest = with(DESCRIPTION_CHARS_MAX, INSTRUCTIONS_CHARS_MAX, DESCRIPTION_CHARS_MAX);
    assert_eq!(longest.check(), Ok(()));
    let too_long = |what, chars_max| InvalidDefinition::TooLong { what, chars_max };
    refused(with(DESCRIPTION_CHARS_MAX + 1, 0, 0), too_long("the description", DESCRIPTION_CHARS_MAX));
    refused(with(0, INSTRUCTIONS_CHARS_MAX + 1, 0), too_long("the instructions", INSTRUCTIONS_CHARS_MAX));
    refused(with(0, 0, DESCRIPTION_CHARS_MAX + 1), too_long("a tool's description", DESCRIPTION_CHARS_MAX));
}

#[test]
fn the_state_of_a_virtual_server_follows_from_its_events() {
    let unknown = VirtualServer::default();
    assert!(!unknown.is_known() && !unknown.is_usable() && !unknown.is_retired());

    let renamed = ExposedTool { name: Some("find".to_owned()), ..tool("gmail", "search") };
    let events = [defined(definition()), revised(with_tools(vec![renamed.clone()])), cut()];
    let server = state::<VirtualServer>((11..).zip(events.clone()));
    assert!(server.is_known() && server.is_usable() && !server.is_retired());
    assert_eq!(server.revision(), 2);
    assert_eq!(server.cut_at(), Some(Position(13)));
    assert_eq!(server.tool_names().collect::<Vec<_>>(), ["find"]);
    assert_eq!(server.tool("find"), Some(&renamed));
    assert_eq!(server.tool("search"), None);

    let gone = state::<VirtualServer>((11..).zip(events.into_iter().chain([retired()])));
    assert!(gone.is_known() && !gone.is_usable() && gone.is_retired());
}

#[test]
fn people_may_bring_a_login_of_a_provider_that_is_in_use() {
    let definition = login("corp", Some(3_600));
    given::<VirtualServer>(vec![])
        .when(define(definition.clone()))
        .then_expect_events(vec![defined(definition)]);
    for missing in ["former", "nowhere"] {
        let known = vec!["corp".to_owned()];
        let error = VirtualServerError::UnknownProvider { name: name(missing), known };
        refused(login(missing, None), error);
    }
}

#[test]
fn a_session_of_a_login_cannot_be_limited_to_a_life_that_no_session_has() {
    for ttl in [0, 59, 86_401] {
        refused(login("corp", Some(ttl)), InvalidDefinition::LoginTtl(ttl));
    }
}

#[test]
fn taking_the_login_away_is_a_change() {
    given::<VirtualServer>(vec![defined(login("corp", None))])
        .when(revise(definition()))
        .then_expect_events(vec![revised(definition())]);
}
