//! What the help texts and the README tell people to type does what they say.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use proctor_test_postgres::Database;
use proctor_test_upstream::{Options, Upstream};
use serde_json::{Value, json};

use super::err;
use crate::agent::Agent;
use crate::rest::Session;
use crate::world::{ADMIN_KEY, Folder, World};

/// The verbs that speak to a server, in an order in which each finds what its example speaks of.
const REMOTE: [&str; 38] = [
    "connection add",
    "connection list",
    "connection show",
    "connection test",
    "connection catalog",
    "connection diff",
    "connection approve",
    "server define",
    "server revise",
    "server list",
    "server show",
    "server versions",
    "server manifest",
    "export",
    "apply",
    "schema",
    "session mint",
    "session list",
    "session show",
    "session timeline",
    "session revoke",
    "user list",
    "user show",
    "user accounts",
    "user sessions",
    "user revoke",
    "user block",
    "user unblock",
    "audit search",
    "audit show",
    "audit acts",
    "keys rotate",
    "keys list",
    "key create",
    "key list",
    "key revoke",
    "server retire",
    "connection retire",
];
/// The others.
const LOCAL: [&str; 10] = [
    "openapi",
    "serve",
    "demo",
    "doctor",
    "completions",
    "vault status",
    "vault rotate",
    "store migrate",
    "store copy",
    "store reopen",
];
const SESSION: &str = "ses_0190a5b1000070008000000000000000";
const CALL: &str = "call_0190a5b1000070008000000000000000";
const KEY: &str = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8";
const TIME: &str = "2026-11-22T09:30:00Z";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// A folder in which people type, with the programs that they have.
struct Shell {
    folder: PathBuf,
    environment: Vec<(String, String)>,
}

impl Shell {
    fn run(&self, script: &str) -> Output {
        let own = Path::new(env!("CARGO_BIN_EXE_proctor")).parent().unwrap().display().to_string();
        let python = root().join("tests/python/.venv/bin").display().to_string();
        let path = [own, python, std::env::var("PATH").unwrap()].join(":");
        let mut command = Command::new("bash");
        command.args(["-euo", "pipefail", "-c", script]).current_dir(&self.folder).env_clear();
        command.env("PATH", path).env("HOME", &self.folder).envs(self.environment.iter().cloned());
        command.output().unwrap()
    }

    #[track_caller]
    fn does(&self, script: &str) -> String {
        let output = self.run(script);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{script}\n{said}\n{}", err(&output));
        said
    }

    fn file(&self, name: &str, text: &str) {
        fs::write(self.folder.join(name), text).unwrap();
        fs::set_permissions(self.folder.join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
}

/// Every verb that has an example, with the commands in it.
fn examples() -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    gather(&[], &mut found);
    found
}

fn gather(verb: &[&str], found: &mut Vec<(String, Vec<String>)>) {
    let output = Command::new(env!("CARGO_BIN_EXE_proctor")).args(verb).arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let verbs = help.split_once("\nCommands:\n").map_or("", |(_, rest)| rest);
    let verbs: Vec<&str> = verbs
        .lines()
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|verb| *verb != "help")
        .collect();
    let example = help.split_once("\nExample:\n").map(|(_, rest)| rest);
    assert!(example.is_some() != verbs.iter().any(|_| true), "{verb:?} has no example");
    if let Some(example) = example {
        let lines = example.lines().take_while(|line| line.starts_with("  ")).map(str::trim);
        let text = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
        found.push((verb.join(" "), text.lines().map(str::to_owned).collect()));
    }
    for more in verbs {
        gather(&[verb, &[more]].concat(), found);
    }
}

#[track_caller]
fn of<'e>(examples: &'e [(String, Vec<String>)], verb: &str) -> &'e [String] {
    let found = examples.iter().find(|(of, _)| of == verb);
    &found.unwrap_or_else(|| panic!("{verb} has no example")).1
}

/// The sample upstream of the demo, on a thread of its own.
fn sample() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            proctor_sample::serve(listener, std::future::pending()).await.unwrap();
        });
    });
    url
}

#[test]
fn every_verb_has_an_example_that_is_tried() {
    let mut tried: Vec<_> = REMOTE.iter().chain(&LOCAL).map(ToString::to_string).collect();
    let mut there: Vec<_> = examples().into_iter().map(|(verb, _)| verb).collect();
    tried.sort_unstable();
    there.sort_unstable();
    assert_eq!(there, tried);
}

#[test]
fn the_examples_of_verbs_that_speak_to_a_server_do_what_they_say() {
    let world = World::start();
    let upstream = Upstream::start(Options::default());
    let url = upstream.url();
    let folder = Folder::new();
    let shell = Shell {
        folder: folder.path().to_owned(),
        environment: [("PROCTOR_URL", &*format!("http://{}", world.address)), ("PROCTOR_API_KEY", ADMIN_KEY)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
    };
    world.connect("notes", &sample());
    shell.file("crm.key", "s3cret\n");
    shell.file(
        "gmail.yaml",
        &format!(
            "name: gmail\ntransport: {{type: http, url: '{url}'}}\nprivate_network: true\n\
             auth: {{type: bearer}}\n"
        ),
    );
    shell.file("researcher.yaml", "name: reader\ntools:\n  - {connection: notes, tool: notes_list}\n");
    fs::create_dir(folder.path().join("deploy")).unwrap();
    let (mut session, mut call, mut key) = (String::new(), String::new(), String::new());
    let examples = examples();
    for verb in REMOTE {
        if verb == "apply" {
            shell.does("cp proctor.yaml deploy/");
        }
        for command in of(&examples, verb) {
            let command = command
                .replace("https://mcp.crm.example/mcp", &format!("{url} --private-network"))
                .replace(SESSION, &session)
                .replace(CALL, &call)
                .replace(KEY, &key)
                .replace(TIME, &chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true));
            let said = shell.does(&command);
            match verb {
                "session mint" => {
                    let minted = Session::of(&world.post("/api/v1/sessions", &minting()).expect(201));
                    Agent::modern(&world, &minted).call("notes_search", r#"{"query":"a"}"#).result();
                    session = minted.id;
                    call = world.trail("user=ada")[0]["call_id"].as_str().unwrap().to_owned();
                }
                "key create" => {
                    let end = said.trim_end().rsplit(' ').next().unwrap();
                    end.trim_end_matches('.').clone_into(&mut key);
                }
                _ => {}
            }
        }
        if verb == "connection catalog" {
            upstream
                .put_tool("search_threads", r#"{"name":"search_threads","inputSchema":{"type":"object"}}"#);
            world.post("/api/v1/connections/gmail/catalog/refresh?hold=true", &json!({})).ok();
        }
        if verb == "connection add" {
            let path = "/api/v1/users/ada/connections/gmail/credential";
            world.put(path, &json!({ "type": "bearer", "token": "t" })).expect(200);
        }
    }
}

fn minting() -> Value {
    json!({ "virtual_server": "researcher", "user": "ada" })
}

#[test]
fn the_examples_of_verbs_that_need_no_server_do_what_they_say() {
    let folder = Folder::new();
    let shell = Shell { folder: folder.path().to_owned(), environment: Vec::new() };
    let examples = examples();
    let for_a_while = |command: &str| {
        let address = if command.contains("--listen") { "" } else { " --listen 127.0.0.1:0" };
        let command = command.replace("127.0.0.1:8700", "127.0.0.1:0");
        for name in ["proctor serve", "proctor demo"] {
            if command.contains(name) {
                return command.replace(name, &format!("timeout --preserve-status 4 {name}{address}"));
            }
        }
        command
    };
    shell.does("openssl rand -base64 32 > old.key; openssl rand -base64 32 > new.key; cp old.key master.key");
    shell.does("chmod 600 *.key; mkdir -p ~/.local/share/bash-completion/completions");
    for command in of(&examples, "serve") {
        let with_our_key = command.replace("$(openssl rand -base64 32)", "$(cat old.key)");
        assert_ne!(with_our_key, *command);
        shell.does(&for_a_while(&with_our_key));
    }
    for command in of(&examples, "demo") {
        let said = shell.does(&for_a_while(command));
        assert!(said.contains("/mcp/"), "{said}");
    }
    for command in of(&examples, "completions") {
        shell.does(command);
    }
    assert!(shell.does("cat ~/.local/share/bash-completion/completions/proctor").contains("_proctor"));
    let status = of(&examples, "vault status").iter().map(|command| shell.does(command));
    assert!(status.collect::<String>().contains("purpose_keys"));
    for command in of(&examples, "vault rotate") {
        shell.does(command);
    }
    for command in of(&examples, "doctor").iter().filter(|command| command.contains("--local")) {
        shell.does(&format!(
            "export PROCTOR_MASTER_KEY_FILE=new.key PROCTOR_ADMIN_KEY={ADMIN_KEY}; {command}"
        ));
    }
    let database = Database::new();
    let user = database.url().split(['/', '@', ':']).nth(3).unwrap().to_owned();
    let here = |command: &String| {
        command
            .replace("sqlite:proctor-data/journal.sqlite", "sqlite:data/journal.sqlite")
            .replace("postgres://proctor_admin@db.example/proctor", &database.url())
            .replace("postgres://postgres@db.example/proctor", &database.url())
            .replace("role=proctor_owner", &format!("role={user}"))
    };
    for verb in ["store migrate", "store copy", "store reopen"] {
        for command in of(&examples, verb) {
            shell.does(&here(command));
        }
    }
}

/// The blocks of shell in a section of the README.
fn blocks(section: &str) -> Vec<String> {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (_, section) = readme.split_once(&format!("\n## {section}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    section.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap().to_owned()).collect()
}

/// Both ways that the README shows, by `curl` and on the command line, from an empty folder.
#[test]
fn what_the_readme_tells_to_type_works_as_it_stands() {
    let blocks = blocks("Running it");
    let is_rest = |block: &&String| block.contains("-d '{\n  \"name\"");
    let is_command_line = |block: &&String| block.contains("proctor connection add");
    let api = blocks.iter().find(is_rest).unwrap().lines().next().unwrap();
    for leave_out_rest in [true, false] {
        let folder = Folder::new();
        let shell = Shell { folder: folder.path().to_owned(), environment: Vec::new() };
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let mut script = String::new();
        for block in &blocks {
            let left_out = if leave_out_rest { is_rest(&block) } else { is_command_line(&block) };
            script += if left_out { api } else { block };
            script += "\n";
        }
        // Whoever types waits until the server is there, and stops it in the end.
        let serve = "proctor serve --data-dir ./proctor-data --listen 127.0.0.1:8700";
        assert!(script.contains(serve) && script.contains("curl -sS "), "{script}");
        let wait = "for _ in $(seq 300); do curl -fs http://127.0.0.1:8700/readyz && break; sleep 0.1; done";
        let script = script
            .replace(serve, &format!("{serve} 2>log &\ntrap 'kill %1; wait' EXIT\n{wait}"))
            .replace("curl -sS ", "curl -sS --fail-with-body ")
            .replace("127.0.0.1:8700", &format!("127.0.0.1:{port}"));
        let said = shell.does(&script);
        assert!(said.contains("mcp_server_url") || said.contains("/mcp/scheduler"), "{said}");
        assert!(said.contains("\"items\""), "{said}");
    }
}
