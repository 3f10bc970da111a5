//! The audit trail: one row per call, everything on it, and who may find it how.

use std::collections::BTreeSet;

use proctor_test_upstream::{Options, Upstream};
use serde_json::{Value, json};

use crate::agent::{Agent, MODERN};
use crate::rest::definition;
use crate::world::World;

fn desk() -> (World, Upstream) {
    let world = World::start();
    let upstream = Upstream::start(Options::default());
    world.desk(&upstream);
    (world, upstream)
}

#[test]
fn a_row_says_everything_about_a_call() {
    let (world, upstream) = desk();
    let mint = json!({ "virtual_server": "desk", "user": "ada", "labels": { "run": "run-1" } });
    let session = world.mint_with(&mint);
    let agent = Agent::modern(&world, &session);
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let meta = format!(r#""traceparent":"00-{trace}-b7ad6b7169203331-01""#);
    agent.send(&agent.call_request_with_meta("1", "echo", r#"{"text":"hi"}"#, &meta)).result();
    let row = world.trail("").remove(0);
    for (member, value) in [
        ("user", json!("ada")),
        ("session_id", json!(session.id)),
        ("labels", json!({ "run": "run-1" })),
        ("virtual_server", json!("desk")),
        ("version", json!(1)),
        ("connection", json!("fixture")),
        ("tool", json!("echo")),
        ("outcome", json!("succeeded")),
        ("reason", Value::Null),
        ("client_name", json!("raw-agent")),
        ("client_version", json!("1.2.3")),
        ("protocol_version", json!(MODERN)),
        ("client_address", json!("127.0.0.1")),
        ("trace_id", json!(trace)),
        ("arguments_bytes", json!(13)),
    ] {
        assert_eq!(row[member], value, "{member} of {row:#}");
    }
    assert!(row["call_id"].as_str().unwrap().starts_with("call_"), "{row}");
    assert!(row["position"].is_u64() && row["duration_ms"].is_number(), "{row}");
    assert!(row["started_at"].is_string(), "{row}");
    let result_bytes = row["result_bytes"].as_u64().unwrap();
    assert!(result_bytes > 100, "{row}");
    let detail = world.call_on_record(row["call_id"].as_str().unwrap());
    assert_eq!(detail["arguments"], json!({ "text": "hi" }));
    assert_eq!(detail["result"]["structuredContent"], json!({ "text": "hi" }));
    assert_eq!(upstream.ledger().calls().len(), 1);
}

#[test]
fn rows_are_found_by_what_they_say_and_by_nothing_else() {
    let (world, _upstream) = desk();
    world.define("other", "fixture", &["echo", "read_thing"]);
    let ada = world.mint_with(&json!({ "virtual_server": "desk", "user": "ada", "labels": { "run": "r1" } }));
    let grace = world.mint("other", "grace");
    Agent::modern(&world, &ada).call("echo", "{}").result();
    Agent::modern(&world, &ada).call("tool_error", "{}").result();
    Agent::modern(&world, &ada).call("nothing", "{}").error();
    Agent::modern(&world, &grace).call("read_thing", "{}").result();
    let all = world.trail("");
    assert_eq!(all.len(), 4);
    let middle = all[1]["started_at"].as_str().unwrap().replace('+', "%2B");
    for (query, count) in [
        ("user=ada".to_owned(), 3),
        ("user=grace".to_owned(), 1),
        ("user=nobody".to_owned(), 0),
        (format!("session={}", ada.id), 3),
        ("label=run%3Dr1".to_owned(), 3),
        ("label=run%3Dr2".to_owned(), 0),
        ("virtual_server=other".to_owned(), 1),
        ("connection=fixture".to_owned(), 3),
        ("tool=echo".to_owned(), 1),
        ("outcome=succeeded".to_owned(), 2),
        ("outcome=refused".to_owned(), 1),
        ("outcome=failed".to_owned(), 1),
        ("user=ada&outcome=succeeded".to_owned(), 1),
        ("user=grace&tool=echo".to_owned(), 0),
        (format!("from={middle}"), 2),
        ("to=2020-01-01T00:00:00Z".to_owned(), 0),
    ] {
        assert_eq!(world.trail(&query).len(), count, "{query}");
    }
    for bad in ["outcome=nonsense", "limit=0", "limit=x", "from=yesterday", "cursor=nonsense", "usr=ada"] {
        let answer = world.get(&format!("/api/v1/audit/tool-calls?{bad}"));
        assert!(answer.status == 400 || answer.status == 422, "{bad}: {}", answer.text());
        answer.problem(answer.status);
    }
}

#[test]
fn pages_are_newest_first_and_neither_skip_nor_repeat_while_calls_go_on() {
    let (world, _upstream) = desk();
    let agent = Agent::modern(&world, &world.mint("desk", "ada"));
    for call in 0..7 {
        agent.call("echo", &json!({ "call": call }).to_string()).result();
    }
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = world.get(&format!("/api/v1/audit/tool-calls?limit=3{cursor}")).expect(200);
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 3);
        seen.extend(items.iter().map(|row| row["position"].as_u64().unwrap()));
        agent.call("echo", "{}").result();
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 7);
    assert!(seen.is_sorted_by(|newer, older| newer > older), "{seen:?}");
}

#[test]
fn a_list_is_never_staler_than_its_arrival() {
    let (world, _upstream) = desk();
    let agent = Agent::modern(&world, &world.mint("desk", "ada"));
    for count in 1..=50 {
        agent.call("echo", "{}").result();
        assert_eq!(world.trail("limit=100").len(), count);
    }
}

#[test]
fn reading_the_trail_is_itself_on_the_record() {
    let (world, _upstream) = desk();
    let session = world.mint("desk", "ada lovelace");
    Agent::modern(&world, &session).call("echo", r#"{"text":"private"}"#).result();
    let call = world.trail("user=ada%20lovelace").remove(0)["call_id"].as_str().unwrap().to_owned();
    world.call_on_record(&call);
    let reads = world.pages("/api/v1/audit/acts?type=AuditTrailRead");
    assert_eq!(reads.len(), 2, "{reads:#?}");
    let said = format!("{reads:?}");
    assert!(said.contains(&call) && !said.contains("lovelace"), "{said}");
}

#[test]
fn administrative_acts_are_on_the_record_with_who_did_them() {
    let (world, _upstream) = desk();
    let session = world.mint("desk", "ada");
    world.revise("desk", vec![json!({ "connection": "fixture", "tool": "echo" })]);
    world.refresh("fixture");
    world.revoke(&session);
    world.post("/api/v1/revocations", &json!({ "user": "ada", "reason": "left the company" })).ok();
    world.post("/api/v1/virtual-servers/desk/retire", &json!({ "reason": "done" })).ok();
    world.post("/api/v1/connections/fixture/retire", &json!({ "reason": "done" })).ok();
    let acts = world.pages("/api/v1/audit/acts");
    let types: Vec<&str> = acts.iter().map(|act| act["type"].as_str().unwrap()).collect();
    for wanted in [
        "ConnectionRegistered",
        "CatalogRefreshed",
        "VirtualServerDefined",
        "VirtualServerRevised",
        "SessionOpened",
        "SessionRevoked",
        "SubjectSessionsCut",
        "VirtualServerRetired",
        "ConnectionRetired",
    ] {
        assert!(types.contains(&wanted), "{wanted} is not among {types:?}");
    }
    let positions: Vec<u64> = acts.iter().map(|act| act["position"].as_u64().unwrap()).collect();
    assert!(positions.is_sorted_by(|newer, older| newer >= older), "{positions:?}");
    assert!(acts.iter().all(|act| !act["by"].is_null()), "{acts:#?}");
}

#[test]
fn how_much_is_kept_is_set_per_virtual_server() {
    let (world, _upstream) = desk();
    for capture in ["digest", "none"] {
        let mut body = definition(capture, vec![json!({ "connection": "fixture", "tool": "echo" })]);
        body["capture"] = json!(capture);
        world.post("/api/v1/virtual-servers", &body).ok();
        let agent = Agent::modern(&world, &world.mint(capture, "ada"));
        agent.call("echo", r#"{"text":"do not keep me"}"#).result();
        let row = world.trail(&format!("virtual_server={capture}")).remove(0);
        assert_eq!(row["outcome"], "succeeded");
        let call = row["call_id"].as_str().unwrap();
        let detail = world.get(&format!("/api/v1/audit/tool-calls/{call}"));
        assert!(!detail.text().contains("do not keep me"), "{}", detail.text());
    }
}

#[test]
fn what_was_shown_is_on_the_record() {
    let (world, _upstream) = desk();
    let session = world.mint("desk", "ada");
    Agent::modern(&world, &session).tools();
    let timeline = world.timeline(&session);
    let shown = timeline.iter().find(|event| event["type"] == "ManifestServed").unwrap();
    assert!(shown.to_string().contains("manifest"), "{shown}");
}

#[test]
fn identical_refusals_are_counted_instead_of_filling_the_journal() {
    let (world, _upstream) = desk();
    let session = world.mint("desk", "ada");
    let agent = Agent::modern(&world, &session);
    for _ in 0..200 {
        agent.call("nothing", "{}").error();
    }
    let timeline = world.timeline(&session);
    assert!(timeline.len() < 20, "{} events", timeline.len());
    // Each minute that saw one records it once.
    let refused = world.trail("outcome=refused");
    let minutes: BTreeSet<&str> = refused
        .iter()
        .map(|call| &call["started_at"].as_str().unwrap()[.."2026-01-01T00:00".len()])
        .collect();
    assert!(!refused.is_empty() && minutes.len() == refused.len(), "{refused:#?}");
}

#[test]
fn writes_say_their_position() {
    let (world, _upstream) = desk();
    let position = |answer: &crate::http::Response| -> u64 {
        answer.header("proctor-position").unwrap().parse().unwrap()
    };
    let mint = json!({ "virtual_server": "desk", "user": "ada" });
    let (one, two) = (world.post("/api/v1/sessions", &mint), world.post("/api/v1/sessions", &mint));
    assert!(position(&one) < position(&two));
    assert!(position(&world.get("/api/v1/audit/tool-calls")) >= position(&two));
}
