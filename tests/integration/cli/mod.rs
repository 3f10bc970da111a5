//! The command line, against a real server: every verb from the outside.

mod drift;
mod examples;
mod files;

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output};

use proctor_test_upstream::{Options, Upstream};
use serde_json::{Value, json};

use crate::agent::Agent;
use crate::rest::Session;
use crate::world::{ADMIN_KEY, World};

/// Somebody at a terminal who speaks to one server.
struct Operator<'a> {
    world: &'a World,
}

impl Operator<'_> {
    fn run(&self, arguments: &[&str]) -> Output {
        self.run_with(arguments, &[])
    }

    fn run_with(&self, arguments: &[&str], settings: &[(&str, &str)]) -> Output {
        let url = format!("http://{}", self.world.address);
        let mut command = Command::new(env!("CARGO_BIN_EXE_proctor"));
        command.args(arguments).env_clear().current_dir(self.world.data_dir());
        command.env("PROCTOR_URL", url).env("PROCTOR_API_KEY", ADMIN_KEY).envs(settings.iter().copied());
        command.output().unwrap()
    }

    #[track_caller]
    fn says(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", err(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.says(&[arguments, &["--json"]].concat())).unwrap()
    }

    #[track_caller]
    fn fails(&self, arguments: &[&str], code: i32) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", err(&output));
        assert!(output.stdout.is_empty(), "{arguments:?}");
        err(&output)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.world.data_dir().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The words of a table's line.
fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[test]
fn an_operator_does_everything_from_an_upstream_to_the_audit_trail() {
    let world = World::start();
    let upstream = Upstream::start(Options::default());
    let operator = Operator { world: &world };

    let added =
        operator.says(&["connection", "add", "notes", "--upstream", &upstream.url(), "--private-network"]);
    assert!(
        added.contains("Connection notes is registered") && added.contains("tools were found"),
        "{added}"
    );
    let list = operator.says(&["connection", "list"]);
    let lines: Vec<_> = list.lines().map(words).collect();
    assert_eq!(lines[0], ["NAME", "STATE", "TRANSPORT", "AUTH", "TOOLS", "ERA"]);
    assert_eq!(&lines[1][..4], ["notes", "registered", "http", "none"]);
    assert!(operator.says(&["connection", "show", "notes"]).contains("private_network: true"));
    assert!(operator.says(&["connection", "test", "notes"]).starts_with("Connection notes answers: "));
    assert!(operator.says(&["connection", "catalog", "notes"]).contains("echo"));
    assert!(operator.says(&["connection", "catalog", "notes", "--refresh"]).contains("Connection notes has"));
    assert!(operator.json(&["connection", "catalog", "notes"])["tools"].is_array());

    let defined =
        operator.says(&["server", "define", "desk", "--tool", "notes/echo", "--tool", "notes/read_thing"]);
    assert_eq!(defined, "Virtual server desk is at version 1, with 2 tools.\n");
    operator
        .file("desk.yaml", "name: desk\ndescription: reads\ntools:\n  - {connection: notes, tool: echo}\n");
    assert!(operator.says(&["server", "revise", "-f", "desk.yaml"]).contains("version 2, with 1 tools"));
    assert_eq!(
        words(operator.says(&["server", "list"]).lines().nth(1).unwrap()),
        ["desk", "defined", "2", "reads"]
    );
    assert!(operator.says(&["server", "show", "desk"]).contains("description: reads"));
    assert_eq!(operator.json(&["server", "versions", "desk"]).as_array().unwrap().len(), 2);
    let manifest = operator.says(&["server", "manifest", "desk"]);
    assert!(manifest.contains("echo") && manifest.contains("Version 2: 1 tools cost a model"), "{manifest}");

    let minted = operator.json(&["session", "mint", "desk", "ada", "--label", "run=42", "--calls-max", "5"]);
    let session = Session::of(&minted);
    let agent = Agent::modern(&world, &session);
    agent.call("echo", r#"{"text":"hello"}"#).result();
    agent.call("read_thing", "{}").error();
    let sessions = operator.says(&["session", "list", "--user", "ada", "--label", "run=42"]);
    assert_eq!(
        &words(sessions.lines().nth(1).unwrap())[..6],
        [&*session.id, "open", "ada", "desk", "1", "1"]
    );
    assert!(operator.says(&["session", "show", &session.id]).contains("calls_max: 5"));
    assert!(operator.says(&["session", "timeline", &session.id]).contains("ToolCallAdmitted"));

    let calls = operator.json(&["audit", "search", "--user", "ada"]);
    let outcomes: Vec<_> = calls.as_array().unwrap().iter().map(|call| call["outcome"].clone()).collect();
    assert_eq!(outcomes, ["refused", "succeeded"]);
    let refused = operator.says(&["audit", "search", "--outcome", "refused"]);
    assert_eq!(refused.lines().count(), 2, "{refused}");
    let call = calls[1]["call_id"].as_str().unwrap();
    assert!(operator.says(&["audit", "show", call]).contains("text: hello"));

    let revoked = operator.says(&["session", "revoke", &session.id, "--reason", "done", "--wait"]);
    assert!(revoked.contains("every replica has seen it"), "{revoked}");
    let acts = operator.says(&["audit", "acts", "--type", "SessionRevoked"]);
    assert!(acts.lines().nth(1).unwrap().ends_with("done"), "{acts}");

    assert!(operator.says(&["server", "retire", "desk", "--reason", "over"]).contains("is retired"));
    assert!(operator.says(&["connection", "retire", "notes"]).contains("is retired"));
    assert_eq!(operator.json(&["connection", "show", "notes"])["state"], "retired");
}

#[test]
fn an_operator_looks_into_users_ends_their_sessions_and_blocks_them() {
    let world = World::start();
    let upstream = Upstream::start(Options::default());
    world.desk(&upstream);
    let operator = Operator { world: &world };
    assert_eq!(operator.json(&["user", "list"]), json!([]));
    for user in ["ada", "grace", "joan"] {
        world.mint("desk", user);
    }
    let listed = operator.json(&["user", "list", "--all"]);
    let mut users: Vec<_> =
        listed.as_array().unwrap().iter().map(|user| user["user"].as_str().unwrap()).collect();
    users.sort_unstable();
    assert_eq!(users, ["ada", "grace", "joan"]);
    let (mut cursor, mut seen) = (String::new(), 0);
    loop {
        let page = world.get(&format!("/api/v1/users?limit=1&cursor={cursor}")).ok();
        seen += page["items"].as_array().unwrap().len();
        let Some(next) = page["next_cursor"].as_str() else { break };
        next.clone_into(&mut cursor);
    }
    assert_eq!(seen, 3, "one to a page");

    assert!(operator.says(&["user", "show", "ada"]).contains("blocked: false"));
    let sessions = operator.says(&["user", "sessions", "ada"]);
    assert_eq!(words(sessions.lines().nth(1).unwrap())[1..4], ["open", "ada", "desk"]);
    let ended = operator.says(&["user", "revoke", "ada", "--reason", "lost laptop", "--wait"]);
    assert!(ended.contains("every replica has seen it") && ended.contains("(Open before: 1.)"), "{ended}");
    assert!(operator.says(&["session", "list", "--user", "ada"]).contains("revoked"));
    world.mint("desk", "ada");
    assert!(
        operator.says(&["user", "block", "ada", "--reason", "left", "--wait"]).contains("ada is blocked")
    );
    assert!(operator.says(&["user", "show", "ada"]).contains("reason: left"));
    assert!(operator.fails(&["session", "mint", "desk", "ada"], 1).contains("blocked"));
    assert!(operator.says(&["user", "unblock", "ada"]).contains("may have sessions again"));
    world.mint("desk", "ada");
    assert!(operator.run(&["user", "accounts", "ada"]).status.success());
}

#[test]
fn a_key_is_made_shown_once_and_revoked() {
    let world = World::start();
    let operator = Operator { world: &world };
    let made =
        operator.says(&["key", "create", "backend", "--role", "minter", "--expires", "2099-01-01T00:00:00Z"]);
    let key = made.lines().next().unwrap();
    let id = made.trim_end().rsplit(' ').next().unwrap().trim_end_matches('.');
    let as_backend = |verb: &[&str]| operator.run_with(verb, &[("PROCTOR_API_KEY", key)]);
    assert!(as_backend(&["session", "list"]).status.success());
    assert!(err(&as_backend(&["key", "list"])).contains("(forbidden)"));
    let listed = operator.says(&["key", "list"]);
    let line = listed.lines().find(|line| line.contains(id)).unwrap();
    assert_eq!(words(line)[..3], ["backend", "minter", "active"], "{listed}");
    assert!(!listed.contains(key));
    let revoked = operator.says(&["key", "revoke", id, "--reason", "rotated"]);
    assert!(revoked.contains("The key backend is revoked"), "{revoked}");
    assert!(err(&as_backend(&["session", "list"])).contains("(unauthenticated)"));
    assert!(operator.says(&["keys", "list"]).contains("token_signing"));
}

#[test]
fn the_doctor_finds_what_is_wrong_and_says_how_to_mend_it() {
    let mut world = World::start();
    let (upstream, gone) = (Upstream::start(Options::default()), Upstream::start(Options::default()));
    world.desk(&upstream);
    world.connect("gone", &gone.url());
    let operator = Operator { world: &world };
    let well = operator.says(&["doctor"]);
    for line in [
        "ok    server: ",
        "ok    clock: ",
        "ok    key: ",
        "ok    connection gone: ",
        "ok    virtual server desk: ",
    ] {
        assert!(well.contains(line), "{line}: {well}");
    }
    drop(gone);
    let output = operator.run(&["doctor", "--json"]);
    assert_eq!((output.status.code(), err(&output)), (Some(1), "proctor: one thing is wrong\n".to_owned()));
    let findings: Value = serde_json::from_slice(&output.stdout).unwrap();
    let wrong: Vec<_> =
        findings.as_array().unwrap().iter().filter(|finding| finding["ok"] == false).collect();
    assert_eq!(wrong[0]["what"], "connection gone", "{findings}");

    let wrong_key = operator.run_with(&["doctor"], &[("PROCTOR_API_KEY", "not-a-key-of-this-server")]);
    let said = String::from_utf8_lossy(&wrong_key.stdout).into_owned();
    assert!(said.contains("WRONG key: ") && said.contains("set PROCTOR_API_KEY"), "{said}");
    let local = operator.run_with(
        &["doctor", "--local"],
        &[("PROCTOR_MASTER_KEY", "short"), ("PROCTOR_ADMIN_KEY", ADMIN_KEY), ("PROCTOR_LEASE_SECONDS", "1")],
    );
    let said = String::from_utf8_lossy(&local.stdout).into_owned();
    assert!(said.contains("PROCTOR_MASTER_KEY: ") && said.contains("PROCTOR_LEASE_SECONDS: "), "{said}");
    let here = world.run(
        &["doctor", "--local"],
        &[("PROCTOR_URL", &format!("http://{}", world.address)), ("PROCTOR_API_KEY", ADMIN_KEY)],
    );
    let said = String::from_utf8_lossy(&here.stdout).into_owned();
    assert!(said.contains("ok    configuration: ") && said.contains("ok    store and keys: "), "{said}");

    world.server.kill();
    let nobody = Operator { world: &world }.run(&["doctor"]);
    assert!(String::from_utf8_lossy(&nobody.stdout).contains("WRONG server: "), "{}", err(&nobody));
}

#[test]
fn a_list_is_as_long_as_is_asked_for_whatever_the_pages() {
    let world = World::start();
    let upstream = Upstream::start(Options::default());
    world.desk(&upstream);
    for _ in 0..7 {
        world.mint("desk", "ada");
    }
    let operator = Operator { world: &world };
    let some = operator.run(&["session", "list", "--limit", "3"]);
    assert_eq!(String::from_utf8_lossy(&some.stdout).lines().count(), 1 + 3);
    assert!(err(&some).contains("There are more"), "{}", err(&some));
    let all = operator.run(&["session", "list", "--all", "--json"]);
    let items: Value = serde_json::from_slice(&all.stdout).unwrap();
    assert_eq!((items.as_array().unwrap().len(), err(&all)), (7, String::new()));
    let none = operator.run(&["session", "list", "--user", "nobody"]);
    assert!(none.status.success() && none.stdout.is_empty() && err(&none).contains("There are none"));
}

#[test]
fn a_secret_comes_from_the_environment_or_a_file_and_is_shown_nowhere() {
    const SECRET: &str = "s3cret-of-the-command-line";
    let world = World::start();
    let secret = Some(("x-api-key".to_owned(), SECRET.to_owned()));
    let upstream = Upstream::start(Options { secret, ..Options::default() });
    let operator = Operator { world: &world };
    operator.file("crm.key", &format!("{SECRET}\n"));
    let url = upstream.url();
    let add = [
        "connection",
        "add",
        "--upstream",
        &url,
        "--private-network",
        "--auth",
        "header",
        "--header",
        "X-Api-Key",
    ];
    let by_file = operator.run(&[&add[..], &["one", "--secret-file", "crm.key"]].concat());
    assert!(by_file.status.success(), "{}", err(&by_file));
    let by_name =
        operator.run_with(&[&add[..], &["two", "--secret-env", "CRM_KEY"]].concat(), &[("CRM_KEY", SECRET)]);
    assert!(by_name.status.success(), "{}", err(&by_name));
    let document = format!(
        "name: three\ntransport: {{type: http, url: '{url}'}}\nprivate_network: true\n\
         auth: {{type: header, name: X-Api-Key, value: {{from_env: CRM_KEY}}}}\n"
    );
    let file = operator.file("three.yaml", &document);
    let from_document =
        operator.run_with(&["connection", "add", "-f", file.to_str().unwrap()], &[("CRM_KEY", SECRET)]);
    assert!(from_document.status.success(), "{}", err(&from_document));
    for output in [by_file, by_name, from_document] {
        assert!(!String::from_utf8_lossy(&output.stdout).contains(SECRET));
    }

    let missing = operator.fails(&["connection", "add", "-f", file.to_str().unwrap()], 1);
    assert!(missing.contains("CRM_KEY, which should hold a secret, is not set"), "{missing}");
    let plain = document.replace("{from_env: CRM_KEY}", SECRET);
    let file = operator.file("plain.yaml", &plain);
    let refused = operator.fails(&["connection", "add", "-f", file.to_str().unwrap()], 1);
    assert!(refused.contains("auth.value is a secret") && !refused.contains(SECRET), "{refused}");
    let broken = operator.file("broken.yaml", "name: x\ntransport: [\n");
    let refused = operator.fails(&["connection", "add", "-f", broken.to_str().unwrap()], 1);
    assert!(refused.contains("broken.yaml") && refused.contains("line"), "{refused}");
}

#[test]
fn what_went_wrong_is_said_with_its_code_and_an_exit_status_for_programs() {
    let world = World::start();
    let upstream = Upstream::start(Options::default());
    let operator = Operator { world: &world };
    let unknown = operator.fails(&["connection", "show", "no/such"], 1);
    assert!(unknown.contains("404") && unknown.contains("(connection_not_found)"), "{unknown}");
    operator.fails(&["connection", "add"], 2);
    operator.fails(&["session", "revoke", "ses_1"], 2);

    let body = json!({
        "name": "own", "transport": { "type": "http", "url": upstream.url() },
        "auth": { "type": "bearer" }, "private_network": true,
    });
    world.post("/api/v1/connections", &body).expect(201);
    world
        .put("/api/v1/users/ada/connections/own/credential", &json!({ "type": "bearer", "token": "t" }))
        .expect(200);
    world.post("/api/v1/connections/own/catalog/refresh?user=ada", &json!({})).ok();
    world.define("mine", "own", &["echo"]);
    let missing = operator.fails(&["session", "mint", "mine", "grace"], 1);
    assert!(missing.contains("(accounts_missing)") && missing.contains("own (missing)"), "{missing}");

    let wrong_key =
        operator.run_with(&["connection", "list"], &[("PROCTOR_API_KEY", "not-a-key-of-this-server")]);
    assert_eq!(wrong_key.status.code(), Some(1));
    assert!(
        err(&wrong_key).contains("(unauthenticated)") && !err(&wrong_key).contains("not-a-key"),
        "{}",
        err(&wrong_key)
    );
    let nobody = operator.run_with(&["connection", "list"], &[("PROCTOR_URL", "http://127.0.0.1:1")]);
    assert_eq!(nobody.status.code(), Some(3));
    assert!(err(&nobody).contains("PROCTOR_URL"), "{}", err(&nobody));
    let keyless = operator.run_with(&["connection", "list"], &[("PROCTOR_API_KEY", "")]);
    assert_eq!(keyless.status.code(), Some(1));
    assert!(err(&keyless).contains("there is no API key"), "{}", err(&keyless));
}

#[test]
fn a_profile_names_a_server_and_its_key_and_an_error_in_it_shows_no_key() {
    let world = World::start();
    let operator = Operator { world: &world };
    operator.file("admin.key", ADMIN_KEY);
    let key_file = world.data_dir().join("admin.key");
    let url = format!("http://{}", world.address);
    let profiles = operator.file(
        "profiles.yaml",
        &format!("default: {{url: 'http://127.0.0.1:1', api_key: x}}\nhere: {{url: '{url}', api_key_file: '{}'}}\n", key_file.display()),
    );
    let from_profile =
        [("PROCTOR_PROFILES", profiles.to_str().unwrap()), ("PROCTOR_URL", ""), ("PROCTOR_API_KEY", "")];
    let there = operator.run_with(&["connection", "list", "--profile", "here"], &from_profile);
    assert!(there.status.success(), "{}", err(&there));
    assert_eq!(
        operator.run_with(&["connection", "list"], &from_profile).status.code(),
        Some(3),
        "default is elsewhere"
    );
    let elsewhere = [from_profile[0], ("PROCTOR_URL", "http://127.0.0.1:1"), ("PROCTOR_API_KEY", "x")];
    let named = operator.run_with(&["connection", "list", "--profile", "here"], &elsewhere);
    assert!(named.status.success(), "what is named goes before the environment: {}", err(&named));
    let verb = ["connection", "list", "--profile", "here", "--url", "http://127.0.0.1:1"];
    let other = operator.run_with(&verb, &from_profile);
    assert!(err(&other).contains("no API key for this server"), "its key is for itself: {}", err(&other));
    let unknown = operator.run_with(&["connection", "list", "--profile", "nowhere"], &from_profile);
    assert!(err(&unknown).contains("there are: default, here"), "{}", err(&unknown));
    std::fs::write(&profiles, "here: {api_key: swordfish, colour: red}\n").unwrap();
    let broken = operator.run_with(&["connection", "list", "--profile", "here"], &from_profile);
    assert!(err(&broken).contains("line 1") && !err(&broken).contains("swordfish"), "{}", err(&broken));
}

#[test]
fn each_verb_has_a_help_with_an_example_and_shells_complete_it() {
    let world = World::start();
    let operator = Operator { world: &world };
    for noun in ["connection", "server", "session", "user", "audit", "key", "keys", "store", "vault"] {
        let help = operator.says(&[noun, "--help"]);
        let verbs =
            help.split("Commands:").nth(1).unwrap().lines().skip(1).take_while(|line| line.starts_with("  "));
        for verb in verbs.map(|line| words(line)[0]).filter(|verb| *verb != "help") {
            let help = operator.says(&[noun, verb, "--help"]);
            assert!(help.contains("Example"), "{noun} {verb} has no example:\n{help}");
        }
    }
    for shell in ["bash", "zsh", "fish"] {
        let script = operator.says(&["completions", shell]);
        assert!(script.contains("connection") && script.contains("timeline"), "{shell}");
    }
}

#[test]
fn a_command_whose_answer_is_lost_is_sent_again_and_done_once() {
    let world = World::start();
    let upstream = Upstream::start(Options::default());
    world.desk(&upstream);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = world.address;
    let between = std::thread::spawn(move || {
        for is_last in [false, true] {
            let (near, _) = listener.accept().unwrap();
            let far = TcpStream::connect(server).unwrap();
            let (mut from, mut to) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            // What the server has done is not heard of the first time.
            let mut answer = [0];
            (&far).read_exact(&mut answer).unwrap();
            if is_last {
                (&near).write_all(&answer).unwrap();
                std::io::copy(&mut &far, &mut &near).unwrap();
            }
            near.shutdown(Shutdown::Both).unwrap();
        }
    });
    let operator = Operator { world: &world };
    let minted = operator.run_with(&["session", "mint", "desk", "ada"], &[("PROCTOR_URL", &url)]);
    assert!(minted.status.success(), "{}", err(&minted));
    between.join().unwrap();
    assert_eq!(world.pages("/api/v1/sessions").len(), 1);
}
