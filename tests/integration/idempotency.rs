//! Requests that are sent again: carried out once, and answered the same.

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use proctor_test_upstream::{Options, Upstream};
use serde_json::{Value, json};

use crate::api_keys::create;
use crate::http::{Request, Response};
use crate::world::{ADMIN_KEY, Server, World, wait_until};

const SESSIONS: &str = "/api/v1/sessions";
const REPLAYED: &str = "idempotency-replayed";

fn named(server: &Server, key: &str, path: &str, body: &Value) -> Request {
    server.request("POST", path, Some(body)).header("Idempotency-Key", key)
}

fn send(server: &Server, key: &str, path: &str, body: &Value) -> Response {
    named(server, key, path, body).send(server.address)
}

fn minting(user: &str) -> Value {
    json!({ "virtual_server": "desk", "user": user })
}

fn sessions(server: &Server) -> usize {
    server.pages(SESSIONS).len()
}

/// Stands before an upstream and lets nothing through until it is opened.
struct Gate {
    url: String,
    arrived: Arc<AtomicUsize>,
    open: Arc<AtomicBool>,
}

impl Gate {
    fn before(upstream: &Upstream) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (arrived, open) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(true)));
        let url = upstream.url();
        let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
        let (behind, url) = (host.to_owned(), format!("http://{address}/{path}"));
        let gate = Self { url, arrived: Arc::clone(&arrived), open: Arc::clone(&open) };
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let (near, behind, open) = (near.unwrap(), behind.clone(), Arc::clone(&open));
                arrived.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || {
                    wait_until("the gate to open", || open.load(Ordering::SeqCst));
                    let Ok(far) = TcpStream::connect(behind) else { return };
                    let (mut from, mut to) = (near.try_clone().unwrap(), far.try_clone().unwrap());
                    std::thread::spawn(move || io::copy(&mut from, &mut to));
                    let _ = io::copy(&mut &far, &mut &near);
                });
            }
        });
        gate
    }

    /// How often somebody came, after this.
    fn close(&self) -> usize {
        self.open.store(false, Ordering::SeqCst);
        self.arrived.load(Ordering::SeqCst)
    }

    fn open(&self) {
        self.open.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_request_that_is_sent_again_gets_the_same_answer_from_whichever_replica() {
    let world = World::start();
    let upstream = Upstream::start(Options::default());
    world.desk(&upstream);
    let first = send(&world, "a-1", SESSIONS, &minting("ada"));
    let token = first.expect(201)["token"].clone();
    assert_eq!(first.header(REPLAYED), None);
    let other = world.another();
    for server in [&world.server, &other] {
        let again = send(server, "a-1", SESSIONS, &minting("ada"));
        assert_eq!(again.expect(201)["token"], token);
        assert_eq!(again.body, first.body);
        for header in ["content-type", "cache-control", "location", "proctor-position"] {
            assert_eq!(again.header(header), first.header(header), "{header}");
        }
        assert_eq!(again.header(REPLAYED), Some("true"));
    }
    assert_eq!(sessions(&world), 1);
    // Without the key each is a request of its own.
    world.post(SESSIONS, &minting("ada")).expect(201);
    assert_eq!(sessions(&world), 2);
}

#[test]
fn another_request_with_the_same_key_is_refused_and_carried_out_never() {
    let world = World::start();
    let upstream = Upstream::start(Options::default());
    world.desk(&upstream);
    send(&world, "a-1", SESSIONS, &minting("ada")).expect(201);
    for (path, body) in [
        (SESSIONS, minting("bob")),
        ("/api/v1/revocations", json!({ "user": "ada", "reason": "r" })),
        ("/api/v1/revocations?wait=true", minting("ada")),
    ] {
        let refused = send(&world, "a-1", path, &body).expect(422);
        assert_eq!(refused["code"], "idempotency_key_reused", "{path}");
    }
    let (key, _) = create(&world, ADMIN_KEY, &json!({ "name": "backend", "role": "minter" }));
    let by_another = named(&world, "a-1", SESSIONS, &minting("bob"));
    let by_another = by_another.header("Authorization", format!("Bearer {key}")).send(world.address);
    assert_eq!(by_another.header(REPLAYED), None);
    by_another.expect(201);
    assert_eq!(sessions(&world), 2);
}

#[test]
fn a_refusal_is_an_answer_too() {
    let world = World::start();
    let ask = || send(&world, "a-1", SESSIONS, &minting("ada"));
    assert_eq!(ask().expect(404)["code"], "virtual_server_not_found");
    let upstream = Upstream::start(Options::default());
    world.desk(&upstream);
    assert_eq!(ask().expect(404)["code"], "virtual_server_not_found");
    assert_eq!(ask().header("content-type"), Some("application/problem+json"));
    send(&world, "a-2", SESSIONS, &minting("ada")).expect(201);
}

#[test]
fn of_many_at_a_time_one_is_carried_out() {
    let world = World::start();
    let upstream = Upstream::start(Options::default());
    world.desk(&upstream);
    let other = world.another();
    let answers: Vec<Response> = std::thread::scope(|scope| {
        let ask = |n: usize| {
            let server = if n.is_multiple_of(2) { &world.server } else { &other };
            scope.spawn(move || send(server, "a-1", SESSIONS, &minting("ada")))
        };
        let asked: Vec<_> = (0..16).map(ask).collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    let mut tokens = Vec::new();
    for answer in &answers {
        match answer.status {
            201 => tokens.push(answer.expect(201)["token"].clone()),
            _ => {
                assert_eq!(answer.expect(409)["code"], "request_in_progress");
                assert_eq!(answer.header("retry-after"), Some("1"));
            }
        }
    }
    tokens.dedup();
    assert_eq!(tokens.len(), 1, "{answers:?}");
    assert_eq!(sessions(&world), 1);
}

#[test]
fn what_failed_for_a_while_may_be_sent_again_and_a_key_that_is_none_is_refused() {
    let world = World::start();
    let upstream = Upstream::start(Options::default());
    let gone = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    world.connect("notes", &upstream.url());
    let settings = |url: &str| json!({ "transport": { "type": "http", "url": url }, "auth": { "type": "none" }, "private_network": true });
    world.put("/api/v1/connections/notes", &settings(&format!("http://{gone}/mcp"))).expect(200);
    let refresh = || send(&world, "a-1", "/api/v1/connections/notes/catalog/refresh", &json!({}));
    assert_eq!(refresh().expect(502)["code"], "upstream_failed");
    world.put("/api/v1/connections/notes", &settings(&upstream.url())).expect(200);
    refresh().expect(200);
    assert_eq!(refresh().header(REPLAYED), Some("true"));
    for key in ["", "two words", "é", &"k".repeat(256)] {
        let refused = send(&world, key, SESSIONS, &minting("ada")).expect(400);
        assert_eq!(refused["code"], "invalid_idempotency_key", "{key:?}");
    }
    // What only reads needs none, and does not look at it.
    let read = world.request("GET", SESSIONS, None).header("Idempotency-Key", "two words");
    read.send(world.address).expect(200);
}

#[test]
fn who_hangs_up_finds_the_answer_later() {
    let world = World::start();
    let upstream = Upstream::start(Options::default());
    let gate = Gate::before(&upstream);
    world.connect("notes", &gate.url);
    let test = named(&world, "a-1", "/api/v1/connections/notes/test", &json!({}));
    let before = gate.close();
    let sent = test.start(world.address);
    wait_until("the upstream to be asked", || gate.arrived.load(Ordering::SeqCst) > before);
    drop(sent);
    assert_eq!(test.send(world.address).expect(409)["code"], "request_in_progress");
    gate.open();
    let tested = || {
        let acts = world.pages("/api/v1/audit/acts");
        acts.iter().filter(|act| act["type"] == "ConnectionTested").count()
    };
    wait_until("the request to be carried out", || test.send(world.address).status == 200);
    assert_eq!(test.send(world.address).header(REPLAYED), Some("true"));
    assert_eq!(tested(), 1);
}

#[test]
fn what_a_crash_left_in_doubt_is_not_carried_out_again() {
    let mut world = World::start_with(&[("PROCTOR_LEASE_SECONDS", "2")]);
    let upstream = Upstream::start(Options::default());
    let gate = Gate::before(&upstream);
    world.connect("notes", &gate.url);
    let path = "/api/v1/connections/notes/test";
    let before = gate.close();
    let sent = named(&world, "a-1", path, &json!({})).start(world.address);
    wait_until("the upstream to be asked", || gate.arrived.load(Ordering::SeqCst) > before);
    world.crash_and_restart();
    drop(sent);
    gate.open();
    // The replica that began it is not known to be gone before its lease has ended.
    wait_until("the lease of the one that crashed to end", || {
        let again = send(&world, "a-1", path, &json!({})).expect(409);
        again["code"] == "outcome_unknown"
    });
    send(&world, "a-2", path, &json!({})).expect(200);
}

#[test]
fn a_kept_answer_is_sealed_ends_with_its_day_and_goes_to_no_ended_key() {
    let world = World::start();
    let upstream = Upstream::start(Options::default());
    world.desk(&upstream);
    let (key, id) = create(&world, ADMIN_KEY, &json!({ "name": "backend", "role": "minter" }));
    let ask = || {
        let request = named(&world, "a-1", SESSIONS, &minting("ada.lovelace@example.com"));
        request.header("Authorization", format!("Bearer {key}")).send(world.address)
    };
    let token = ask().expect(201)["token"].as_str().unwrap().to_owned();
    for (name, bytes) in world.kept() {
        for secret in ["ada.lovelace@example.com", &token] {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{name} holds {secret}");
        }
    }
    assert_eq!(ask().header(REPLAYED), Some("true"));
    world.sql("UPDATE idempotent_requests SET began_at = began_at - 86000000000");
    assert_eq!(ask().header(REPLAYED), Some("true"));
    world.sql("UPDATE idempotent_requests SET began_at = began_at - 400000000");
    let anew = ask();
    assert_eq!(anew.header(REPLAYED), None);
    assert_ne!(anew.expect(201)["token"], token);
    world.post(&format!("/api/v1/api-keys/{id}/revoke"), &json!({ "reason": "lost" })).expect(200);
    ask().expect(401);
}
