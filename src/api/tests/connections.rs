//! Registering upstreams and setting them anew.

use proctor_domain::Name;
use serde_json::{Value, json};

use super::World;

const SECRET: &str = "s3cret-that-nobody-may-see";

fn guarded(url: &str, auth: Value) -> Value {
    json!({ "name": "guarded", "transport": { "type": "http", "url": url }, "auth": auth, "private_network": true })
}

#[actix_web::test]
async fn a_registered_connections_catalog_is_read_at_once_and_pinned() {
    let world = World::start().await;
    let registered = world.connect().await;
    assert!(registered["catalog"]["tools"].as_u64().unwrap() > 10, "{registered}");
    assert_eq!(world.get("/api/v1/connections/desk").await.expect(200), registered);
    let catalog = world.get("/api/v1/connections/desk/catalog").await.expect(200);
    assert_eq!(catalog["digest"], registered["catalog"]["digest"]);
    let first = &catalog["tools"][0];
    assert_eq!(first["name"], first["definition"]["name"]);
    let refreshed = world.post("/api/v1/connections/desk/catalog/refresh", json!({})).await.expect(200);
    for list in ["added", "changed", "removed", "rejected"] {
        assert_eq!(refreshed[list], json!([]), "{refreshed}");
    }
    let tested = world.post("/api/v1/connections/desk/test", json!({})).await.expect(200);
    assert_eq!(tested["era"], refreshed["era"]);
    world.stop().await;
}

#[actix_web::test]
async fn an_upstream_that_cannot_be_reached_is_registered_all_the_same() {
    let world = World::start().await;
    let body = json!({
        "name": "away", "transport": { "type": "http", "url": "http://127.0.0.1:1/mcp" },
        "private_network": true,
    });
    let registered = world.post("/api/v1/connections", body.clone()).await.expect(201);
    assert_eq!(registered["catalog"], Value::Null);
    assert!(registered["catalog_error"].as_str().unwrap().contains("\"away\""), "{registered}");
    world.get("/api/v1/connections/away/catalog").await.problem(404, "catalog_not_found");
    let failed = world.post("/api/v1/connections/away/test", json!({})).await.problem(502, "upstream_failed");
    assert_eq!(failed["failure"], "unreachable");
    world.post("/api/v1/connections", body).await.problem(409, "connection_exists");
    world.stop().await;
}

#[actix_web::test]
async fn a_secret_is_shown_nowhere_and_kept_when_it_is_left_out() {
    let world = World::start().await;
    let with_value = json!({ "type": "header", "name": "X-Api-Key", "value": SECRET });
    let registered =
        world.post("/api/v1/connections", guarded(&world.upstream, with_value)).await.expect(201);
    assert!(!registered.to_string().contains(SECRET));
    let name = Name::new("guarded").unwrap();
    let url = format!("{}?more=1", world.upstream);
    let without = guarded(&url, json!({ "type": "header", "name": "X-Api-Key" }));
    let set_anew = world.put("/api/v1/connections/guarded", without.clone()).await;
    assert!(set_anew.position() > 0);
    let set_anew = set_anew.expect(200);
    assert_eq!((&set_anew["generation"], &set_anew["transport"]["url"]), (&json!(2), &json!(url)));
    let secrets = world.proctor().targets.secrets(&name, 2).await.unwrap();
    assert_eq!(secrets.auth.unwrap().as_str(), SECRET);
    // The same again changes nothing.
    let same = world.put("/api/v1/connections/guarded", without).await.expect(200);
    assert_eq!(same["generation"], 2);
    let none = guarded(&url, json!({ "type": "header", "name": "X-Other" }));
    world.put("/api/v1/connections/guarded", none).await.problem(422, "invalid_connection");
    world.stop().await;
}

#[actix_web::test]
async fn of_settings_that_are_made_at_the_same_time_each_has_its_own_secrets() {
    let world = World::start().await;
    let auth = |value: &str| json!({ "type": "header", "name": "X-Api-Key", "value": value });
    world.post("/api/v1/connections", guarded(&world.upstream, auth("v0"))).await.expect(201);
    let puts = ["v1", "v2", "v3"].map(|value| {
        let world = &world;
        async move {
            world.put("/api/v1/connections/guarded", guarded(&world.upstream, auth(value))).await.expect(200)
        }
    });
    futures_util::future::join_all(puts).await;
    let name = Name::new("guarded").unwrap();
    let mut values = Vec::new();
    for generation in 2..=4 {
        let secrets = world.proctor().targets.secrets(&name, generation).await.unwrap();
        values.push(secrets.auth.unwrap().to_string());
    }
    values.sort();
    assert_eq!(values, ["v1", "v2", "v3"]);
    assert_eq!(world.get("/api/v1/connections/guarded").await.expect(200)["generation"], 4);
    world.stop().await;
}

#[actix_web::test]
async fn a_retired_connection_is_shown_and_takes_no_orders() {
    let world = World::start().await;
    world.connect().await;
    let retired = world.post("/api/v1/connections/desk/retire", json!({ "reason": "old" })).await.expect(200);
    assert_eq!(retired["state"], "retired");
    let list = world.get("/api/v1/connections").await.expect(200);
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    let refresh = world.post("/api/v1/connections/desk/catalog/refresh", json!({})).await;
    assert!((400..500).contains(&refresh.status), "{}", refresh.body);
    world.get("/api/v1/connections/nowhere").await.problem(404, "connection_not_found");
    world.get("/api/v1/connections/No%20Name").await.problem(404, "connection_not_found");
    world.stop().await;
}
