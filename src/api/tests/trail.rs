//! Reading the audit trail.

use std::sync::Arc;

use proctor_domain::api_key::Role;
use proctor_domain::connection::Connection;
use proctor_domain::session::{CallGrounds, CallRequest, Client, Outcome, Session, SessionCommand};
use proctor_domain::subject::Subject;
use proctor_domain::virtual_server::{VirtualServer, Wanted};
use proctor_domain::{CallId, SubjectId};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::World;
use crate::actors::{Prepared, Sealed, new_id, now};
use crate::payload::{Asked, Ended, Kept};

const MINTER: &str = "a-minters-key-for-tests-0123456789";
const ARGUMENTS: &str = r#"{ "limit":1.50, "z":"é" }"#;
const RESULT: &str = r#"{"content":[], "x-unknown":1e3}"#;

/// Has a call made and recorded, as the agents' door would.
async fn call(world: &World, session: &str, tool: &str) -> CallId {
    let proctor = world.proctor();
    let terms = proctor.directory.fresh::<Session>(session).await.unwrap().terms().unwrap().clone();
    let subject: &SubjectId = &terms.subject;
    let key = proctor.keyring.session_key(session, subject).await.unwrap();
    let sealed = |plain: Vec<u8>| {
        let event_id: Arc<str> = new_id("evt").into();
        Some(Sealed { bytes: key.seal_payload(&event_id, &plain).into(), event_id })
    };
    let id = CallId::from(new_id("call"));
    let grounds = CallGrounds {
        subject: proctor.directory.state::<Subject>(subject.as_str()).await.unwrap(),
        server: proctor.directory.state::<VirtualServer>("reader").await.unwrap(),
        connection: Some(proctor.directory.state::<Connection>("desk").await.unwrap()),
        user_connection: None,
    };
    let request = CallRequest {
        call: id.clone(),
        wanted: Wanted::Tool(tool.to_owned()),
        replica: proctor.replica.clone(),
        request: None,
        continues: None,
        client: Client::default(),
        trace: None,
        arguments_bytes: ARGUMENTS.len() as u64,
        arguments_ok: true,
        held_back: None,
    };
    let arguments = RawValue::from_string(ARGUMENTS.to_owned()).unwrap();
    let asked = sealed(Asked::new(Some("203.0.113.7"), Kept::Full(&arguments)).to_bytes());
    let ask = |command: SessionCommand, sealed: Option<Sealed>| async move {
        let prepare = || {
            let prepared = Prepared { sealed: sealed.clone(), ..Prepared::<Session>::alone(command.clone()) };
            async move { Ok(prepared) }
        };
        proctor.directory.ask::<Session, _>(session, prepare).await.unwrap()
    };
    let begun = ask(SessionCommand::RequestToolCall { at: now(), request, grounds }, asked).await;
    if begun[0].event.type_name() == "ToolCallAdmitted" {
        let result = RawValue::from_string(RESULT.to_owned()).unwrap();
        let ended = sealed(Ended::result(Kept::Full(&result)).to_bytes());
        let outcome = SessionCommand::RecordOutcome {
            call: id.clone(),
            outcome: Outcome::Succeeded,
            duration_us: 1_500,
            result_bytes: RESULT.len() as u64,
        };
        ask(outcome, ended).await;
    }
    id
}

async fn session(world: &World, user: &str) -> String {
    let body = json!({ "virtual_server": "reader", "user": user, "labels": { "run": user } });
    let minted = world.post("/api/v1/sessions", body).await.expect(201);
    minted["session_id"].as_str().unwrap().to_owned()
}

async fn count(world: &World, query: &str) -> usize {
    let page = world.get(&format!("/api/v1/audit/tool-calls?{query}")).await.expect(200);
    page["items"].as_array().unwrap().len()
}

#[actix_web::test]
async fn a_call_is_shown_with_exactly_what_was_sent_and_came_back() {
    let world = World::start().await;
    world.define().await;
    let session = session(&world, "ada").await;
    let id = call(&world, &session, "notes_list").await;
    let list = world.get("/api/v1/audit/tool-calls").await.expect(200);
    for (member, value) in [
        ("call_id", json!(id)),
        ("user", json!("ada")),
        ("session_id", json!(session)),
        ("labels", json!({ "run": "ada" })),
        ("client_address", json!("203.0.113.7")),
        ("outcome", json!("succeeded")),
        ("reason", Value::Null),
        ("duration_ms", json!(1.5)),
    ] {
        assert_eq!(list["items"][0][member], value, "{member}");
    }
    let detail = world.get(&format!("/api/v1/audit/tool-calls/{id}")).await.expect(200);
    assert_eq!(detail["arguments"], serde_json::from_str::<Value>(ARGUMENTS).unwrap());
    assert_eq!(detail["result"], serde_json::from_str::<Value>(RESULT).unwrap());
    world.get("/api/v1/audit/tool-calls/call_x").await.problem(404, "tool_call_not_found");
    world.stop().await;
}

#[actix_web::test]
async fn calls_are_found_by_everything_that_they_are_filtered_by() {
    let world = World::start().await;
    world.define().await;
    let (ada, grace) = (session(&world, "ada").await, session(&world, "grace").await);
    call(&world, &ada, "notes_list").await;
    call(&world, &ada, "nothing").await;
    call(&world, &grace, "notes_create").await;
    for (query, found) in [
        ("", 3),
        ("user=ada", 2),
        ("user=nobody", 0),
        (&*format!("session={grace}"), 1),
        ("label=run:ada", 2),
        ("label=run:ada&outcome=refused", 1),
        ("tool=notes_create", 1),
        ("connection=desk", 2),
        ("virtual_server=reader", 3),
        ("outcome=succeeded", 2),
        ("from=2020-01-01T00:00:00Z", 3),
        ("from=&to=&user=&limit=&cursor=", 3),
    ] {
        assert_eq!(count(&world, query).await, found, "{query}");
    }
    for bad in ["outcome=nonsense", "limit=0", "to=x", "usr=ada", "label=x"] {
        world.get(&format!("/api/v1/audit/tool-calls?{bad}")).await.problem(400, "invalid_query");
    }
    world.stop().await;
}

#[actix_web::test]
async fn every_read_of_the_trail_is_itself_an_act_that_names_no_user() {
    let world = World::start().await;
    world.define().await;
    let session = session(&world, "ada.lovelace").await;
    let id = call(&world, &session, "notes_list").await;
    count(&world, "user=ada.lovelace&tool=notes_list").await;
    world.get(&format!("/api/v1/audit/tool-calls/{id}")).await.expect(200);
    world.get(&format!("/api/v1/sessions/{session}/timeline")).await.expect(200);
    let acts = world.get("/api/v1/audit/acts?type=AuditTrailRead").await.expect(200);
    let reads: Vec<_> = acts["items"].as_array().unwrap().iter().map(|act| &act["details"]).collect();
    assert_eq!(reads.len(), 3);
    assert_eq!(reads[0]["filters"]["session"], json!(session));
    assert_eq!(reads[1]["filters"]["call"], json!(id));
    assert_eq!((&reads[2]["rows"], &reads[2]["filters"]["tool"]), (&json!(1), &json!("notes_list")));
    assert!(reads[2]["filters"]["subject"].as_str().unwrap().starts_with("sub_"));
    assert!(!acts.to_string().contains("ada.lovelace"), "{acts}");
    world.stop().await;
}

#[actix_web::test]
async fn a_timeline_opens_what_agents_sent_for_auditors_only() {
    let world = World::start().await;
    world.define().await;
    world.key(MINTER, Role::Minter).await;
    let session = session(&world, "ada").await;
    call(&world, &session, "notes_list").await;
    let path = format!("/api/v1/sessions/{session}/timeline");
    let opened = world.get(&path).await.expect(200);
    let types: Vec<_> = opened["items"].as_array().unwrap().iter().map(|event| &event["type"]).collect();
    assert_eq!(types, ["SessionOpened", "ToolCallAdmitted", "ToolCallEnded"]);
    assert_eq!(opened["items"][1]["arguments"]["limit"], 1.5);
    assert_eq!(opened["items"][1]["data"]["tool"], "notes_list");
    assert!(opened["items"][2]["result"].is_object());
    let closed = world.send(MINTER, "GET", &path, None).await.expect(200);
    assert_eq!(closed["items"].as_array().unwrap().len(), 3);
    for member in ["arguments", "result", "client_address"] {
        assert!(!closed.to_string().contains(&format!("\"{member}\":")), "{closed}");
    }
    let page = world.get(&format!("{path}?limit=2")).await.expect(200);
    let next = page["next_cursor"].as_str().unwrap();
    let rest = world.get(&format!("{path}?limit=2&cursor={next}")).await.expect(200);
    assert_eq!(
        (rest["items"][0]["type"].as_str(), &rest["next_cursor"]),
        (Some("ToolCallEnded"), &Value::Null)
    );
    world.stop().await;
}

#[actix_web::test]
async fn acts_say_who_did_what_to_what_and_why() {
    let world = World::start().await;
    world.define().await;
    world.mint("ada").await;
    world.post("/api/v1/revocations", json!({ "user": "ada", "reason": "left" })).await.expect(200);
    let acts = world.get("/api/v1/audit/acts?user=ada&type=SubjectSessionsCut").await.expect(200);
    let act = &acts["items"][0];
    assert_eq!((&act["user"], &act["reason"]), (&json!("ada"), &json!("left")));
    assert!(act["by"]["key"].is_string(), "{act}");
    let all = world.get("/api/v1/audit/acts").await.expect(200);
    let types: Vec<_> = all["items"].as_array().unwrap().iter().map(|act| act["type"].clone()).collect();
    for wanted in ["ConnectionRegistered", "CatalogRefreshed", "VirtualServerDefined", "SessionOpened"] {
        assert!(types.contains(&json!(wanted)), "{types:?}");
    }
    world.stop().await;
}
