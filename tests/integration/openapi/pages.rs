//! The document and the pages to browse it, from outside.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::http::Request;
use crate::real_upstreams::{node, root};
use crate::world::{ADMIN_KEY, Folder, World};

const DOCUMENT: &str = "/api/v1/openapi.json";
const PAGES: &str = "/api/v1/docs/";

#[test]
fn the_document_and_its_pages_are_shown_without_a_key() {
    let world = World::start();
    let answer = Request::new("GET", DOCUMENT).send(world.address);
    let document = answer.expect(200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(document, proctor::api::document());
    assert_eq!(document["openapi"], "3.1.0");
    let printed = Command::new(env!("CARGO_BIN_EXE_proctor")).arg("openapi").output().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&printed.stdout).unwrap(), document);

    let moved = Request::new("GET", "/api/v1/docs").send(world.address);
    assert_eq!((moved.status, moved.header("location")), (308, Some("docs/")));
    let page = Request::new("GET", PAGES).send(world.address);
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
    for (path, status) in
        [("swagger-ui-bundle.js", 200), ("swagger-initializer.js", 200), ("nothing.js", 404)]
    {
        let answer = Request::new("GET", &format!("{PAGES}{path}")).send(world.address);
        assert_eq!(answer.status, status, "{path}");
    }
    for path in [DOCUMENT, PAGES] {
        let wrong = Request::new("POST", path).send(world.address);
        assert_eq!(wrong.problem(405)["code"], "method_not_allowed");
        assert_eq!(wrong.header("allow"), Some("GET"));
    }
}

#[test]
fn a_person_browses_and_tries_the_api_and_nothing_comes_from_elsewhere() {
    let world = World::start();
    let program = Path::new("/usr/bin/chromium");
    assert!(program.exists(), "{} is missing: run ./test, which installs it", program.display());
    let (profile, pictures) = (Folder::new(), root().join("target/screenshots"));
    std::fs::create_dir_all(&pictures).unwrap();
    let told = json!({
        "url": format!("http://{}{PAGES}", world.address),
        "profile": profile.path(),
        "picture": pictures.join("reference.png"),
        "operation": "Sessions-mintSession",
        "key": ADMIN_KEY,
        "tried": "Keys-listPurposeKeys",
    });
    let script = root().join("tests/node/reference.mjs");
    let output = Command::new(node()).arg(script).arg(told.to_string()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    let seen: Value = serde_json::from_str(&out).unwrap();
    let document = proctor::api::document();
    let operations: usize = document["paths"]
        .as_object()
        .unwrap()
        .values()
        .map(|methods| methods.as_object().unwrap().len())
        .sum();
    assert_eq!(seen["operations"], operations);
    let answers = document["paths"]["/sessions"]["post"]["responses"].as_object().unwrap();
    assert_eq!(seen["answers"], json!(answers.keys().collect::<Vec<_>>()));
    assert_eq!(seen["tried"], "200");
    assert_eq!(seen["complaints"], json!([]));
}
