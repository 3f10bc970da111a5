//! Minting, showing and revoking sessions.

use proctor_domain::api_key::Role;
use serde_json::json;

use super::World;

#[actix_web::test]
async fn a_minted_token_opens_its_virtual_server_for_its_subject_only() {
    let world = World::start().await;
    world.define().await;
    let body = json!({
        "virtual_server": "reader", "user": "ada", "ttl_seconds": 60, "access": "read_only",
        "tools": ["notes_list"], "labels": { "run": "r1" }, "limits": { "calls_max": 3 },
    });
    let minted = world.post("/api/v1/sessions", body).await;
    assert!(minted.position() > 0);
    let minted = minted.expect(201);
    let audience = minted["mcp_server_url"].as_str().unwrap();
    assert_eq!(audience, world.proctor().mcp_server_url("reader"));
    let token = minted["token"].as_str().unwrap();
    let now = crate::actors::now().0;
    let verified = world.proctor().vault.tokens().verify(token, audience, now).unwrap();
    assert_eq!(verified.claims.session, minted["session_id"].as_str().unwrap());
    assert!(verified.claims.subject.starts_with("sub_") && !verified.claims.subject.contains("ada"));

    let path = format!("/api/v1/sessions/{}", verified.claims.session);
    let shown = world.get(&path).await.expect(200);
    for (member, value) in [
        ("state", json!("open")),
        ("user", json!("ada")),
        ("labels", json!({ "run": "r1" })),
        ("access", json!("read_only")),
        ("tools", json!(["notes_list"])),
        ("limits", json!({ "calls_max": 3 })),
        ("expires_at", minted["expires_at"].clone()),
    ] {
        assert_eq!(shown[member], value, "{member}");
    }
    let timeline = world.get(&format!("{path}/timeline")).await.expect(200);
    assert_eq!(timeline["items"][0]["type"], "SessionOpened");
    assert_eq!(timeline["items"][0]["labels"], json!({ "run": "r1" }));
    world.stop().await;
}

#[actix_web::test]
async fn terms_that_no_session_can_have_are_refused() {
    let world = World::start().await;
    world.define().await;
    for (more, status, code) in [
        (json!({ "ttl_seconds": 59 }), 422, "invalid_terms"),
        (json!({ "user": "" }), 422, "invalid_terms"),
        (json!({ "tools": ["nothing"] }), 422, "unknown_tool"),
        (json!({ "access": "root" }), 422, "invalid_body"),
        (json!({ "virtual_server": "nothing" }), 404, "virtual_server_not_found"),
    ] {
        let mut body = json!({ "virtual_server": "reader", "user": "ada" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        world.post("/api/v1/sessions", body).await.problem(status, code);
    }
    world.post("/api/v1/virtual-servers/reader/retire", json!({})).await.expect(200);
    let body = json!({ "virtual_server": "reader", "user": "ada" });
    world.post("/api/v1/sessions", body).await.problem(409, "virtual_server_retired");
    world.stop().await;
}

#[actix_web::test]
async fn a_user_who_is_new_to_several_mints_at_once_gets_one_reference() {
    let world = World::start().await;
    world.define().await;
    let mints = futures_util::future::join_all((0..8).map(|_| world.mint("ada"))).await;
    let list = world.get("/api/v1/sessions?user=ada").await.expect(200);
    let items = list["items"].as_array().unwrap();
    assert_eq!(items.len(), mints.len());
    assert!(items.iter().all(|session| session["subject"] == items[0]["subject"]), "{list}");
    world.stop().await;
}

#[actix_web::test]
async fn sessions_are_found_by_user_label_server_and_state() {
    let world = World::start().await;
    world.define().await;
    let labelled = json!({ "virtual_server": "reader", "user": "ada", "labels": { "run": "a=b:c" } });
    world.post("/api/v1/sessions", labelled).await.expect(201);
    let revoked = world.mint("ada").await;
    for _ in 0..3 {
        world.mint("grace").await;
    }
    let path = format!("/api/v1/sessions/{}/revoke", revoked["session_id"].as_str().unwrap());
    world.post(&path, json!({ "reason": "lost" })).await.expect(200);
    for (query, count) in [
        ("", 5),
        ("user=ada", 2),
        ("user=nobody", 0),
        ("label=run:a%3Db:c", 1),
        ("label=run%3Da%3Db:c", 1),
        ("label=run:other", 0),
        ("state=open", 4),
        ("state=revoked", 1),
        ("user=ada&state=open", 1),
        ("virtual_server=reader", 5),
        ("virtual_server=other", 0),
        ("to=2020-01-01T00:00:00Z", 0),
        ("from=2020-01-01T00:00:00%2B02:00&user=&state=", 5),
    ] {
        let mut found = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("/api/v1/sessions?limit=2&cursor={cursor}&{query}");
            let page = world.get(&path).await.expect(200);
            found.extend(page["items"].as_array().unwrap().iter().map(|s| s["position"].as_u64().unwrap()));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => break,
            }
        }
        assert_eq!(found.len(), count, "{query}");
        assert!(found.is_sorted_by(|newer, older| newer > older), "{query}: {found:?}");
    }
    for bad in ["state=alive", "label=run", "from=yesterday"] {
        world.get(&format!("/api/v1/sessions?{bad}")).await.problem(400, "invalid_query");
    }
    world.stop().await;
}

#[actix_web::test]
async fn a_revocation_says_why_and_waits_for_every_process_when_asked() {
    let world = World::start().await;
    world.define().await;
    let session = world.mint("ada").await;
    let path = format!("/api/v1/sessions/{}", session["session_id"].as_str().unwrap());
    world.post(&format!("{path}/revoke"), json!({})).await.problem(422, "invalid_body");
    world.post(&format!("{path}/revoke"), json!({ "reason": " " })).await.problem(422, "invalid_body");
    let revoked = world.post(&format!("{path}/revoke?wait=true"), json!({ "reason": "lost" })).await;
    let position = revoked.position();
    assert_eq!(revoked.expect(200)["confirmed"], true);
    let shown = world.get(&path).await.expect(200);
    assert_eq!((&shown["state"], &shown["ended"]["reason"]), (&json!("revoked"), &json!("lost")));
    assert_eq!(shown["ended"]["position"], position);
    // Once more is as good as once.
    world.post(&format!("{path}/revoke"), json!({ "reason": "again" })).await.expect(200);
    assert_eq!(world.get(&path).await.expect(200)["ended"]["reason"], "lost");
    world
        .post("/api/v1/sessions/ses_x/revoke", json!({ "reason": "x" }))
        .await
        .problem(404, "session_not_found");
    world.get("/api/v1/sessions/ses_x").await.problem(404, "session_not_found");
    world.get("/api/v1/sessions/ses_x/timeline").await.problem(404, "session_not_found");
    world.stop().await;
}

#[actix_web::test]
async fn a_revocation_of_many_says_how_many() {
    for (what, name) in [("user", "ada"), ("virtual_server", "reader"), ("connection", "desk")] {
        let world = World::start().await;
        world.define().await;
        let covered = [world.mint("ada").await, world.mint("ada").await];
        let mut body = json!({ "reason": "an incident" });
        body[what] = json!(name);
        let cut = world.post("/api/v1/revocations?wait=true", body.clone()).await.expect(200);
        assert_eq!((&cut["sessions"], &cut["confirmed"]), (&json!(2), &json!(true)), "{what}");
        let again = world.post("/api/v1/revocations", body).await.expect(200);
        assert_eq!(again["sessions"], 0, "{what}");
        let shown =
            world.get(&format!("/api/v1/sessions/{}", covered[0]["session_id"].as_str().unwrap())).await;
        // A connection's cut leaves the rest of a session in use.
        let state = if what == "connection" { "open" } else { "revoked" };
        let shown = shown.expect(200);
        assert_eq!(shown["state"], state, "{what}");
        if what != "connection" {
            assert_eq!(shown["ended"]["reason"], "an incident");
        }
        world.stop().await;
    }
}

#[actix_web::test]
async fn a_revocation_names_one_thing_that_is_there() {
    let world = World::start().await;
    world.key("a-minters-key-for-tests-0123456789", Role::Minter).await;
    for (body, status, code) in [
        (json!({ "reason": "x" }), 422, "invalid_body"),
        (json!({ "user": "a", "connection": "b", "reason": "x" }), 422, "invalid_body"),
        (json!({ "user": "nobody", "reason": "x" }), 404, "user_not_found"),
        (json!({ "virtual_server": "nothing", "reason": "x" }), 404, "virtual_server_not_found"),
        (json!({ "connection": "nothing", "reason": "x" }), 404, "connection_not_found"),
    ] {
        world.post("/api/v1/revocations", body).await.problem(status, code);
    }
    world.stop().await;
}
