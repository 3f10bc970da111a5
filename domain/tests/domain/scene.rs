//! A scene to test in: the connection `gmail`, the virtual server `support` on it, a user, a session.

use std::sync::Arc;

use cqrs_es::test::{AggregateTestExecutor, TestFramework};
use proctor_domain::connection::{
    Abilities, AuthMethod, Catalog, Connection, ConnectionEvent, CredentialKind, Drift, Era, Feature, Pinned,
    Settings, Transport,
};
use proctor_domain::identity_provider::{self, IdentityProvider, IdentityProviderEvent};
use proctor_domain::limits::{Limits, SessionLimits};
use proctor_domain::session::{
    Access, CallGrounds, CallRequest, Client, Opening, OpeningGrounds, Session, SessionEvent, Terms,
};
use proctor_domain::subject::{Subject, SubjectEvent};
use proctor_domain::user_connection::{UserConnection, UserConnectionEvent};
use proctor_domain::virtual_server::{
    Capture, Definition, ExposedTool, VirtualServer, VirtualServerEvent, Wanted,
};
use proctor_domain::{By, Decider, Micros, Name, Place, Position};

/// One second, in microseconds.
pub const SECOND: i64 = 1_000_000;
/// When the session of the scene ends by itself.
pub const EXPIRES_AT: Micros = Micros(3_600 * SECOND);
/// When calls are asked for unless a test says otherwise: in the minute that given events lie in.
pub const NOW: Micros = Micros(10 * SECOND);

pub fn by() -> By {
    By::Key("an administrator".into())
}

pub fn reason() -> String {
    "the laptop was lost".to_owned()
}

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// `A` after these events.
pub fn given<A: Decider>(events: Vec<A::Event>) -> AggregateTestExecutor<A> {
    TestFramework::<A>::with(()).given(events)
}

/// The state that follows from events at these positions, all recorded at the epoch.
pub fn state<A: Decider>(events: impl IntoIterator<Item = (u64, A::Event)>) -> Arc<A> {
    let mut state = A::default();
    for (position, event) in events {
        state.evolve(&event, Place { position: Position(position), recorded_at: Micros(0) });
    }
    Arc::new(state)
}

pub fn settings() -> Settings {
    Settings {
        transport: Transport::Http { url: "https://mcp.example.com/mcp".to_owned() },
        auth: AuthMethod::None,
        private_network: false,
        shared: false,
        limits: Limits::default(),
        drift: Drift::default(),
    }
}

pub fn registered() -> ConnectionEvent {
    ConnectionEvent::ConnectionRegistered { by: by(), settings: settings(), generation: 1 }
}

/// A catalog of these tools; those named here with `true` say that they change nothing.
pub fn catalog(tools: &[(&str, bool)]) -> Catalog {
    let tool = |(tool, read_only): &(&str, bool)| {
        (Feature::from(*tool), Pinned { digest: format!("digest of {tool}"), read_only: *read_only })
    };
    Catalog {
        era: Era::Modern,
        protocol_version: "2026-07-28".to_owned(),
        features: tools.iter().map(tool).collect(),
        digest: format!("digest of {} tools", tools.len()),
        abilities: Abilities::default(),
    }
}

pub fn refreshed(tools: &[(&str, bool)]) -> ConnectionEvent {
    ConnectionEvent::CatalogRefreshed { by: by(), catalog: catalog(tools) }
}

/// What `gmail` offers.
pub const GMAIL: [(&str, bool); 3] = [("search", true), ("draft", false), ("send", false)];

/// A connection that offers these tools, and to which this happened afterwards.
pub fn connection(
    tools: &[(&str, bool)],
    then: impl IntoIterator<Item = (u64, ConnectionEvent)>,
) -> Arc<Connection> {
    state([(0, registered()), (0, refreshed(tools))].into_iter().chain(then))
}

pub fn tool(connection: &str, tool: &str) -> ExposedTool {
    ExposedTool {
        connection: name(connection),
        tool: tool.to_owned(),
        name: None,
        description: None,
        fixed_arguments: None,
    }
}

/// Two of gmail's tools.
pub fn definition() -> Definition {
    Definition {
        description: "What the support agent may do".to_owned(),
        instructions: "Search before you write.".to_owned(),
        tools: vec![tool("gmail", "search"), tool("gmail", "draft")],
        capture: Capture::Full,
        ..Definition::default()
    }
}

pub fn defined(definition: Definition) -> VirtualServerEvent {
    VirtualServerEvent::VirtualServerDefined { by: by(), definition }
}

/// The virtual server `support`, to which this happened after it was defined.
pub fn server(then: impl IntoIterator<Item = (u64, VirtualServerEvent)>) -> Arc<VirtualServer> {
    state([(0, defined(definition()))].into_iter().chain(then))
}

/// A user to whom this happened after being registered.
pub fn subject(then: impl IntoIterator<Item = (u64, SubjectEvent)>) -> Arc<Subject> {
    state([(0, SubjectEvent::SubjectRegistered { by: by() })].into_iter().chain(then))
}

/// The connection of the scene, for which every user brings an access token.
pub fn of_each_user() -> Arc<Connection> {
    let auth =
        AuthMethod::Bearer { header: "Authorization".to_owned(), format: "Bearer {secret}".to_owned() };
    let settings = Settings { auth, ..settings() };
    connection(&GMAIL, [(4, ConnectionEvent::ConnectionReconfigured { by: by(), settings, generation: 2 })])
}

pub fn activated(generation: u32) -> UserConnectionEvent {
    UserConnectionEvent::UserConnectionActivated {
        by: by(),
        subject: "sub_1".into(),
        connection: name("gmail"),
        kind: CredentialKind::Bearer,
        variables: Vec::new(),
        generation,
        link: None,
        scopes: Vec::new(),
        expires_at: None,
    }
}

pub fn expired(generation: u32) -> UserConnectionEvent {
    UserConnectionEvent::UserConnectionExpired { generation, reason: "unauthorized".to_owned() }
}

pub fn disconnected() -> UserConnectionEvent {
    UserConnectionEvent::UserConnectionDisconnected { by: by(), reason: reason() }
}

pub fn provider_settings() -> identity_provider::Settings {
    identity_provider::Settings {
        issuer: "https://login.example.com".to_owned(),
        audience: None,
        user_claim: "sub".to_owned(),
        algorithms: identity_provider::Algorithm::DEFAULT.to_vec(),
        scopes: Vec::new(),
        private_network: false,
    }
}

/// An identity provider to which this happened after it was registered.
pub fn provider(then: impl IntoIterator<Item = (u64, IdentityProviderEvent)>) -> Arc<IdentityProvider> {
    let settings = provider_settings();
    let registered = IdentityProviderEvent::IdentityProviderRegistered { by: by(), settings };
    state([(0, registered)].into_iter().chain(then))
}

/// What became of the account of the scene's user.
pub fn account(events: impl IntoIterator<Item = UserConnectionEvent>) -> Arc<UserConnection> {
    state((10..).zip(events))
}

pub fn opening() -> Opening {
    Opening {
        by: by(),
        subject: "sub_1".into(),
        virtual_server: name("support"),
        access: Access::Full,
        tools: None,
        ttl_seconds: 3_600,
        until: None,
        limits: SessionLimits { calls_max: Some(10), calls_per_minute_max: None },
        label_indexes: Vec::new(),
    }
}

pub fn opening_grounds() -> OpeningGrounds {
    OpeningGrounds { subject: subject([]), server: server([]), user_connections: Vec::new(), provider: None }
}

pub fn terms() -> Terms {
    Terms {
        subject: "sub_1".into(),
        virtual_server: name("support"),
        access: Access::Full,
        tools: None,
        expires_at: EXPIRES_AT,
        calls_max: 10,
        calls_per_minute_max: None,
        label_indexes: Vec::new(),
    }
}

pub fn opened(terms: Terms) -> SessionEvent {
    SessionEvent::SessionOpened { by: by(), terms, version: 1 }
}

/// The session of the scene after this happened in it; its opening stands at position 1.
pub fn session(then: impl IntoIterator<Item = SessionEvent>) -> AggregateTestExecutor<Session> {
    given(vec![opened(terms())]).and(then.into_iter().collect())
}

pub fn client() -> Client {
    Client { name: "agent".to_owned(), version: "1.0".to_owned(), protocol: "2026-07-28".to_owned() }
}

pub fn call(call: &str, tool: &str) -> CallRequest {
    CallRequest {
        call: call.into(),
        wanted: Wanted::Tool(tool.to_owned()),
        replica: "rep_1".into(),
        request: Some(format!("request of {call}")),
        continues: None,
        client: client(),
        trace: Some("4bf92f3577b34da6a3ce929d0e0e4736".to_owned()),
        arguments_bytes: 200,
        arguments_ok: true,
        held_back: None,
    }
}

/// Grounds on which the scene's session may call what `support` shows.
pub fn call_grounds() -> CallGrounds {
    CallGrounds {
        subject: subject([]),
        server: server([]),
        connection: Some(connection(&GMAIL, [])),
        user_connection: None,
    }
}
