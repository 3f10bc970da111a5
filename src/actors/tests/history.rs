//! Whether a serial order explains a history: every event is decided again, by the pure domain
//! alone, from the states at its position.

use std::collections::BTreeMap;
use std::sync::Arc;

use proctor_domain::connection::{Connection, ConnectionCommand, ConnectionEvent};
use proctor_domain::limits::SessionLimits;
use proctor_domain::session::{
    CallGrounds, CallRequest, Opening, OpeningGrounds, Session, SessionCommand, SessionEvent,
};
use proctor_domain::subject::{Subject, SubjectCommand, SubjectEvent};
use proctor_domain::virtual_server::{VirtualServer, VirtualServerCommand, VirtualServerEvent};
use proctor_domain::{Event, Micros, Recorded};

use super::world::name;
use crate::actors::Kind;

/// How long the sessions of a history last.
pub(super) const TTL_SECONDS: u32 = 3_600;

/// All aggregates at one position.
#[derive(Clone, Default)]
pub(super) struct States {
    sessions: BTreeMap<String, Arc<Session>>,
    subjects: BTreeMap<String, Arc<Subject>>,
    server: Arc<VirtualServer>,
    gmail: Arc<Connection>,
}

/// What can be asked in a history.
#[derive(Clone, Debug)]
pub(super) enum Asked {
    Session(String, SessionAsked),
    Subject(String, SubjectCommand),
    Server(ServerAsked),
    Connection(ConnectionCommand),
}

#[derive(Clone, Debug)]
pub(super) enum SessionAsked {
    Open(Opening),
    Call(CallRequest),
    Other(SessionCommand),
}

/// Commands without what they rest on.
#[derive(Clone, Debug)]
pub(super) enum ServerAsked {
    Revise(Vec<String>),
    Other(Box<VirtualServerCommand>),
}

impl States {
    pub(super) fn session(&self, id: &str) -> Arc<Session> {
        self.sessions.get(id).cloned().unwrap_or_default()
    }

    pub(super) fn subject(&self, id: &str) -> Arc<Subject> {
        self.subjects.get(id).cloned().unwrap_or_default()
    }

    pub(super) fn server(&self) -> &VirtualServer {
        &self.server
    }

    pub(super) fn gmail(&self) -> &Connection {
        &self.gmail
    }

    /// What follows here, at this time: the events, or nothing when it is nonsense.
    pub(super) fn decide(&self, asked: &Asked, at: Micros) -> Vec<Event> {
        match asked {
            Asked::Session(id, asked) => {
                let command = match asked {
                    SessionAsked::Open(opening) => SessionCommand::Open {
                        at,
                        grounds: OpeningGrounds {
                            subject: self.subject(opening.subject.as_str()),
                            server: Arc::clone(&self.server),
                            user_connections: Vec::new(),
                            provider: None,
                        },
                        opening: opening.clone(),
                    },
                    SessionAsked::Call(request) => self.call(id, request, at),
                    SessionAsked::Other(command) => command.clone(),
                };
                events(&*self.session(id), &command)
            }
            Asked::Subject(id, command) => events(&*self.subject(id), command),
            Asked::Server(ServerAsked::Revise(tools)) => {
                let tools: Vec<&str> = tools.iter().map(String::as_str).collect();
                self.revise(&super::world::definition(&tools), &super::world::by())
            }
            Asked::Server(ServerAsked::Other(command)) => events(&*self.server, command),
            Asked::Connection(command) => events(&*self.gmail, command),
        }
    }

    fn call(&self, id: &str, request: &CallRequest, at: Micros) -> SessionCommand {
        let session = self.session(id);
        let subject = session.terms().map_or_else(|| "sub_1".into(), |terms| terms.subject.clone());
        SessionCommand::RequestToolCall {
            at,
            request: request.clone(),
            grounds: CallGrounds {
                subject: self.subject(subject.as_str()),
                server: Arc::clone(&self.server),
                connection: self.server.target(&request.wanted).map(|_| Arc::clone(&self.gmail)),
                user_connection: None,
            },
        }
    }

    fn revise(
        &self,
        definition: &proctor_domain::virtual_server::Definition,
        by: &proctor_domain::By,
    ) -> Vec<Event> {
        let connections = BTreeMap::from([(name("gmail"), Arc::clone(&self.gmail))]);
        let (by, definition) = (by.clone(), definition.clone());
        let command = if self.server.is_known() {
            VirtualServerCommand::Revise { by, definition, connections, providers: BTreeMap::new() }
        } else {
            VirtualServerCommand::Define { by, definition, connections, providers: BTreeMap::new() }
        };
        events(&*self.server, &command)
    }

    /// What the command that this event came from leads to here.
    fn decide_again(&self, recorded: &Recorded) -> Vec<Event> {
        let id = recorded.stream.id.to_string();
        let at = recorded.place.recorded_at;
        match recorded.event.clone() {
            Event::Session(event) => self.decide_session_again(id, event, at),
            Event::Subject(event) => self.decide(&Asked::Subject(id, subject_command(event)), at),
            Event::VirtualServer(
                VirtualServerEvent::VirtualServerDefined { by, definition }
                | VirtualServerEvent::VirtualServerRevised { by, definition },
            ) => self.revise(&definition, &by),
            Event::VirtualServer(VirtualServerEvent::VirtualServerSessionsCut { by, reason }) => {
                events(&*self.server, &VirtualServerCommand::CutSessions { by, reason })
            }
            Event::VirtualServer(VirtualServerEvent::VirtualServerRetired { by, reason }) => {
                events(&*self.server, &VirtualServerCommand::Retire { by, reason })
            }
            Event::Connection(event) => events(&*self.gmail, &self.connection_command(event)),
            Event::IdentityProvider(_)
            | Event::UserConnection(_)
            | Event::ApiKey(_)
            | Event::PurposeKeys(_)
            | Event::Watch(_)
            | Event::Webhook(_) => {
                panic!("not in these histories: {recorded:?}")
            }
        }
    }

    fn decide_session_again(&self, id: String, event: SessionEvent, at: Micros) -> Vec<Event> {
        let (asked, at) = match event {
            SessionEvent::SessionOpened { by, terms, .. } => {
                // Minted at the time of whoever asked, which is before it was recorded.
                let minted = Micros(terms.expires_at.0 - i64::from(TTL_SECONDS) * 1_000_000);
                assert!(minted <= at);
                let opening = Opening {
                    by,
                    subject: terms.subject,
                    virtual_server: terms.virtual_server,
                    access: terms.access,
                    tools: terms.tools,
                    ttl_seconds: TTL_SECONDS,
                    until: None,
                    limits: SessionLimits {
                        calls_max: Some(terms.calls_max),
                        calls_per_minute_max: terms.calls_per_minute_max,
                    },
                    label_indexes: terms.label_indexes,
                };
                (SessionAsked::Open(opening), minted)
            }
            SessionEvent::ToolCallAdmitted { call, tool, replica, .. } => {
                (SessionAsked::Call(super::world::request(call.as_str(), &tool, replica.as_str())), at)
            }
            SessionEvent::ToolCallRefused { call, tool, .. } => {
                (SessionAsked::Call(super::world::request(call.as_str(), &tool, "any")), at)
            }
            SessionEvent::ToolCallEnded { call, outcome, duration_us, result_bytes, .. } => {
                let command = SessionCommand::RecordOutcome { call, outcome, duration_us, result_bytes };
                (SessionAsked::Other(command), at)
            }
            SessionEvent::ToolCallCancelRequested { call } => {
                let request = format!("request of {call}");
                (SessionAsked::Other(SessionCommand::RequestCancel { request }), at)
            }
            SessionEvent::SessionRevoked { by, reason } => {
                (SessionAsked::Other(SessionCommand::Revoke { by, reason }), at)
            }
            event @ (SessionEvent::ManifestServed { .. }
            | SessionEvent::ToolCallRefusedAgain { .. }
            | SessionEvent::InputRequested { .. }
            | SessionEvent::InputGiven { .. }
            | SessionEvent::LogLevelSet { .. }
            | SessionEvent::ToolCallAbandoned { .. }) => panic!("not in these histories: {event:?}"),
        };
        self.decide(&Asked::Session(id, asked), at)
    }

    fn connection_command(&self, event: ConnectionEvent) -> ConnectionCommand {
        match event {
            ConnectionEvent::ConnectionRegistered { by, settings, .. } => {
                ConnectionCommand::Register { by, settings }
            }
            ConnectionEvent::ConnectionReconfigured { by, settings, .. } => {
                ConnectionCommand::Reconfigure { by, settings, new_secrets: true }
            }
            ConnectionEvent::CatalogRefreshed { by, catalog } => {
                ConnectionCommand::RefreshCatalog { by, catalog, generation: self.gmail.generation() }
            }
            event @ (ConnectionEvent::CatalogObserved { .. }
            | ConnectionEvent::CatalogAccepted { .. }
            | ConnectionEvent::CatalogApproved { .. }) => panic!("not in these histories: {event:?}"),
            ConnectionEvent::ConnectionTested { by, failure } => {
                ConnectionCommand::RecordTest { by, failure }
            }
            ConnectionEvent::ConnectionSessionsCut { by, reason } => {
                ConnectionCommand::CutSessions { by, reason }
            }
            ConnectionEvent::ConnectionRetired { by, reason } => ConnectionCommand::Retire { by, reason },
        }
    }

    fn take_in(&mut self, recorded: &Recorded) {
        fn evolved<A: Kind>(state: &mut Arc<A>, recorded: &Recorded) {
            assert_eq!(recorded.sequence, state.version() + 1, "{} has a gap", recorded.stream);
            Arc::make_mut(state).evolve(A::unwrap(&recorded.event).unwrap(), recorded.place);
        }
        let id = recorded.stream.id.to_string();
        match &recorded.event {
            Event::Session(_) => evolved(self.sessions.entry(id).or_default(), recorded),
            Event::Subject(_) => evolved(self.subjects.entry(id).or_default(), recorded),
            Event::VirtualServer(_) => evolved(&mut self.server, recorded),
            Event::Connection(_) => evolved(&mut self.gmail, recorded),
            Event::IdentityProvider(_)
            | Event::UserConnection(_)
            | Event::ApiKey(_)
            | Event::PurposeKeys(_)
            | Event::Watch(_)
            | Event::Webhook(_) => {
                panic!("not in these histories: {recorded:?}")
            }
        }
    }
}

fn subject_command(event: SubjectEvent) -> SubjectCommand {
    match event {
        SubjectEvent::SubjectRegistered { by } => SubjectCommand::Register { by },
        SubjectEvent::SubjectSessionsCut { by, reason } => SubjectCommand::CutSessions { by, reason },
        SubjectEvent::SubjectBlocked { by, reason } => SubjectCommand::Block { by, reason },
        SubjectEvent::SubjectUnblocked { by, reason } => SubjectCommand::Unblock { by, reason },
    }
}

fn events<A: Kind>(state: &A, command: &A::Command) -> Vec<Event> {
    state.decide(command).map_or_else(|_| Vec::new(), |events| events.into_iter().map(A::wrap).collect())
}

/// Decides every event again at its position. Answers the states before the first and after each.
pub(super) fn explain(history: &[Arc<Recorded>]) -> Vec<States> {
    let mut states = vec![States::default()];
    for (recorded, position) in history.iter().zip(1..) {
        assert_eq!(recorded.place.position.0, position, "positions have a gap");
        let before = states.last().unwrap();
        assert_eq!(
            before.decide_again(recorded),
            std::slice::from_ref(&recorded.event),
            "nothing explains the event at position {position} in {}",
            recorded.stream
        );
        let mut after = before.clone();
        after.take_in(recorded);
        states.push(after);
    }
    assert!(history.windows(2).all(|pair| pair[0].place.recorded_at <= pair[1].place.recorded_at));
    states
}
