//! Who gets in, and what happens to requests that are for nothing here.

use std::collections::BTreeMap;

use actix_web::test::TestRequest;
use proctor_domain::StreamId;
use proctor_domain::api_key::Role;
use proctor_domain::watch::{Notice, Watch, WatchEvent};
use serde_json::json;

use super::super::caller::Caller;
use super::super::problem::Code;
use super::{ADMIN_KEY, World, definition};
use crate::actors::{ApiKeys, Prepared};

#[actix_web::test]
async fn without_a_valid_key_nobody_gets_in_and_each_failure_is_counted() {
    let world = World::start().await;
    let answer = world.request(TestRequest::get().uri("/api/v1/connections")).await;
    assert_eq!(answer.headers.get("www-authenticate").unwrap(), "Bearer realm=\"proctor\"");
    answer.problem(401, "unauthenticated");
    for header in ["Basic YTpi", "Bearer", "Bearer an-unknown-key-that-is-long-enough-00000"] {
        let request = TestRequest::get().uri("/api/v1/nothing").insert_header(("Authorization", header));
        world.request(request).await.problem(401, "unauthenticated");
    }
    let alive = world.proctor().directory.alive();
    world
        .send("another-unknown-key", "GET", "/api/v1/connections", None)
        .await
        .problem(401, "unauthenticated");
    assert_eq!(world.proctor().directory.alive(), alive, "an unknown key started an entity");

    world.proctor().failures.flush(&world.proctor().directory).await;
    let acts = world.get("/api/v1/audit/acts?type=AuthenticationsFailed").await.expect(200);
    let mut counted: Vec<_> = acts["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|act| (act["reason"].as_str().unwrap(), act["details"]["count"].as_u64().unwrap()))
        .collect();
    counted.sort_unstable();
    assert_eq!(counted, [("malformed", 2), ("missing", 1), ("unknown", 2)]);
    world.stop().await;
}

#[actix_web::test]
async fn a_key_does_what_its_role_allows_and_nothing_once_it_is_revoked() {
    let world = World::start().await;
    let (minter, auditor) = ("a-minters-key-for-tests-0123456789", "an-auditors-key-for-tests-012345");
    world.key(minter, Role::Minter).await;
    world.key(auditor, Role::Auditor).await;
    world.define().await;
    let mint = json!({ "virtual_server": "reader", "user": "ada" });
    let define = definition("other", &[]);
    world.send(minter, "POST", "/api/v1/sessions", Some(&mint)).await.expect(201);
    world.send(auditor, "POST", "/api/v1/sessions", Some(&mint)).await.problem(403, "forbidden");
    world.send(minter, "POST", "/api/v1/virtual-servers", Some(&define)).await.problem(403, "forbidden");
    world.send(minter, "GET", "/api/v1/audit/tool-calls", None).await.problem(403, "forbidden");
    world.send(auditor, "GET", "/api/v1/audit/tool-calls", None).await.expect(200);
    world.send(auditor, "GET", "/api/v1/sessions", None).await.expect(200);
    world.revoke_key(minter).await;
    world.send(minter, "POST", "/api/v1/sessions", Some(&mint)).await.problem(401, "unauthenticated");
    world.stop().await;
}

#[actix_web::test]
async fn a_key_that_is_revoked_after_it_was_let_in_writes_nothing_more() {
    let world = World::start().await;
    let minter = "a-minters-key-for-tests-0123456789";
    world.key(minter, Role::Minter).await;
    let caller = Caller { key: ApiKeys::id_of(minter), role: Role::Minter };
    let notice = || {
        Notice(WatchEvent::AuditTrailRead {
            by: caller.by(),
            what: "test".to_owned(),
            filters: BTreeMap::new(),
            rows: 0,
        })
    };
    caller.tell::<Watch>(world.proctor(), "test", notice()).await.unwrap();
    // The state that the command rests on is seen before the revocation, and decided on after it.
    let prepared_before = caller.act::<Watch, _>(world.proctor(), "test", || async {
        world.revoke_key(minter).await;
        Ok(Prepared::alone(notice()))
    });
    assert_eq!(prepared_before.await.unwrap_err().code, Code::Unauthenticated);
    let stream = StreamId::of::<Watch>("test");
    assert_eq!(world.proctor().journal.reader().stream(&stream, 0).await.unwrap().len(), 1);
    world.stop().await;
}

#[actix_web::test]
async fn what_is_for_nothing_here_is_a_problem_too() {
    let world = World::start().await;
    world.get("/api/v1/nothing").await.problem(404, "not_found");
    world.get("/nothing").await.problem(404, "not_found");
    let answer = world.send(ADMIN_KEY, "DELETE", "/api/v1/connections", None).await;
    assert_eq!(answer.headers.get("allow").unwrap(), "GET, POST");
    answer.problem(405, "method_not_allowed");
    world.get("/api/v1/connections?nonsense=1").await.problem(400, "invalid_query");
    world.get("/api/v1/connections?limit=501").await.problem(400, "invalid_query");
    world.get("/api/v1/connections?cursor=nonsense").await.problem(400, "invalid_cursor");
    let post = |kind: &str, body: String| {
        TestRequest::post()
            .uri("/api/v1/sessions")
            .insert_header(("Authorization", format!("Bearer {ADMIN_KEY}")))
            .insert_header(("Content-Type", kind.to_owned()))
            .set_payload(body)
    };
    world.request(post("text/plain", "{}".to_owned())).await.problem(415, "wrong_content_type");
    world.request(post("application/json", "{".to_owned())).await.problem(400, "malformed_json");
    let twice = r#"{"user":"a","user":"b"}"#.to_owned();
    world.request(post("application/json; charset=utf-8", twice)).await.problem(400, "duplicate_key");
    let long = format!("\"{}\"", "x".repeat(70_000));
    world.request(post("application/json", long)).await.problem(413, "body_too_large");
    world.stop().await;
}

#[actix_web::test]
async fn health_readiness_and_public_keys_need_no_key() {
    let world = World::start().await;
    let get = |path: &str| TestRequest::get().uri(path);
    world.request(get("/healthz")).await.expect(200);
    let ready = world.request(get("/readyz")).await.expect(200);
    assert_eq!(ready["status"], "ready");
    let keys = world.request(get("/.well-known/jwks.json")).await.expect(200);
    assert_eq!(keys["keys"][0]["crv"], "Ed25519");
    world.proctor().stopping.store(true, std::sync::atomic::Ordering::Release);
    let stopping = world.request(get("/readyz")).await.expect(503);
    assert!(stopping["reasons"][0].as_str().unwrap().contains("stopping"));
    world.stop().await;
}

#[actix_web::test]
async fn the_metrics_say_how_the_replica_does_and_name_nobody() {
    let world = World::start().await;
    world.define().await;
    world
        .send("an-unknown-key-that-nobody-has-made", "GET", "/api/v1/sessions", None)
        .await
        .problem(401, "unauthenticated");
    let answer = world.request(TestRequest::get().uri("/metrics")).await;
    let body = answer.expect(200);
    let text = body.as_str().unwrap();
    let value = |name: &str| -> f64 {
        let line = text.lines().find(|line| line.starts_with(&format!("{name} ")));
        line.and_then(|line| line.rsplit_once(' '))
            .unwrap_or_else(|| panic!("no {name} in {text}"))
            .1
            .parse()
            .unwrap()
    };
    let position = world.proctor().journal.head().position().0 as f64;
    assert!(value("proctor_journal_position") > 0.0 && value("proctor_journal_position") <= position);
    assert!(value("proctor_journal_events_total") > 0.0);
    assert!(value("proctor_journal_append_seconds_count") > 0.0);
    assert!(value("proctor_journal_batch_appends_count") > 0.0);
    assert!(value("proctor_journal_head_age_seconds") < 5.0);
    assert!(value("proctor_entities_alive") > 0.0);
    assert_eq!(value("proctor_authentications_failed_total{door=\"api\"}"), 1.0);
    for name in [
        "proctor_journal_halted",
        "proctor_journal_full",
        "proctor_views_failing",
        "proctor_calls_in_flight",
        "proctor_mcp_sessions_streams",
        "proctor_journal_conflicts_total{what=\"stale\"}",
        "proctor_journal_conflicts_total{what=\"decided_again\"}",
    ] {
        assert_eq!(value(name), 0.0, "{name}");
    }
    assert!(value("proctor_views_lag_events") >= 0.0);
    assert_eq!(value("proctor_sessions_open"), 0.0);
    world.stop().await;
}
