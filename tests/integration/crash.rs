//! Endings: a journal that cannot write, a process that is killed, one that is asked to stop.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use proctor_test_upstream::{Options, Upstream};
use serde_json::{Value, json};

use crate::agent::{Agent, Answer};
use crate::world::{World, wait_until};

fn desk(settings: &[(&str, &str)]) -> (World, Upstream) {
    let world = World::start_behind_url(settings);
    let upstream = Upstream::start(Options::default());
    world.desk(&upstream);
    (world, upstream)
}

/// Makes every append of this kind of event fail until the answer is dropped.
fn spoil<'a>(world: &'a World, condition: &str) -> Spoiled<'a> {
    world.sql(&match world.database() {
        Some(_) => format!(
            "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql
                 AS $$ BEGIN RAISE EXCEPTION 'the disk is full'; END $$;
             CREATE TRIGGER spoiled BEFORE INSERT ON events FOR EACH ROW WHEN ({condition})
                 EXECUTE FUNCTION spoil()"
        ),
        None => format!(
            "CREATE TRIGGER spoiled BEFORE INSERT ON events WHEN {condition} \
             BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
        ),
    });
    Spoiled(world)
}

struct Spoiled<'a>(&'a World);

impl Drop for Spoiled<'_> {
    fn drop(&mut self) {
        self.0.sql(match self.0.database() {
            Some(_) => "DROP FUNCTION spoil() CASCADE",
            None => "DROP TRIGGER spoiled",
        });
    }
}

#[test]
fn nothing_leaves_that_the_journal_could_not_write() {
    let (world, upstream) = desk(&[]);
    let session = world.mint("desk", "ada");
    let agents = [Agent::modern(&world, &session), Agent::legacy(&world, &session)];
    let spoiled = spoil(&world, "1 = 1");
    for agent in &agents {
        for _ in 0..3 {
            let answer = agent.call("echo", "{}");
            assert_eq!(answer.status, 503, "{}", answer.text);
        }
    }
    let mint = json!({ "virtual_server": "desk", "user": "ada" });
    world.post("/api/v1/sessions", &mint).problem(503);
    assert_eq!(upstream.ledger().calls().len(), 0);
    drop(spoiled);
    for agent in &agents {
        agent.call("echo", "{}").result();
    }
    assert_eq!(upstream.ledger().calls().len(), 2);
}

#[test]
fn an_outcome_that_cannot_be_written_is_told_as_unknown() {
    let (world, upstream) = desk(&[]);
    let session = world.mint("desk", "ada");
    let agent = Agent::modern(&world, &session);
    let spoiled = spoil(&world, "NEW.event_type = 'ToolCallEnded'");
    let error = agent.call("echo", r#"{"text":"hi"}"#).error();
    assert!(error["message"].as_str().unwrap().contains("unknown"), "{error}");
    assert_eq!(upstream.ledger().calls().len(), 1);
    drop(spoiled);
    agent.call("echo", "{}").result();
}

#[test]
fn a_locked_journal_lets_nothing_leave_either() {
    let (world, upstream) = desk(&[]);
    let agent = Agent::modern(&world, &world.mint("desk", "ada"));
    std::thread::scope(|scope| {
        let (locked, held) = mpsc::channel();
        let (let_go, until) = mpsc::channel::<()>();
        let (path, database) = (world.data_dir().join("journal.sqlite"), world.database());
        scope.spawn(move || match database {
            Some(database) => {
                // Whoever waits for the lock is seen as soon as it is held.
                let lock = "BEGIN; LOCK TABLE events IN EXCLUSIVE MODE; SELECT pg_sleep(1); COMMIT";
                let holding = scope.spawn(move || database.sql(lock));
                let held = "SELECT count(*) FROM pg_locks WHERE mode = 'ExclusiveLock' AND granted
                            AND relation = 'events'::regclass";
                wait_until("the journal to be locked", || database.sql(held).trim() == "1");
                locked.send(()).unwrap();
                holding.join().unwrap();
            }
            None => {
                let journal = rusqlite::Connection::open(path).unwrap();
                journal.execute_batch("BEGIN IMMEDIATE").unwrap();
                locked.send(()).unwrap();
                // Its end is a sign as good as a word.
                let _ = until.recv();
                journal.execute_batch("ROLLBACK").unwrap();
            }
        });
        held.recv().unwrap();
        let sent = agent.start_call("1", "echo", "{}");
        std::thread::sleep(std::time::Duration::from_millis(300));
        assert_eq!(upstream.ledger().calls().len(), 0);
        drop(let_go);
        // Whether it waited or gave up: the next one works.
        sent.answer().read();
    });
    agent.call("echo", "{}").result();
}

#[test]
fn a_kill_at_any_moment_loses_nothing_acknowledged_and_leaves_no_call_without_an_outcome() {
    let (mut world, upstream) = desk(&[("PROCTOR_LEASE_SECONDS", "2")]);
    let mut answered: BTreeSet<String> = BTreeSet::new();
    let mut minted = Vec::new();
    let mut revoked = Vec::new();
    for round in 0..6_u32 {
        let session = world.mint("desk", "ada");
        minted.push(session.id.clone());
        let doomed = world.mint("desk", "grace");
        let stop = AtomicBool::new(false);
        let texts = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|thread| {
                    let agent = Agent::modern(&world, &session);
                    let stop = &stop;
                    scope.spawn(move || {
                        let mut answered = Vec::new();
                        for call in 0.. {
                            if stop.load(Ordering::Relaxed) {
                                break;
                            }
                            let text = format!("{round}/{thread}/{call}");
                            let request =
                                agent.call_request("1", "echo", &json!({ "text": text }).to_string());
                            match request.try_send(agent.address) {
                                Ok(answer) if answer.status == 200 => {
                                    Answer::of(&answer).result();
                                    answered.push(text);
                                }
                                _ => break,
                            }
                        }
                        answered
                    })
                })
                .collect();
            // Some calls are always on their way when the end comes.
            let _slow = Agent::modern(&world, &session).start_call("2", "slow", r#"{"milliseconds":60000}"#);
            let before = upstream.ledger().count("echo");
            upstream.ledger().wait_until("calls", |record| record.calls_of("echo").count() > before + 10);
            // Not always at the same point of whatever is going on.
            std::thread::sleep(std::time::Duration::from_millis(u64::from(7 + 11 * round)));
            world.revoke(&doomed);
            revoked.push(doomed);
            world.server.kill();
            stop.store(true, Ordering::Relaxed);
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(!texts.is_empty(), "nothing was answered before the kill");
        answered.extend(texts);
        world.server = world.another();
    }
    wait_until("every call to have an outcome", || {
        let trail = world.trail("limit=500");
        trail.iter().all(|row| {
            !row["outcome"].is_null() && row["outcome"] != "in_flight" && row["outcome"] != "admitted"
        })
    });
    let trail = world.trail("limit=500");
    let abandoned = trail.iter().filter(|row| row["outcome"] == "abandoned").count();
    assert!(abandoned >= 6, "{abandoned}");
    // Each answer that an agent has is on the record, with its outcome.
    let on_record: BTreeSet<String> = trail
        .iter()
        .filter(|row| row["outcome"] == "succeeded")
        .map(|row| world.call_on_record(row["call_id"].as_str().unwrap()))
        .filter_map(|row| row["arguments"]["text"].as_str().map(str::to_owned))
        .collect();
    let lost: Vec<_> = answered.difference(&on_record).collect();
    assert_eq!(lost, Vec::<&String>::new());
    // Each call that reached the upstream was admitted.
    assert!(upstream.ledger().calls().len() <= trail.len());
    for session in &minted {
        world.get(&format!("/api/v1/sessions/{session}")).expect(200);
    }
    for session in &revoked {
        assert_eq!(Agent::modern(&world, session).call("echo", "{}").status, 401);
    }
}

#[test]
fn a_server_that_is_asked_to_stop_lets_calls_end() {
    let (mut world, upstream) = desk(&[]);
    let session = world.mint("desk", "ada");
    let agent = Agent::modern(&world, &session);
    let sent = agent.start_call("1", "slow", r#"{"milliseconds":700}"#);
    upstream.ledger().wait_until("the call", |record| record.calls().count() == 1);
    let (status, answer) = std::thread::scope(|scope| {
        let answer = scope.spawn(|| Answer::of(&sent.answer().read()));
        let status = world.server.terminate();
        (status, answer.join().unwrap())
    });
    assert!(status.success(), "{status}");
    assert_eq!(answer.content(), "waited");
    world.server = world.another();
    assert_eq!(world.trail("")[0]["outcome"], "succeeded");
}

#[test]
fn a_server_that_is_asked_to_stop_does_not_wait_for_ever() {
    let (mut world, upstream) = desk(&[("PROCTOR_SHUTDOWN_GRACE_MS", "300")]);
    let session = world.mint("desk", "ada");
    let agent = Agent::modern(&world, &session);
    let _sent = agent.start_call("1", "slow", r#"{"milliseconds":60000}"#);
    upstream.ledger().wait_until("the call", |record| record.calls().count() == 1);
    assert!(world.server.terminate().success());
    upstream.ledger().wait_until("its cancellation", |record| record.cancelled.len() == 1);
    world.server = world.another();
    assert_eq!(world.trail("")[0]["outcome"], "cancelled");
}

#[test]
fn everything_is_the_same_when_computed_again_from_the_journal() {
    let (mut world, _upstream) = desk(&[]);
    world.define("other", "fixture", &["read_thing"]);
    let sessions: Vec<_> = (0..4)
        .map(|number| {
            let user = format!("user-{}", number % 2);
            world.mint_with(
                &json!({ "virtual_server": "desk", "user": user, "labels": { "n": number.to_string() } }),
            )
        })
        .collect();
    for session in &sessions {
        let agent = Agent::modern(&world, session);
        agent.tools();
        agent.call("echo", "{}").result();
        agent.call("fail", "{}").error();
        agent.call("nothing", "{}").error();
    }
    world.revoke(&sessions[0]);
    world.revise("desk", vec![json!({ "connection": "fixture", "tool": "echo" })]);
    world.post("/api/v1/revocations", &json!({ "user": "user-1", "reason": "left" })).ok();
    let everything = |world: &World| -> Vec<Value> {
        let mut all = world.trail("limit=500");
        for path in ["sessions", "connections", "virtual-servers", "virtual-servers/desk/versions"] {
            all.extend(world.pages(&format!("/api/v1/{path}")));
        }
        for session in &sessions {
            all.extend(world.timeline(session));
        }
        all.push(world.get("/api/v1/virtual-servers/desk/manifest").expect(200));
        all
    };
    let before = everything(&world);
    assert!(world.server.terminate().success());
    assert!(remove_views(&world) > 0, "no views to compute again");
    world.server = world.another();
    assert_eq!(everything(&world), before);
    let statuses: Vec<u16> =
        sessions.iter().map(|session| Agent::modern(&world, session).call("echo", "{}").status).collect();
    assert_eq!(statuses, [401, 401, 200, 401]);
}

/// How many files or schemas it were.
fn remove_views(world: &World) -> usize {
    if let Some(database) = world.database() {
        let schemas = database.sql("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'proctor_views_%'");
        schemas.lines().for_each(|schema| drop(database.sql(&format!("DROP SCHEMA {schema} CASCADE"))));
        return schemas.lines().count();
    }
    let files = std::fs::read_dir(world.data_dir()).unwrap().map(|file| file.unwrap().path());
    let views = files.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("views.db"));
    views.map(|path| std::fs::remove_file(path).unwrap()).count()
}

#[test]
fn a_server_does_not_start_without_keys_and_names_what_is_missing() {
    let folder = crate::world::Folder::new();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_proctor"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(folder.path().join("data"))
        .env_clear()
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("PROCTOR_MASTER_KEY") && said.contains("PROCTOR_ADMIN_KEY"), "{said}");
}

#[test]
fn another_master_key_does_not_open_the_folder() {
    let (mut world, _upstream) = desk(&[]);
    world.server.terminate();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_proctor"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(world.data_dir())
        .env_clear()
        .envs(world.database().map(|database| ("DATABASE_URL", database.url())))
        .env("PROCTOR_MASTER_KEY", "YW5vdGhlciBrZXkgb2YgdGhpcnR5LXR3byBieXRlcyE=")
        .env("PROCTOR_ADMIN_KEY", crate::world::ADMIN_KEY)
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("master key"), "{said}");
}
