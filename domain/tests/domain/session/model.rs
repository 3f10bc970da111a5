//! A small journal to play sessions in, and an oracle that reads nothing but its history.
//!
//! The oracle never looks at an aggregate's state: what the domain concludes from its states must be
//! what anybody concludes from the events alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proctor_domain::connection::{Connection, ConnectionEvent, Feature, Offered, Pinned};
use proctor_domain::session::{Access, CallGrounds, CallRequest, Route, Session, SessionEvent, Terms};
use proctor_domain::subject::{Subject, SubjectEvent};
use proctor_domain::virtual_server::{Definition, ExposedTool, VirtualServer, VirtualServerEvent};
use proctor_domain::{CallId, Decider, Event, Micros, Name, Place, Position};

use crate::scene::{catalog, defined, definition, name, registered, tool};

/// Which stream of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Subject,
    Server,
    Connection(usize),
    Session(usize),
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub place: Place,
    pub stream: Stream,
    pub event: Event,
}

/// The names of the two connections, by number.
pub const CONNECTIONS: [&str; 2] = ["gmail", "files"];

/// Every tool name that an agent tries.
pub const TRIED: [&str; 6] = ["search", "draft", "read", "gmail_search", "files_search", "delete"];

type Shown = (&'static str, &'static str, &'static str);

/// Definitions, each with what it must show: the agent's name, the connection, the tool there.
pub fn definitions() -> Vec<(Definition, Vec<Shown>)> {
    let with = |tools| Definition { tools, ..definition() };
    let renamed = ExposedTool { name: Some("search".to_owned()), ..tool("files", "write") };
    vec![
        (
            with(vec![tool("gmail", "search"), tool("gmail", "draft"), tool("files", "read")]),
            vec![("search", "gmail", "search"), ("draft", "gmail", "draft"), ("read", "files", "read")],
        ),
        (
            with(vec![tool("gmail", "search"), tool("files", "search")]),
            vec![("gmail_search", "gmail", "search"), ("files_search", "files", "search")],
        ),
        (
            with(vec![renamed, tool("gmail", "search")]),
            vec![("search", "files", "write"), ("gmail_search", "gmail", "search")],
        ),
        (with(vec![]), vec![]),
    ]
}

/// Catalogs: tools and whether they say that they change nothing.
pub const CATALOGS: [&[(&str, bool)]; 3] = [
    &[("search", true), ("draft", false), ("read", true), ("write", false)],
    &[("search", false), ("draft", true), ("read", true)],
    &[("draft", false), ("write", false)],
];

#[derive(Clone)]
pub struct World {
    pub now: Micros,
    pub history: Vec<Entry>,
    pub subject: Arc<Subject>,
    pub server: Arc<VirtualServer>,
    pub connections: [Arc<Connection>; 2],
    pub sessions: Vec<Session>,
}

impl World {
    pub fn new() -> Self {
        let mut world = Self {
            now: Micros(1_795_564_800_000_000),
            history: Vec::new(),
            subject: Arc::default(),
            server: Arc::default(),
            connections: [Arc::default(), Arc::default()],
            sessions: Vec::new(),
        };
        world.record(Stream::Subject, SubjectEvent::SubjectRegistered { by: crate::scene::by() });
        for number in 0..CONNECTIONS.len() {
            world.record(Stream::Connection(number), registered());
            let refreshed =
                ConnectionEvent::CatalogRefreshed { by: crate::scene::by(), catalog: catalog(CATALOGS[0]) };
            world.record(Stream::Connection(number), refreshed);
        }
        world.record(Stream::Server, defined(definitions().remove(0).0));
        world
    }

    pub fn record(&mut self, stream: Stream, event: impl Into<Event>) {
        let position = Position(u64::try_from(self.history.len()).unwrap() + 1);
        let entry = Entry { place: Place { position, recorded_at: self.now }, stream, event: event.into() };
        match (stream, &entry.event) {
            (Stream::Subject, Event::Subject(event)) => {
                Arc::make_mut(&mut self.subject).evolve(event, entry.place);
            }
            (Stream::Server, Event::VirtualServer(event)) => {
                Arc::make_mut(&mut self.server).evolve(event, entry.place);
            }
            (Stream::Connection(number), Event::Connection(event)) => {
                Arc::make_mut(&mut self.connections[number]).evolve(event, entry.place);
            }
            (Stream::Session(number), Event::Session(event)) => {
                self.sessions[number].evolve(event, entry.place);
            }
            (stream, event) => panic!("{event:?} is no event of {stream:?}"),
        }
        self.history.push(entry);
    }

    pub fn connections_by_name(&self) -> BTreeMap<Name, Arc<Connection>> {
        CONNECTIONS.iter().map(|text| name(text)).zip(self.connections.iter().cloned()).collect()
    }

    /// The grounds of a call of this tool, as the caller finds them.
    pub fn grounds(&self, tool: &str) -> CallGrounds {
        let connection = self.server.tool(tool).map(|exposed| exposed.connection.clone());
        let connection = connection.and_then(|name| self.connections_by_name().remove(&name));
        CallGrounds {
            subject: self.subject.clone(),
            server: self.server.clone(),
            connection,
            user_connection: None,
        }
    }

    fn events(&self, of: Stream) -> impl DoubleEndedIterator<Item = (Position, &Event)> {
        let ours = self.history.iter().filter(move |entry| entry.stream == of);
        ours.map(|entry| (entry.place.position, &entry.event))
    }

    pub fn session_events(&self, number: usize) -> impl DoubleEndedIterator<Item = &SessionEvent> {
        self.events(Stream::Session(number)).map(|(_, event)| event.try_into().unwrap())
    }

    /// This session rebuilt from the stored text of its events.
    pub fn replayed(&self, number: usize) -> Session {
        let mut session = Session::default();
        for entry in self.history.iter().filter(|entry| entry.stream == Stream::Session(number)) {
            let payload = entry.event.payload().unwrap();
            let event = Event::read("session", entry.event.type_name(), entry.event.version_name(), &payload);
            session.evolve((&event.unwrap()).try_into().unwrap(), entry.place);
        }
        session
    }

    fn opening(&self, number: usize) -> (Position, &Terms) {
        let opening = self.events(Stream::Session(number)).find_map(|(position, event)| match event {
            Event::Session(SessionEvent::SessionOpened { terms, .. }) => Some((position, terms)),
            _ => None,
        });
        opening.unwrap()
    }

    /// The route on which this call must be admitted now; `None` when it must be refused.
    pub fn expected(&self, number: usize, request: &CallRequest) -> Option<Route> {
        let (opened_at, terms) = self.opening(number);
        let admitted = self
            .session_events(number)
            .filter(|event| matches!(event, SessionEvent::ToolCallAdmitted { .. }));
        let mut session = self.session_events(number);
        let session_open = !session.any(|event| matches!(event, SessionEvent::SessionRevoked { .. }))
            && self.now < terms.expires_at
            && admitted.count() < usize::try_from(terms.calls_max).unwrap();
        let in_list =
            terms.tools.as_ref().is_none_or(|tools| tools.iter().any(|tool| tool == request.wanted.name()));
        let minute_ago = Micros(self.now.0 - 60_000_000);
        let in_a_minute = self.history.iter().filter(|entry| {
            entry.stream == Stream::Session(number)
                && entry.place.recorded_at > minute_ago
                && matches!(entry.event, Event::Session(SessionEvent::ToolCallAdmitted { .. }))
        });
        let in_a_minute = u32::try_from(in_a_minute.count()).unwrap();
        let slow_enough = terms.calls_per_minute_max.is_none_or(|most| in_a_minute < most);
        let sendable = request.arguments_ok && request.held_back.is_none() && slow_enough;
        if !(session_open && in_list && self.subject_allows(opened_at) && sendable) {
            return None;
        }
        let (version, connection, tool) = self.shown(opened_at, request.wanted.name())?;
        let route = self.offered(opened_at, terms.access, connection, tool)?;
        Some(Route { version, connection: name(connection), tool: tool.to_owned(), ..route })
    }

    fn subject_allows(&self, opened_at: Position) -> bool {
        let mut blocked = false;
        for (position, event) in self.events(Stream::Subject) {
            match <&SubjectEvent>::try_from(event).unwrap() {
                SubjectEvent::SubjectSessionsCut { .. } if position > opened_at => return false,
                SubjectEvent::SubjectBlocked { .. } if position > opened_at => return false,
                SubjectEvent::SubjectBlocked { .. } => blocked = true,
                SubjectEvent::SubjectUnblocked { .. } => blocked = false,
                SubjectEvent::SubjectRegistered { .. } | SubjectEvent::SubjectSessionsCut { .. } => {}
            }
        }
        !blocked
    }

    fn shown(&self, opened_at: Position, tool: &str) -> Option<(u32, &'static str, &'static str)> {
        let mut version = 0;
        let mut shown = Vec::new();
        for (position, event) in self.events(Stream::Server) {
            match <&VirtualServerEvent>::try_from(event).unwrap() {
                VirtualServerEvent::VirtualServerDefined { definition, .. }
                | VirtualServerEvent::VirtualServerRevised { definition, .. } => {
                    version += 1;
                    shown = definitions().into_iter().find(|(known, _)| known == definition).unwrap().1;
                }
                VirtualServerEvent::VirtualServerSessionsCut { .. } if position > opened_at => return None,
                VirtualServerEvent::VirtualServerSessionsCut { .. } => {}
                VirtualServerEvent::VirtualServerRetired { .. } => return None,
            }
        }
        let found = shown.into_iter().find(|(known, ..)| *known == tool);
        found.map(|(_, connection, tool)| (version, connection, tool))
    }

    fn offered(&self, opened_at: Position, access: Access, connection: &str, tool: &str) -> Option<Route> {
        let number = CONNECTIONS.iter().position(|name| *name == connection).unwrap();
        let mut current: Option<(BTreeMap<Feature, Pinned>, &str)> = None;
        let mut other: Option<&Offered> = None;
        let mut generations = 0;
        for (position, event) in self.events(Stream::Connection(number)) {
            match <&ConnectionEvent>::try_from(event).unwrap() {
                ConnectionEvent::ConnectionRegistered { .. }
                | ConnectionEvent::ConnectionReconfigured { .. } => generations += 1,
                ConnectionEvent::CatalogRefreshed { catalog, .. } => {
                    current = Some((catalog.features.clone(), &catalog.digest));
                    other = None;
                }
                ConnectionEvent::CatalogObserved { offered, .. } => other = Some(offered),
                ConnectionEvent::CatalogApproved { tools, catalog, .. } => {
                    // All that is held is approved at once in these histories.
                    let mut all = current.take()?.0;
                    for (name, settled) in tools {
                        all.remove(name);
                        all.extend(settled.to.clone().map(|tool| (name.clone(), tool)));
                    }
                    (current, other) = (Some((all, catalog.as_str())), None);
                }
                event @ ConnectionEvent::CatalogAccepted { .. } => {
                    panic!("no policy accepts anything here: {event:?}")
                }
                ConnectionEvent::ConnectionTested { .. } => {}
                ConnectionEvent::ConnectionSessionsCut { .. } if position > opened_at => return None,
                ConnectionEvent::ConnectionSessionsCut { .. } => {}
                ConnectionEvent::ConnectionRetired { .. } => return None,
            }
        }
        let differs = |other: &Offered| other.names().any(|feature| feature.name() == tool);
        if other.is_some_and(differs) {
            return None;
        }
        let (tools, digest) = current?;
        let found = tools.get(&tool.into()).filter(|tool| access == Access::Full || tool.read_only)?;
        Some(Route {
            version: 0,
            connection: name(connection),
            tool: tool.to_owned(),
            definition: Some(found.digest.clone()),
            catalog: digest.to_owned(),
            generation: generations,
            user_generation: None,
        })
    }

    /// The calls of a session that are neither ended nor abandoned, from its history alone.
    pub fn expected_in_flight(&self, number: usize) -> BTreeSet<CallId> {
        let mut flying = BTreeSet::new();
        for event in self.session_events(number) {
            match event {
                SessionEvent::ToolCallAdmitted { call, .. } => {
                    assert!(flying.insert(call.clone()), "{call} was admitted while in flight");
                }
                SessionEvent::ToolCallEnded { call, .. } | SessionEvent::ToolCallAbandoned { call } => {
                    flying.remove(call);
                }
                SessionEvent::SessionOpened { .. }
                | SessionEvent::ManifestServed { .. }
                | SessionEvent::ToolCallRefused { .. }
                | SessionEvent::ToolCallRefusedAgain { .. }
                | SessionEvent::ToolCallCancelRequested { .. }
                | SessionEvent::InputRequested { .. }
                | SessionEvent::InputGiven { .. }
                | SessionEvent::LogLevelSet { .. }
                | SessionEvent::SessionRevoked { .. } => {}
            }
        }
        flying
    }
}
