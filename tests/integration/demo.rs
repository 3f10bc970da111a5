//! `proctor demo`: one command, and everything that it prints works.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::agent::Agent;
use crate::http::Request;
use crate::world::Folder;

struct Demo {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Demo {
    fn start(data_dir: &Path, more: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_proctor"))
            .args(["demo", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data_dir)
            .args(more)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    fn json(data_dir: &Path) -> (Self, Value) {
        let mut demo = Self::start(data_dir, &["--json"]);
        let mut line = String::new();
        demo.output.read_line(&mut line).unwrap();
        let value = serde_json::from_str(&line).unwrap_or_else(|err| panic!("{err}: {line}"));
        (demo, value)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn agent(printed: &Value) -> Agent {
    let text = |member: &str| printed[member].as_str().unwrap_or_else(|| panic!("{printed}")).to_owned();
    let url = text("mcp_server_url");
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let address: SocketAddr = host.replace("localhost", "127.0.0.1").parse().unwrap();
    Agent { address, path: format!("/{path}"), token: text("token"), legacy: None, capabilities: "{}" }
}

fn trail(printed: &Value) -> Value {
    let key = printed["admin_key"].as_str().unwrap();
    let url = printed["api_url"].as_str().unwrap();
    let host = url.strip_prefix("http://").unwrap().split('/').next().unwrap();
    Request::new("GET", "/api/v1/audit/tool-calls")
        .header("Authorization", format!("Bearer {key}"))
        .send(host.replace("localhost", "127.0.0.1").parse().unwrap())
        .expect(200)
}

#[test]
fn one_line_of_json_is_enough_to_list_call_and_see_the_trail() {
    let folder = Folder::new();
    let data_dir = folder.path().join("data");
    let (demo, printed) = Demo::json(&data_dir);
    let agent = agent(&printed);
    let tools = agent.tools();
    assert!(tools.len() > 3 && tools.iter().any(|tool| tool == "notes_list"), "{tools:?}");
    agent.call("notes_list", "{}").result();
    let rows = trail(&printed);
    assert_eq!(rows["items"][0]["tool"], "notes_list");
    assert_eq!(rows["items"][0]["session_id"], printed["session_id"]);
    drop(demo);

    let (_demo, again) = Demo::json(&data_dir);
    assert_eq!(again["admin_key"], printed["admin_key"]);
    self::agent(&again).call("notes_list", "{}").result();
    assert_eq!(trail(&again)["items"].as_array().unwrap().len(), 2);
}

#[test]
fn the_printed_commands_work_as_they_are() {
    let folder = Folder::new();
    let mut demo = Demo::start(&folder.path().join("data"), &[]);
    let mut printed = String::new();
    let mut commands = Vec::new();
    while commands.len() < 4 {
        let mut line = String::new();
        assert!(demo.output.read_line(&mut line).unwrap() > 0, "it ended after printing:\n{printed}");
        printed += &line;
        commands.extend(line.trim().strip_prefix("curl ").map(|rest| format!("curl {rest}")));
    }
    assert!(printed.contains("mcpServers"), "{printed}");
    for (command, wanted) in commands.iter().zip(["\"tools\"", "\"content\"", "\"error\"", "\"items\""]) {
        let output = Command::new("sh").args(["-c", command]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains(wanted), "{command}\n{said}{}", String::from_utf8_lossy(&output.stderr));
    }
    let _ = demo.child.kill();
    let _ = demo.output.read_to_string(&mut printed);
}
