//! The official clients, in both eras, against a real server behind Proctor.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::real_upstreams::{Sample, node, root};
use crate::rest::Session;
use crate::world::{Folder, World};

fn world_with_sample() -> (World, Sample, Session) {
    let world = World::start();
    let sample = Sample::start();
    world.connect("office", &sample.url());
    world.define("desk", "office", &["notes_list", "notes_read", "calendar_list_events"]);
    let session = world.mint("desk", "ada");
    (world, sample, session)
}

const TOOLS: [&str; 3] = ["notes_list", "notes_read", "calendar_list_events"];

#[track_caller]
fn printed(output: &Output) -> Value {
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{said}\n{complained}", output.status);
    serde_json::from_str(said.trim()).unwrap_or_else(|err| panic!("{err}: {said}\n{complained}"))
}

/// Runs a script that lists the tools and calls one, in both eras.
fn lists_and_calls(command: &[PathBuf], client: &str) {
    let (world, _sample, session) = world_with_sample();
    for (era, version) in [("legacy", "2025-11-25"), ("modern", "2026-07-28"), ("auto", "2026-07-28")] {
        let output = Command::new(&command[0])
            .args(&command[1..])
            .args([&session.url, era, "notes_list", r#"{"tag":"release"}"#])
            .env("MCP_TOKEN", &session.token)
            .output()
            .unwrap();
        let printed = printed(&output);
        assert_eq!(printed["protocol_version"], version, "{client}");
        assert_eq!(printed["tools"], json!(TOOLS), "{client}");
        let notes = &printed["result"]["structuredContent"]["notes"];
        assert_eq!(notes[0]["title"], "Release plan", "{client} {era}");
    }
    let versions: Vec<Value> =
        world.trail("outcome=succeeded").iter().map(|row| row["protocol_version"].clone()).collect();
    assert_eq!(versions, ["2026-07-28", "2026-07-28", "2025-11-25"]);
}

#[test]
fn the_python_client_lists_and_calls() {
    let python = root().join("tests/python/.venv/bin/python");
    lists_and_calls(&[python, root().join("tests/clients/list_and_call.py")], "Python");
}

#[test]
fn the_typescript_client_lists_and_calls() {
    lists_and_calls(&[node(), root().join("tests/clients/list_and_call.mjs")], "TypeScript");
}

#[test]
fn the_inspector_lists_and_calls() {
    let (_world, _sample, session) = world_with_sample();
    let home = Folder::new();
    let inspector = root().join("tests/node/node_modules/.bin/mcp-inspector");
    let inspect = |era: &str, args: &[&str]| {
        let output = Command::new(node())
            .arg(&inspector)
            .args(["--cli", &session.url, "--transport", "http", "--protocol-era", era])
            .args(["--header", &format!("Authorization: Bearer {}", session.token)])
            .args(["--format", "json", "--quiet"])
            .args(args)
            // It keeps files there, and starts `node` by name.
            .env("HOME", home.path())
            .env("PATH", node().parent().unwrap())
            .output()
            .unwrap();
        printed(&output)["result"].clone()
    };
    for era in ["legacy", "modern", "auto"] {
        let listed = inspect(era, &["--method", "tools/list"]);
        let names: Vec<&Value> =
            listed["tools"].as_array().unwrap().iter().map(|tool| &tool["name"]).collect();
        assert_eq!(names, TOOLS, "{era}");
        let called = inspect(
            era,
            &["--method", "tools/call", "--tool-name", "notes_list", "--tool-args-json", r#"{"tag":"home"}"#],
        );
        assert_eq!(called["structuredContent"]["notes"][0]["title"], "Shopping list", "{era}");
    }
}
