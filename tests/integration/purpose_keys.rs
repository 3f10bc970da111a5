//! The keys that Proctor makes for itself are exchanged while everybody works.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use proctor_test_upstream::{Options, Upstream};
use serde_json::{Value, json};

use crate::agent::Agent;
use crate::api_keys;
use crate::connect::browser::Browser;
use crate::connect::provider::Setup;
use crate::connect::{self, Scene};
use crate::dice::{self, Dice};
use crate::http::Request;
use crate::rest::Session;
use crate::world::{ADMIN_KEY, Server, World, wait_until};

const PURPOSES: [&str; 7] =
    ["token_signing", "digests", "blind_indexes", "cursors", "mcp_sessions", "connect", "answers"];

fn desk() -> (World, Upstream) {
    let world = World::start_behind_url(&[]);
    let upstream = Upstream::start(Options::default());
    world.desk(&upstream);
    (world, upstream)
}

fn cli_as(server: &Server, key: &str, verb: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_proctor"));
    let url = format!("http://{}", server.address);
    command.env_clear().env("PROCTOR_URL", url).env("PROCTOR_API_KEY", key);
    command.arg("keys").args(verb).output().unwrap()
}

fn cli(server: &Server, verb: &[&str]) -> Output {
    cli_as(server, ADMIN_KEY, verb)
}

/// Rotates by the command, as fast as it goes, and answers what it printed.
#[track_caller]
fn rotate(server: &Server, purpose: &str) -> Vec<Value> {
    rotate_after(server, purpose, "2")
}

#[track_caller]
fn rotate_after(server: &Server, purpose: &str, seconds: &str) -> Vec<Value> {
    let verb = ["rotate", "--purpose", purpose, "--after-seconds", seconds, "--json"];
    let output = cli(server, &verb);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    printed["keys"].as_array().unwrap().clone()
}

fn keys(server: &Server) -> Vec<Value> {
    server.pages("/api/v1/purpose-keys?limit=4")
}

/// Waits until no key waits any more.
#[track_caller]
fn wait_until_in_force(server: &Server) {
    wait_until("new keys to come into force", || keys(server).iter().all(|key| key["state"] != "waiting"));
}

fn jwks(server: &Server) -> jsonwebtoken::jwk::JwkSet {
    let answer = Request::new("GET", "/.well-known/jwks.json").send(server.address);
    serde_json::from_value(answer.expect(200)).unwrap()
}

fn kid(token: &str) -> String {
    jsonwebtoken::decode_header(token).unwrap().kid.unwrap()
}

/// Verifies as anybody does who has fetched the public keys.
#[track_caller]
fn verify(token: &str, keys: &jsonwebtoken::jwk::JwkSet, audience: &str) {
    let key = keys.find(&kid(token)).expect("the key was shown before it signed");
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::EdDSA);
    validation.set_audience(&[audience]);
    let key = jsonwebtoken::DecodingKey::from_jwk(key).unwrap();
    jsonwebtoken::decode::<Value>(token, &key, &validation).unwrap();
}

fn works(server: &Server, session: &Session) {
    Agent::modern(server, session).call("echo", r#"{"text":"hello"}"#).result();
}

/// Whose session it is.
#[track_caller]
fn subject(server: &Server, session: &Session) -> String {
    let shown = server.get(&format!("/api/v1/sessions/{}", session.id)).expect(200);
    shown["subject"].as_str().unwrap().to_owned()
}

/// Stops the workers, also when the test has failed.
struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn all_keys_are_rotated_under_load_and_what_the_old_ones_signed_and_sealed_stays_good() {
    let (world, _upstream) = desk();
    let other = world.another();
    let servers: [&Server; 2] = [&world, &other];
    let before: Vec<Session> = (0..4).map(|number| world.mint("desk", &format!("user-{number}"))).collect();
    let legacy: Vec<Agent> = servers.iter().map(|server| Agent::legacy(server, &before[0])).collect();
    let page = world.get("/api/v1/sessions?limit=2").expect(200);
    let cursor = page["next_cursor"].as_str().unwrap();
    let old = keys(&world);
    assert_eq!(old.len(), PURPOSES.len());
    let (stop, rounds) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (made, shown_first) = std::thread::scope(|scope| {
        for worker in 0..2 {
            let (stop, rounds, before) = (&stop, &rounds, &before);
            scope.spawn(move || {
                for round in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let session = servers[round % 2].mint("desk", &format!("new-{worker}-{round}"));
                    works(servers[(round + 1) % 2], &session);
                    works(servers[round % 2], &before[round % before.len()]);
                    rounds.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let goes_on = || {
            let before = rounds.load(Ordering::Relaxed);
            wait_until("work to go on", || rounds.load(Ordering::Relaxed) >= before + 6);
        };
        let stops = Stops(&stop);
        goes_on();
        let made = rotate_after(&world, "all", "8");
        for server in servers {
            let old = server.mint("desk", "while it waits");
            assert_ne!(Some(&*kid(&old.token)), made[0]["kid"].as_str());
        }
        let shown_first: Vec<_> = servers.iter().map(|server| jwks(server)).collect();
        wait_until_in_force(&other);
        goes_on();
        drop(stops);
        (made, shown_first)
    });
    let purposes: Vec<_> = made.iter().map(|key| key["purpose"].as_str().unwrap()).collect();
    assert_eq!(purposes, PURPOSES);
    let signing = made[0]["kid"].as_str().unwrap();
    for (server, shown_first) in servers.iter().zip(&shown_first) {
        for session in &before {
            works(server, session);
            verify(&session.token, &jwks(server), &session.url);
        }
        let new = server.mint("desk", "after");
        assert_eq!(kid(&new.token), signing);
        verify(&new.token, shown_first, &new.url);
        let page = server.get(&format!("/api/v1/sessions?limit=2&cursor={cursor}")).expect(200);
        assert_eq!(page["items"].as_array().unwrap().len(), 2);
    }
    for agent in &legacy {
        assert!(agent.tools().contains(&"echo".to_owned()));
    }
    let now = keys(&other);
    let states = |kids: &[Value]| -> BTreeSet<String> {
        let kids: Vec<_> = kids.iter().map(|key| &key["kid"]).collect();
        let of = now.iter().filter(|key| kids.contains(&&key["kid"]));
        of.map(|key| key["state"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(states(&made), BTreeSet::from(["in_force".to_owned()]));
    assert_eq!(states(&old), BTreeSet::from(["opens".to_owned()]));
    // Who did it is on the record, and nothing that is secret.
    let acts = world.pages("/api/v1/audit/acts?type=PurposeKeyRotated");
    assert_eq!(acts.len(), PURPOSES.len());
    for act in &acts {
        assert!(act["by"]["key"].is_string(), "{act}");
        let members: Vec<_> = act["details"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(members, ["kid", "active_at_us"], "{act}");
    }
}

#[test]
fn users_and_labels_are_found_under_the_keys_before_and_stay_who_they_are() {
    let (world, _upstream) = desk();
    let mint = |user: &str| {
        let opening = json!({ "virtual_server": "desk", "user": user, "labels": { "run": "nightly" } });
        let session = world.mint_with(&opening);
        works(&world, &session);
        session
    };
    let mut sessions = vec![mint("ada"), mint("grace")];
    for _ in 0..2 {
        rotate(&world, "blind_indexes");
        wait_until_in_force(&world);
        sessions.extend([mint("ada"), mint("grace")]);
    }
    sessions.push(mint("joan"));
    let ada = subject(&world, &sessions[0]);
    let of_ada = [&sessions[2], &sessions[4]].map(|session| subject(&world, session));
    assert_eq!(of_ada, [ada.clone(), ada.clone()]);
    assert_ne!(subject(&world, &sessions[1]), ada);
    let newest_first: Vec<_> = sessions.iter().rev().map(|session| session.id.as_str()).collect();
    let ids = |items: &[Value]| -> Vec<String> {
        items.iter().map(|item| item["session_id"].as_str().unwrap().to_owned()).collect()
    };
    for limit in [1, 2, 3, 100] {
        let listed = world.pages(&format!("/api/v1/sessions?label=run:nightly&limit={limit}"));
        assert_eq!(ids(&listed), newest_first, "limit {limit}");
        let calls = world.trail(&format!("label=run:nightly&limit={limit}"));
        assert_eq!(ids(&calls), newest_first, "limit {limit}");
    }
    let calls = world.trail("user=ada&label=run:nightly");
    assert_eq!(ids(&calls), [&*sessions[4].id, &*sessions[2].id, &*sessions[0].id]);
    assert_eq!(world.trail("label=run:weekly").len(), 0);
}

#[test]
fn a_replica_that_slept_through_a_rotation_makes_nobody_anew_and_refuses_no_good_token() {
    let (world, _upstream) = desk();
    let sleeper = world.another();
    sleeper.mint("desk", "warm");
    sleeper.signal("STOP");
    rotate(&world, "blind_indexes");
    rotate(&world, "token_signing");
    wait_until_in_force(&world);
    let registered: Vec<Session> =
        (0..8).map(|number| world.mint("desk", &format!("user-{number}"))).collect();
    // What it is asked as soon as it wakes up lies there already.
    let knocks: Vec<_> = registered
        .iter()
        .map(|session| {
            Agent::modern(&sleeper, session).call_request("1", "echo", "{}").start(sleeper.address)
        })
        .collect();
    let mints: Vec<_> = (0..8)
        .map(|number| {
            let mint = json!({ "virtual_server": "desk", "user": format!("user-{number}") });
            sleeper.request("POST", "/api/v1/sessions", Some(&mint)).start(sleeper.address)
        })
        .collect();
    sleeper.signal("CONT");
    for knock in knocks {
        let answer = knock.answer().read();
        assert!(matches!(answer.status, 200 | 503), "{}: {}", answer.status, answer.text());
    }
    for (mint, before) in mints.into_iter().zip(&registered) {
        let answer = mint.answer().read();
        if answer.status == 503 {
            continue;
        }
        let again = Session::of(&answer.expect(201));
        assert_eq!(subject(&world, &again), subject(&world, before));
    }
    for (number, before) in registered.iter().enumerate() {
        works(&sleeper, before);
        let again = sleeper.mint("desk", &format!("user-{number}"));
        assert_eq!(subject(&world, &again), subject(&world, before));
    }
}

#[test]
fn two_replicas_that_register_the_same_users_while_the_key_changes_make_one_of_each() {
    let (world, _upstream) = desk();
    let other = world.another();
    let servers: [&Server; 2] = [&world, &other];
    let stop = AtomicBool::new(false);
    let made = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (stop, made) = (&stop, &made);
            scope.spawn(move || {
                for round in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    // Two workers at each replica go through the same users at the same pace.
                    servers[worker % 2].mint("desk", &format!("user-{}-{round}", worker / 2));
                    made.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let stops = Stops(&stop);
        for _ in 0..2 {
            rotate(&other, "blind_indexes");
            wait_until_in_force(&world);
        }
        let before = made.load(Ordering::Relaxed);
        wait_until("more users", || made.load(Ordering::Relaxed) > before + 8);
        drop(stops);
    });
    let mut subjects: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for session in world.pages("/api/v1/sessions?limit=500") {
        let text = |member: &str| session[member].as_str().unwrap().to_owned();
        subjects.entry(text("user")).or_default().insert(text("subject"));
    }
    assert!(subjects.len() > 20, "only {} users", subjects.len());
    let twice: Vec<_> = subjects.iter().filter(|(_, subjects)| subjects.len() > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

#[test]
fn an_authorization_that_began_before_a_rotation_is_finished_after_it() {
    let scene = Scene::start(Setup::default());
    let (started, looked_at) = (connect::link(&scene.world, "ada"), connect::link(&scene.world, "grace"));
    let mut browser = Browser::new(&scene.world);
    let callback = browser.callback(&started, "ada");
    rotate(&scene.world, "connect");
    let mut waiting = Browser::new(&scene.world);
    let while_it_waits = waiting.callback(&connect::link(&scene.world, "joan"), "joan");
    wait_until_in_force(&scene.world);
    for (mut browser, callback, user) in [(browser, callback, "ada"), (waiting, while_it_waits, "joan")] {
        let back = browser.open(callback.as_str());
        let active = connect::verify(&scene.world, user, &connect::code(&back.url)).expect(200);
        assert_eq!(active["state"], "active", "{user}");
    }
    let back = Browser::new(&scene.world).authorize(&looked_at, "grace");
    connect::verify(&scene.world, "grace", &connect::code(&back)).expect(200);
}

#[test]
fn a_server_that_is_killed_in_the_middle_leaves_each_key_with_its_event_or_neither() {
    let (mut world, _upstream) = desk();
    let mut dice = Dice::new(dice::seed());
    let session = world.mint("desk", "ada");
    for _ in 0..4 {
        std::thread::scope(|scope| {
            let server = &world.server;
            scope.spawn(move || {
                for purpose in PURPOSES {
                    let body = json!({ "after_seconds": 2 });
                    let path = format!("/api/v1/purpose-keys/{purpose}/rotate");
                    if server.request("POST", &path, Some(&body)).try_send(server.address).is_err() {
                        break;
                    }
                }
            });
            std::thread::sleep(Duration::from_millis(dice.roll(40) as u64));
            server.signal("KILL");
        });
        world.crash_and_restart();
        works(&world, &session);
        let acts = world.pages("/api/v1/audit/acts?type=PurposeKeyRotated&limit=100");
        let on_record: BTreeSet<_> =
            acts.iter().map(|act| act["details"]["kid"].as_str().unwrap().to_owned()).collect();
        let there: BTreeSet<_> =
            keys(&world).iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect();
        assert!(on_record.is_subset(&there), "{on_record:?} {there:?}");
        assert_eq!(there.len(), on_record.len() + PURPOSES.len());
    }
    // Run again it goes on, and says what waits already.
    wait_until_in_force(&world);
    let made = rotate_after(&world, "all", "12");
    let again = rotate_after(&world, "all", "12");
    let kids = |keys: &[Value]| keys.iter().map(|key| key["kid"].clone()).collect::<Vec<_>>();
    assert_eq!(kids(&made), kids(&again));
    assert!(again.iter().all(|key| key["made"] == false));
    // A restart while they wait: they come into force all the same.
    world.crash_and_restart();
    wait_until_in_force(&world);
    let new = world.mint("desk", "ada");
    assert_eq!(Some(&*kid(&new.token)), made[0]["kid"].as_str());
    works(&world, &new);
    works(&world, &session);
}

#[test]
fn only_an_administrator_rotates_and_what_is_wrong_is_said() {
    let (world, _upstream) = desk();
    let (minter, _) = api_keys::create(&world, ADMIN_KEY, &json!({ "name": "backend", "role": "minter" }));
    let path = "/api/v1/purpose-keys/cursors/rotate";
    assert_eq!(api_keys::send(&world, &minter, "POST", path, None).problem(403)["code"], "forbidden");
    for seconds in [json!(1), json!(604_801)] {
        let body = json!({ "after_seconds": seconds });
        assert_eq!(world.post(path, &body).problem(422)["code"], "invalid_rotation");
    }
    let unknown = world.post("/api/v1/purpose-keys/nonsense/rotate", &json!({}));
    assert_eq!(unknown.problem(404)["code"], "purpose_not_found");
    world.post(path, &json!({})).expect(200);
    let waits = world.post(path, &json!({})).problem(409);
    assert_eq!(waits["code"], "key_waiting");
    assert!(waits["active_at"].is_string(), "{waits}");
    // A token's key is shown for longer than clients keep the public keys.
    let signing = world.post("/api/v1/purpose-keys/token_signing/rotate", &json!({})).expect(200);
    let at = |member: &str| chrono::DateTime::parse_from_rfc3339(signing[member].as_str().unwrap()).unwrap();
    assert_eq!((at("active_at") - at("created_at")).num_seconds(), 360);

    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let wrong = cli(&world, &["rotate", "--purpose", "nonsense"]);
    assert!(!wrong.status.success() && said(&wrong).contains("blind_indexes"), "{}", said(&wrong));
    let forbidden = cli_as(&world, &minter, &["rotate", "--purpose", "digests"]);
    assert!(!forbidden.status.success() && said(&forbidden).contains("403"), "{}", said(&forbidden));
    let listed = cli(&world, &["list"]);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.contains("PURPOSE") && listed.contains("waiting"), "{listed}");
}
