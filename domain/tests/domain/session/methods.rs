//! Prompts, resources and completions: calls like those of tools, by the same rules.

use std::sync::Arc;

use proctor_domain::connection::{Catalog, Connection, ConnectionEvent, Era, Feature, Offered, Pinned};
use proctor_domain::session::{
    Access, CallGrounds, CallRequest, Refusal, Route, Session, SessionCommand, SessionEvent, Terms,
};
use proctor_domain::virtual_server::{
    Definition, ExposedPrompt, ExposedResource, ExposedResourceTemplate, Method, VirtualServerEvent, Wanted,
};

use proctor_domain::Micros;

use crate::scene::{
    NOW, SECOND, by, call, call_grounds, definition, given, name, opened, reason, registered, server, state,
    terms,
};

fn catalog() -> Catalog {
    let pinned = |digest: &str| Pinned { digest: digest.to_owned(), read_only: true };
    let features = [
        (Feature::Prompt("greet".to_owned()), pinned("digest of greet")),
        (Feature::ResourceTemplate("mail://{id}".to_owned()), pinned("digest of mail")),
        (Feature::Tool("search".to_owned()), Pinned { read_only: false, ..pinned("digest of search") }),
    ];
    Catalog::of(Era::Modern, "2026-07-28".to_owned(), features.into())
}

fn connection(then: impl IntoIterator<Item = (u64, ConnectionEvent)>) -> Arc<Connection> {
    let refreshed = ConnectionEvent::CatalogRefreshed { by: by(), catalog: catalog() };
    state([(0, registered()), (0, refreshed)].into_iter().chain(then))
}

/// The virtual server of the scene, exposing a prompt by another name, a URI and a template as well.
fn grounds(connection: Arc<Connection>) -> CallGrounds {
    let gmail = || name("gmail");
    let definition = Definition {
        prompts: vec![ExposedPrompt {
            connection: gmail(),
            prompt: "greet".to_owned(),
            name: Some("hello".to_owned()),
            description: None,
        }],
        resources: vec![ExposedResource { connection: gmail(), uri: "docs://handbook".to_owned() }],
        resource_templates: vec![ExposedResourceTemplate {
            connection: gmail(),
            uri_template: "mail://{id}".to_owned(),
        }],
        ..definition()
    };
    let revised = VirtualServerEvent::VirtualServerRevised { by: by(), definition };
    CallGrounds { server: server([(5, revised)]), connection: Some(connection), ..call_grounds() }
}

fn asked(terms: Terms, wanted: Wanted, grounds: CallGrounds) -> SessionEvent {
    let request = CallRequest { wanted, ..call("call_1", "") };
    let session = given::<Session>(vec![opened(terms)]);
    let command = SessionCommand::RequestToolCall { at: NOW, request, grounds };
    let mut events = session.when(command).inspect_result().unwrap();
    assert_eq!(events.len(), 1, "{events:?}");
    events.remove(0)
}

fn admitted(wanted: Wanted, grounds: CallGrounds) -> (Method, String, Route) {
    match asked(terms(), wanted, grounds) {
        SessionEvent::ToolCallAdmitted { method, tool, route, .. } => (method, tool, route),
        other => panic!("{other:?}"),
    }
}

fn refused(terms: Terms, wanted: Wanted, grounds: CallGrounds) -> (Method, String, Refusal) {
    match asked(terms, wanted, grounds) {
        SessionEvent::ToolCallRefused { method, tool, reason, .. } => (method, tool, reason),
        other => panic!("{other:?}"),
    }
}

fn text(text: &str) -> String {
    text.to_owned()
}

/// Everything that the scene exposes beside tools: how it is wanted, by which method, under which name it
/// stands in the journal, what the upstream calls it and what is pinned of it.
fn exposed() -> Vec<(Wanted, Method, &'static str, &'static str, Option<&'static str>)> {
    vec![
        (Wanted::Prompt(text("hello")), Method::PromptsGet, "hello", "greet", Some("digest of greet")),
        (
            Wanted::PromptCompletion(text("hello")),
            Method::CompletionComplete,
            "hello",
            "greet",
            Some("digest of greet"),
        ),
        (
            Wanted::TemplateCompletion(text("mail://{id}")),
            Method::CompletionComplete,
            "mail://{id}",
            "mail://{id}",
            Some("digest of mail"),
        ),
        (
            Wanted::Resource(text("docs://handbook")),
            Method::ResourcesRead,
            "docs://handbook",
            "docs://handbook",
            None,
        ),
        (
            Wanted::Resource(text("mail://of-alice")),
            Method::ResourcesRead,
            "mail://{id}",
            "mail://{id}",
            Some("digest of mail"),
        ),
        (Wanted::ResourceList(name("gmail")), Method::ResourcesList, "", "", None),
    ]
}

#[test]
fn what_is_exposed_is_admitted_with_everything_that_it_rests_on() {
    for (wanted, method, tool, there, definition) in exposed() {
        let route = Route {
            version: 2,
            connection: name("gmail"),
            tool: there.to_owned(),
            definition: definition.map(str::to_owned),
            catalog: catalog().digest,
            generation: 1,
            user_generation: None,
        };
        assert_eq!(admitted(wanted, grounds(connection([]))), (method, tool.to_owned(), route));
    }
}

#[test]
fn what_is_not_exposed_is_refused_and_no_uri_stands_in_the_journal() {
    for (wanted, recorded) in [
        (Wanted::Prompt(text("greet")), "greet"),
        (Wanted::PromptCompletion(text("other\u{7}")), "other\\u{7}"),
        (Wanted::TemplateCompletion(text("docs://{id}")), "docs://{id}"),
        (Wanted::Resource(text("salary://of-alice")), "salary:"),
        (Wanted::Resource(text("of alice")), ""),
        (Wanted::ResourceList(name("calendar")), ""),
    ] {
        let method = wanted.method();
        let refusal = refused(terms(), wanted, grounds(connection([])));
        assert_eq!(refusal, (method, recorded.to_owned(), Refusal::NotInScope));
    }
}

#[test]
fn whatever_ends_a_tools_call_ends_all_others() {
    let cut = ConnectionEvent::ConnectionSessionsCut { by: by(), reason: reason() };
    let retired = ConnectionEvent::ConnectionRetired { by: by(), reason: reason() };
    for (wanted, method, tool, ..) in exposed() {
        let cut = connection([(7, cut.clone())]);
        let refusal = refused(terms(), wanted.clone(), grounds(cut));
        assert_eq!(
            refusal,
            (method, tool.to_owned(), Refusal::ConnectionCut),
            "under the same name as otherwise"
        );
        let retired = connection([(7, retired.clone())]);
        assert_eq!(refused(terms(), wanted.clone(), grounds(retired)).2, Refusal::ConnectionRetired);
        let used_up = Terms { calls_max: 0, ..terms() };
        assert_eq!(refused(used_up, wanted, grounds(connection([]))).2, Refusal::CallsMaxReached);
    }
}

#[test]
fn a_prompt_or_template_that_has_changed_is_held_and_one_that_is_gone_is_refused() {
    let observed = |changed: &[&str], gone: &[&str]| {
        let pinned = Pinned { digest: text("another"), read_only: true };
        let offered = Offered {
            era: Era::Modern,
            protocol_version: text("2026-07-28"),
            digest: text("d"),
            changed: changed.iter().map(|key| (Feature::from(*key), pinned.clone())).collect(),
            new: [].into(),
            gone: gone.iter().map(|key| Feature::from(*key)).collect(),
        };
        connection([(7, ConnectionEvent::CatalogObserved { by: by(), offered })])
    };
    let both = ["prompt:greet", "resource_template:mail://{id}"];
    for (wanted, _, _, _, definition) in exposed().into_iter().filter(|(.., definition)| definition.is_some())
    {
        let held = refused(terms(), wanted.clone(), grounds(observed(&both, &[]))).2;
        assert_eq!(held, Refusal::ToolHeld, "{definition:?}");
        assert_eq!(refused(terms(), wanted, grounds(observed(&[], &both))).2, Refusal::NotInCatalog);
    }
    // A resource that is exposed by its own URI rests on no definition.
    admitted(Wanted::Resource(text("docs://handbook")), grounds(observed(&both, &[])));
}

#[test]
fn a_session_that_is_read_only_or_for_some_tools_may_read() {
    let narrow = Terms { access: Access::ReadOnly, tools: Some(vec![]), ..terms() };
    for (wanted, ..) in exposed() {
        let asked = asked(narrow.clone(), wanted, grounds(connection([])));
        assert!(matches!(asked, SessionEvent::ToolCallAdmitted { .. }), "{asked:?}");
    }
    let tool = Wanted::Tool(text("search"));
    assert_eq!(refused(narrow, tool, grounds(connection([]))).2, Refusal::NotInScope);
}

#[test]
fn a_refusal_stands_for_the_same_method_only() {
    let refused = asked(terms(), Wanted::Prompt(text("x")), grounds(connection([])));
    let session = state::<Session>([(1, opened(terms())), (2, refused)]);
    let grounds = grounds(connection([]));
    let stands = |wanted: Wanted, at: Micros| {
        session.refused_before((&wanted, &grounds.server), Refusal::NotInScope, at).is_some()
    };
    assert!(stands(Wanted::Prompt(text("x")), NOW));
    assert!(!stands(Wanted::Tool(text("x")), NOW));
    assert!(!stands(Wanted::Prompt(text("x")), Micros(60 * SECOND)), "another minute");
}
