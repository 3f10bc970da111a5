//! Defining and revising virtual servers.

use serde_json::{Value, json};

use super::{World, definition};

const SERVERS: &str = "/api/v1/virtual-servers";

#[actix_web::test]
async fn a_definition_is_kept_in_every_version() {
    let world = World::start().await;
    world.connect().await;
    let defined = world.post(SERVERS, definition("reader", &["notes_list"])).await.expect(201);
    assert_eq!((&defined["version"], &defined["capture"]), (&json!(1), &json!("full")));
    let path = format!("{SERVERS}/reader");
    let revision = definition("reader", &["notes_list", "notes_read"]);
    for _ in 0..2 {
        // The second time nothing changes.
        assert_eq!(world.put(&path, revision.clone()).await.expect(200)["version"], 2);
    }
    world.put(&path, definition("other", &[])).await.problem(422, "invalid_body");
    let shown = world.get(&path).await.expect(200);
    assert_eq!(shown["tools"][1]["tool"], "notes_read");
    let mut versions = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = world.get(&format!("{path}/versions?limit=1&cursor={cursor}")).await.expect(200);
        versions.extend(
            page["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|v| (v["version"].clone(), v["definition"]["tools"].as_array().unwrap().len())),
        );
        match page["next_cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(versions, [(json!(2), 2), (json!(1), 1)]);
    let retired = world.post(&format!("{path}/retire"), json!({})).await.expect(200);
    assert_eq!(retired["state"], "retired");
    world.put(&path, revision).await.problem(409, "virtual_server_retired");
    world.get(&format!("{SERVERS}/nothing")).await.problem(404, "virtual_server_not_found");
    world.stop().await;
}

#[actix_web::test]
async fn a_definition_that_names_what_is_not_there_is_refused_with_what_is() {
    let world = World::start().await;
    world.connect().await;
    let detail = |problem: Value| problem["detail"].as_str().unwrap().to_owned();
    let unknown =
        world.post(SERVERS, definition("reader", &["note_list"])).await.problem(422, "unknown_tool");
    assert!(detail(unknown).contains("notes_list"));
    let elsewhere = json!({ "name": "reader", "tools": [{ "connection": "dask", "tool": "notes_list" }] });
    let unknown = world.post(SERVERS, elsewhere).await.problem(422, "unknown_connection");
    assert!(detail(unknown).contains("desk"));
    let fixed = json!({ "name": "reader", "tools": [{
        "connection": "desk", "tool": "notes_create", "fixed_arguments": { "nonsense": 1 },
    }] });
    let unknown = world.post(SERVERS, fixed).await.problem(422, "unknown_argument");
    assert!(detail(unknown).contains("title"));
    let clash = json!({ "name": "reader", "tools": [
        { "connection": "desk", "tool": "notes_create", "name": "x" },
        { "connection": "desk", "tool": "notes_list", "name": "x" },
    ] });
    world.post(SERVERS, clash).await.problem(422, "invalid_definition");
    assert_eq!(world.get(SERVERS).await.expect(200)["items"], json!([]));
    world.stop().await;
}

#[actix_web::test]
async fn the_deepest_definition_that_is_taken_can_be_read_again() {
    let world = World::start().await;
    world.connect().await;
    let nested = |levels: usize| {
        let mut value = json!(1);
        for _ in 0..levels {
            value = json!([value]);
        }
        json!({ "name": "reader", "tools": [{
            "connection": "desk", "tool": "notes_create", "fixed_arguments": { "title": value },
        }] })
    };
    world.post(SERVERS, nested(61)).await.problem(400, "too_deep");
    world.post(SERVERS, nested(60)).await.expect(201);
    let versions = world.get(&format!("{SERVERS}/reader/versions")).await.expect(200);
    assert_eq!(versions["items"].as_array().unwrap().len(), 1);
    world.stop().await;
}

#[actix_web::test]
async fn a_manifest_shows_what_agents_see_and_what_it_costs() {
    let world = World::start().await;
    world.connect().await;
    let mut body = definition("reader", &["notes_list", "notes_create"]);
    body["tools"][1]["fixed_arguments"] = json!({ "title": "fixed" });
    world.post(SERVERS, body).await.expect(201);
    let manifest = world.get(&format!("{SERVERS}/reader/manifest")).await.expect(200);
    let tokens = |name: &str| manifest[name].as_u64().unwrap();
    assert!(0 < tokens("tokens") && tokens("tokens") < tokens("whole_connections_tokens"), "{manifest}");
    let properties = &manifest["tools"][1]["definition"]["inputSchema"]["properties"];
    assert!(properties.get("title").is_none() && properties.is_object(), "{manifest}");
    let narrow = world.get(&format!("{SERVERS}/reader/manifest?access=read_only")).await.expect(200);
    assert_eq!(narrow["tools"].as_array().unwrap().len(), 1);
    world.get(&format!("{SERVERS}/reader/manifest?access=root")).await.problem(400, "invalid_query");
    world.stop().await;
}
