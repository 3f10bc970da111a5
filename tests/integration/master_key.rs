//! The master key is exchanged for another one while everybody works.

use std::process::Output;
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use proctor_test_upstream::{Options, Upstream};
use serde_json::{Value, json};

use crate::agent::Agent;
use crate::receiver::{Answers, Receiver};
use crate::rest::Session;
use crate::world::{MASTER_KEY, Server, World, wait_until};

const NEW_KEY: &str = "YSBzZWNvbmQga2V5LCBvZiAzMiBieXRlcyBhcyB3ZWw=";
const OLD_ALONE: &[(&str, &str)] = &[];
const OLD_SEALS: &[(&str, &str)] = &[("PROCTOR_MASTER_KEY_SECOND", NEW_KEY)];
const NEW_SEALS: &[(&str, &str)] =
    &[("PROCTOR_MASTER_KEY", NEW_KEY), ("PROCTOR_MASTER_KEY_SECOND", MASTER_KEY)];
const NEW_ALONE: &[(&str, &str)] = &[("PROCTOR_MASTER_KEY", NEW_KEY)];
/// A server that ended counts as alive for so long at most.
const LEASE: (&str, &str) = ("PROCTOR_LEASE_SECONDS", "3");

const SHARED_SECRET: &str = "a-secret-that-all-share";
/// Users that were there before the rotation.
const USERS: usize = 12;
const WORKERS: usize = 3;

/// The virtual server `desk`: one connection with a shared secret, one with each user's own.
fn desk(world: &World, shared: &Upstream, own: &Upstream) {
    let connections = [
        ("shared", shared.url(), json!({ "type": "header", "name": "X-Api-Key", "value": SHARED_SECRET })),
        ("own", own.url(), json!({ "type": "bearer" })),
    ];
    for (name, url, auth) in connections {
        let transport = json!({ "type": "http", "url": url });
        let body = json!({ "name": name, "transport": transport, "auth": auth, "private_network": true });
        world.post("/api/v1/connections", &body).expect(201);
    }
    world.define_with(
        "desk",
        vec![
            json!({ "connection": "shared", "tool": "echo" }),
            json!({ "connection": "own", "tool": "read_thing" }),
        ],
    );
}

fn mint(server: &Server, user: &str) -> Session {
    let credential = json!({ "type": "bearer", "token": format!("token-of-{user}") });
    server.put(&format!("/api/v1/users/{user}/connections/own/credential"), &credential).expect(200);
    server.mint("desk", user)
}

/// Calls both connections.
fn work(server: &Server, session: &Session) {
    let agent = Agent::modern(server, session);
    for tool in ["echo", "read_thing"] {
        agent.call(tool, r#"{"text":"hello"}"#).result();
    }
}

fn launched(world: &World, settings: &[(&str, &str)]) -> Server {
    let mut server = world.launch_with(settings);
    server.wait_until_ready();
    server
}

/// Starts a server with other settings in the place of one that works, and ends that one.
fn replace(world: &World, place: &RwLock<Server>, settings: &[(&str, &str)]) {
    let server = launched(world, settings);
    let mut old = std::mem::replace(&mut *place.write().unwrap(), server);
    assert!(old.terminate().success());
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn rotate(world: &World, settings: &[(&str, &str)]) -> Output {
    world.run(&["vault", "rotate", "--json"], settings)
}

#[track_caller]
fn rotated(world: &World) -> Value {
    let output = rotate(world, NEW_SEALS);
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn status(world: &World) -> Value {
    let output = world.run(&["vault", "status", "--json"], NEW_SEALS);
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_master_key_is_rotated_while_agents_work() {
    let world = World::start_behind_url(&[LEASE]);
    let (shared, own) = (Upstream::start(Options::default()), Upstream::start(Options::default()));
    desk(&world, &shared, &own);
    let receiver = Receiver::start(&[Answers::Status(204)]);
    let webhook = json!({ "url": receiver.url(), "events": ["session.*"], "private_network": true });
    let webhook = world.post("/api/v1/webhooks", &webhook).expect(201);
    let sessions: Vec<Session> = (0..USERS).map(|number| mint(&world, &format!("user-{number}"))).collect();
    work(&world, &sessions[0]);

    let places = [RwLock::new(launched(&world, OLD_ALONE)), RwLock::new(launched(&world, OLD_ALONE))];
    let (stop, rounds) = (AtomicBool::new(false), AtomicUsize::new(0));
    let done = std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (places, sessions, stop, rounds) = (&places, &sessions, &stop, &rounds);
            scope.spawn(move || {
                for round in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    // A new user's key is sealed at one server and opened at the other.
                    let session = mint(&places[round % 2].read().unwrap(), &format!("new-{worker}-{round}"));
                    let other = places[(round + 1) % 2].read().unwrap();
                    work(&other, &session);
                    work(&other, &sessions[(worker + round) % USERS]);
                    rounds.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let goes_on = || {
            let before = rounds.load(Ordering::Relaxed);
            wait_until("work to go on", || rounds.load(Ordering::Relaxed) >= before + 2 * WORKERS);
        };
        let stops = Stops(&stop);
        goes_on();
        for settings in [OLD_SEALS, NEW_SEALS] {
            for place in &places {
                replace(&world, place, settings);
                goes_on();
            }
            if settings == OLD_SEALS {
                let refused = rotate(&world, NEW_SEALS);
                assert!(!refused.status.success(), "the first server knows only the old key");
                world.signal("TERM");
                wait_until("its lease to end", || status(&world)["servers"].as_array().unwrap().len() == 2);
            }
        }
        let done = rotated(&world);
        goes_on();
        for place in &places {
            replace(&world, place, NEW_ALONE);
            goes_on();
        }
        drop(stops);
        done
    });
    assert_eq!(done["outcome"], "rotated");
    assert!(done["resealed"].as_u64().unwrap() >= USERS as u64 + 6 + 2, "{done}");

    let status = status(&world);
    assert_eq!(status["not_under_master_key"], 0, "{status}");
    let tables: Vec<_> = status["sealed"].as_array().unwrap().iter().map(|of| of["table"].clone()).collect();
    assert_eq!(tables, ["subjects", "connection_secrets", "webhook_secrets", "purpose_keys"], "{status}");
    let server = places[0].read().unwrap();
    for session in &sessions {
        work(&server, session);
    }
    assert!(own.ledger().calls().iter().all(|call| call.header("authorization").is_some()));
    assert!(shared.ledger().calls().iter().all(|call| call.header("x-api-key") == Some(SHARED_SECRET)));
    let call = &server.trail("&user=user-0")[0];
    let on_record = server.call_on_record(call["call_id"].as_str().unwrap());
    assert_eq!(on_record["arguments"]["text"], "hello", "{on_record}");

    let secret = webhook["secret"].as_str().unwrap();
    let before = receiver.messages().len();
    mint(&server, "the-last");
    wait_until("the backend to be told", || receiver.messages().len() > before);
    assert!(receiver.messages().iter().all(|message| message.is_signed_with(secret)));

    let acts = server.pages("/api/v1/audit/acts?limit=100");
    let types: Vec<_> = acts.iter().filter_map(|act| act["type"].as_str()).collect();
    for name in ["MasterKeyRotationBegun", "MasterKeyRotated"] {
        assert_eq!(types.iter().filter(|other| **other == name).count(), 1, "{name}");
    }
    let mut refused = world.launch_with(OLD_ALONE);
    assert!(!refused.wait_until_ended().success());
    assert!(refused.log().contains("PROCTOR_MASTER_KEY_SECOND"), "{}", refused.log());
}

/// Stops the workers, also when the test has failed.
struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn nothing_is_rotated_that_a_server_could_not_open_and_nothing_is_done_while_one_seals_with_the_old_key() {
    let mut world = World::start_behind_url(&[LEASE]);
    let first = mint_at(&world);
    let refused = rotate(&world, NEW_SEALS);
    let why = said(&refused);
    assert!(!refused.status.success() && refused.stdout.is_empty());
    assert!(why.contains("nothing was done") && why.contains("PROCTOR_MASTER_KEY_SECOND"), "{why}");
    let untouched = status(&world);
    assert!(untouched["not_under_master_key"].as_u64().unwrap() > 1, "{untouched}");

    let mut knows_both = launched(&world, OLD_SEALS);
    assert!(world.server.terminate().success());
    let unfinished = rotate(&world, NEW_SEALS);
    let why = said(&unfinished);
    assert!(!unfinished.status.success() && why.contains("still seals with another key"), "{why}");
    assert!(why.contains("sealing anew: 100 %"), "{why}");
    assert_eq!(status(&world)["not_under_master_key"], 0);
    knows_both.get(&format!("/api/v1/sessions/{}", first.id)).ok();
    knows_both.mint("desk", "sealed-with-the-old-key");
    assert_eq!(status(&world)["not_under_master_key"], 1);

    let server = launched(&world, NEW_SEALS);
    assert!(knows_both.terminate().success());
    assert_eq!(rotated(&world)["resealed"], 1);
    let again = rotated(&world);
    assert_eq!((again["outcome"].clone(), again["resealed"].clone()), (json!("nothing_to_do"), json!(0)));
    server.mint("desk", "sealed-with-the-old-key");
}

fn mint_at(world: &World) -> Session {
    let upstream = Upstream::start(Options::default());
    world.desk(&upstream);
    world.mint("desk", "ada")
}

#[test]
fn a_rotation_says_what_is_missing() {
    let mut world = World::start_behind_url(&[]);
    mint_at(&world);
    let no_old_key = said(&rotate(&world, NEW_ALONE));
    assert!(no_old_key.contains("PROCTOR_MASTER_KEY_SECOND"), "{no_old_key}");
    let nowhere = world.run(&["vault", "status"], &[("DATABASE_URL", "sqlite:/nowhere/journal.sqlite")]);
    assert!(said(&nowhere).contains("there is no file"), "{}", said(&nowhere));
    let told = world.run(&["vault", "status"], &[]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("SEALS WITH") && told.contains("subjects"), "{told}");
    assert!(!told.contains(MASTER_KEY));

    let Some(database) = world.database() else { return };
    // Whom servers run as: it may add, and change nothing.
    let role = format!("rotates_{}", database.name());
    database.sql(&format!("CREATE ROLE {role} LOGIN IN ROLE proctor_writer"));
    let as_writer = database.url_as(&role);
    let _knows_both = launched(&world, OLD_SEALS);
    assert!(world.server.terminate().success());
    let refused = rotate(&world, &[NEW_SEALS, &[("DATABASE_URL", &*as_writer)]].concat());
    let why = said(&refused);
    assert!(!refused.status.success() && why.contains("the role that owns Proctor's tables"), "{why}");
    world.database().unwrap().sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}
