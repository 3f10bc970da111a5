//! Real upstreams behind Proctor: child processes from npm and PyPI, and a server built on rmcp.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::agent::Agent;
use crate::world::{Folder, World};

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The Node that ./test installs.
pub fn node() -> PathBuf {
    let node = root().join("tests/node/node_modules/.bin/node");
    assert!(node.exists(), "{} is missing: run ./test, which installs it", node.display());
    node
}

pub fn python_program(name: &str) -> String {
    let program = root().join("tests/python/.venv/bin").join(name);
    assert!(program.exists(), "{} is missing: run ./test, which installs it", program.display());
    program.to_str().unwrap().to_owned()
}

fn node_program(package: &str) -> String {
    let entry = root().join("tests/node/node_modules/@modelcontextprotocol").join(package);
    entry.join("dist/index.js").to_str().unwrap().to_owned()
}

/// The notes and calendar server of the demo.
pub struct Sample {
    address: SocketAddr,
    _runtime: tokio::runtime::Runtime,
}

impl Sample {
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(proctor_sample::serve(listener, std::future::pending()));
        Self { address, _runtime: runtime }
    }

    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }
}

#[test]
fn a_server_built_on_rmcp_serves_both_eras() {
    let world = World::start();
    let sample = Sample::start();
    world.connect("office", &sample.url());
    let tools = ["notes_create", "notes_search", "notes_delete"];
    world.define("desk", "office", &tools);
    let session = world.mint("desk", "ada");
    for agent in [Agent::modern(&world, &session), Agent::legacy(&world, &session)] {
        assert_eq!(agent.tools(), tools);
        let created = agent.call("notes_create", r#"{"title":"Trip","body":"By train"}"#).result();
        let id = created["structuredContent"]["id"].clone();
        let found = agent.call("notes_search", r#"{"query":"trip train"}"#).result();
        assert_eq!(found["structuredContent"]["notes"][0]["id"], id);
        agent.call("notes_delete", &json!({ "id": id }).to_string()).result();
    }
}

#[test]
fn server_everything_runs_as_a_child() {
    let world = World::start();
    let node = node();
    let everything = node_program("server-everything");
    world.connect_stdio("everything", node.to_str().unwrap(), &[&everything, "stdio"], &json!({}));
    world.define("desk", "everything", &["echo", "get-sum"]);
    let session = world.mint("desk", "ada");
    for agent in [Agent::modern(&world, &session), Agent::legacy(&world, &session)] {
        assert_eq!(agent.tools(), ["echo", "get-sum"]);
        assert!(agent.call("echo", r#"{"message":"hello"}"#).content().contains("hello"));
        assert!(agent.call("get-sum", r#"{"a":19,"b":23}"#).content().contains("42"));
    }
}

#[test]
fn server_filesystem_reads_only_what_its_arguments_allow() {
    let world = World::start();
    let folder = Folder::new();
    std::fs::write(folder.path().join("hello.txt"), "hello from a file").unwrap();
    let node = node();
    let allowed = folder.path().to_str().unwrap();
    let args = [&node_program("server-filesystem"), allowed];
    world.connect_stdio("files", node.to_str().unwrap(), &args, &json!({}));
    world.define("desk", "files", &["read_text_file", "list_directory"]);
    let agent = Agent::modern(&world, &world.mint("desk", "ada"));
    let path = folder.path().join("hello.txt");
    let read = agent.call("read_text_file", &json!({ "path": path }).to_string());
    assert_eq!(read.content(), "hello from a file");
    let outside = agent.call("read_text_file", r#"{"path":"/etc/hostname"}"#).result();
    assert_eq!(outside["isError"], true);
    agent.call("write_file", r#"{"path":"x","content":"y"}"#).error();
}

#[test]
fn the_time_server_of_pypi_runs_as_a_child() {
    let world = World::start();
    let args = ["--local-timezone", "UTC"];
    world.connect_stdio("time", &python_program("mcp-server-time"), &args, &json!({ "PYTHONUTF8": "1" }));
    world.define("desk", "time", &["convert_time"]);
    let agent = Agent::modern(&world, &world.mint("desk", "ada"));
    let arguments = r#"{"source_timezone":"UTC","time":"12:00","target_timezone":"Asia/Tokyo"}"#;
    assert!(agent.call("convert_time", arguments).content().contains("21:00"));
}

#[test]
fn the_git_server_of_pypi_runs_as_a_child() {
    let world = World::start();
    let repository = Folder::new();
    let git = |args: &[&str]| {
        let status = std::process::Command::new("git").arg("-C").arg(repository.path()).args(args).output();
        assert!(status.unwrap().status.success(), "git {args:?}");
    };
    git(&["init", "--quiet", "--initial-branch", "main"]);
    git(&[
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@example.com",
        "commit",
        "--quiet",
        "--allow-empty",
        "-m",
        "Begin",
    ]);
    let path = repository.path().to_str().unwrap();
    world.connect_stdio("git", &python_program("mcp-server-git"), &["--repository", path], &json!({}));
    world.define("desk", "git", &["git_log", "git_status"]);
    let agent = Agent::legacy(&world, &world.mint("desk", "ada"));
    let log = agent.call("git_log", &json!({ "repo_path": path }).to_string());
    assert!(log.content().contains("Begin"), "{}", log.text);
}

#[test]
fn a_child_that_dies_is_started_again() {
    let world = World::start();
    let node = node();
    // Lists one tool, and ends when it is called with `die`.
    let script = r#"
        const answer = (id, result) => console.log(JSON.stringify({ jsonrpc: '2.0', id, result }));
        require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
            const { id, method, params } = JSON.parse(line);
            if (method === 'initialize') answer(id, { protocolVersion: '2025-11-25', capabilities: { tools: {} }, serverInfo: { name: 'x', version: '1' } });
            else if (method === 'tools/list') answer(id, { tools: [{ name: 'work', inputSchema: { type: 'object' } }] });
            else if (method === 'tools/call' && params.arguments.die) { console.error('going down'); process.exit(1); }
            else if (method === 'tools/call') answer(id, { content: [{ type: 'text', text: String(process.pid) + process.env.GREETING }] });
            else if (id !== undefined) console.log(JSON.stringify({ jsonrpc: '2.0', id, error: { code: -32601, message: 'no' } }));
        });
    "#;
    let env = json!({ "GREETING": "hello" });
    let registered = world.connect_stdio("child", node.to_str().unwrap(), &["-e", script], &env);
    assert!(!registered.to_string().contains("hello"), "values of the environment are secrets: {registered}");
    world.define("desk", "child", &["work"]);
    let agent = Agent::modern(&world, &world.mint("desk", "ada"));
    let first = agent.call("work", "{}").content();
    assert!(first.ends_with("hello"), "{first}");
    agent.call("work", r#"{"die":true}"#).error();
    crate::world::wait_until("a new child", || {
        let answer = agent.call("work", "{}");
        answer.json().get("result").is_some() && answer.content() != first
    });
    assert!(world.log().contains("going down"), "what the child says on stderr goes into the log");
}

#[test]
fn a_child_does_not_inherit_our_secrets() {
    let world = World::start();
    let node = node();
    let script = r#"
        const answer = (id, result) => console.log(JSON.stringify({ jsonrpc: '2.0', id, result }));
        require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
            const { id, method } = JSON.parse(line);
            if (method === 'initialize') answer(id, { protocolVersion: '2025-11-25', capabilities: { tools: {} }, serverInfo: { name: 'x', version: '1' } });
            else if (method === 'tools/list') answer(id, { tools: [{ name: 'env', inputSchema: { type: 'object' } }] });
            else if (method === 'tools/call') answer(id, { content: [{ type: 'text', text: JSON.stringify(process.env) }] });
            else if (id !== undefined) console.log(JSON.stringify({ jsonrpc: '2.0', id, error: { code: -32601, message: 'no' } }));
        });
    "#;
    world.connect_stdio("child", node.to_str().unwrap(), &["-e", script], &json!({}));
    world.define("desk", "child", &["env"]);
    let agent = Agent::modern(&world, &world.mint("desk", "ada"));
    let environment = agent.call("env", "{}").content();
    assert!(!environment.contains("PROCTOR_"), "{environment}");
}

#[test]
fn children_end_with_the_server() {
    let mut world = World::start();
    let node = node();
    let everything = node_program("server-everything");
    world.connect_stdio("everything", node.to_str().unwrap(), &[&everything, "stdio"], &json!({}));
    world.define("desk", "everything", &["echo"]);
    let agent = Agent::modern(&world, &world.mint("desk", "ada"));
    agent.call("echo", r#"{"message":"hello"}"#).result();
    let parent = world.server.id();
    let children = || {
        let output =
            std::process::Command::new("ps").args(["-o", "pid=", "--ppid", &parent.to_string()]).output();
        let text = String::from_utf8(output.unwrap().stdout).unwrap();
        text.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let running = children();
    assert!(!running.is_empty());
    assert!(world.server.terminate().success());
    crate::world::wait_until("the children to end", || {
        running.iter().all(|pid| !Path::new("/proc").join(pid).exists())
    });
}
