//! Histories of a journal: random ones, of every kind of event that the views look at.

use std::sync::Arc;

use proctor_domain::api_key::{ApiKeyEvent, Role};
use proctor_domain::connection::{
    Abilities, AuthMethod, Catalog, ConnectionEvent, Drift, Era, Offered, Pinned, Settings, Settled,
    Transport,
};
use proctor_domain::limits::Limits;
use proctor_domain::purpose_keys::PurposeKeysEvent;
use proctor_domain::session::{Access, Cause, Client, List, Outcome, Refusal, Route, SessionEvent, Terms};
use proctor_domain::subject::SubjectEvent;
use proctor_domain::virtual_server::{Definition, Method, VirtualServerEvent};
use proctor_domain::watch::{Door, WatchEvent};
use proctor_domain::webhook::{self, WebhookEvent};
use proctor_domain::{By, CallId, Event, Micros, Name, Place, Position, Recorded, StreamId};

use super::accounts;

/// How many kinds of administrative events there are.
pub(super) const KINDS: usize = 33 + accounts::KINDS;

pub(super) const START_US: i64 = 1_790_000_000_000_000;

/// Writes a journal in memory.
#[derive(Default)]
pub(super) struct History {
    pub(super) events: Vec<Arc<Recorded>>,
    sessions: Vec<usize>,
    open_calls: Vec<(usize, CallId)>,
    refused_calls: Vec<(usize, CallId)>,
    abandoned_calls: Vec<(usize, CallId)>,
    next_id: usize,
    now_us: i64,
}

pub(super) fn by() -> By {
    By::Key("k1".into())
}

pub(super) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn client() -> Client {
    Client { name: "agent".into(), version: "1".into(), protocol: "2026-07-28".into() }
}

fn route(number: usize) -> Route {
    Route {
        version: 1,
        connection: name(&format!("con{}", number % 3)),
        tool: format!("up{}", number % 5),
        definition: (!number.is_multiple_of(4)).then(|| "d".repeat(64)),
        catalog: "c".repeat(64),
        generation: 1,
        user_generation: None,
    }
}

impl History {
    /// A history of these choices: each pair picks a kind of event and what it is about.
    pub(super) fn of(choices: &[(u8, u16)]) -> Self {
        let mut history = Self::default();
        for (kind, pick) in choices {
            history.step(*kind, usize::from(*pick));
        }
        history
    }

    pub(super) fn record(&mut self, kind: &'static str, id: &str, event: impl Into<Event>) -> Position {
        let event = event.into();
        let position = Position(self.events.len() as u64 + 1);
        self.events.push(Arc::new(Recorded {
            place: Place { position, recorded_at: Micros(START_US + self.now_us) },
            event_id: format!("evt_{position}").into(),
            stream: StreamId { kind, id: id.into() },
            sequence: 1,
            payload: event.payload().unwrap().into(),
            event,
            metadata: "{}".into(),
        }));
        position
    }

    pub(super) fn wait(&mut self, microseconds: i64) {
        self.now_us += microseconds;
    }

    pub(super) fn now(&self) -> Micros {
        Micros(START_US + self.now_us)
    }

    pub(super) fn open(&mut self, subject: &str, server: &str, labels: &[&str]) -> usize {
        self.next_id += 1;
        let session = self.next_id;
        let terms = Terms {
            subject: subject.into(),
            virtual_server: name(server),
            access: if session.is_multiple_of(3) { Access::ReadOnly } else { Access::Full },
            tools: session.is_multiple_of(4).then(|| vec!["tool1".to_owned()]),
            expires_at: self.now().plus_seconds(3_600),
            calls_max: 100,
            calls_per_minute_max: session.is_multiple_of(2).then_some(60),
            label_indexes: labels.iter().map(|label| (*label).to_owned()).collect(),
        };
        let event = SessionEvent::SessionOpened { by: by(), terms, version: 1 };
        self.record("session", &format!("ses_{session}"), event);
        self.sessions.push(session);
        session
    }

    pub(super) fn admit(&mut self, session: usize, number: usize) -> CallId {
        self.next_id += 1;
        let call = CallId::from(format!("call_{}", self.next_id));
        let event = SessionEvent::ToolCallAdmitted {
            call: call.clone(),
            method: Method::ALL[number % 5],
            tool: format!("tool{}", number % 5),
            route: route(number),
            replica: format!("rep_{}", number % 2).into(),
            request: Some("7".into()),
            client: client(),
            trace: number.is_multiple_of(2).then(|| "0af7".to_owned()),
            arguments_bytes: 200,
            continues: None,
        };
        self.record("session", &format!("ses_{session}"), event);
        self.open_calls.push((session, call.clone()));
        call
    }

    pub(super) fn refuse(&mut self, session: usize, number: usize) -> CallId {
        self.next_id += 1;
        let call = CallId::from(format!("call_{}", self.next_id));
        let event = SessionEvent::ToolCallRefused {
            call: call.clone(),
            method: Method::ALL[number % 3],
            tool: format!("tool{}", number % 5),
            reason: if number.is_multiple_of(2) { Refusal::NotInScope } else { Refusal::NotReadOnly },
            route: (!number.is_multiple_of(2)).then(|| route(number)),
            client: client(),
            trace: None,
            arguments_bytes: 10,
            retry_at: None,
        };
        self.record("session", &format!("ses_{session}"), event);
        self.refused_calls.push((session, call.clone()));
        call
    }

    pub(super) fn end(&mut self, session: usize, call: &CallId, outcome: Outcome, late: bool) {
        let event = SessionEvent::ToolCallEnded {
            call: call.clone(),
            outcome,
            duration_us: 1_500,
            result_bytes: 900,
            late,
        };
        self.record("session", &format!("ses_{session}"), event);
    }

    fn step(&mut self, kind: u8, pick: usize) {
        self.wait((pick as i64 % 7) * 90_000_000);
        let outcomes = [
            Outcome::Succeeded,
            Outcome::Failed("tool_error".into()),
            Outcome::Cancelled(Cause::Agent),
            Outcome::Cancelled(Cause::Revocation),
        ];
        let session = (!self.sessions.is_empty()).then(|| self.sessions[pick % self.sessions.len().max(1)]);
        match (kind % 24, session) {
            (0 | 1, _) | (_, None) => {
                let labels: &[&str] = [&[][..], &["l1"], &["l1", "l2"], &["l2", "l2"]][pick % 4];
                self.open(&format!("sub_{}", pick % 3), &format!("srv{}", pick % 2), labels);
            }
            (2..=7, Some(session)) => {
                self.admit(session, pick);
            }
            (8..=13, Some(_)) if !self.open_calls.is_empty() => {
                let (session, call) = self.open_calls.swap_remove(pick % self.open_calls.len());
                self.end(session, &call, outcomes[pick % 4].clone(), false);
            }
            (14, Some(_)) if !self.open_calls.is_empty() => {
                let (session, call) = self.open_calls.swap_remove(pick % self.open_calls.len());
                let event = SessionEvent::ToolCallAbandoned { call: call.clone() };
                self.record("session", &format!("ses_{session}"), event);
                self.abandoned_calls.push((session, call));
            }
            (15, Some(_)) if !self.abandoned_calls.is_empty() => {
                let (session, call) = self.abandoned_calls.swap_remove(pick % self.abandoned_calls.len());
                self.end(session, &call, outcomes[pick % 4].clone(), true);
            }
            (16, Some(session)) => {
                self.refuse(session, pick);
            }
            (17, Some(_)) if !self.refused_calls.is_empty() => {
                let (session, call) = self.refused_calls[pick % self.refused_calls.len()].clone();
                let event = SessionEvent::ToolCallRefusedAgain { call, times: pick as u64 % 9 + 1 };
                self.record("session", &format!("ses_{session}"), event);
            }
            (18, Some(session)) => {
                let event = SessionEvent::ManifestServed {
                    list: List::ALL[pick % 3],
                    manifest: "m".repeat(64),
                    version: 1,
                    tools: 4,
                    client: client(),
                    times: 2,
                };
                self.record("session", &format!("ses_{session}"), event);
            }
            (19, Some(session)) => {
                let event = SessionEvent::SessionRevoked { by: by(), reason: "enough".into() };
                self.record("session", &format!("ses_{session}"), event);
            }
            (_, Some(_)) => self.administer(pick),
        }
    }

    /// One act of each kind, in turn.
    pub(super) fn administer(&mut self, pick: usize) {
        let because = || "because".to_owned();
        let settings = Settings {
            transport: Transport::Http { url: "https://mcp.example/".into() },
            auth: AuthMethod::Header { name: "x-key".into() },
            private_network: false,
            shared: true,
            limits: Limits::default(),
            drift: Drift::default(),
        };
        let tool = Pinned { digest: "d".repeat(64), read_only: true };
        let catalog = Catalog {
            era: Era::Modern,
            protocol_version: "2026-07-28".into(),
            features: [("up1".into(), tool)].into(),
            abilities: Abilities::default(),
            digest: "c".repeat(64),
        };
        let replica = || By::Replica("rep_0".into());
        let (subject, server, connection) =
            (format!("sub_{}", pick % 3), format!("srv{}", pick % 2), format!("con{}", pick % 3));
        let (kind, id, event): (_, &str, Event) = match pick % KINDS {
            0 => ("subject", &subject, SubjectEvent::SubjectRegistered { by: by() }.into()),
            1 => {
                ("subject", &subject, SubjectEvent::SubjectSessionsCut { by: by(), reason: because() }.into())
            }
            2 => ("subject", &subject, SubjectEvent::SubjectBlocked { by: by(), reason: because() }.into()),
            3 => (
                "subject",
                &subject,
                SubjectEvent::SubjectUnblocked { by: by(), reason: String::new() }.into(),
            ),
            4 => (
                "virtual_server",
                &server,
                VirtualServerEvent::VirtualServerDefined { by: by(), definition: Definition::default() }
                    .into(),
            ),
            5 => (
                "virtual_server",
                &server,
                VirtualServerEvent::VirtualServerRevised { by: by(), definition: Definition::default() }
                    .into(),
            ),
            6 => (
                "virtual_server",
                &server,
                VirtualServerEvent::VirtualServerSessionsCut { by: by(), reason: because() }.into(),
            ),
            7 => (
                "virtual_server",
                &server,
                VirtualServerEvent::VirtualServerRetired { by: by(), reason: because() }.into(),
            ),
            8 => (
                "connection",
                &connection,
                ConnectionEvent::ConnectionRegistered { by: by(), settings, generation: 1 }.into(),
            ),
            9 => (
                "connection",
                &connection,
                ConnectionEvent::ConnectionReconfigured { by: by(), settings, generation: 2 }.into(),
            ),
            10 => ("connection", &connection, ConnectionEvent::CatalogRefreshed { by: by(), catalog }.into()),
            11 => (
                "connection",
                &connection,
                ConnectionEvent::ConnectionTested { by: by(), failure: Some("timeout".into()) }.into(),
            ),
            12 => (
                "connection",
                &connection,
                ConnectionEvent::ConnectionSessionsCut { by: by(), reason: because() }.into(),
            ),
            13 => (
                "connection",
                &connection,
                ConnectionEvent::ConnectionRetired { by: by(), reason: because() }.into(),
            ),
            14 => (
                "api_key",
                "k2",
                ApiKeyEvent::ApiKeyCreated {
                    by: by(),
                    name: "ci".into(),
                    role: Role::Minter,
                    expires_at: Some(Micros(9)),
                }
                .into(),
            ),
            15 => ("api_key", "k2", ApiKeyEvent::ApiKeyRevoked { by: by(), reason: because() }.into()),
            16 => (
                "watch",
                "read-k1",
                WatchEvent::AuditTrailRead {
                    by: by(),
                    what: "tool_calls".into(),
                    filters: [("outcome".to_owned(), "refused".to_owned())].into(),
                    rows: 3,
                }
                .into(),
            ),
            17 | 18 => (
                "watch",
                "door",
                WatchEvent::AuthenticationsFailed {
                    door: if pick.is_multiple_of(2) { Door::Mcp } else { Door::Api },
                    reason: "bad_signature".into(),
                    minute: 9,
                    count: 4,
                }
                .into(),
            ),
            19..=25 => {
                let settings = || webhook::Settings {
                    url: "https://backend.example/hooks".into(),
                    events: vec!["session.*".into()],
                    description: None,
                    private_network: false,
                };
                let event = match pick % KINDS {
                    19 => WebhookEvent::WebhookCreated { by: by(), settings: settings(), generation: 1 },
                    20 => WebhookEvent::WebhookRevised { by: by(), settings: settings() },
                    21 => WebhookEvent::WebhookSecretRotated { by: by(), generation: 2, overlap_seconds: 60 },
                    22 => WebhookEvent::WebhookTested { by: by() },
                    23 => WebhookEvent::WebhookRedelivered { by: by(), delivery: "dlv_1".into() },
                    24 => WebhookEvent::WebhookGone { by: replica() },
                    _ => WebhookEvent::WebhookRetired { by: by(), reason: because() },
                };
                ("webhook", "whk_1", event.into())
            }
            27 => {
                let begun = WatchEvent::MasterKeyRotationBegun { by: replica(), key: "0a1b2c3d".into() };
                ("watch", "master_keys", begun.into())
            }
            28 => {
                let done = WatchEvent::MasterKeyRotated { by: replica(), key: "0a1b2c3d".into(), rows: 7 };
                ("watch", "master_keys", done.into())
            }
            29 => {
                let rotated = PurposeKeysEvent::PurposeKeyRotated {
                    by: by(),
                    kid: "0a1b2c3d".into(),
                    active_at: Micros(9),
                };
                ("purpose_keys", "cursors", rotated.into())
            }
            30..=32 => ("connection", &connection, drifted(pick % KINDS - 30, catalog).into()),
            33.. => accounts::event(pick % KINDS - 33),
            _ => (
                "watch",
                "rep_0",
                WatchEvent::ReplicaStarted { by: replica(), program: "0.1.0".into() }.into(),
            ),
        };
        let id = id.to_owned();
        self.record(kind, &id, event);
    }
}

/// What becomes of a catalog that an upstream offers otherwise.
fn drifted(nth: usize, catalog: Catalog) -> ConnectionEvent {
    let Catalog { era, protocol_version, features, digest, .. } = catalog;
    let by = || By::Replica("rep_0".into());
    let to = features.values().next().cloned();
    let settled = [("up1".into(), Settled { from: Some("e".repeat(64)), to })].into();
    match nth {
        0 => {
            let (changed, gone) = (features.clone(), ["prompt:up2".into()].into());
            let offered = Offered { era, protocol_version, digest, changed, new: features, gone };
            ConnectionEvent::CatalogObserved { by: by(), offered }
        }
        1 => {
            let policy = Drift::All;
            ConnectionEvent::CatalogAccepted { by: by(), policy, tools: settled, catalog: digest }
        }
        _ => {
            let offered = digest.clone();
            ConnectionEvent::CatalogApproved { by: by(), offered, tools: settled, catalog: digest }
        }
    }
}
