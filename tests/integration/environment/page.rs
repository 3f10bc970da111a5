//! The hosted page, on which people type in their variables.

use super::*;
use crate::connect::browser::Browser;
use crate::connect::{code, link, verify};

#[test]
fn variables_are_typed_into_the_page_one_field_each() {
    let scene = Scene::start();
    let world = &scene.world;
    let mut browser = Browser::new(world);
    let page = browser.open(&link(world, "ada"));
    let html = page.text();
    for part in [
        r#"<label for="env-USER_NAME">Your name at Notes</label>"#,
        r#"<label for="env-API_KEY">API_KEY</label>"#,
        r#"name="env-API_KEY" type="password" required"#,
    ] {
        assert!(html.contains(part), "{part} is not on the page: {html}");
    }
    assert!(!html.contains("REGION") && !html.contains("<script"), "{html}");

    let missing = browser.submit_once(&page, &[("env-USER_NAME", "ada"), ("env-API_KEY", "  ")]);
    assert_eq!(missing.status, 422, "{}", missing.text());
    let long = "x".repeat(8_193);
    let refused = browser.submit_once(&page, &[("env-USER_NAME", "ada"), ("env-API_KEY", &long)]);
    assert_eq!(refused.status, 422, "{}", refused.text());
    assert!(refused.text().contains("API_KEY") && !refused.text().contains("xxx"), "{}", refused.text());
    // Each of these bytes is sent as three.
    let longest = "é".repeat(4_096);
    let back = browser.submit(&page, &[("env-USER_NAME", " ada "), ("env-API_KEY", &longest)]);
    assert!(back.answer.is_none(), "{}: {}", back.url, back.text());
    assert_ne!(world.get(&path("ada")).expect(200)["state"], "active");
    assert_eq!(verify(world, "ada", &code(&back.url)).expect(200)["state"], "active");
    assert_eq!(whoami(&scene.agent("ada")).digest, digest(&longest));
}

#[test]
fn what_was_typed_is_not_put_in_force_where_other_variables_are_wanted_by_then() {
    let scene = Scene::start();
    let world = &scene.world;
    let mut browser = Browser::new(world);
    let page = browser.open(&link(world, "ada"));
    let back = browser.submit(&page, &[("env-USER_NAME", "ada"), ("env-API_KEY", "k")]);
    let mut wanted = scene.connection(&[]);
    wanted["auth"]["variables"] = json!([{ "name": "API_KEY" }]);
    world.put("/api/v1/connections/notes", &wanted).expect(200);
    assert_eq!(verify(world, "ada", &code(&back.url)).problem(422)["code"], "invalid_credential");
    assert_ne!(world.get(&path("ada")).expect(200)["state"], "active");
}

#[test]
fn the_code_of_somebody_else_connects_nothing() {
    let scene = Scene::start();
    let world = &scene.world;
    let mut browser = Browser::new(world);
    let page = browser.open(&link(world, "ada"));
    let back = browser.submit(&page, &[("env-USER_NAME", "mallory"), ("env-API_KEY", "k")]);
    let refused = verify(world, "mallory", &code(&back.url)).problem(403);
    assert_eq!(refused["code"], "verification_failed");
    for user in ["ada", "mallory"] {
        assert_ne!(world.get(&path(user)).expect(200)["state"], "active");
    }
    // What was brought is thrown away.
    assert_eq!(verify(world, "ada", &code(&back.url)).problem(409)["code"], "code_unknown");
}
