//! A process with a connection, a virtual server on it and users, as the doors use it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proctor::actors::{self, Calls, Directory, Prepared, Sealed};
use proctor::journal::{Journal, JournalConfig, sqlite};
use proctor_domain::connection::{
    Abilities, AuthMethod, Catalog, Connection, ConnectionCommand, Drift, Era, Pinned, Settings, Transport,
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

use crate::Failure;

const SUBJECT: &str = "sub_00000000000000000000000000000000";

#[derive(Clone)]
pub struct Scene {
    pub journal: Journal,
    pub directory: Arc<Directory>,
    pub calls: Arc<Calls>,
}

impl Scene {
    pub async fn set(folder: &Path) -> Result<Self, Failure> {
        let (store, reader) = sqlite::open(&folder.join("journal.db"))?;
        let replica = actors::new_id("rep").into();
        let config = JournalConfig {
            replica,
            lease_ms: 30_000,
            data_dir: Some(folder.to_owned()),
            master_keys: String::new(),
        };
        let journal = Journal::open(store, reader, config).await?;
        let calls = Calls::new(journal.replica().clone());
        journal.listen(Arc::clone(&calls) as _).await?;
        let directory = Directory::open(journal.clone(), Duration::from_secs(3_600)).await?;
        let scene = Self { journal, directory, calls };
        scene.register().await?;
        Ok(scene)
    }

    async fn register(&self) -> Result<(), Failure> {
        let by = || By::Key("bench".into());
        let notes = Name::new("notes")?;
        let settings = Settings {
            transport: Transport::Http { url: "http://127.0.0.1:1/".to_owned() },
            auth: AuthMethod::None,
            private_network: true,
            shared: false,
            limits: Limits::default(),
            drift: Drift::default(),
        };
        let digest = "0f".repeat(32);
        let tool = Pinned { digest: digest.clone(), read_only: true };
        let catalog = Catalog {
            era: Era::Modern,
            protocol_version: "2026-07-28".to_owned(),
            features: BTreeMap::from([("search_notes".into(), tool)]),
            abilities: Abilities::default(),
            digest,
        };
        let directory = &self.directory;
        directory.tell::<Connection>("notes", ConnectionCommand::Register { by: by(), settings }).await?;
        let refresh = ConnectionCommand::RefreshCatalog { by: by(), catalog, generation: 1 };
        directory.tell::<Connection>("notes", refresh).await?;
        let connection = directory.state::<Connection>("notes").await?;
        let definition = Definition {
            description: String::new(),
            instructions: String::new(),
            tools: vec![ExposedTool {
                connection: notes.clone(),
                tool: "search_notes".to_owned(),
                name: None,
                description: None,
                fixed_arguments: None,
            }],
            capture: Capture::Full,
            ..Definition::default()
        };
        let connections = BTreeMap::from([(notes, connection)]);
        let define =
            VirtualServerCommand::Define { by: by(), definition, connections, providers: BTreeMap::new() };
        directory.tell::<VirtualServer>("support", define).await?;
        directory.tell::<Subject>(SUBJECT, SubjectCommand::Register { by: by() }).await?;
        Ok(())
    }

    pub async fn mint(&self) -> Result<String, Failure> {
        let id = actors::new_id("ses");
        let subject = self.directory.state::<Subject>(SUBJECT).await?;
        let server = self.directory.state::<VirtualServer>("support").await?;
        let command = SessionCommand::Open {
            at: actors::now(),
            opening: Opening {
                by: By::Key("bench".into()),
                subject: SUBJECT.into(),
                virtual_server: Name::new("support")?,
                access: Access::Full,
                tools: None,
                ttl_seconds: 3_600,
                until: None,
                limits: SessionLimits { calls_max: Some(u32::MAX), calls_per_minute_max: None },
                label_indexes: Vec::new(),
            },
            grounds: OpeningGrounds { subject, server, user_connections: Vec::new(), provider: None },
        };
        self.directory.tell::<Session>(&id, command).await?;
        Ok(id)
    }

    /// One tool call without the call: what a door does before and after, both durable.
    pub async fn call(&self, session: &str, sealed: &bytes::Bytes) -> Result<(), Failure> {
        let call = actors::new_id("call");
        let state = self.directory.state::<Session>(session).await?;
        let terms = state.terms().ok_or("the session was never opened")?;
        let flight = self.calls.enter(
            call.as_str().into(),
            session.into(),
            state.opened_at(),
            terms.subject.clone(),
            terms.virtual_server.clone(),
        );
        let event_id: Arc<str> = actors::new_id("evt").into();
        let prepare = || async {
            let subject = self.directory.state::<Subject>(SUBJECT).await.map_err(|_| gone::<Session>())?;
            let server =
                self.directory.state::<VirtualServer>("support").await.map_err(|_| gone::<Session>())?;
            let connection =
                self.directory.state::<Connection>("notes").await.map_err(|_| gone::<Session>())?;
            let grounds = vec![
                (StreamId::of::<Subject>(SUBJECT), subject.version()),
                (StreamId::of::<VirtualServer>("support"), server.version()),
                (StreamId::of::<Connection>("notes"), connection.version()),
            ];
            let request = CallRequest {
                call: call.as_str().into(),
                wanted: Wanted::Tool("search_notes".to_owned()),
                replica: self.journal.replica().clone(),
                request: Some("0f".repeat(16)),
                continues: None,
                client: Client { name: "bench".into(), version: "1".into(), protocol: "2026-07-28".into() },
                trace: None,
                arguments_bytes: 200,
                arguments_ok: true,
                held_back: None,
            };
            let grounded =
                CallGrounds { subject, server, connection: Some(connection), user_connection: None };
            let command = SessionCommand::RequestToolCall { at: actors::now(), request, grounds: grounded };
            let sealed = Sealed { event_id: Arc::clone(&event_id), bytes: sealed.clone() };
            Ok(Prepared { command, grounds, sealed: Some(sealed), side_writes: Vec::new() })
        };
        self.directory.ask::<Session, _>(session, prepare).await?;
        let event_id: Arc<str> = actors::new_id("evt").into();
        let end = || async {
            let command = SessionCommand::RecordOutcome {
                call: call.as_str().into(),
                outcome: Outcome::Succeeded,
                duration_us: 500,
                result_bytes: 200,
            };
            let sealed = Sealed { event_id: Arc::clone(&event_id), bytes: sealed.clone() };
            Ok(Prepared { sealed: Some(sealed), ..Prepared::alone(command) })
        };
        self.directory.ask::<Session, _>(session, end).await?;
        drop(flight);
        Ok(())
    }
}

fn gone<A: proctor::actors::Kind>() -> proctor::actors::AskError<A::Error> {
    proctor::actors::AskError::Unavailable(StreamId::of::<A>("scene"))
}
