//! Two processes on one file that admit, revoke and revise at random, on a store that fails now and
//! then, leave a history that a serial order explains.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use proctor_domain::connection::{Connection, ConnectionCommand};
use proctor_domain::limits::SessionLimits;
use proctor_domain::session::{Access, Opening, Outcome, Session, SessionCommand};
use proctor_domain::subject::{Subject, SubjectCommand};
use proctor_domain::virtual_server::{VirtualServer, VirtualServerCommand};
use proctor_domain::{Event, Recorded};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use super::history::{Asked, ServerAsked, SessionAsked, States, TTL_SECONDS, explain};
use super::world::*;
use crate::actors::AskError;
use crate::journal::tests::{Fault, Script, Site, on_both_stores};
use crate::journal::{AppendError, Delivered};

/// How long each history is written at least: it goes on until enough has happened in it.
const LASTS: Duration = Duration::from_millis(1_500);
/// By then it must have, however busy the machine is: a process that never gets the lock is found so.
const LASTS_MAX: Duration = Duration::from_secs(20);
/// Calls that each of both processes has to admit.
const CALLS: usize = 30;
/// What has to happen besides.
const NEEDED: [&str; 4] = ["ToolCallAdmitted", "ToolCallRefused", "SessionRevoked", "SubjectSessionsCut"];
/// So many commits lie between two failures at most: a slow machine fails no more often than a fast one.
const COMMITS_BETWEEN_MAX: u64 = 40;
/// Whoever asks at the same time, in each process.
const ASKERS: u64 = 6;
/// So short that entities stop and start all the time.
const IDLE: Duration = Duration::from_millis(20);

const SUBJECTS: [&str; 4] = ["sub_1", "sub_2", "sub_3", "sub_4"];
const TOOLS: [&str; 3] = ["search", "send", "delete"];

/// One question with its answer.
struct Told {
    asked: Asked,
    /// The newest position that anybody was told of before this was asked.
    before: u64,
    /// The journal's head after the answer.
    after: u64,
    answer: Result<Vec<Delivered>, Why>,
}

#[derive(Debug, PartialEq)]
enum Why {
    Nonsense,
    NothingWasDone,
    InDoubt,
}

/// What all askers of both processes share.
#[derive(Default)]
struct Shared {
    acknowledged: AtomicU64,
    sessions: Mutex<Vec<String>>,
    open_calls: Mutex<Vec<(String, String)>>,
    told: Mutex<Vec<Told>>,
    /// The types of events that anybody was told of.
    happened: Mutex<BTreeSet<&'static str>>,
    /// How many calls each process was told that it has admitted.
    admitted: Mutex<BTreeMap<String, usize>>,
    over: AtomicBool,
}

impl Shared {
    fn session(&self, rng: &mut StdRng) -> String {
        let sessions = self.sessions.lock().unwrap();
        // Mostly young ones: old ones tend to be revoked.
        let young = sessions.len().saturating_sub(6);
        let at = if rng.random_bool(0.8) {
            rng.random_range(young..sessions.len())
        } else {
            rng.random_range(0..sessions.len())
        };
        sessions[at].clone()
    }

    /// Whether the history is worth something by now.
    fn is_enough(&self) -> bool {
        let admitted = self.admitted.lock().unwrap();
        let happened = self.happened.lock().unwrap();
        admitted.values().filter(|calls| **calls >= CALLS).count() == 2
            && NEEDED.iter().all(|needed| happened.contains(needed))
    }
}

fn choose(shared: &Shared, rng: &mut StdRng, fresh: &str, replica: &str) -> Asked {
    let reason = || "it was time".to_owned();
    let session = shared.session(rng);
    let subject = (*SUBJECTS.choose(rng).unwrap()).to_owned();
    let other = |command| SessionAsked::Other(command);
    match rng.random_range(0..1_000) {
        0..450 => {
            let tool = TOOLS.choose(rng).unwrap();
            Asked::Session(session, SessionAsked::Call(request(&format!("call_{fresh}"), tool, replica)))
        }
        450..640 => {
            let mut open = shared.open_calls.lock().unwrap();
            if open.is_empty() {
                return Asked::Connection(ConnectionCommand::RecordTest { by: by(), failure: None });
            }
            let at = rng.random_range(0..open.len());
            // Now and then a call is ended twice.
            let (session, call) = if rng.random_bool(0.1) { open[at].clone() } else { open.swap_remove(at) };
            let outcome = SessionCommand::RecordOutcome {
                call: call.as_str().into(),
                outcome: Outcome::Succeeded,
                duration_us: 1,
                result_bytes: 1,
            };
            Asked::Session(session, other(outcome))
        }
        640..680 => {
            let open = shared.open_calls.lock().unwrap();
            let call = open.choose(rng).cloned().unwrap_or((session, "call_none".to_owned()));
            let request = format!("request of {}", call.1);
            Asked::Session(call.0, other(SessionCommand::RequestCancel { request }))
        }
        680..820 => Asked::Session(
            format!("ses_{fresh}"),
            SessionAsked::Open(Opening {
                by: by(),
                subject: subject.as_str().into(),
                virtual_server: name("support"),
                access: Access::Full,
                tools: None,
                ttl_seconds: TTL_SECONDS,
                until: None,
                // Some may make so few calls a minute that all processes run into it.
                limits: SessionLimits {
                    calls_max: None,
                    calls_per_minute_max: rng.random_bool(0.3).then(|| rng.random_range(1..6)),
                },
                label_indexes: Vec::new(),
            }),
        ),
        820..845 => Asked::Session(session, other(SessionCommand::Revoke { by: by(), reason: reason() })),
        845..860 => Asked::Subject(subject, SubjectCommand::CutSessions { by: by(), reason: reason() }),
        860..870 => Asked::Subject(subject, SubjectCommand::Block { by: by(), reason: reason() }),
        870..920 => Asked::Subject(subject, SubjectCommand::Unblock { by: by(), reason: String::new() }),
        920..955 => {
            let some: BTreeSet<&str> = (0..5).filter_map(|_| TOOLS.choose(rng).copied()).collect();
            Asked::Server(ServerAsked::Revise(some.into_iter().map(str::to_owned).collect()))
        }
        955..958 => Asked::Server(ServerAsked::Other(Box::new(VirtualServerCommand::CutSessions {
            by: by(),
            reason: reason(),
        }))),
        958..970 => Asked::Connection(ConnectionCommand::RecordTest { by: by(), failure: None }),
        970..973 => Asked::Connection(ConnectionCommand::CutSessions { by: by(), reason: reason() }),
        _ => {
            let settings = settings(&format!("https://{}.example/", rng.random_range(0..3)));
            Asked::Connection(ConnectionCommand::Reconfigure { by: by(), settings, new_secrets: true })
        }
    }
}

fn why<E: std::error::Error>(error: &AskError<E>) -> Why {
    match error {
        AskError::Nonsense(_) => Why::Nonsense,
        AskError::Append(AppendError::InDoubt(_)) => Why::InDoubt,
        AskError::Append(_) | AskError::Stale(_) | AskError::Unavailable(_) => Why::NothingWasDone,
    }
}

async fn ask(world: &World, asked: &Asked) -> Result<Vec<Delivered>, Why> {
    match asked {
        Asked::Session(id, SessionAsked::Open(opening)) => {
            let minted = world.mint_for(id, opening.subject.as_str(), TTL_SECONDS, opening.limits);
            minted.await.map_err(|error| why(&error))
        }
        Asked::Session(id, SessionAsked::Call(request)) => {
            world.call(id, request.call.as_str(), request.wanted.name()).await.map_err(|error| why(&error))
        }
        Asked::Session(id, SessionAsked::Other(command)) => {
            world.directory.tell::<Session>(id, command.clone()).await.map_err(|error| why(&error))
        }
        Asked::Subject(id, command) => world.subject(id, command.clone()).await.map_err(|error| why(&error)),
        Asked::Server(ServerAsked::Revise(tools)) => {
            let tools: Vec<&str> = tools.iter().map(String::as_str).collect();
            world.revise(&tools).await.map_err(|error| why(&error))
        }
        Asked::Server(ServerAsked::Other(command)) => {
            world.server((**command).clone()).await.map_err(|error| why(&error))
        }
        Asked::Connection(command) => world.connection(command.clone()).await.map_err(|error| why(&error)),
    }
}

async fn go_on_asking(world: &World, shared: &Shared, seed: u64, asker: u64) {
    let replica = world.journal.replica().clone();
    let mut rng = StdRng::seed_from_u64(seed ^ (asker << 32));
    for n in 0_u64.. {
        if shared.over.load(Ordering::Acquire) {
            return;
        }
        let asked = choose(shared, &mut rng, &format!("{replica}_{asker}_{n}"), replica.as_str());
        let before = shared.acknowledged.load(Ordering::SeqCst);
        let answer = ask(world, &asked).await;
        let newest = answer.iter().flatten().map(|event| event.place.position.0).max().unwrap_or(0);
        shared.acknowledged.fetch_max(newest, Ordering::SeqCst);
        let after = world.journal.reader().head().await.unwrap().0;
        for event in answer.iter().flatten() {
            use proctor_domain::session::SessionEvent::{SessionOpened, ToolCallAdmitted};
            let session = || event.stream.id.to_string();
            shared.happened.lock().unwrap().insert(event.event.type_name());
            match &event.event {
                Event::Session(SessionOpened { .. }) => shared.sessions.lock().unwrap().push(session()),
                Event::Session(ToolCallAdmitted { call, .. }) => {
                    shared.open_calls.lock().unwrap().push((session(), call.to_string()));
                    *shared.admitted.lock().unwrap().entry(replica.to_string()).or_default() += 1;
                }
                _ => {}
            }
        }
        shared.told.lock().unwrap().push(Told { asked, before, after, answer });
    }
}

async fn break_now_and_then(script: &Script, shared: &Shared, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    while !shared.over.load(Ordering::Acquire) {
        let next = script.commits() + rng.random_range(1..=COMMITS_BETWEEN_MAX);
        while script.commits() < next && !shared.over.load(Ordering::Acquire) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        script.will([match rng.random_range(0..4) {
            0 => Fault::Begin,
            1 => Fault::Commit,
            2 => Fault::Insert,
            _ => Fault::CommitAnswerLost,
        }]);
    }
}

/// One process, on a thread and an actix system of its own.
fn process(site: &Site, shared: &Shared, replica: &str, seed: u64) {
    play(async {
        let (journal, script) = site.open_faulty(replica).await;
        let world = World::on(journal, IDLE).await;
        let askers = join_all((0..ASKERS).map(|asker| go_on_asking(&world, shared, seed, asker)));
        let end = async {
            let began = Instant::now();
            while began.elapsed() < LASTS || !shared.is_enough() && began.elapsed() < LASTS_MAX {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            shared.over.store(true, Ordering::Release);
        };
        tokio::join!(askers, end, break_now_and_then(&script, shared, seed));
        agrees_with_the_journal(site, &world).await;
        world.journal.stop().await;
    });
}

/// What the entities show is what the journal says.
async fn agrees_with_the_journal(site: &Site, world: &World) {
    let history = site.history().await;
    let states = explain(&history);
    let last = states.last().unwrap();
    let directory = &world.directory;
    let newer = |version: u64, id: &str| {
        // The other process may still write.
        history.iter().filter(|event| &*event.stream.id == id).count() as u64 != version
    };
    let server = directory.fresh::<VirtualServer>("support").await.unwrap();
    assert!(*server == *last.server() || newer(proctor_domain::Decider::version(&*server), "support"));
    let gmail = directory.fresh::<Connection>("gmail").await.unwrap();
    assert!(*gmail == *last.gmail() || newer(proctor_domain::Decider::version(&*gmail), "gmail"));
    for subject in SUBJECTS {
        let state = directory.fresh::<Subject>(subject).await.unwrap();
        assert!(
            *state == *last.subject(subject) || newer(proctor_domain::Decider::version(&*state), subject)
        );
    }
}

fn check(history: &[Arc<Recorded>], states: &[States], told: &Told, seed: u64) {
    let Told { asked, before, after, answer } = told;
    match answer {
        Ok(events) if !events.is_empty() => {
            for event in events {
                let position = event.place.position.0;
                let stored = &history[usize::try_from(position).unwrap() - 1];
                assert_eq!(**stored, **event.recorded(), "told of another event, seed {seed}");
                assert!(position > *before, "{asked:?} was answered with the past, seed {seed}");
                assert!(position <= *after);
            }
        }
        // Nothing to write, or nonsense: at some moment between question and answer it was.
        Ok(_) | Err(Why::Nonsense) => {
            let explained = (*before..=*after).any(|position| {
                let state = &states[usize::try_from(position).unwrap()];
                state.decide(asked, crate::actors::now()).is_empty()
            });
            // A refusal coalesces with one of the same minute, which may be over by now.
            let coalesced = answer.is_ok() && matches!(asked, Asked::Session(_, SessionAsked::Call(_)));
            assert!(explained || coalesced, "{asked:?} was never nothing, seed {seed}");
        }
        Err(Why::NothingWasDone) => {
            if let Asked::Session(_, SessionAsked::Call(request)) = asked {
                let quoted = format!("\"{}\"", request.call);
                let found = history.iter().find(|event| event.payload.contains(&quoted));
                assert!(found.is_none(), "{asked:?} was said not to be written, seed {seed}");
            }
        }
        Err(Why::InDoubt) => {}
    }
}

fn write_and_check(site: &Site, seed: u64) {
    let shared = Shared::default();
    play(async {
        let world = World::open(site, "rep_0").await;
        world.set().await;
        for subject in &SUBJECTS[2..] {
            world.subject(subject, SubjectCommand::Register { by: by() }).await.unwrap();
        }
        world.refresh(&TOOLS).await.unwrap();
        let first = world.mint("ses_first", "sub_1").await.unwrap();
        shared.sessions.lock().unwrap().push("ses_first".to_owned());
        shared.acknowledged.store(first[0].place.position.0, Ordering::SeqCst);
        world.journal.stop().await;
    });
    std::thread::scope(|scope| {
        scope.spawn(|| process(site, &shared, "rep_1", seed));
        scope.spawn(|| process(site, &shared, "rep_2", seed + 1));
    });
    let history = play(site.history());
    let states = explain(&history);
    let told = shared.told.into_inner().unwrap();
    told.iter().for_each(|told| check(&history, &states, told, seed));

    let answered = told.iter().filter(|told| told.answer.is_ok()).count();
    println!(
        "seed {seed}: {} events, {} questions, {answered} answered, {} in doubt",
        history.len(),
        told.len(),
        told.iter().filter(|told| matches!(told.answer, Err(Why::InDoubt))).count(),
    );
    // The history is worth something only if all of it took place.
    let happened: BTreeSet<_> = history.iter().map(|event| event.event.type_name()).collect();
    for needed in NEEDED {
        assert!(happened.contains(needed), "no {needed} with seed {seed}");
    }
    let admitted_by = |replica: &str| {
        let by = format!("\"replica\":\"{replica}\"");
        history.iter().filter(|event| event.payload.contains(&by)).count()
    };
    let (one, two) = (admitted_by("rep_1"), admitted_by("rep_2"));
    assert!(one >= CALLS && two >= CALLS, "one of them slept: {one} and {two} calls, seed {seed}");
    assert!(answered * 2 > told.len(), "{answered} of {} were answered, seed {seed}", told.len());
}

fn two_processes_leave_a_history_that_a_serial_order_explains(site: Site) {
    let first: u64 = rand::random_range(0..1_000_000);
    for seed in first..first + 3 {
        println!("seed {seed}");
        write_and_check(&site.another(), seed);
    }
}

on_both_stores!(two_processes_leave_a_history_that_a_serial_order_explains);
