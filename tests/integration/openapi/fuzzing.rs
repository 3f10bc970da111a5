//! Schemathesis reads the reference and tries everything that it can think of.
//!
//! What it makes up is made harmless before it is sent (tests/clients/try_everything.py): a child process
//! is a program that does not exist, and an address one at loopback where nobody answers. An upstream
//! that cannot be reached is told with 502, which is expected; no other error of a server is.

use std::process::Command;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::agent::Agent;
use crate::api_keys::create;
use crate::real_upstreams::{Sample, python_program, root};
use crate::receiver::{Answers, Receiver};
use crate::world::{ADMIN_KEY, Folder, World};

/// All that there are but two: that all which the schemas allow is accepted (an address that is well
/// written may still not be one that can be used), and that users are kept from each other's things (there
/// is one kind of user here, with roles).
const CHECKS: &str = "not_a_server_error,only_upstreams_fail,status_code_conformance,\
                      content_type_conformance,response_headers_conformance,response_schema_conformance,\
                      negative_data_rejection,missing_required_header,unsupported_method,\
                      allow_header_conformance,use_after_free,ensure_resource_availability,ignored_auth";

/// Something of everything, as the addresses name it.
fn furnished(world: &World, office: &Sample, receiver: &Receiver) -> Value {
    world.connect("office", &office.url());
    let own = json!({
        "name": "mail", "transport": { "type": "http", "url": office.url() },
        "auth": { "type": "bearer" }, "private_network": true,
    });
    world.post("/api/v1/connections", &own).ok();
    let provider = json!({ "name": "corp", "issuer": "https://login.example" });
    world.post("/api/v1/identity-providers", &provider).ok();
    world.define("assistant", "office", &["notes_search", "notes_list"]);
    let session = world.mint("assistant", "ada");
    Agent::modern(world, &session).call("notes_list", "{}").result();
    let call = world.trail("user=ada").remove(0);
    let hook = json!({ "url": receiver.url(), "events": ["session.*"], "private_network": true });
    let webhook = world.post("/api/v1/webhooks", &hook).ok();
    let test =
        world.post(&format!("/api/v1/webhooks/{}/test", webhook["id"].as_str().unwrap()), &json!({})).ok();
    let (_, key) = create(world, ADMIN_KEY, &json!({ "name": "backend", "role": "minter" }));
    json!({
        "/connections": { "name": "office" },
        "/virtual-servers": { "name": "assistant", "user": "ada" },
        "/identity-providers": { "name": "corp" },
        "/users": { "user": "ada", "connection": "mail" },
        "/sessions": { "id": session.id },
        "/audit": { "call_id": call["call_id"] },
        "/webhooks": { "id": webhook["id"], "delivery": test["delivery"] },
        "/api-keys": { "id": key },
        "/purpose-keys": { "purpose": "cursors" },
        "members": {
            "virtual_server": "assistant", "connection": "office", "tool": "notes_list", "provider": "corp",
        },
        "spared": { "the key that all of it is asked with": hex::encode(Sha256::digest(ADMIN_KEY)) },
    })
}

#[test]
fn nothing_that_can_be_asked_is_answered_otherwise_than_the_reference_says() {
    let world = World::start();
    let office = Sample::start();
    let receiver = Receiver::start(&[Answers::Status(204)]);
    let known = furnished(&world, &office, &receiver);
    let folder = Folder::new();
    let clients = root().join("tests/clients");
    let output = Command::new(python_program("schemathesis"))
        .arg("--config-file")
        .arg(clients.join("schemathesis.toml"))
        .args(["run", &format!("http://{}/api/v1/openapi.json", world.address)])
        .args(["--header", &format!("Authorization: Bearer {ADMIN_KEY}")])
        .args(["--checks", CHECKS, "--phases", "examples,coverage,fuzzing,stateful"])
        .args(["--max-examples", "10", "--generation-deterministic"])
        .args(["--no-color", "--continue-on-failure"])
        .env("PYTHONPATH", &clients)
        .env("SCHEMATHESIS_HOOKS", "try_everything")
        .env("PROCTOR_KNOWN", known.to_string())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
}
