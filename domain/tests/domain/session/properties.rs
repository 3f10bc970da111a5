//! What holds for any sequence of commands on sessions and everything that they rest on.

use std::collections::BTreeMap;

use proctor_domain::connection::{Catalog, Connection, ConnectionCommand, Era, Observation};
use proctor_domain::limits::SessionLimits;
use proctor_domain::session::{
    Access, CallRequest, Cause, HeldBack, List, Opening, OpeningGrounds, Outcome, REFUSALS_PER_MINUTE_MAX,
    Refusal, Session, SessionCommand, SessionError, SessionEvent,
};
use proctor_domain::subject::{Subject, SubjectCommand};
use proctor_domain::virtual_server::{VirtualServer, VirtualServerCommand};
use proctor_domain::{CallId, Decider, Event, Micros};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::TestCaseError;

use super::model::{CATALOGS, CONNECTIONS, Stream, TRIED, World, definitions};
use crate::scene::{SECOND, by, call, catalog, client, opening, reason, settings};

#[derive(Clone, Debug)]
enum Step {
    Wait {
        seconds: i64,
    },
    Open {
        access: Access,
        tools: Option<Vec<&'static str>>,
        ttl_seconds: u32,
        limits: SessionLimits,
    },
    Call {
        session: Index,
        tool: &'static str,
        can_be_sent: (bool, bool),
        replica: u8,
        id: Option<Index>,
    },
    End {
        session: Index,
        call: Index,
        outcome: Outcome,
    },
    Cancel {
        session: Index,
        call: Index,
    },
    Abandon {
        session: Index,
        replica: u8,
    },
    Manifest {
        session: Index,
        shown: u8,
        times: u64,
    },
    Revoke {
        session: Index,
    },
    CutSubject,
    BlockSubject,
    UnblockSubject,
    CutServer,
    Revise {
        definition: usize,
    },
    RetireServer,
    CutConnection(usize),
    Refresh {
        connection: usize,
        catalog: usize,
    },
    /// What the upstream offers by now; the definitions may be others than before.
    Observe {
        connection: usize,
        catalog: usize,
        others: bool,
    },
    Approve {
        connection: usize,
    },
    Reconfigure(usize),
    RetireConnection(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let session = any::<Index>;
    let replica = || 0..2_u8;
    let connection = || 0..CONNECTIONS.len();
    let access = select(vec![Access::Full, Access::Full, Access::ReadOnly]);
    let tools = prop::option::weighted(0.3, prop::sample::subsequence(TRIED[..3].to_vec(), 0..3));
    let outcome = select(vec![
        Outcome::Succeeded,
        Outcome::Failed("timeout".to_owned()),
        Outcome::Cancelled(Cause::Revocation),
    ]);
    let per_minute = prop::option::of(1..4_u32);
    let limits = (0..12_u32, per_minute).prop_map(|(calls_max, calls_per_minute_max)| SessionLimits {
        calls_max: Some(calls_max),
        calls_per_minute_max,
    });
    let step = prop_oneof![
        12 => (0..40_i64).prop_map(|seconds| Step::Wait { seconds }),
        20 => (access, tools, 50..400_u32, limits).prop_map(|(access, tools, ttl_seconds, limits)| {
            Step::Open { access, tools, ttl_seconds, limits }
        }),
        150 => (
            session(),
            select(TRIED.to_vec()),
            (prop::bool::weighted(0.9), prop::bool::weighted(0.95)),
            replica(),
            prop::option::weighted(0.1, session()),
        )
            .prop_map(|(session, tool, can_be_sent, replica, id)| {
                Step::Call { session, tool, can_be_sent, replica, id }
            }),
        60 => (session(), session(), outcome)
            .prop_map(|(session, call, outcome)| Step::End { session, call, outcome }),
        24 => (session(), session()).prop_map(|(session, call)| Step::Cancel { session, call }),
        14 => (session(), replica()).prop_map(|(session, replica)| Step::Abandon { session, replica }),
        3 => (session(), 0..2_u8, 1..3_u64)
            .prop_map(|(session, shown, times)| Step::Manifest { session, shown, times }),
        1 => session().prop_map(|session| Step::Revoke { session }),
        1 => Just(Step::CutSubject),
        1 => Just(Step::BlockSubject),
        8 => Just(Step::UnblockSubject),
        1 => Just(Step::CutServer),
        3 => (0..definitions().len()).prop_map(|definition| Step::Revise { definition }),
        1 => Just(Step::RetireServer),
        3 => connection().prop_map(Step::CutConnection),
        4 => (connection(), 0..CATALOGS.len())
            .prop_map(|(connection, catalog)| Step::Refresh { connection, catalog }),
        4 => (connection(), 0..CATALOGS.len(), any::<bool>())
            .prop_map(|(connection, catalog, others)| Step::Observe { connection, catalog, others }),
        3 => connection().prop_map(|connection| Step::Approve { connection }),
        1 => connection().prop_map(Step::Reconfigure),
        1 => connection().prop_map(Step::RetireConnection),
    ];
    prop::collection::vec(step, 1..100)
}

/// Decides twice, which must be the same, and on the state rebuilt from the journal, too.
fn decide(world: &World, number: usize, command: &SessionCommand) -> Result<Decided, TestCaseError> {
    let session = &world.sessions[number];
    let decided = session.decide(command);
    prop_assert_eq!(&decided, &session.decide(command), "a decision is deterministic");
    prop_assert_eq!(&decided, &world.replayed(number).decide(command), "and rests on the journal alone");
    Ok(decided)
}

type Decided = Result<Vec<SessionEvent>, SessionError>;

fn record<A: Decider>(world: &mut World, stream: Stream, decided: Result<Vec<A::Event>, A::Error>)
where
    A::Event: Into<Event>,
{
    // Commands that are nonsense in this state are part of the game and change nothing.
    for event in decided.into_iter().flatten() {
        world.record(stream, event);
    }
}

fn play(world: &mut World, steps: Vec<Step>) -> Result<(), TestCaseError> {
    for (number, step) in steps.into_iter().enumerate() {
        take(world, number, step)?;
        for session in 0..world.sessions.len() {
            holds(world, session)?;
        }
    }
    Ok(())
}

fn take(world: &mut World, step_number: usize, step: Step) -> Result<(), TestCaseError> {
    match step {
        Step::Wait { seconds } => world.now.0 += seconds * SECOND,
        Step::Open { access, tools, ttl_seconds, limits } => {
            let tools = tools.map(|tools| tools.into_iter().map(str::to_owned).collect());
            let opening = Opening { access, tools, ttl_seconds, limits, ..opening() };
            let grounds = OpeningGrounds {
                subject: world.subject.clone(),
                server: world.server.clone(),
                user_connections: Vec::new(),
                provider: None,
            };
            let command = SessionCommand::Open { at: world.now, opening, grounds };
            let decided = Session::default().decide(&command);
            if decided.is_ok() {
                world.sessions.push(Session::default());
                let number = world.sessions.len() - 1;
                record::<Session>(world, Stream::Session(number), decided);
            }
        }
        Step::CutSubject => subject(world, SubjectCommand::CutSessions { by: by(), reason: reason() }),
        Step::BlockSubject => subject(world, SubjectCommand::Block { by: by(), reason: reason() }),
        Step::UnblockSubject => subject(world, SubjectCommand::Unblock { by: by(), reason: String::new() }),
        Step::CutServer => server(world, VirtualServerCommand::CutSessions { by: by(), reason: reason() }),
        Step::RetireServer => server(world, VirtualServerCommand::Retire { by: by(), reason: reason() }),
        Step::Revise { definition } => {
            let definition = definitions().swap_remove(definition).0;
            let connections = world.connections_by_name();
            server(
                world,
                VirtualServerCommand::Revise {
                    by: by(),
                    definition,
                    connections,
                    providers: BTreeMap::new(),
                },
            );
        }
        Step::CutConnection(number) => {
            connection(world, number, ConnectionCommand::CutSessions { by: by(), reason: reason() });
        }
        Step::RetireConnection(number) => {
            connection(world, number, ConnectionCommand::Retire { by: by(), reason: reason() });
        }
        Step::Reconfigure(number) => {
            let command =
                ConnectionCommand::Reconfigure { by: by(), settings: settings(), new_secrets: true };
            connection(world, number, command);
        }
        Step::Refresh { connection: number, catalog: found } => {
            let generation = world.connections[number].generation();
            let catalog = catalog(CATALOGS[found]);
            connection(world, number, ConnectionCommand::RefreshCatalog { by: by(), catalog, generation });
        }
        Step::Observe { connection: number, catalog: found, others } => {
            let generation = world.connections[number].generation();
            let mut tools = catalog(CATALOGS[found]).features;
            for (_, tool) in tools.iter_mut().filter(|(name, _)| others && name.name() != "read") {
                tool.digest.insert_str(0, "other ");
            }
            let catalog = Catalog::of(Era::Modern, "2026-07-28".to_owned(), tools);
            let observation = Observation { catalog, complete: true, narrowed: Vec::new() };
            connection(
                world,
                number,
                ConnectionCommand::ObserveCatalog { by: by(), observation, generation, at: world.now },
            );
        }
        Step::Approve { connection: number } => {
            let digest = world.connections[number].offered_digest();
            connection(world, number, ConnectionCommand::ApproveCatalog { by: by(), tools: None, digest });
        }
        in_session => {
            if !world.sessions.is_empty() {
                take_in_session(world, step_number, in_session)?;
            }
        }
    }
    Ok(())
}

fn subject(world: &mut World, command: SubjectCommand) {
    let decided = world.subject.decide(&command);
    record::<Subject>(world, Stream::Subject, decided);
}

fn server(world: &mut World, command: VirtualServerCommand) {
    let decided = world.server.decide(&command);
    record::<VirtualServer>(world, Stream::Server, decided);
}

fn connection(world: &mut World, number: usize, command: ConnectionCommand) {
    let decided = world.connections[number].decide(&command);
    record::<Connection>(world, Stream::Connection(number), decided);
}

/// Some call that this session was ever asked for, or one that it never was.
fn some_call(world: &World, number: usize, index: Index) -> CallId {
    // Those in flight stand twice, so that they are met more often.
    let mut calls: Vec<CallId> = world.expected_in_flight(number).into_iter().collect();
    calls.push("call_never".into());
    calls.extend(world.session_events(number).filter_map(|event| match event {
        SessionEvent::ToolCallAdmitted { call, .. } | SessionEvent::ToolCallRefused { call, .. } => {
            Some(call.clone())
        }
        _ => None,
    }));
    calls.swap_remove(index.index(calls.len()))
}

fn take_in_session(world: &mut World, step_number: usize, step: Step) -> Result<(), TestCaseError> {
    let count = world.sessions.len();
    let (number, command) = match step {
        Step::Call { session, tool, can_be_sent: (arguments_ok, free), replica, id } => {
            let number = session.index(count);
            let open = world.expected_in_flight(number);
            let reused = id.filter(|_| !open.is_empty()).map(|id| open.iter().nth(id.index(open.len())));
            let id = reused.flatten().map_or_else(|| format!("call_{step_number}"), CallId::to_string);
            let replica = format!("rep_{replica}").into();
            let busy = HeldBack { reason: Refusal::ConnectionBusy, retry_at: Micros(world.now.0 + SECOND) };
            let held_back = (!free).then_some(busy);
            let request = CallRequest { arguments_ok, held_back, replica, ..call(&id, tool) };
            return ask(world, number, request);
        }
        Step::End { session, call, outcome } => {
            let number = session.index(count);
            let call = some_call(world, number, call);
            (number, SessionCommand::RecordOutcome { call, outcome, duration_us: 1, result_bytes: 1 })
        }
        Step::Cancel { session, call } => {
            let number = session.index(count);
            let request = format!("request of {}", some_call(world, number, call));
            (number, SessionCommand::RequestCancel { request })
        }
        Step::Abandon { session, replica } => {
            (session.index(count), SessionCommand::AbandonCalls { replica: format!("rep_{replica}").into() })
        }
        Step::Manifest { session, shown, times } => {
            let manifest = format!("manifest {shown}");
            let at = world.now;
            let command = SessionCommand::RecordManifest {
                at,
                list: List::Tools,
                manifest,
                version: 1,
                tools: 1,
                client: client(),
                times,
            };
            (session.index(count), command)
        }
        Step::Revoke { session } => {
            (session.index(count), SessionCommand::Revoke { by: by(), reason: reason() })
        }
        other => panic!("{other:?} is not a step in a session"),
    };
    let decided = decide(world, number, &command)?;
    record::<Session>(world, Stream::Session(number), decided);
    Ok(())
}

/// Asks for a call and compares the answer with what the history says.
fn ask(world: &mut World, number: usize, request: CallRequest) -> Result<(), TestCaseError> {
    let grounds = world.grounds(request.wanted.name());
    let command = SessionCommand::RequestToolCall { at: world.now, request: request.clone(), grounds };
    let decided = decide(world, number, &command)?;
    if world.expected_in_flight(number).contains(&request.call) {
        prop_assert_eq!(decided, Err(SessionError::CallExists(request.call)));
        return Ok(());
    }
    let events = decided.unwrap();
    match (world.expected(number, &request), &events[..]) {
        (Some(expected), [SessionEvent::ToolCallAdmitted { call, tool, route, replica, .. }]) => {
            prop_assert_eq!(route, &expected);
            prop_assert_eq!(
                (call, tool.as_str(), replica),
                (&request.call, request.wanted.name(), &request.replica)
            );
        }
        (None, [] | [SessionEvent::ToolCallRefused { .. }]) => {
            record::<Session>(world, Stream::Session(number), Ok(events));
            let again = CallRequest { call: "call_again".into(), ..request };
            let grounds = world.grounds(again.wanted.name());
            let command = SessionCommand::RequestToolCall { at: world.now, request: again, grounds };
            prop_assert_eq!(decide(world, number, &command)?, Ok(vec![]), "recorded once a minute");
            return Ok(());
        }
        (expected, events) => prop_assert!(false, "expected {expected:?}, decided {events:?}"),
    }
    record::<Session>(world, Stream::Session(number), Ok(events));
    Ok(())
}

/// What holds for a session after every step.
fn holds(world: &World, number: usize) -> Result<(), TestCaseError> {
    let session = &world.sessions[number];
    prop_assert_eq!(session, &world.replayed(number), "replaying gives the same state");
    let flying: Vec<_> = session.in_flight().keys().cloned().collect();
    let expected: Vec<_> = world.expected_in_flight(number).into_iter().collect();
    prop_assert_eq!(flying, expected, "in flight is what was admitted and neither ended nor abandoned");

    let mut lives: BTreeMap<&CallId, Vec<&str>> = BTreeMap::new();
    for event in world.session_events(number) {
        let (call, mark) = match event {
            SessionEvent::ToolCallAdmitted { call, .. } => (call, "admitted"),
            SessionEvent::ToolCallRefused { call, .. } => (call, "refused"),
            SessionEvent::ToolCallEnded { call, late: false, .. } => (call, "ended"),
            SessionEvent::ToolCallEnded { call, late: true, .. } => (call, "ended late"),
            SessionEvent::ToolCallAbandoned { call } => (call, "abandoned"),
            SessionEvent::ToolCallCancelRequested { call } => (call, "cancel"),
            SessionEvent::SessionOpened { .. }
            | SessionEvent::ManifestServed { .. }
            | SessionEvent::ToolCallRefusedAgain { .. }
            | SessionEvent::InputRequested { .. }
            | SessionEvent::InputGiven { .. }
            | SessionEvent::LogLevelSet { .. }
            | SessionEvent::SessionRevoked { .. } => continue,
        };
        lives.entry(call).or_default().push(mark);
    }
    for (call, life) in lives {
        let whole = life.iter().filter(|mark| **mark != "cancel").copied().collect::<Vec<_>>();
        let known = matches!(
            whole[..],
            ["admitted"]
                | ["refused"]
                | ["admitted", "ended"]
                | ["admitted", "abandoned"]
                | ["admitted", "abandoned", "ended late"]
        );
        prop_assert!(known && life.len() <= whole.len() + 1, "{}: {:?}", call, life);
    }

    let mut refusals: BTreeMap<i64, usize> = BTreeMap::new();
    for entry in world.history.iter().filter(|entry| entry.stream == Stream::Session(number)) {
        if let Event::Session(SessionEvent::ToolCallRefused { .. }) = entry.event {
            *refusals.entry(entry.place.recorded_at.minute()).or_default() += 1;
        }
    }
    prop_assert!(refusals.into_values().all(|count| count <= REFUSALS_PER_MINUTE_MAX + 15));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_happens_a_session_admits_what_its_history_allows_and_nothing_else(steps in steps()) {
        play(&mut World::new(), steps)?;
    }
}
