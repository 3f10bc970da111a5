//! A page of another site sends a form to a link: nothing comes of it.

use proctor_test_upstream::{Options, Upstream};
use serde_json::json;

use super::browser::Browser;
use super::provider::Setup;
use super::{RETURN_URL, Scene, account, link};
use crate::http::Response;
use crate::world::{PUBLIC_URL, World};

/// What a browser says where the form was on another site, or on no page that it wants to name.
const ELSEWHERE: [&[(&str, &str)]; 8] = [
    &[("Sec-Fetch-Site", "cross-site")],
    &[("Sec-Fetch-Site", "same-site")],
    &[("Sec-Fetch-Site", "cross-site"), ("Origin", PUBLIC_URL)],
    &[("Origin", "https://mallory.example")],
    &[("Origin", "https://proctor.test")],
    &[("Origin", "http://proctor.test.mallory.example")],
    &[("Origin", "null")],
    &[("Origin", PUBLIC_URL), ("Origin", "https://mallory.example")],
];

/// What it says where the form was on our page, and what one says that knows of neither header.
const HERE: [&[(&str, &str)]; 4] = [
    &[("Sec-Fetch-Site", "same-origin"), ("Origin", PUBLIC_URL)],
    // Where a page tells nobody where it was, an origin is null.
    &[("Sec-Fetch-Site", "same-origin"), ("Origin", "null")],
    &[("Origin", PUBLIC_URL)],
    &[],
];

#[track_caller]
fn assert_refused(answer: &Response) {
    assert_eq!(answer.status, 403, "{}", answer.text());
    assert!(answer.header("content-type").unwrap_or_default().starts_with("text/html"));
    assert_eq!((answer.header("location"), answer.header("set-cookie")), (None, None));
    assert!(answer.text().contains("This was sent by another website"), "{}", answer.text());
}

#[test]
fn a_form_on_another_site_starts_nothing() {
    let scene = Scene::start(Setup::default());
    let mut browser = Browser::new(&scene.world);
    let page = browser.open(&link(&scene.world, "ada"));
    for headers in ELSEWHERE {
        assert_refused(&browser.submit_from(&page, &[], headers));
    }
    // The link is as good as before.
    for headers in HERE {
        let answer = browser.submit_from(&page, &[], headers);
        assert_eq!(answer.status, 303, "{headers:?}: {}", answer.text());
        assert!(answer.header("location").unwrap().starts_with(&scene.provider.url));
    }
}

#[test]
fn a_form_on_another_site_brings_no_key() {
    let world = World::start_behind_url(&[]);
    let upstream = Upstream::start(Options::default());
    let body = json!({
        "name": "notes", "transport": { "type": "http", "url": upstream.url() },
        "auth": { "type": "api_key" }, "private_network": true,
    });
    world.post("/api/v1/connections", &body).expect(201);
    let mut browser = Browser::new(&world);
    let page = browser.open(&link(&world, "ada"));
    for headers in ELSEWHERE {
        assert_refused(&browser.submit_from(&page, &[("key", "mallorys")], headers));
    }
    assert_eq!(account(&world, "ada")["state"], "pending");
    let answer = browser.submit_from(&page, &[("key", "adas")], &[("Origin", PUBLIC_URL)]);
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert!(answer.header("location").unwrap().starts_with(RETURN_URL));
}
