//! Keys to the administrators' door: made, used, ended.

use std::time::{Duration, SystemTime};

use proctor_test_upstream::{Options, Upstream};
use serde_json::{Value, json};

use crate::http::{Request, Response};
use crate::world::{ADMIN_KEY, Server, World, wait_until};

const KEYS: &str = "/api/v1/api-keys";

/// A request with a key of one's own.
pub fn send(server: &Server, key: &str, method: &str, path: &str, body: Option<&Value>) -> Response {
    let request = server.request(method, path, body).header("Authorization", format!("Bearer {key}"));
    request.send(server.address)
}

/// Makes a key, and answers it with its identifier.
#[track_caller]
pub fn create(server: &Server, key: &str, wanted: &Value) -> (String, String) {
    let created = send(server, key, "POST", KEYS, Some(wanted)).expect(201);
    let text = |member: &str| created[member].as_str().unwrap().to_owned();
    (text("key"), text("id"))
}

#[track_caller]
fn role(server: &Server, role: &str) -> (String, String) {
    create(server, ADMIN_KEY, &json!({ "name": format!("a {role}"), "role": role }))
}

fn revoke(server: &Server, key: &str, id: &str) -> Response {
    let why = json!({ "reason": "the laptop was lost" });
    send(server, key, "POST", &format!("{KEYS}/{id}/revoke"), Some(&why))
}

/// What is shown of the key itself.
#[track_caller]
fn shown(server: &Server, id: &str) -> Value {
    server.get(&format!("{KEYS}/{id}")).expect(200)
}

fn bootstrap(server: &Server) -> String {
    let named = |item: &Value| item["name"] == "first administrator";
    let all = server.pages(KEYS);
    all.into_iter().find(named).unwrap()["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_key_is_shown_once_and_kept_as_its_hash() {
    let mut world = World::start();
    let wanted = json!({ "name": "billing backend", "role": "minter", "expires_at": "2099-01-01T00:00:00Z" });
    let answer = world.post(KEYS, &wanted);
    let created = answer.expect(201);
    let key = created["key"].as_str().unwrap();
    let id = created["id"].as_str().unwrap();
    assert_eq!(answer.header("location"), Some(&*format!("{KEYS}/{id}")));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    for (member, value) in [
        ("name", json!("billing backend")),
        ("role", json!("minter")),
        ("state", json!("active")),
        ("expires_at", json!("2099-01-01T00:00:00.000000Z")),
        ("last_used_at", Value::Null),
    ] {
        assert_eq!(created[member], value, "{member}");
    }
    send(&world, key, "GET", "/api/v1/sessions", None).expect(200);
    let listed = world.get(KEYS).text();
    assert!(listed.contains(id) && !listed.contains(key), "{listed}");
    assert!(shown(&world, id).get("key").is_none());
    let acts = world.get("/api/v1/audit/acts?type=ApiKeyCreated").expect(200);
    assert_eq!(acts["items"][0]["details"]["name"], "billing backend", "{acts}");
    assert!(world.server.terminate().success());
    for (place, bytes) in world.kept() {
        let there = bytes.windows(key.len()).any(|window| window == key.as_bytes());
        assert!(!there, "the key stands in {place}");
    }
    assert!(!world.log().contains(key));
}

#[test]
fn keys_are_listed_page_by_page_and_what_cannot_be_a_key_is_refused() {
    let world = World::start();
    let made: Vec<String> = (0..5).map(|_| role(&world, "auditor").1).collect();
    let listed = world.pages(&format!("{KEYS}?limit=2"));
    let ids: Vec<_> = listed.iter().map(|item| item["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 6);
    assert!(ids.is_sorted() && made.iter().all(|id| ids.contains(&id.as_str())), "{ids:?}");
    for (wanted, code) in [
        (json!({ "name": "", "role": "admin" }), "invalid_api_key"),
        (json!({ "name": "x", "role": "admin", "expires_at": "2020-01-01T00:00:00Z" }), "invalid_api_key"),
        (json!({ "name": "x", "role": "root" }), "invalid_body"),
        (json!({ "name": "x", "role": "admin", "key": "mine" }), "invalid_body"),
    ] {
        assert_eq!(world.post(KEYS, &wanted).problem(422)["code"], code, "{wanted}");
    }
    let nobody = "0".repeat(64);
    for id in ["nonsense", &nobody] {
        assert_eq!(world.get(&format!("{KEYS}/{id}")).problem(404)["code"], "api_key_not_found");
        assert_eq!(revoke(&world, ADMIN_KEY, id).problem(404)["code"], "api_key_not_found");
    }
    let (auditor, _) = role(&world, "auditor");
    send(&world, &auditor, "GET", KEYS, None).expect(200);
    let wanted = json!({ "name": "mine", "role": "admin" });
    assert_eq!(send(&world, &auditor, "POST", KEYS, Some(&wanted)).problem(403)["code"], "forbidden");
}

#[test]
fn after_a_revocation_is_acknowledged_the_key_reads_and_writes_nothing_at_any_replica() {
    let world = World::start_behind_url(&[]);
    let upstream = Upstream::start(Options::default());
    world.desk(&upstream);
    let other = world.another();
    let mint = json!({ "virtual_server": "desk", "user": "ada" });
    for _ in 0..8 {
        let (key, id) = role(&world, "minter");
        // The other one knows it by now, and keeps it in memory.
        send(&other, &key, "GET", "/api/v1/sessions", None).expect(200);
        let token = send(&other, &key, "POST", "/api/v1/sessions", Some(&mint)).expect(201);
        let revoked = revoke(&world, ADMIN_KEY, &id).expect(200);
        assert_eq!(
            (&revoked["state"], &revoked["revoked_reason"]),
            (&json!("revoked"), &json!("the laptop was lost"))
        );
        let read = send(&other, &key, "GET", "/api/v1/virtual-servers/desk/users/ada/readiness", None);
        assert_eq!(read.problem(401)["code"], "unauthenticated");
        let written = send(&other, &key, "POST", "/api/v1/sessions", Some(&mint));
        assert_eq!(written.problem(401)["code"], "unauthenticated");
        let form = format!("token={}", token["token"].as_str().unwrap());
        let asked = Request::new("POST", "/api/v1/introspect")
            .header("Authorization", format!("Bearer {key}"))
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(form);
        assert_eq!(asked.send(other.address).problem(401)["code"], "unauthenticated");
    }
}

#[test]
fn a_key_that_writes_while_it_is_revoked_has_written_nothing_after_the_revocation() {
    let world = World::start_behind_url(&[]);
    let upstream = Upstream::start(Options::default());
    world.desk(&upstream);
    let other = world.another();
    let (key, id) = role(&world, "minter");
    let revoked = std::thread::scope(|scope| {
        for (number, server) in [&*world, &other, &*world, &other].into_iter().enumerate() {
            let (key, mint) = (&key, json!({ "virtual_server": "desk", "user": format!("user-{number}") }));
            scope.spawn(
                move || {
                    while send(server, key, "POST", "/api/v1/sessions", Some(&mint)).status == 201 {}
                },
            );
        }
        std::thread::sleep(Duration::from_millis(300));
        let answer = revoke(&world, ADMIN_KEY, &id);
        answer.expect(200);
        answer.header("proctor-position").unwrap().parse::<u64>().unwrap()
    });
    let opened = world.pages("/api/v1/sessions?limit=500");
    assert!(opened.len() > 4, "only {} were minted", opened.len());
    for session in opened {
        assert!(session["position"].as_u64().unwrap() < revoked, "{session} is after {revoked}");
    }
}

#[test]
fn an_expired_key_is_told_so() {
    let world = World::start();
    let at = chrono::DateTime::<chrono::Utc>::from(SystemTime::now() + Duration::from_secs(4));
    let wanted = json!({ "name": "for a moment", "role": "auditor", "expires_at": at.to_rfc3339() });
    let (key, id) = create(&world, ADMIN_KEY, &wanted);
    send(&world, &key, "GET", "/api/v1/sessions", None).expect(200);
    let mut last = None;
    wait_until("the key to expire", || {
        let answer = send(&world, &key, "GET", "/api/v1/sessions", None);
        let expired = answer.status != 200;
        last = Some(answer);
        expired
    });
    let answer = last.unwrap();
    assert_eq!(answer.problem(401)["code"], "api_key_expired");
    assert!(answer.header("www-authenticate").is_some());
    assert_eq!(shown(&world, &id)["state"], "expired");
}

#[test]
fn when_a_key_was_last_used_is_known_to_all_soon_and_survives_a_restart() {
    let mut world = World::start_behind_url(&[]);
    let (key, id) = role(&world, "auditor");
    assert_eq!(shown(&world, &id)["last_used_at"], Value::Null);
    send(&world, &key, "GET", "/api/v1/sessions", None).expect(200);
    let used = shown(&world, &id)["last_used_at"].clone();
    assert!(used.as_str() >= shown(&world, &id)["created_at"].as_str(), "{used}");
    let other = world.another();
    assert!(world.server.terminate().success());
    assert_eq!(shown(&other, &id)["last_used_at"], used);
    // Using a key is no event.
    let acts = other.pages("/api/v1/audit/acts?limit=100");
    assert!(acts.iter().all(|act| act["by"] != json!({ "key": id })), "{acts:?}");
}

#[test]
fn the_last_administrator_is_not_locked_out() {
    let mut world = World::start_behind_url(&[]);
    let first = bootstrap(&world);
    assert_eq!(revoke(&world, ADMIN_KEY, &first).problem(409)["code"], "last_administrator");
    // Nor for one that ends by itself, or may do less.
    let brief = json!({ "name": "for a day", "role": "admin", "expires_at": "2099-01-01T00:00:00Z" });
    let [brief, another] = [(); 2].map(|()| create(&world, ADMIN_KEY, &brief).0);
    role(&world, "minter");
    assert_eq!(revoke(&world, &brief, &first).problem(409)["code"], "last_administrator");
    let (mut key, mut id) = (ADMIN_KEY.to_owned(), first.clone());
    // Of two that are revoked at the same time, at two replicas, one remains: by each other, or by others.
    let other = world.another();
    for round in 0..12 {
        let (heir, heir_id) = create(&world, &key, &json!({ "name": "an heir", "role": "admin" }));
        send(&other, &heir, "GET", KEYS, None).expect(200);
        let (one, two) = std::thread::scope(|scope| {
            let (first, second) = if round % 2 == 0 { (&key, &heir) } else { (&brief, &another) };
            let one = scope.spawn(|| revoke(&world, first, &heir_id).status);
            let two = scope.spawn(|| revoke(&other, second, &id).status);
            (one.join().unwrap(), two.join().unwrap())
        });
        match (one, two) {
            (200, 401 | 409) => {}
            (401 | 409, 200) => (key, id) = (heir, heir_id),
            both => panic!("{both:?}"),
        }
        send(&world, &key, "GET", KEYS, None).expect(200);
    }
    if id == first {
        let (heir, _) = create(&world, &key, &json!({ "name": "an heir", "role": "admin" }));
        revoke(&world, &heir, &first).expect(200);
        key = heir;
    }
    // A restart with the revoked key does not bring it back.
    drop(other);
    world.crash_and_restart();
    assert_eq!(world.get(KEYS).problem(401)["code"], "unauthenticated");
    send(&world, &key, "GET", KEYS, None).expect(200);
    assert!(world.log().contains("PROCTOR_ADMIN_KEY names a key that counts no more"), "{}", world.log());
    // Another one in the environment is the way back in for whoever runs the server.
    world.server.terminate();
    let another = "another-administrators-key-for-tests-9876543210";
    let mut server = world.launch_with(&[("PROCTOR_ADMIN_KEY", another)]);
    server.wait_until_ready();
    send(&server, another, "GET", KEYS, None).expect(200);
}
