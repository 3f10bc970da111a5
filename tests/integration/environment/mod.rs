//! Child processes that have variables of their environment from each user: one process for each, with
//! nobody else's values, for as long as the user's credential is in force.

mod catalog;
mod isolation;
mod page;
mod secrecy;

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::agent::{Agent, Answer};
use crate::http::Response;
use crate::world::{Folder, Server, World, wait_until};

/// A server with the connection `notes`, a child process that wants `API_KEY` and `USER_NAME` of each
/// user and has `REGION` from the connection.
struct Scene {
    world: World,
    folder: Folder,
}

/// What a child tells of itself.
#[derive(Clone, Debug, PartialEq)]
struct Child {
    pid: u64,
    digest: Option<String>,
}

impl Child {
    fn of(told: &Value) -> Self {
        Self { pid: told["pid"].as_u64().unwrap(), digest: told["digest"].as_str().map(str::to_owned) }
    }

    fn runs(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        // What has ended but was not waited for yet does not run.
        !stat.is_empty() && !stat.contains(") Z ")
    }
}

impl Scene {
    fn start() -> Self {
        Self::start_with(&[])
    }

    fn start_with(settings: &[(&str, &str)]) -> Self {
        let scene = Self { world: World::start_behind_url(settings), folder: Folder::new() };
        scene.world.post("/api/v1/connections", &scene.connection(&[])).expect(201);
        scene.world.define("desk", "notes", &["whoami", "slow", "spill", "fail"]);
        scene
    }

    /// The connection's settings; its server is started with these options.
    fn connection(&self, options: &[&str]) -> Value {
        connection(&self.notes(), options)
    }

    fn notes(&self) -> std::path::PathBuf {
        self.folder.path().join("notes")
    }

    /// What children have written down of this kind.
    fn noted(&self, event: &str) -> Vec<Child> {
        let notes = fs::read_to_string(self.notes()).unwrap_or_default();
        let notes = notes.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        notes.filter(|note| note["event"] == event).map(|note| Child::of(&note)).collect()
    }

    fn agent(&self, user: &str) -> Agent {
        Agent::modern(&self.world, &self.world.mint("desk", user))
    }

    /// Connects these users, each with a key that is named for them.
    fn with(self, users: &[&str]) -> Self {
        for user in users {
            set(&self.world, user, &key_of(user)).expect(200);
        }
        self
    }
}

/// The settings of the connection, whose server writes down into this file what it does.
pub fn connection(notes: &Path, options: &[&str]) -> Value {
    let server = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/integration/environment/server.py");
    let mut args = vec![server, notes.to_str().unwrap()];
    args.extend(options);
    json!({
        "name": "notes",
        "transport": {
            "type": "stdio", "command": "python3", "args": args, "env": { "REGION": "north" },
        },
        "auth": {
            "type": "environment",
            "variables": [{ "name": "USER_NAME", "label": "Your name at Notes" }, { "name": "API_KEY" }],
        },
    })
}

fn path(user: &str) -> String {
    format!("/api/v1/users/{user}/connections/notes")
}

fn key_of(user: &str) -> String {
    format!("key-of-{user}-4b1d")
}

fn digest(key: &str) -> Option<String> {
    Some(hex::encode(Sha256::digest(key.as_bytes())))
}

fn credential(user: &str, key: &str) -> Value {
    json!({ "type": "environment", "variables": { "API_KEY": key, "USER_NAME": user } })
}

fn set(server: &Server, user: &str, key: &str) -> Response {
    server.put(&format!("{}/credential", path(user)), &credential(user, key))
}

fn disconnect(server: &Server, user: &str) {
    server.post(&format!("{}/disconnect", path(user)), &json!({ "reason": "left" })).expect(200);
}

#[track_caller]
fn told(answer: &Answer) -> Value {
    serde_json::from_str(&answer.content()).unwrap()
}

#[track_caller]
fn whoami(agent: &Agent) -> Child {
    Child::of(&told(&agent.call("whoami", "{}")))
}

fn refusal_of(answer: &Answer) -> String {
    answer.error()["data"]["code"].as_str().unwrap_or_default().to_owned()
}

/// The processes that a server has started and that still run.
fn children_of(server: &Server) -> Vec<u64> {
    let parent = server.id().to_string();
    let tasks = fs::read_dir(Path::new("/proc").join(&parent).join("task"));
    let lists = tasks.unwrap().filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok());
    let pids: Vec<u64> = lists
        .flat_map(|list| list.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<_>>())
        .collect();
    pids.into_iter().filter(|pid| Child { pid: *pid, digest: None }.runs()).collect()
}
