//! Two processes on one file: whatever they do at random, one order of events explains it.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use proctor_test_upstream::{Options, Upstream};
use serde_json::{Value, json};

use crate::agent::Agent;
use crate::rest::Session;
use crate::world::{Server, World};

/// Random numbers that a seed repeats (SplitMix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % sides as u64).unwrap()
    }
}

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
const THREADS: usize = 6;
const STEPS: usize = 25;

#[test]
fn what_two_processes_do_at_random_has_an_order_that_explains_it() {
    let seed = std::env::var("PROCTOR_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()) * 7_919);
    println!("PROCTOR_TEST_SEED={seed} repeats what was done, if not when");
    let world = World::start_behind_url(&[]);
    let upstream = Upstream::start(Options::default());
    world.desk(&upstream);
    let other = world.another();
    let servers: [&Server; 2] = [&world, &other];
    let users = ["ada", "grace"];
    let sessions: Vec<(Session, &str)> = (0..4)
        .map(|number| (servers[number % 2].mint("desk", users[number / 2]), users[number / 2]))
        .collect();
    let sessions = Mutex::new(sessions);
    let clock = AtomicU64::new(0);
    let seen = Mutex::new(Vec::new());

    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (sessions, clock, seen) = (&sessions, &clock, &seen);
            let mut dice = Dice(seed.wrapping_add(thread as u64));
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
    let position = |event: &Value| event["position"].as_u64().unwrap();
    let of_type = |name: &str| acts.iter().filter(|act| act["type"] == name).collect::<Vec<_>>();

    // Versions of the virtual server, in the order of their positions: 1, 2, 3, …
    let mut revisions: Vec<u64> = of_type("VirtualServerRevised").into_iter().map(position).collect();
    revisions.sort_unstable();
    let version_at = |at: u64| 1 + revisions.iter().filter(|revised| **revised < at).count() as u64;

    let mut texts = BTreeMap::new();
    for (session, _) in sessions {
        let timeline = world.timeline(session);
        let opened = position(&timeline[0]);
        let revoked = timeline.iter().find(|event| event["type"] == "SessionRevoked").map(position);
        let last = revoked.unwrap_or(u64::MAX);
        for event in timeline.iter().filter(|event| event["type"] == "ToolCallAdmitted") {
            assert!(opened < position(event) && position(event) < last, "{event}");
        }
        for row in world.trail(&format!("session={}&limit=500", session.id)) {
            if row["outcome"] == "refused" {
                continue;
            }
            assert_eq!(row["outcome"], "succeeded", "{row}");
            // It rests on the version that was in force at its position.
            assert_eq!(row["version"].as_u64().unwrap(), version_at(position(&row)), "{row}");
            let detail = world.call_on_record(row["call_id"].as_str().unwrap());
            texts.insert(detail["arguments"]["text"].as_str().unwrap().to_owned(), position(&row));
        }
    }

    // What arrived at the upstream is what was admitted, each once.
    assert_eq!(upstream.ledger().calls().len(), texts.len());

    // What somebody saw end before another thing began has the smaller position.
    for later in seen {
        let What::Called { session, text, succeeded: true } = &later.what else { continue };
        assert!(texts.contains_key(text), "{text} was answered and is not on the record");
        for earlier in seen.iter().filter(|earlier| earlier.ended < later.began) {
            match &earlier.what {
                What::Revoked(revoked) => {
                    assert_ne!(revoked, session, "{text} was admitted after its session was revoked");
                }
                What::Cut(user) => {
                    // A cut spares sessions that were opened after it; those are not in question here.
                    let of_user =
                        sessions.iter().any(|(opened, whose)| opened.id == *session && whose == user);
                    let cut_at = of_type("SubjectSessionsCut").into_iter().map(position).min().unwrap();
                    let opened = sessions.iter().find(|(opened, _)| opened.id == *session).unwrap();
                    let opened_at = position(&world.timeline(&opened.0)[0]);
                    assert!(!of_user || opened_at > cut_at, "{text} was admitted after a cut of {user}");
                }
                What::Revised(version) => {
                    assert!(version_at(texts[text]) >= *version, "{text} rested on an old version");
                }
                What::Called { text: before, succeeded, .. } => {
                    assert!(!succeeded || texts[before] < texts[text], "{before} came before {text}");
                }
            }
        }
    }
}
