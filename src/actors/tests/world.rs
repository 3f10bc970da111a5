//! One process in a test: a journal, its entities, its calls; and a scene to play in: the
//! connection `gmail`, the virtual server `support` on it, the users `sub_1` and `sub_2`.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use proctor_domain::connection::{
    Abilities, AuthMethod, Catalog, Connection, ConnectionCommand, Drift, Era, Feature, Pinned, Settings,
    Transport,
};
use proctor_domain::limits::{Limits, SessionLimits};
use proctor_domain::session::{
    Access, CallGrounds, CallRequest, Client, Opening, OpeningGrounds, Outcome, Session, SessionCommand,
};
use proctor_domain::subject::{Subject, SubjectCommand};
use proctor_domain::virtual_server::{
    Capture, Definition, ExposedTool, VirtualServer, VirtualServerCommand, Wanted,
};
use proctor_domain::{By, Decider as _, Name, StreamId};

use crate::actors::ask::Answer;
use crate::actors::{Calls, Directory, Prepared};
use crate::journal::tests::Site;
use crate::journal::{Delivered, Journal};

/// Long enough that no entity stops unless a test wants it to.
const IDLE: Duration = Duration::from_secs(3_600);

#[derive(Clone)]
pub(super) struct World {
    pub(super) journal: Journal,
    pub(super) directory: Arc<Directory>,
    pub(super) calls: Arc<Calls>,
}

/// Runs a test on an actix system of its own.
pub(super) fn play<T>(test: impl Future<Output = T>) -> T {
    actix::System::new().block_on(test)
}

pub(super) fn by() -> By {
    By::Key("key_1".into())
}

pub(super) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(super) fn catalog(tools: &[&str]) -> Catalog {
    let tool = |tool: &&str| {
        (Feature::from(*tool), Pinned { digest: format!("digest of {tool}"), read_only: *tool == "search" })
    };
    Catalog {
        era: Era::Modern,
        protocol_version: "2026-07-28".to_owned(),
        features: tools.iter().map(tool).collect(),
        abilities: Abilities::default(),
        digest: format!("digest of {tools:?}"),
    }
}

pub(super) fn settings(url: &str) -> Settings {
    Settings {
        transport: Transport::Http { url: url.to_owned() },
        auth: AuthMethod::None,
        private_network: false,
        shared: false,
        limits: Limits::default(),
        drift: Drift::default(),
    }
}

pub(super) fn definition(tools: &[&str]) -> Definition {
    let tool = |tool: &&str| ExposedTool {
        connection: name("gmail"),
        tool: (*tool).to_owned(),
        name: None,
        description: None,
        fixed_arguments: None,
    };
    Definition {
        description: String::new(),
        instructions: String::new(),
        tools: tools.iter().map(tool).collect(),
        capture: Capture::Full,
        ..Definition::default()
    }
}

pub(super) fn request(call: &str, tool: &str, replica: &str) -> CallRequest {
    CallRequest {
        call: call.into(),
        wanted: Wanted::Tool(tool.to_owned()),
        replica: replica.into(),
        request: Some(format!("request of {call}")),
        continues: None,
        client: Client::default(),
        trace: None,
        arguments_bytes: 2,
        arguments_ok: true,
        held_back: None,
    }
}

impl World {
    pub(super) async fn open(site: &Site, replica: &str) -> Self {
        Self::on(site.open(replica).await, IDLE).await
    }

    pub(super) async fn on(journal: Journal, idle: Duration) -> Self {
        let calls = Calls::new(journal.replica().clone());
        journal.listen(Arc::clone(&calls) as _).await.unwrap();
        let directory = Directory::open(journal.clone(), idle).await.unwrap();
        Self { journal, directory, calls }
    }

    /// Sets the scene.
    pub(super) async fn set(&self) {
        let register = ConnectionCommand::Register { by: by(), settings: settings("https://a.example/") };
        self.connection(register).await.unwrap();
        self.refresh(&["search", "send"]).await.unwrap();
        self.define(&["search", "send"]).await.unwrap();
        for subject in ["sub_1", "sub_2"] {
            self.subject(subject, SubjectCommand::Register { by: by() }).await.unwrap();
        }
    }

    pub(super) async fn connection(&self, command: ConnectionCommand) -> Answer<Connection> {
        self.directory.tell::<Connection>("gmail", command).await
    }

    /// Puts a catalog in force.
    pub(super) async fn refresh(&self, tools: &[&str]) -> Answer<Connection> {
        let generation = self.directory.state::<Connection>("gmail").await?.generation();
        self.connection(ConnectionCommand::RefreshCatalog { by: by(), catalog: catalog(tools), generation })
            .await
    }

    pub(super) async fn subject(&self, subject: &str, command: SubjectCommand) -> Answer<Subject> {
        self.directory.tell::<Subject>(subject, command).await
    }

    pub(super) async fn server(&self, command: VirtualServerCommand) -> Answer<VirtualServer> {
        self.directory.tell::<VirtualServer>("support", command).await
    }

    async fn define(&self, tools: &[&str]) -> Answer<VirtualServer> {
        self.write_server(tools, |definition, connections| VirtualServerCommand::Define {
            by: by(),
            definition,
            connections,
            providers: BTreeMap::new(),
        })
        .await
    }

    pub(super) async fn revise(&self, tools: &[&str]) -> Answer<VirtualServer> {
        self.write_server(tools, |definition, connections| VirtualServerCommand::Revise {
            by: by(),
            definition,
            connections,
            providers: BTreeMap::new(),
        })
        .await
    }

    async fn write_server(
        &self,
        tools: &[&str],
        command: impl Fn(Definition, BTreeMap<Name, Arc<Connection>>) -> VirtualServerCommand,
    ) -> Answer<VirtualServer> {
        let (command, directory) = (&command, &self.directory);
        directory
            .ask::<VirtualServer, _>("support", || async move {
                let gmail = directory.state::<Connection>("gmail").await.unwrap();
                let grounds = vec![(StreamId::of::<Connection>("gmail"), gmail.version())];
                let connections = BTreeMap::from([(name("gmail"), gmail)]);
                let command = command(definition(tools), connections);
                Ok(Prepared { grounds, ..Prepared::alone(command) })
            })
            .await
    }

    pub(super) async fn mint(&self, session: &str, subject: &str) -> Answer<Session> {
        self.mint_for(session, subject, 3_600, SessionLimits::default()).await
    }

    pub(super) async fn mint_for(
        &self,
        session: &str,
        subject: &str,
        ttl_seconds: u32,
        limits: SessionLimits,
    ) -> Answer<Session> {
        let directory = &self.directory;
        directory
            .ask::<Session, _>(session, || async move {
                let (user, server) = tokio::try_join!(
                    async { directory.state::<Subject>(subject).await.map_err(|_| ()) },
                    async { directory.state::<VirtualServer>("support").await.map_err(|_| ()) },
                )
                .unwrap();
                let grounds = vec![
                    (StreamId::of::<Subject>(subject), user.version()),
                    (StreamId::of::<VirtualServer>("support"), server.version()),
                ];
                let opening = Opening {
                    by: by(),
                    subject: subject.into(),
                    virtual_server: name("support"),
                    access: Access::Full,
                    tools: None,
                    ttl_seconds,
                    until: None,
                    limits,
                    label_indexes: Vec::new(),
                };
                let command = SessionCommand::Open {
                    at: crate::actors::now(),
                    opening,
                    grounds: OpeningGrounds {
                        subject: user,
                        server,
                        user_connections: Vec::new(),
                        provider: None,
                    },
                };
                Ok(Prepared { grounds, ..Prepared::alone(command) })
            })
            .await
    }

    /// Asks to let a call leave, as the agents' door does.
    pub(super) async fn call(&self, session: &str, call: &str, tool: &str) -> Answer<Session> {
        self.directory.ask::<Session, _>(session, || self.prepare_call(session, call, tool)).await
    }

    pub(super) async fn prepare_call(
        &self,
        session: &str,
        call: &str,
        tool: &str,
    ) -> Result<Prepared<Session>, crate::actors::AskError<proctor_domain::session::SessionError>> {
        let directory = &self.directory;
        let state = directory.state::<Session>(session).await?;
        let subject = state.terms().map_or_else(|| "sub_1".into(), |terms| terms.subject.clone());
        let user = directory.state::<Subject>(subject.as_str()).await.unwrap();
        let server = directory.state::<VirtualServer>("support").await.unwrap();
        let gmail = directory.state::<Connection>("gmail").await.unwrap();
        let connection = server.tool(tool).map(|_| Arc::clone(&gmail));
        let mut grounds = vec![
            (StreamId::of::<Subject>(subject.as_str()), user.version()),
            (StreamId::of::<VirtualServer>("support"), server.version()),
        ];
        if connection.is_some() {
            grounds.push((StreamId::of::<Connection>("gmail"), gmail.version()));
        }
        let command = SessionCommand::RequestToolCall {
            at: crate::actors::now(),
            request: request(call, tool, self.journal.replica().as_str()),
            grounds: CallGrounds { subject: user, server, connection, user_connection: None },
        };
        Ok(Prepared { grounds, ..Prepared::alone(command) })
    }

    pub(super) async fn end(&self, session: &str, call: &str) -> Answer<Session> {
        let outcome = SessionCommand::RecordOutcome {
            call: call.into(),
            outcome: Outcome::Succeeded,
            duration_us: 5,
            result_bytes: 2,
        };
        self.directory.tell::<Session>(session, outcome).await
    }

    pub(super) async fn revoke(&self, session: &str) -> Answer<Session> {
        let revoke = SessionCommand::Revoke { by: by(), reason: "it was time".to_owned() };
        self.directory.tell::<Session>(session, revoke).await
    }

    pub(super) async fn cut_subject(&self, subject: &str) -> Answer<Subject> {
        self.subject(subject, SubjectCommand::CutSessions { by: by(), reason: "it was time".to_owned() })
            .await
    }
}

/// The types of events, for people.
pub(super) fn types(events: &[Delivered]) -> Vec<&'static str> {
    events.iter().map(|event| event.event.type_name()).collect()
}
