//! After a move: nobody goes on at the old store by mistake, and the same command again says what is.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use proctor_test_postgres::{Cluster, Database};
use proctor_test_upstream::{Options, Upstream};
use serde_json::{Value, json};

use crate::agent::Agent;
use crate::http::Request;
use crate::world::{Folder, World, environment, wait_until};

/// Stands in the URLs of databases, and in nothing that is printed.
const PASSWORD: &str = "swordfish";

fn proctor(arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_proctor"));
    command.env_clear().envs(settings.iter().copied()).args(arguments);
    let output = command.output().unwrap();
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    assert!(!String::from_utf8_lossy(&said).contains(PASSWORD), "a password was shown");
    output
}

#[track_caller]
fn succeeds(arguments: &[&str], settings: &[(&str, &str)]) -> String {
    let output = proctor(arguments, settings);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn fails(arguments: &[&str], settings: &[(&str, &str)]) -> String {
    let output = proctor(arguments, settings);
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

/// A server that is started, and refuses.
#[track_caller]
fn refuses_to_start(store: &str) -> String {
    let folder = Folder::new();
    let data = folder.path().display().to_string();
    // Of that nothing is said: the store is not looked into any further.
    let wrong_key = ("PROCTOR_MASTER_KEY", "YW5vdGhlciBrZXkgb2YgdGhpcnR5LXR3byBieXRlcyE=");
    let environment = environment(&[("DATABASE_URL", store), wrong_key]);
    let settings: Vec<_> = environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    fails(&["serve", "--data-dir", &data, "--listen", "127.0.0.1:0"], &settings)
}

/// A server runs there for a moment.
fn serve_once(store: &str) {
    assert!(World::start_behind_url(&[("DATABASE_URL", store)]).server.terminate().success());
}

fn file(path: &Path) -> String {
    format!("sqlite:{}", path.display())
}

fn with_password(database: &Database) -> String {
    database.url().replacen('@', &format!(":{PASSWORD}@"), 1)
}

/// A file and a database, one of which has the installation.
struct Stores {
    folder: Folder,
    database: Database,
}

impl Stores {
    fn new() -> Self {
        Self { folder: Folder::new(), database: Database::new() }
    }

    fn urls(&self) -> [String; 2] {
        [file(&self.folder.path().join("journal.sqlite")), with_password(&self.database)]
    }
}

#[test]
fn a_server_does_not_start_on_the_store_that_was_left_until_it_is_reopened() {
    for source in [0, 1] {
        let stores = Stores::new();
        let urls = stores.urls();
        let (from, to) = (&urls[source], &urls[1 - source]);
        serve_once(from);
        let said = succeeds(&["store", "copy", "--from", from, "--to", to], &[]);
        assert!(said.contains("The source is marked as moved to "), "{said}");
        let said = refuses_to_start(from);
        let place = if source == 0 { stores.database.name() } else { "journal.sqlite" };
        assert!(said.contains("this journal was moved to ") && said.contains(place), "{said}");
        assert!(said.contains(" UTC") && said.contains("proctor store reopen"), "{said}");
        // Not even a key was written there, let alone an event.
        let said: Value =
            serde_json::from_str(&succeeds(&["store", "copy", "--json", "--from", from, "--to", to], &[]))
                .unwrap();
        assert_eq!(said["outcome"], "was_there", "{said}");

        serve_once(to);
        let said = succeeds(&["store", "copy", "--from", from, "--to", to], &[]);
        assert!(said.contains("Nothing was copied") && said.contains("has gone on since"), "{said}");

        let said = succeeds(&["store", "reopen"], &[("DATABASE_URL", from)]);
        assert!(said.contains("open again") && said.contains(place), "{said}");
        serve_once(from);
        let said = fails(&["store", "copy", "--from", from, "--to", to], &[]);
        assert!(said.contains("after that both have gone on"), "{said}");
        let said = succeeds(&["store", "reopen"], &[("DATABASE_URL", from)]);
        assert!(said.contains("nothing was done"), "{said}");
    }
}

#[test]
fn a_server_that_slept_through_the_move_sends_nothing_when_it_wakes_up() {
    for source in [0, 1] {
        let stores = Stores::new();
        let urls = stores.urls();
        let (from, to) = (&urls[source], &urls[1 - source]);
        let world = World::start_behind_url(&[("DATABASE_URL", from), ("PROCTOR_LEASE_SECONDS", "2")]);
        let upstream = Upstream::start(Options::default());
        world.desk(&upstream);
        let session = world.mint("desk", "ada");
        Agent::modern(&world, &session).call("echo", r#"{"text":"before"}"#).result();
        let calls = upstream.ledger().calls().len();
        world.signal("STOP");
        std::thread::sleep(Duration::from_secs(3));
        succeeds(&["store", "copy", "--from", from, "--to", to], &[]);
        world.signal("CONT");
        let answer = Agent::modern(&world, &session).call("echo", r#"{"text":"after"}"#);
        assert_eq!(answer.status, 503);
        wait_until("the server to say where it went", || {
            let ready = Request::new("GET", "/readyz").send(world.address);
            ready.status == 503 && ready.text().contains("this journal was moved to ")
        });
        assert!(!world.log().contains(PASSWORD));
        assert_eq!(upstream.ledger().calls().len(), calls, "nothing left");
        let said: Value =
            serde_json::from_str(&succeeds(&["store", "copy", "--json", "--from", from, "--to", to], &[]))
                .unwrap();
        assert_eq!(said["outcome"], "was_there", "nothing was written: {said}");
    }
}

#[test]
fn a_rehearsal_leaves_the_source_in_use() {
    let stores = Stores::new();
    let [from, to] = stores.urls();
    serve_once(&from);
    let said = succeeds(&["store", "copy", "--leave-open", "--json", "--from", &from, "--to", &to], &[]);
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap()["source_moved_to"], json!(null));
    serve_once(&from);
}

#[test]
fn a_copy_follows_a_failover_to_the_other_host() {
    let old = Cluster::start(&[]);
    let database = Database::inside(&old);
    let new = old.standby();
    wait_until("the standby to have the database", || {
        new.sql("postgres", "SELECT datname FROM pg_database").contains(database.name())
    });
    old.stop();
    new.promote();
    let hosts = format!("{},{}", old.host(), new.host());
    let (url, hosts) = (database.url(), ("PROCTOR_DATABASE_HOSTS", hosts.as_str()));
    let folder = Folder::new();
    let [first, second] = ["first", "second"].map(|name| file(&folder.path().join(name)));
    serve_once(&first);

    succeeds(&["store", "migrate"], &[("DATABASE_URL", &url), hosts]);
    let said = fails(&["store", "copy", "--from", &first, "--to", &url], &[]);
    assert!(said.contains("connect to the journal's database"), "{said}");
    let elsewhere = ("DATABASE_URL", "postgres://postgres@127.0.0.1:1/other");
    let said = fails(&["store", "copy", "--from", &first, "--to", &url], &[hosts, elsewhere]);
    assert!(said.contains("PROCTOR_DATABASE_HOSTS: it belongs to the database that"), "{said}");
    succeeds(&["store", "copy", "--from", &first, "--to", &url], &[hosts]);
    let events = new.sql(database.name(), "SELECT count(*) FROM events");
    assert_ne!(events.trim(), "0");
    // And from there, with DATABASE_URL as a replica has it.
    let said = succeeds(
        &["store", "copy", "--json", "--from", &url, "--to", &second],
        &[hosts, ("DATABASE_URL", &url)],
    );
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["head"].to_string(), events.trim());
    let said = succeeds(&["store", "reopen"], &[("DATABASE_URL", &url), hosts]);
    assert!(said.contains("second"), "{said}");
}
