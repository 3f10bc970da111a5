//! Two processes on one file: whatever they do at random, one order of events explains it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use proctor_test_upstream::{Options, Received, Upstream};
use serde_json::{Value, json};

use crate::agent::Agent;
use crate::dice::{self, Dice};
use crate::rest::Session;
use crate::world::{Server, World};

/// What somebody saw of the world: it began and ended then, and these were the words.
#[derive(Debug, Clone)]
struct Seen {
    began: u64,
    ended: u64,
    what: What,
}

#[derive(Debug, Clone, PartialEq)]
enum What {
    Revoked(String),
    /// A cut of the user's sessions.
    Cut(String),
    /// The virtual server now has this version.
    Revised(u64),
    /// A call of this session had this status, and succeeded or not.
    Called {
        session: String,
        text: String,
        succeeded: bool,
    },
}

const TOOLS: [&str; 3] = ["echo", "read_thing", "big"];
const USERS: [&str; 2] = ["ada", "grace"];
const THREADS: usize = 6;
const STEPS: usize = 25;

#[test]
fn what_two_processes_do_at_random_has_an_order_that_explains_it() {
    let seed = dice::seed();
    let world = World::start_behind_url(&[]);
    let upstream = Upstream::start(Options::default());
    world.desk(&upstream);
    let other = world.another();
    let servers: [&Server; 2] = [&world, &other];
    let sessions: Vec<(Session, &str)> = (0..4)
        .map(|number| (servers[number % 2].mint("desk", USERS[number / 2]), USERS[number / 2]))
        .collect();
    let sessions = Mutex::new(sessions);
    let clock = AtomicU64::new(0);
    let seen = Mutex::new(Vec::new());

    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (sessions, clock, seen) = (&sessions, &clock, &seen);
            let mut dice = Dice::new(seed.wrapping_add(thread as u64));
            scope.spawn(move || {
                for step in 0..STEPS {
                    let server = servers[dice.roll(2)];
                    let (session, user) = {
                        let sessions = sessions.lock().unwrap();
                        sessions[dice.roll(sessions.len())].clone()
                    };
                    let began = clock.fetch_add(1, Ordering::SeqCst);
                    let what = match dice.roll(20) {
                        0 => {
                            server.revoke(&session);
                            Some(What::Revoked(session.id))
                        }
                        1 if step > STEPS / 2 => {
                            let cut = json!({ "user": user, "reason": "at random" });
                            server.post("/api/v1/revocations", &cut).ok();
                            Some(What::Cut(user.to_owned()))
                        }
                        2 | 3 => {
                            let first = dice.roll(TOOLS.len());
                            let tools = TOOLS[first..].iter();
                            let tools = tools.map(|tool| json!({ "connection": "fixture", "tool": tool }));
                            let answer = server.revise("desk", tools.collect());
                            answer["version"].as_u64().map(What::Revised)
                        }
                        4 | 5 => {
                            let minted = server.mint("desk", user);
                            sessions.lock().unwrap().push((minted, user));
                            None
                        }
                        _ => {
                            let text = format!("{thread}/{step}");
                            let arguments = json!({ "text": text, "bytes": 1 }).to_string();
                            let answer =
                                Agent::modern(server, &session).call(TOOLS[dice.roll(3)], &arguments);
                            let succeeded = answer.status == 200 && answer.json().get("result").is_some();
                            Some(What::Called { session: session.id, text, succeeded })
                        }
                    };
                    let ended = clock.fetch_add(1, Ordering::SeqCst);
                    if let Some(what) = what {
                        seen.lock().unwrap().push(Seen { began, ended, what });
                    }
                }
            });
        }
    });

    let seen = seen.into_inner().unwrap();
    let sessions = sessions.into_inner().unwrap();
    judge(&world, &upstream, &seen, &sessions);
}

/// Checks the journal's order against itself, against what was seen, and against what arrived.
fn judge(world: &World, upstream: &Upstream, seen: &[Seen], sessions: &[(Session, &str)]) {
    let acts = world.pages("/api/v1/audit/acts?limit=500");
    let places = |kind: &str, user: Option<&str>| -> Vec<u64> {
        let of_kind = acts.iter().filter(|act| act["type"] == kind);
        let mut places: Vec<u64> =
            of_kind.filter(|act| user.is_none_or(|user| act["user"] == user)).map(place).collect();
        places.sort_unstable();
        places
    };
    let revisions = places("VirtualServerRevised", None);
    let version_at = |at: u64| 1 + revisions.iter().filter(|revised| **revised < at).count() as u64;
    let cuts_of: BTreeMap<&str, Vec<u64>> =
        USERS.map(|user| (user, places("SubjectSessionsCut", Some(user)))).into();

    let mut admitted: BTreeMap<String, u64> = BTreeMap::new();
    let mut opened: BTreeMap<&str, (u64, &str)> = BTreeMap::new();
    for (session, user) in sessions {
        let timeline = world.timeline(session);
        let opened_at = place(&timeline[0]);
        opened.insert(&session.id, (opened_at, user));
        let revoked = timeline.iter().find(|event| event["type"] == "SessionRevoked").map(place);
        // The first cut after its opening ends it as well.
        let cut = cuts_of[user].iter().copied().find(|cut| *cut > opened_at);
        let ended_at = revoked.into_iter().chain(cut).min().unwrap_or(u64::MAX);
        for event in timeline.iter().filter(|event| event["type"] == "ToolCallAdmitted") {
            assert!(place(event) < ended_at, "admitted after its session ended at {ended_at}: {event}");
        }
        for row in world.trail(&format!("session={}&limit=500", session.id)) {
            if row["outcome"] == "refused" {
                continue;
            }
            // It rests on the version that was in force at its position, and on no other.
            assert_eq!(row["version"].as_u64().unwrap(), version_at(place(&row)), "{row}");
            let detail = world.call_on_record(row["call_id"].as_str().unwrap());
            admitted.insert(detail["arguments"]["text"].as_str().unwrap().to_owned(), place(&row));
        }
    }

    // What arrived was admitted, each once. An admitted call may have been stopped on its way.
    let arrived: Vec<String> = upstream.ledger().calls().iter().map(text_of).collect();
    let once: BTreeSet<&String> = arrived.iter().collect();
    assert_eq!(once.len(), arrived.len(), "a call arrived twice");
    assert!(once.iter().all(|text| admitted.contains_key(*text)), "a call arrived that was not admitted");
    let succeeded =
        seen.iter().filter(|seen| matches!(seen.what, What::Called { succeeded: true, .. })).count();
    assert!(succeeded > THREADS * STEPS / 10, "only {succeeded} calls succeeded: nothing was shown");

    // What somebody saw end before another thing began comes before it.
    for later in seen {
        let What::Called { session, text, succeeded: true } = &later.what else { continue };
        assert!(admitted.contains_key(text), "{text} was answered and is not on the record");
        let (opened_at, user) = opened[session.as_str()];
        let mut cuts_seen = 0;
        for earlier in seen.iter().filter(|earlier| earlier.ended < later.began) {
            match &earlier.what {
                What::Revoked(revoked) => {
                    assert_ne!(revoked, session, "{text} was admitted after its session was revoked");
                }
                What::Cut(whose) => cuts_seen += usize::from(whose == user),
                What::Revised(version) => {
                    assert!(version_at(admitted[text]) >= *version, "{text} rested on an old version");
                }
                What::Called { text: before, succeeded, .. } => {
                    assert!(!succeeded || admitted[before] < admitted[text], "{before} came before {text}");
                }
            }
        }
        // Of so many cuts that were seen, one stands at the place of the last of them, or after it.
        if let Some(nth) = cuts_seen.checked_sub(1) {
            assert!(opened_at > cuts_of[user][nth], "{text} was admitted after a cut of {user}");
        }
    }
}

fn place(event: &Value) -> u64 {
    event["position"].as_u64().unwrap()
}

fn text_of(call: &Received) -> String {
    let arguments: Value = serde_json::from_str(call.arguments.as_deref().unwrap()).unwrap();
    arguments["text"].as_str().unwrap().to_owned()
}
