//! Moving an installation: what was there before is there after, and nothing that was ended lives.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use proctor_test_postgres::Database;
use proctor_test_upstream::{Options, Upstream};
use serde_json::{Value, json};

use crate::agent::Agent;
use crate::rest::Session;
use crate::world::{PUBLIC_URL, Server, World};

/// Stands in the URLs of databases, and in nothing that is printed.
const PASSWORD: &str = "swordfish";

fn proctor(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_proctor"));
    command.env_clear().envs(environment.iter().copied()).args(arguments);
    let output = command.output().unwrap();
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    assert!(!String::from_utf8_lossy(&said).contains(PASSWORD), "a password was shown");
    output
}

fn copy(from: &str, to: &str) -> Output {
    proctor(&["store", "copy", "--json", "--from", from, "--to", to], &[])
}

#[track_caller]
fn copied(from: &str, to: &str) -> Value {
    let output = copy(from, to);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("copying: 100 %") && said.contains("comparing: 100 %"), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[track_caller]
fn refused(from: &str, to: &str) -> String {
    let output = copy(from, to);
    assert!(!output.status.success() && output.stdout.is_empty());
    String::from_utf8(output.stderr).unwrap()
}

fn file(path: &Path) -> String {
    format!("sqlite:{}", path.display())
}

fn with_password(database: &Database) -> String {
    database.url().replacen('@', &format!(":{PASSWORD}@"), 1)
}

/// Opens a store again that was left. Answers what is said of it.
#[track_caller]
fn reopened(url: &str) -> String {
    let output = proctor(&["store", "reopen"], &[("DATABASE_URL", url)]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Everything that a server says about what happened.
fn told(server: &Server, sessions: &[&Session]) -> Vec<Value> {
    let mut told: Vec<Value> = ["connections", "virtual-servers", "sessions", "audit/tool-calls"]
        .iter()
        .map(|list| server.pages(&format!("/api/v1/{list}?limit=100")).into())
        .collect();
    for session in sessions {
        told.push(server.timeline(session).into());
    }
    for call in server.trail("") {
        told.push(server.call_on_record(call["call_id"].as_str().unwrap()));
    }
    // Looking was written down as well; what was there before is compared.
    let acts = server.pages("/api/v1/audit/acts?limit=100");
    let before = |act: &Value| {
        let kind = act.to_string();
        !kind.contains("AuditTrailRead") && !kind.contains("ReplicaStarted")
    };
    told.push(acts.into_iter().filter(before).collect());
    told
}

#[test]
fn an_installation_moves_to_postgres_and_back_with_everything_that_it_knows() {
    let journal = crate::world::Folder::new();
    let path = journal.path().join("journal.sqlite");
    let mut world = World::start_behind_url(&[("DATABASE_URL", &file(&path))]);
    let upstream = Upstream::start(Options::default());
    world.desk(&upstream);
    let mint = json!({ "virtual_server": "desk", "user": "ada", "labels": { "run": "run-1" } });
    let lives = world.mint_with(&mint);
    let revoked = world.mint("desk", "ada");
    let cut = world.mint("desk", "grace");
    for session in [&lives, &revoked, &cut] {
        let agent = Agent::modern(&world, session);
        agent.call("echo", r#"{"text":"söme \u0000 text"}"#).result();
        agent.call("nothing", r#"{"secret":"argument"}"#).error();
    }
    world.revoke(&revoked);
    world.post("/api/v1/revocations", &json!({ "user": "grace", "reason": "lost laptop" })).ok();
    let before = told(&world, &[&lives, &revoked, &cut]);
    assert!(world.server.terminate().success());

    let database = Database::new();
    let there = copied(&file(&path), &with_password(&database));
    assert_eq!((&there["from"], &there["to"]), (&json!("sqlite"), &json!("postgres")));
    assert_eq!(database.sql("SELECT max(position) FROM events").trim(), there["head"].to_string());

    // Back before anything happened there: it is what it was.
    let back = journal.path().join("back.sqlite");
    let mut again = copied(&with_password(&database), &file(&back));
    assert_eq!(again["source_moved_to"], format!("sqlite:{}", back.display()));
    assert!(!there["source_moved_to"].as_str().unwrap().contains('@'));
    again["source_moved_to"] = there["source_moved_to"].clone();
    reopened(&database.url());
    for (member, value) in [("from", "sqlite"), ("to", "postgres")] {
        again[member] = json!(value);
    }
    again["seconds"] = there["seconds"].clone();
    assert_eq!(again, there);

    for url in [database.url(), file(&back)] {
        let moved = World::start_behind_url(&[("DATABASE_URL", &url)]);
        assert_eq!(told(&moved, &[&lives, &revoked, &cut]), before);
        let calls = upstream.ledger().calls().len();
        Agent::modern(&moved, &lives).call("echo", r#"{"text":"again"}"#).result();
        for ended in [&revoked, &cut] {
            assert_eq!(Agent::modern(&moved, ended).call("echo", "{}").status, 401);
        }
        assert_eq!(upstream.ledger().calls().len(), calls + 1);
        Agent::modern(&moved, &moved.mint("desk", "ada")).call("echo", "{}").result();
    }
    assert_eq!(lives.url.strip_prefix(PUBLIC_URL), Some("/mcp/desk"));
}

#[test]
fn a_source_in_use_and_a_destination_with_something_in_it_are_refused_and_unchanged() {
    let journal = crate::world::Folder::new();
    let path = journal.path().join("journal.sqlite");
    let mut world = World::start_behind_url(&[("DATABASE_URL", &file(&path))]);
    let database = Database::new();
    let said = refused(&file(&path), &with_password(&database));
    assert!(said.contains("the source is in use by rep_") && said.contains("stop every Proctor"), "{said}");
    assert_eq!(database.sql("SELECT count(*) FROM events").trim(), "0");
    world.connect("more", "http://127.0.0.1:1/mcp");

    assert!(world.server.terminate().success());
    database.sql("INSERT INTO session_keys VALUES ('ses_1', 'key')");
    let said = refused(&file(&path), &with_password(&database));
    assert!(said.contains("the destination is not empty (session_keys: 1 rows)"), "{said}");
    assert_eq!(database.sql("SELECT count(*) FROM events").trim(), "0");
    database.sql("TRUNCATE session_keys");
    let there = copied(&file(&path), &with_password(&database));
    assert!(refused(&file(&path), &file(&path)).contains("name the same store"));
    let events = database.sql("SELECT count(*) FROM events");
    assert_eq!(events.trim(), there["head"].to_string());
}

#[test]
fn calls_of_a_server_that_was_killed_are_given_up_where_the_journal_went() {
    let journal = crate::world::Folder::new();
    let path = journal.path().join("journal.sqlite");
    let mut world =
        World::start_behind_url(&[("DATABASE_URL", &file(&path)), ("PROCTOR_LEASE_SECONDS", "4")]);
    let upstream = Upstream::start(Options::default());
    world.desk(&upstream);
    let session = world.mint("desk", "ada");
    let _sent = Agent::modern(&world, &session).start_call("1", "slow", r#"{"milliseconds":60000}"#);
    upstream.ledger().wait_until("the call", |record| record.calls().count() > 0);
    // Made before: it may take as long as the lease lasts.
    let database = Database::new();
    world.server.kill();
    assert!(refused(&file(&path), &database.url()).contains("was killed counts as alive for"));
    std::thread::sleep(Duration::from_secs(5));
    copied(&file(&path), &database.url());
    let moved = World::start_behind_url(&[("DATABASE_URL", &database.url()), ("PROCTOR_LEASE_SECONDS", "2")]);
    crate::world::wait_until("the call to be given up", || {
        moved.trail("").iter().any(|row| row["outcome"] == "abandoned")
    });
}

#[test]
fn a_url_in_the_wrong_place_is_not_repeated() {
    let url = format!("postgres://ada:{PASSWORD}@127.0.0.1:1/journal");
    for arguments in [
        &["store", "copy", &url][..],
        &["store", "copy", "--from", &url],
        &["store", "copy", "--from", "sqlite:/nowhere/at/all", "--to", &url],
        &["store", "copy", "--from", &url, "--to", &url],
        &["store", "copy", "--from", &url.replacen("postgres", "mysql", 1), "--to", &url],
        &["store", "migrate", &url],
        &["store", "reopen", &url],
    ] {
        let output = proctor(arguments, &[]);
        assert!(!output.status.success());
    }
    for verb in ["migrate", "reopen"] {
        assert!(!proctor(&["store", verb], &[("DATABASE_URL", &url)]).status.success());
        let output = proctor(&["store", verb], &[]);
        assert!(String::from_utf8_lossy(&output.stderr).contains("DATABASE_URL is missing"));
    }
}

#[test]
fn an_owner_makes_the_schema_and_proctor_runs_on_it_as_a_writer() {
    let database = Database::new();
    let (owner, writer) = (format!("owner_{}", database.name()), format!("writer_{}", database.name()));
    database.sql(&format!(
        "CREATE ROLE {owner} NOLOGIN; CREATE ROLE {writer} LOGIN;
         ALTER DATABASE {name} OWNER TO {owner}; REVOKE ALL ON DATABASE {name} FROM PUBLIC;
         GRANT CONNECT ON DATABASE {name} TO {writer}",
        name = database.name()
    ));
    database.sql("DO $$ BEGIN CREATE ROLE proctor_writer NOLOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$");
    database.sql(&format!("GRANT proctor_writer TO {writer}"));
    let options = format!("-c role={owner}");
    for _ in 0..2 {
        let output = proctor(
            &["store", "migrate"],
            &[("DATABASE_URL", &with_password(&database)), ("PGOPTIONS", &options)],
        );
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let of_events = database.sql("SELECT tableowner FROM pg_tables WHERE tablename = 'events'");
    assert_eq!(of_events.trim(), owner);
    {
        let world = World::start_behind_url(&[("DATABASE_URL", &database.url_as(&writer))]);
        assert!(world.trail("").is_empty(), "the views are made and read");
    }
    database.sql(&format!("DROP OWNED BY {writer}, {owner} CASCADE"));
    database
        .sql(&format!("ALTER DATABASE {} OWNER TO postgres; DROP ROLE {writer}, {owner}", database.name()));
}
