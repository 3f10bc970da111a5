//! The official conformance suite, and what it says of the fixture that it is run against.
//!
//! The suite expects certain tools, resources and prompts, which the fixture offers. What goes wrong
//! at the fixture itself is told apart here from what goes wrong behind Proctor.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use proctor_test_upstream::conformance::Fixture;
use serde_json::{Value, json};

use crate::agent::Agent;
use crate::real_upstreams::{node, root};
use crate::world::{Folder, Server, World};

/// The revisions that the suite has a set of requirements for.
const REVISIONS: [&str; 2] = ["2025-11-25", "2026-07-28"];

/// What the suite found in one scenario, by the id of a check; with the reason where it was not
/// content.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub passed: BTreeSet<String>,
    pub failed: BTreeMap<String, String>,
    pub warned: BTreeMap<String, String>,
}

/// What the suite found, by scenario.
pub type Findings = BTreeMap<String, Found>;

fn suite() -> PathBuf {
    root().join("tests/node/node_modules/@modelcontextprotocol/conformance")
}

/// The scenarios that a revision requires of a server. The suite runs others besides.
pub fn required(revision: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(suite().join(format!("requirements/{revision}.yaml"))).unwrap();
    let requirements: Value = serde_saphyr::from_str(&text).unwrap();
    let names = requirements["server"].as_array().unwrap();
    names.iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

/// Runs all that a revision asks of a server, and what is not scored as well.
///
/// `bearer` is shown with every request. A scenario that could not be run at all is not among the
/// findings.
pub fn run_suite(url: &str, bearer: Option<&str>, revision: &str) -> Findings {
    let folder = Folder::new();
    let mut command = Command::new(node());
    command
        .arg(suite().join("dist/index.js"))
        .args(["server", "--url", url, "--requirements", revision, "--output-dir"])
        .arg(folder.path());
    if let Some(bearer) = bearer {
        let preload = root().join("tests/node/bearer.mjs");
        let origin = url::Url::parse(url).unwrap().origin().ascii_serialization();
        command
            .env("NODE_OPTIONS", format!("--import={}", preload.display()))
            .env("TEST_BEARER", bearer)
            .env("TEST_BEARER_ORIGIN", origin);
    }
    let output = command.output().unwrap();
    let findings = read(&folder);
    assert!(!findings.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    findings
}

/// What the suite has written down: a folder `server-SCENARIO-TIME` for each scenario.
fn read(folder: &Folder) -> Findings {
    let time = "-2026-12-01T05-17-49-851Z".len();
    let mut findings = Findings::new();
    for entry in fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        let scenario = &name["server-".len()..name.len() - time];
        // A scenario that ended in an exception leaves an empty folder.
        let Ok(checks) = fs::read_to_string(entry.path().join("checks.json")) else { continue };
        let checks: Vec<Value> = serde_json::from_str(&checks).unwrap();
        let found = findings.entry(scenario.to_owned()).or_default();
        for check in checks {
            let id = check["id"].as_str().unwrap().to_owned();
            let reason = check["errorMessage"].as_str().unwrap_or_default().to_owned();
            match check["status"].as_str().unwrap() {
                "SUCCESS" => _ = found.passed.insert(id),
                "FAILURE" => _ = found.failed.insert(id, reason),
                "WARNING" => _ = found.warned.insert(id, reason),
                // Of these the suite says itself that they say nothing.
                "INFO" | "SKIPPED" => {}
                other => panic!("the suite knows a status {other}"),
            }
        }
    }
    findings
}

/// All that is required was run, something passed in it, and nothing is wrong in anything that was run.
#[track_caller]
fn assert_conforms(findings: &Findings, revision: &str) {
    assert_conforms_in(findings, revision, |_| true);
}

#[track_caller]
fn assert_conforms_in(findings: &Findings, revision: &str, wanted: impl Fn(&str) -> bool) {
    for scenario in required(revision).into_iter().filter(|scenario| wanted(scenario)) {
        let found = findings.get(&scenario);
        assert!(found.is_some_and(|found| !found.passed.is_empty()), "{revision} {scenario}: {found:?}");
    }
    for (scenario, found) in findings {
        assert_eq!(found.failed, BTreeMap::new(), "{revision} {scenario}");
        assert_eq!(found.warned, BTreeMap::new(), "{revision} {scenario}");
    }
}

/// Scenarios of what is not handed on: subscriptions to a resource, and the tasks extension.
fn is_not_handed_on(scenario: &str) -> bool {
    scenario.starts_with("tasks-") || ["resources-subscribe", "resources-unsubscribe"].contains(&scenario)
}

/// Everything that a connection's catalog has, and these of its resources, as a definition.
fn everything(server: &Server) -> Value {
    let catalog = server.get("/api/v1/connections/fixture/catalog").ok();
    let exposed = |list: &str, there: &str, here: &str| -> Vec<Value> {
        let items = catalog[list].as_array().unwrap().iter();
        items.map(|item| json!({ "connection": "fixture", here: item[there] })).collect()
    };
    let uris = ["test://static-text", "test://static-binary", "test://watched-resource"];
    json!({
        "name": "everything",
        "tools": exposed("tools", "name", "tool"),
        "prompts": exposed("prompts", "name", "prompt"),
        "resources": uris.map(|uri| json!({ "connection": "fixture", "uri": uri })),
        "resource_templates": exposed("resource_templates", "uri_template", "uri_template"),
    })
}

#[test]
fn behind_proctor_the_suite_finds_what_it_finds_at_the_fixture_itself() {
    let fixture = Fixture::start();
    // Looked at all the time: the suite waits no longer than 1.5 s to hear of a change.
    let world = World::start_with(&[("PROCTOR_CATALOG_SECONDS", "1")]);
    let server = &world.server;
    server.connect("fixture", &fixture.url());
    server.post("/api/v1/virtual-servers", &everything(server)).ok();
    let session = server.mint("everything", "a user");
    // What comes and goes at the fixture has to be there once, so that it can be exposed.
    for trigger in ["test_trigger_tool_change", "test_trigger_prompt_change"] {
        Agent::modern(server, &session).call(trigger, "{}").result();
    }
    server.refresh("fixture");
    server.put("/api/v1/virtual-servers/everything", &everything(server)).ok();
    for revision in REVISIONS {
        let mut findings = run_suite(&session.url, Some(&session.token), revision);
        let beside = findings.extract_if(.., |scenario, _| is_not_handed_on(scenario));
        // So that this list gets shorter with what is built.
        for (scenario, found) in beside.filter(|(scenario, _)| !scenario.starts_with("tasks-")) {
            assert_ne!(found.failed, BTreeMap::new(), "{revision} {scenario}");
        }
        assert_conforms_in(&findings, revision, |scenario| !is_not_handed_on(scenario));
    }
}

#[test]
fn the_sets_are_those_that_were_frozen() {
    assert_eq!(REVISIONS.map(|revision| required(revision).len()), [30, 37]);
}

#[test]
fn the_fixture_itself_conforms() {
    let fixture = Fixture::start();
    for revision in REVISIONS {
        assert_conforms(&run_suite(&fixture.url(), None, revision), revision);
    }
}

#[test]
fn the_suite_shows_a_bearer_token_with_everything_that_it_sends() {
    let fixture = Fixture::start_for("let-me-in");
    for revision in REVISIONS {
        assert_conforms(&run_suite(&fixture.url(), Some("let-me-in"), revision), revision);
        let refused = &run_suite(&fixture.url(), Some("another"), revision)["tools-call-simple-text"];
        assert!(refused.failed.contains_key("tools-call-simple-text"), "{revision}: {refused:?}");
        assert!(!refused.passed.contains("tools-call-simple-text"), "{revision}: {refused:?}");
    }
}
