//! Whoever tries to get at another's account, or to put theirs in its place, gets nothing.

use serde_json::{Value, json};
use url::Url;

use super::browser::{Browser, Page, parameter, with_parameter};
use super::provider::Setup;
use super::{Scene, account, assert_sent_back_empty, code, link, path, verify};
use crate::http::Response;

/// A page that says no, to a person.
#[track_caller]
fn assert_refused(answer: &Response) {
    assert!((400..500).contains(&answer.status), "{}: {}", answer.status, answer.text());
    let kind = answer.header("content-type").unwrap_or_default();
    assert!(kind.starts_with("text/html"), "{kind}: {}", answer.text());
    assert_eq!(answer.header("location"), None);
}

fn exchanges(scene: &Scene) -> usize {
    scene.provider.record().exchanges().len()
}

#[test]
fn a_callback_is_refused_in_any_browser_but_the_one_that_started() {
    let scene = Scene::start(Setup::default());
    let mut hers = Browser::new(&scene.world);
    let callback = hers.callback(&link(&scene.world, "ada"), "ada");

    assert_refused(&Browser::new(&scene.world).visit(callback.as_str()));
    let mut other = Browser::new(&scene.world);
    other.go_to_consent(&link(&scene.world, "mallory"), "mallory");
    assert_refused(&other.visit(callback.as_str()));
    let mut forgetful = hers.clone();
    forgetful.forget_cookies();
    assert_refused(&forgetful.visit(callback.as_str()));
    assert_eq!(exchanges(&scene), 0);
    scene.assert_not_active("ada");
    scene.assert_not_active("mallory");

    // None of that has taken anything from her.
    let back = hers.open(callback.as_str());
    verify(&scene.world, "ada", &code(&back.url)).expect(200);
}

#[test]
fn a_state_that_is_missing_changed_or_of_another_link_is_refused() {
    let scene = Scene::start(Setup::default());
    let mut hers = Browser::new(&scene.world);
    let callback = hers.callback(&link(&scene.world, "ada"), "ada");
    let others = Browser::new(&scene.world).callback(&link(&scene.world, "grace"), "grace");
    let state = parameter(&callback, "state").unwrap();
    let (first, rest) = state.split_at(1);
    let changed = format!("{}{rest}", if first == "A" { "B" } else { "A" });
    let other = parameter(&others, "state").unwrap();
    for state in [None, Some(""), Some("x"), Some(changed.as_str()), Some(other.as_str())] {
        assert_refused(&hers.visit(&with_parameter(&callback, "state", state)));
    }
    // Her own state, twice: which one is meant is nobody's to guess.
    assert_refused(&hers.visit(&format!("{callback}&state={other}")));
    // All of another's answer, in her browser: her account would become theirs.
    assert_refused(&hers.visit(others.as_str()));
    assert_eq!(exchanges(&scene), 0);
    scene.assert_not_active("ada");
    scene.assert_not_active("grace");
}

#[test]
fn a_callback_that_was_answered_is_not_answered_again() {
    let scene = Scene::start(Setup::default());
    let url = link(&scene.world, "ada");
    let mut hers = Browser::new(&scene.world);
    let callback = hers.callback(&url, "ada");
    let mut as_it_was = hers.clone();
    let back = hers.open(callback.as_str());
    assert_refused(&hers.visit(callback.as_str()));
    assert_refused(&as_it_was.visit(callback.as_str()));
    assert_eq!(exchanges(&scene), 1);

    verify(&scene.world, "ada", &code(&back.url)).expect(200);
    let again = verify(&scene.world, "ada", &code(&back.url));
    assert!(matches!(again.status, 403 | 409 | 410), "{}", again.text());
    again.problem(again.status);
    assert_eq!(account(&scene.world, "ada")["state"], "active");
    // Nor does the link begin anything once more.
    let page = Browser::new(&scene.world).open(&url);
    assert!(matches!(page.status(), 404 | 409 | 410), "{}: {}", page.status(), page.text());
}

#[test]
fn only_one_of_many_callbacks_at_once_is_answered() {
    let scene = Scene::start(Setup::default());
    let mut hers = Browser::new(&scene.world);
    let callback = hers.callback(&link(&scene.world, "ada"), "ada");
    let answers: Vec<Response> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let (mut hers, callback) = (hers.clone(), callback.clone());
                scope.spawn(move || hers.visit(callback.as_str()))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let (through, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 303);
    assert_eq!(through.len(), 1, "{answers:?}");
    refused.into_iter().for_each(assert_refused);
    assert_eq!(exchanges(&scene), 1);
    let back = Url::parse(through[0].header("location").unwrap()).unwrap();
    verify(&scene.world, "ada", &code(&back)).expect(200);
}

#[test]
fn a_page_that_was_sent_twice_leads_to_one_account() {
    let scene = Scene::start(Setup::default());
    let mut hers = Browser::new(&scene.world);
    let page = hers.open(&link(&scene.world, "ada"));
    let first = hers.submit_once(&page, &[]);
    let second = hers.submit_once(&page, &[]);
    assert_eq!(first.status, 303, "{}", first.text());
    assert_eq!(second.status, 303, "{}", second.text());
    // Both tabs go on; the one that was started last is the one that counts.
    let finish = |browser: &mut Browser, answer: &Response| -> Page {
        let mut page = browser.open(answer.header("location").unwrap());
        if page.text().contains("Sign in") {
            page = browser.submit(&page, &[("user", "ada")]);
        }
        if page.text().contains("Allow access?") {
            page = browser.submit(&page, &[("answer", "yes")]);
        }
        page
    };
    let pages = [finish(&mut hers, &second), finish(&mut hers, &first)];
    let codes: Vec<_> = pages.iter().filter_map(|page| parameter(&page.url, "proctor_code")).collect();
    assert_eq!(codes.len(), 1, "{:?}", pages.iter().map(|page| page.url.as_str()).collect::<Vec<_>>());
    verify(&scene.world, "ada", &codes[0]).expect(200);
    assert_eq!(exchanges(&scene), 1);
}

#[test]
fn a_code_of_another_authorization_is_refused_by_the_provider_and_nothing_is_connected() {
    let scene = Scene::start(Setup::default());
    let mut hers = Browser::new(&scene.world);
    let callback = hers.callback(&link(&scene.world, "ada"), "ada");
    let stolen = Browser::new(&scene.world).callback(&link(&scene.world, "grace"), "grace");
    let stolen = parameter(&stolen, "code").unwrap();
    // Her state and cookie with another's code: the proof that belongs to it is missing (PKCE).
    assert_sent_back_empty(&hers.visit(&with_parameter(&callback, "code", Some(&stolen))));
    let tried = scene.provider.record().exchanges();
    assert!(tried.iter().all(|exchange| exchange["status"] == 400), "{tried:?}");
    assert!(scene.provider.record().given_out().is_empty());
    scene.assert_not_active("ada");
    scene.assert_not_active("grace");
}

#[test]
fn an_answer_of_another_issuer_is_refused_before_anything_is_sent_to_it() {
    let scene = Scene::start(Setup::default());
    let mut hers = Browser::new(&scene.world);
    let callback = hers.callback(&link(&scene.world, "ada"), "ada");
    assert_eq!(parameter(&callback, "iss").as_ref(), Some(&scene.provider.url));
    // Absent is as wrong: this server says that it always names itself (RFC 9207).
    for issuer in [Some("https://evil.test"), Some(""), None] {
        assert_refused(&hers.clone().visit(&with_parameter(&callback, "iss", issuer)));
    }
    assert_eq!(exchanges(&scene), 0);
    scene.assert_not_active("ada");
}

#[test]
fn a_link_that_was_forwarded_connects_nothing_once_another_users_backend_verifies() {
    let scene = Scene::start(Setup::default());
    // Mallory makes a link for herself and has Grace, who is known as well, go through it with her
    // account over there.
    link(&scene.world, "grace");
    let url = link(&scene.world, "mallory");
    let back = Browser::new(&scene.world).authorize(&url, "grace");
    let brought = code(&back);
    // Grace comes back to the product, which knows that it is Grace who is signed in.
    let problem = verify(&scene.world, "grace", &brought).problem(403);
    assert_eq!(problem["code"], "verification_failed");
    scene.assert_not_active("grace");
    scene.assert_not_active("mallory");
    // What was authorized is gone: it does not become Mallory's afterwards either.
    let late = verify(&scene.world, "mallory", &brought);
    assert!(matches!(late.status, 403 | 404 | 409 | 410), "{}: {}", late.status, late.text());
    scene.assert_not_active("mallory");
    // And of no use over there.
    let revoked = scene.provider.record().revocations();
    assert!(!revoked.is_empty(), "what was thrown away is still good at the provider");
}

#[test]
fn a_code_that_nobody_was_given_verifies_nothing() {
    let scene = Scene::start(Setup::default());
    for wrong in ["x", "", "../../etc/passwd", "pcode_01a8"] {
        let answer = verify(&scene.world, "ada", wrong);
        assert!((400..500).contains(&answer.status), "{}: {}", answer.status, answer.text());
        answer.problem(answer.status);
    }
    // As an account waits for its code, too.
    let back = Browser::new(&scene.world).authorize(&link(&scene.world, "ada"), "ada");
    let wrong = verify(&scene.world, "ada", "x");
    assert!((400..500).contains(&wrong.status), "{}", wrong.text());
    scene.assert_not_active("ada");
    verify(&scene.world, "ada", &code(&back)).expect(200);
}

#[test]
fn people_are_sent_back_to_web_pages_only() {
    let scene = Scene::start(Setup::default());
    for wrong in [
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        " javascript:alert(1)",
        "java\tscript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "file:///etc/passwd",
        "ftp://product.test/",
        "vbscript:x",
        "//evil.test/",
        "/settings",
        "settings",
        "",
        "https://",
        "https:///",
        "https://user:password@product.test/",
    ] {
        let answer = scene.world.post(&format!("{}/link", path("ada")), &json!({ "return_url": wrong }));
        assert!(matches!(answer.status, 400 | 422), "{wrong:?}: {} {}", answer.status, answer.text());
        answer.problem(answer.status);
    }
    let none = scene.world.post(&format!("{}/link", path("ada")), &json!({}));
    none.problem(none.status);
    assert_eq!(account(&scene.world, "ada")["state"], "missing");
}

const MARKUP: &str = r#"<script>alert("canary")</script><img src=x onerror='alert(1)'>&lt;b&gt;"#;

#[test]
fn what_others_wrote_is_shown_as_text() {
    let scene = Scene::unregistered(Setup::default(), proctor_test_upstream::Options::default());
    let mut auth = scene.auth(Setup::default());
    auth["scopes"] = json!(["notes.read"]);
    auth["scope_descriptions"] = json!({ "notes.read": MARKUP });
    scene.register(&auth).expect(201);
    let url = link(&scene.world, "ada");
    let mut browser = Browser::new(&scene.world);
    let page = browser.open(&url);
    let callback = Url::parse(&super::callback()).unwrap();
    let mut error = callback.clone();
    error.query_pairs_mut().append_pair("error", MARKUP).append_pair("error_description", MARKUP);
    let mut state = callback;
    state.query_pairs_mut().append_pair("code", MARKUP).append_pair("state", MARKUP);
    let started = browser.submit_once(&page, &[]);
    assert_eq!(started.status, 303, "{}", started.text());
    let going = Url::parse(started.header("location").unwrap()).unwrap();
    let mut known = error.clone();
    known.query_pairs_mut().append_pair("state", &parameter(&going, "state").unwrap());
    known.query_pairs_mut().append_pair("iss", &scene.provider.url);
    let mut answers = vec![page.answer.clone().unwrap()];
    answers.extend([&error, &state, &known].map(|url| browser.visit(url.as_str())));
    answers.push(browser.visit(&format!("{}%3Cscript%3Ealert(1)%3C%2Fscript%3E", &url[..url.len() - 4])));
    for answer in answers {
        let text = answer.text();
        assert!(!text.contains("<script") && !text.contains("<img"), "{text}");
        assert!(
            !answer.header("location").unwrap_or_default().contains("canary"),
            "{:?}",
            answer.header("location")
        );
        assert_page_is_closed(&answer);
    }
    let text = page.text();
    assert!(text.contains("&lt;script&gt;alert("), "{text}");
    assert!(text.contains("&amp;lt;b&amp;gt;"), "what was escaped is escaped again: {text}");
}

/// Nothing else may be loaded, framed, kept or told where one came from.
#[track_caller]
fn assert_page_is_closed(answer: &Response) {
    let header = |name: &str| answer.header(name).unwrap_or_default().to_owned();
    assert_eq!(header("cache-control"), "no-store");
    assert_eq!(header("referrer-policy"), "no-referrer");
    if (300..400).contains(&answer.status) {
        return;
    }
    assert!(header("content-type").starts_with("text/html"), "{}", header("content-type"));
    assert_eq!(header("x-content-type-options"), "nosniff");
    let policy = header("content-security-policy");
    for part in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"] {
        assert!(policy.contains(part), "{part} is missing: {policy}");
    }
    assert!(!policy.contains("unsafe-inline") || policy.contains("style-src"), "{policy}");
}

#[test]
fn the_cookie_is_kept_from_scripts_and_from_other_sites_posts() {
    let scene = Scene::start(Setup::default());
    let mut browser = Browser::new(&scene.world);
    browser.go_to_consent(&link(&scene.world, "ada"), "ada");
    let cookie = browser.cookie("proctor_connect").expect("a cookie").to_ascii_lowercase();
    for attribute in ["httponly", "samesite=lax"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(!cookie.contains("domain="), "{cookie}");

    // Behind https it is bound to this very host.
    let settings = [("PROCTOR_PUBLIC_URL", "https://proctor.test")];
    let world = crate::world::World::start_with(&settings);
    let auth = json!({
        "type": "oauth2", "client_id": "c", "authorization_endpoint": format!("{}/auth", scene.provider.url),
        "token_endpoint": format!("{}/token", scene.provider.url),
    });
    let body = json!({
        "name": "notes", "transport": { "type": "http", "url": scene.upstream.url() },
        "auth": auth, "private_network": true,
    });
    world.post("/api/v1/connections", &body).expect(201);
    let url = Url::parse(&link(&world, "ada")).unwrap();
    let request = crate::http::Request::new("POST", url.path())
        .header("Host", "proctor.test")
        .header("Origin", "https://proctor.test")
        .header("Content-Type", "application/x-www-form-urlencoded");
    let answer = request.send(world.address);
    assert_eq!(answer.status, 303, "{}", answer.text());
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.starts_with("__Host-proctor_connect="), "{cookie}");
    let attributes: Vec<_> = cookie.split(';').map(|part| part.trim().to_ascii_lowercase()).collect();
    for attribute in ["secure", "httponly", "samesite=lax", "path=/"] {
        assert!(attributes.iter().any(|known| known == attribute), "{cookie}");
    }
}

#[test]
fn only_those_who_may_mint_may_make_links_and_verify() {
    let scene = Scene::start(Setup::default());
    let body = json!({ "return_url": super::RETURN_URL });
    for action in ["link", "verify"] {
        let request = crate::http::Request::new("POST", &format!("{}/{action}", path("ada")))
            .header("Content-Type", "application/json")
            .body(body.to_string());
        assert_eq!(request.send(scene.world.address).status, 401);
        let request = request.header("Authorization", "Bearer wrong");
        assert_eq!(request.send(scene.world.address).status, 401);
    }
    let unknown = scene.world.post("/api/v1/users/ada/connections/ghost/link", &body);
    assert_eq!(unknown.problem(404)["code"], Value::from("connection_not_found"));
}
