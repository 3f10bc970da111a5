//! What such a connection takes, and how it is looked into.

use super::*;

#[test]
fn a_catalog_is_read_without_a_users_values_or_as_one_of_them() {
    let scene = Scene { world: World::start_behind_url(&[]), folder: Folder::new() };
    let world = &scene.world;
    let registered = world.post("/api/v1/connections", &scene.connection(&["needs-key"])).expect(201);
    assert!(registered["catalog_error"].is_string(), "{registered}");
    assert_eq!(
        registered["auth"],
        json!({
            "type": "environment",
            "variables": [{ "name": "USER_NAME", "label": "Your name at Notes" }, { "name": "API_KEY" }],
        })
    );
    let refresh = "/api/v1/connections/notes/catalog/refresh";
    let missing = world.post(&format!("{refresh}?user=ada"), &json!({})).problem(409);
    assert_eq!(missing["code"], "accounts_missing");
    set(world, "ada", &key_of("ada")).expect(200);
    assert_eq!(world.post(&format!("{refresh}?user=ada"), &json!({})).expect(200)["tools"], 4);
    world.post("/api/v1/connections/notes/test?user=ada", &json!({})).expect(200);
    wait_until("the processes that looked to end", || children_of(world).is_empty());

    let open = Scene::start();
    let looked = open.noted("started");
    assert!(!looked.is_empty() && looked.iter().all(|child| child.digest.is_none()), "{looked:?}");
}

#[test]
fn a_session_is_minted_once_the_variables_are_there() {
    let scene = Scene::start();
    let world = &scene.world;
    let mint = json!({ "virtual_server": "desk", "user": "ada" });
    let problem = world.post("/api/v1/sessions", &mint).problem(409);
    assert_eq!(problem["missing"], json!([{ "connection": "notes", "status": "missing" }]));
    let readiness = || world.get("/api/v1/virtual-servers/desk/users/ada/readiness").expect(200);
    let listed = json!([{ "connection": "notes", "takes": "environment", "state": "missing" }]);
    assert_eq!(readiness()["connections"], listed);

    let shown = set(world, "ada", &key_of("ada")).expect(200);
    assert_eq!((&shown["state"], &shown["takes"]), (&json!("active"), &json!("environment")));
    assert_eq!(readiness()["ready"], true);
    assert_eq!(world.pages("/api/v1/users/ada/connections"), [world.get(&path("ada")).expect(200)]);
    whoami(&scene.agent("ada"));
}

#[test]
fn an_account_is_missing_once_other_variables_are_wanted() {
    let scene = Scene::start().with(&["ada"]);
    let world = &scene.world;
    let agent = scene.agent("ada");
    let before = whoami(&agent);
    let mut wanted = scene.connection(&[]);
    wanted["auth"]["variables"] = json!([{ "name": "API_KEY" }, { "name": "TEAM" }]);
    world.put("/api/v1/connections/notes", &wanted).expect(200);
    wait_until("the process with the old settings to end", || !before.runs());
    assert_eq!(world.get(&path("ada")).expect(200)["state"], "missing");
    assert_eq!(refusal_of(&agent.call("whoami", "{}")), "user_connection_missing");
    assert_eq!(set(world, "ada", "k").problem(422)["code"], "invalid_credential");
    let anew = json!({ "type": "environment", "variables": { "API_KEY": "k", "TEAM": "t" } });
    world.put(&format!("{}/credential", path("ada")), &anew).expect(200);
    assert_eq!(whoami(&agent).digest, digest("k"));
    // The names alone: other words for people change nothing.
    wanted["auth"]["variables"] = json!([{ "name": "TEAM", "label": "Your team" }, { "name": "API_KEY" }]);
    world.put("/api/v1/connections/notes", &wanted).expect(200);
    assert_eq!(world.get(&path("ada")).expect(200)["state"], "active");
    assert_eq!(whoami(&agent).digest, digest("k"));
}

#[test]
fn what_cannot_work_is_refused_with_what_to_do() {
    let scene = Scene::start();
    let world = &scene.world;
    let refused = |change: &dyn Fn(&mut Value)| {
        let mut body = scene.connection(&[]);
        body["name"] = json!("other");
        change(&mut body);
        let problem = world.post("/api/v1/connections", &body).problem(422);
        assert_eq!(problem["code"], "invalid_connection", "{problem}");
        problem["detail"].as_str().unwrap().to_owned()
    };
    let of = |name: &str| json!([{ "name": name }]);
    let detail = refused(&|body| body["transport"] = json!({ "type": "http", "url": "https://a.example" }));
    assert!(detail.contains("child process"), "{detail}");
    for auth in [json!({ "type": "bearer" }), json!({ "type": "oauth2" }), json!({ "type": "basic" })] {
        let detail = refused(&|body| body["auth"] = auth.clone());
        assert!(detail.contains("environment"), "{detail}");
    }
    assert!(refused(&|body| body["shared"] = json!(true)).contains("shared"));
    assert!(refused(&|body| body["auth"]["variables"] = json!([])).contains("1 to 16"));
    let detail = refused(&|body| body["auth"]["variables"] = of("LD_PRELOAD"));
    assert!(detail.contains("LD_PRELOAD") && detail.contains("transport.env"), "{detail}");
    assert!(refused(&|body| body["auth"]["variables"] = of("REGION")).contains("for everybody"));
    assert!(refused(&|body| body["auth"]["variables"] = of("A B")).contains("A B"));

    let put =
        |body: Value| world.put(&format!("{}/credential", path("ada")), &body).problem(422)["code"].clone();
    for variables in [
        json!({}),
        json!({ "API_KEY": "k" }),
        json!({ "API_KEY": "k", "USER_NAME": "a", "PATH": "/tmp" }),
        json!({ "API_KEY": "", "USER_NAME": "a" }),
        json!({ "API_KEY": "a\u{0}b", "USER_NAME": "a" }),
        json!({ "API_KEY": "x".repeat(8_193), "USER_NAME": "a" }),
    ] {
        assert_eq!(put(json!({ "type": "environment", "variables": variables })), "invalid_credential");
    }
    assert_eq!(put(json!({ "type": "bearer", "token": "t" })), "invalid_credential");
    let long = json!({ "API_KEY": "x".repeat(8_192), "USER_NAME": "line one\nline two" });
    let long = json!({ "type": "environment", "variables": long });
    world.put(&format!("{}/credential", path("ada")), &long).expect(200);
    assert_eq!(whoami(&scene.agent("ada")).digest, digest(&"x".repeat(8_192)));
}
