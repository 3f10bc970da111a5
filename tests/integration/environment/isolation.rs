//! Whose process answers, and how long it lives.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::*;

const USERS: [&str; 3] = ["ada", "grace", "joan"];
const CALLS_EACH: usize = 25;

/// What Python finds in its environment when it is started with the least: its launcher adds some.
fn python_alone() -> BTreeSet<String> {
    let script = "import json, os; print(json.dumps(sorted(os.environ)))";
    let mut python = std::process::Command::new("python3");
    python.args(["-c", script]).env_clear();
    for name in ["PATH", "HOME"] {
        python.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    serde_json::from_slice(&python.output().unwrap().stdout).unwrap()
}

#[test]
fn each_call_is_answered_by_a_process_that_has_its_own_users_values_and_no_others() {
    let scene = Scene::start().with(&USERS);
    let pids: Vec<BTreeSet<u64>> = std::thread::scope(|scope| {
        let callers: Vec<_> = USERS
            .iter()
            .map(|user| {
                let agent = scene.agent(user);
                scope.spawn(move || {
                    std::thread::scope(|scope| {
                        let lanes: Vec<_> = (0..3)
                            .map(|_| {
                                let agent = agent.clone();
                                scope.spawn(move || {
                                    let calls = (0..CALLS_EACH).map(|_| whoami(&agent));
                                    calls.collect::<Vec<_>>()
                                })
                            })
                            .collect();
                        let answers = lanes.into_iter().flat_map(|lane| lane.join().unwrap());
                        answers
                            .map(|child| {
                                assert_eq!(child.digest, digest(&key_of(user)), "{user}");
                                child.pid
                            })
                            .collect()
                    })
                })
            })
            .collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    });
    // One process for all calls of a user, and another for each user.
    assert!(pids.iter().all(|pids| pids.len() == 1), "{pids:?}");
    assert_eq!(pids.iter().flatten().collect::<BTreeSet<_>>().len(), USERS.len(), "{pids:?}");

    let environment = told(&scene.agent("ada").call("whoami", "{}"));
    let names: Vec<&str> =
        environment["names"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    for name in ["API_KEY", "USER_NAME", "REGION", "PATH"] {
        assert!(names.contains(&name), "{names:?}");
    }
    let mut known = python_alone();
    known.extend(["API_KEY", "USER_NAME", "REGION", "LANG"].map(str::to_owned));
    assert!(names.iter().all(|name| known.contains(*name)), "{names:?} are more than {known:?}");
    for pid in pids.iter().flatten() {
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
        assert!(!String::from_utf8_lossy(&arguments).contains("key-of-"), "a value is among the arguments");
    }
    assert!(scene.world.trail("limit=200").iter().all(|row| row["user_generation"] == 1));
}

#[test]
fn a_replaced_credential_has_a_process_of_its_own_and_the_old_one_ends_with_its_last_call() {
    let scene = Scene::start().with(&["ada", "grace"]);
    let (ada, grace) = (scene.agent("ada"), scene.agent("grace"));
    let (before, other) = (whoami(&ada), whoami(&grace));
    let running = ada.start_call("9", "slow", r#"{"milliseconds":2500}"#);
    wait_until("the call", || scene.noted("slow").len() == 1);

    set(&scene.world, "ada", "another-key").expect(200);
    let after = whoami(&ada);
    assert_ne!(after.pid, before.pid);
    assert_eq!(after.digest, digest("another-key"));
    // It was admitted with the old one, and is answered by it.
    assert!(before.runs());
    let finished = Answer::of(&running.answer().read());
    assert_eq!(Child::of(&told(&finished)), before);
    wait_until("the old process to end", || !before.runs());
    assert_eq!(whoami(&ada), after);
    assert_eq!(whoami(&grace), other);
}

#[test]
fn a_replaced_credential_ends_a_process_that_nobody_uses_at_once() {
    let scene = Scene::start().with(&["ada"]);
    let before = whoami(&scene.agent("ada"));
    set(&scene.world, "ada", "another-key").expect(200);
    wait_until("the old process to end", || !before.runs());
    assert!(scene.noted("ended").contains(&before), "it was not asked to end");
}

#[test]
fn an_account_that_is_taken_back_ends_its_process_with_what_is_on_its_way() {
    let scene = Scene::start().with(&["ada", "grace"]);
    let there = scene.world.another();
    // Of every replica, wherever it was taken back.
    for by in [&*scene.world, &there] {
        set(&scene.world, "ada", &key_of("ada")).expect(200);
        let (ada, grace) = (scene.agent("ada"), scene.agent("grace"));
        let (hers, others) = (whoami(&ada), whoami(&grace));
        let slow = scene.noted("slow").len();
        let cancelled = ada.start_call("1", "slow", r#"{"milliseconds":60000}"#);
        let spared = grace.start_call("1", "slow", r#"{"milliseconds":1000}"#);
        wait_until("both calls", || scene.noted("slow").len() == slow + 2);

        disconnect(by, "ada");
        assert!(Answer::of(&cancelled.answer().read()).json().get("error").is_some());
        wait_until("the process to end", || !hers.runs());
        assert_eq!(Child::of(&told(&Answer::of(&spared.answer().read()))), others);
        assert_eq!(refusal_of(&ada.call("whoami", "{}")), "user_connection_disconnected");
        assert!(others.runs());
    }
    set(&scene.world, "ada", "a-new-key").expect(200);
    assert_eq!(whoami(&scene.agent("ada")).digest, digest("a-new-key"));
}

#[test]
fn processes_of_a_connection_that_is_set_anew_or_retired_end_on_every_replica() {
    let scene = Scene::start().with(&["ada"]);
    let there = scene.world.another();
    let session = scene.world.mint("desk", "ada");
    let agents = [Agent::modern(&scene.world, &session), Agent::modern(&there, &session)];
    let before = agents.each_ref().map(whoami);
    let mut anew = scene.connection(&[]);
    anew["transport"]["env"]["REGION"] = json!("south");
    scene.world.put("/api/v1/connections/notes", &anew).expect(200);
    wait_until("both to end", || before.iter().all(|child| !child.runs()));
    let after = agents.each_ref().map(whoami);
    scene.world.post("/api/v1/connections/notes/retire", &json!({ "reason": "old" })).expect(200);
    wait_until("both to end again", || after.iter().all(|child| !child.runs()));
}

/// Says stop also where a test fails, so that nobody waits for whoever goes on until then.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn there_are_never_more_processes_than_allowed_and_the_longest_idle_one_makes_room() {
    let scene = Scene::start_with(&[("PROCTOR_CONNECTION_CHILDREN_MAX", "2")]);
    let users = ["ada", "grace", "joan", "mary"];
    let scene = scene.with(&users);
    let (stop, server) = (AtomicBool::new(false), &*scene.world);
    std::thread::scope(|scope| {
        let counting = scope.spawn(|| {
            let mut most = 0;
            while !stop.load(Ordering::Relaxed) {
                most = most.max(children_of(server).len());
                std::thread::sleep(Duration::from_millis(2));
            }
            most
        });
        let stopping = Stop(&stop);
        let agents: Vec<_> = users.iter().map(|user| scene.agent(user)).collect();
        let children: Vec<_> = agents.iter().map(whoami).collect();
        wait_until("the two that were idle for longest to end", || {
            children[..2].iter().all(|child| !child.runs())
        });
        assert!(children[2..].iter().all(Child::runs));

        let busy: Vec<_> = agents[2..]
            .iter()
            .map(|agent| agent.start_call("1", "slow", r#"{"milliseconds":1500}"#))
            .collect();
        wait_until("both to be busy", || scene.noted("slow").len() == 2);
        let refused = agents[0].call("whoami", "{}");
        assert_eq!(refusal_of(&refused), "busy", "{}", refused.text);
        for call in busy {
            told(&Answer::of(&call.answer().read()));
        }
        assert_eq!(whoami(&agents[0]).digest, digest(&key_of("ada")));
        drop(stopping);
        assert_eq!(counting.join().unwrap(), 2);
    });
}
