//! Upstreams that are child processes: many calls at once, deaths, restarts and stops.

use std::{fs, path::PathBuf, process};

use serde_json::json;

use super::*;

/// A caller whose upstream is `child.py`, and the file in which the child notes what reached it.
struct Child {
    caller: Caller,
    notes: PathBuf,
}

impl Child {
    fn new(era: &str) -> Self {
        Self::with(era, Limits { answer_bytes_max: 10_000, ..Limits::default() })
    }

    fn with(era: &str, limits: Limits) -> Self {
        let name = format!("proctor-child-{}-{}", process::id(), super::super::line::next_id());
        let notes = std::env::temp_dir().join(name);
        fs::write(&notes, "").unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/upstream/tests/child.py");
        let mut target = http_target("", None);
        target.transport = Transport::Stdio {
            command: "python3".to_owned(),
            args: vec![script.to_owned(), notes.to_str().unwrap().to_owned(), era.to_owned()],
            env: vec![("GIVEN".to_owned(), Zeroizing::new("yes".to_owned()))],
            of_user: Vec::new(),
        };
        Self { caller: Caller::with(target, limits), notes }
    }

    fn notes(&self) -> String {
        fs::read_to_string(&self.notes).unwrap()
    }

    /// The messages with this method that reached the child.
    fn noted(&self, method: &str) -> Vec<Value> {
        let notes = self.notes();
        let messages = notes.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        messages.filter(|message| message["method"] == method).collect()
    }

    fn starts(&self) -> usize {
        self.notes().lines().filter(|line| *line == "started").count()
    }

    async fn call(&mut self, tool: &str, arguments: Value) -> Outcome {
        let arguments = raw(&arguments.to_string());
        self.caller.call(Call::of_tool(tool, Some(&arguments))).await
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _gone = fs::remove_file(&self.notes);
    }
}

fn runs(pid: &Value) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // What has ended but was not waited for yet does not run.
    !stat.is_empty() && !stat.contains(") Z ")
}

#[tokio::test]
async fn both_eras_are_found_and_spoken() {
    for (name, era, version) in [
        ("legacy", Era::Legacy, "2025-03-26"),
        ("modern", Era::Modern, "2026-07-28"),
        ("picky", Era::Legacy, "2025-03-26"),
    ] {
        let mut child = Child::new(name);
        let probed = child.caller.upstreams.probe(&child.caller.target).await.unwrap();
        assert_eq!((probed.era, probed.protocol_version), (era, version));
        until("the probe's child is gone", || child.notes().contains("input closed")).await;
        child.caller.target.era = Some(era);
        let result = succeeded(child.call("echo", json!({"a": 1})).await);
        assert_eq!(result["arguments"], json!({"a": 1}));
        let modern = result["meta"]["io.modelcontextprotocol/protocolVersion"] == "2026-07-28";
        assert_eq!(modern, era == Era::Modern);
        let greeted = child.noted("notifications/initialized").len();
        assert_eq!(greeted, if era == Era::Legacy { 2 } else { 0 });
        let (catalog, found) = child.caller.upstreams.catalog(&child.caller.target).await.unwrap();
        assert_eq!((catalog.features[0].feature.name(), found.era), ("echo", era));
    }
}

#[tokio::test]
async fn calls_in_flight_share_a_child_and_get_their_own_answers() {
    let child = Child::new("legacy");
    let calls = (0..20).map(|n| {
        let (child, arguments) = (&child, raw(&json!({"s": f64::from(20 - n) / 100.0}).to_string()));
        async move {
            let call = Call::of_tool("sleep", Some(&arguments));
            let (deadline, cancel) = (Instant::now() + Duration::from_secs(10), CancellationToken::new());
            let target = &child.caller.target;
            let outcome = child.caller.upstreams.call(
                admitted(),
                target,
                "sub_1",
                call,
                deadline,
                cancel,
                |_: &RawValue| (),
            );
            assert_eq!(succeeded(outcome.await)["slept"], f64::from(20 - n) / 100.0);
        }
    });
    let started = Instant::now();
    futures_util::future::join_all(calls).await;
    assert!(started.elapsed() < Duration::from_secs(2), "one after the other");
    assert_eq!((child.starts(), child.noted("initialize").len()), (1, 1));
}

#[tokio::test]
async fn line_breaks_between_the_tokens_of_arguments_do_not_break_the_line() {
    let mut child = Child::new("legacy");
    let arguments = raw("{\r\n \"a\" :\n \"x\\ny\" }");
    let outcome = child.caller.call(Call::of_tool("echo", Some(&arguments))).await;
    assert_eq!(succeeded(outcome)["arguments"], json!({"a": "x\ny"}));
}

#[tokio::test]
async fn progress_goes_to_the_call_that_it_belongs_to() {
    let mut child = Child::new("legacy");
    let call = Call { progress_wanted: true, ..Call::of_tool("progress", None) };
    let result = succeeded(child.caller.call(call).await);
    let progress: Vec<_> = child.caller.notifications.iter().map(|n| &n["params"]).collect();
    let expected: Vec<_> = (0..3).map(|n| json!({"progressToken": result["token"], "progress": n})).collect();
    assert_eq!(progress, expected.iter().collect::<Vec<_>>());
}

#[tokio::test]
async fn a_child_sees_nothing_of_this_process_s_environment_but_what_it_needs() {
    let mut child = Child::new("legacy");
    let result = succeeded(child.call("environment", json!({})).await);
    assert_eq!(result["env"]["GIVEN"], "yes");
    // Cargo has set these for this process; what else is there, Python or its launcher may have set.
    let names: Vec<_> = result["env"].as_object().unwrap().keys().collect();
    assert!(std::env::vars_os().any(|(name, _)| name.to_string_lossy().starts_with("CARGO")));
    assert!(!names.iter().any(|name| name.starts_with("CARGO")), "{names:?}");
}

#[tokio::test]
async fn noise_is_passed_over_and_a_ping_answered() {
    let mut child = Child::new("legacy");
    succeeded(child.call("noise", json!({})).await);
    until("answered", || child.notes().contains(r#""id":"ping","result":{}"#)).await;
}

#[tokio::test]
async fn a_child_that_dies_fails_its_calls_and_is_started_again() {
    let mut child = Child::new("legacy");
    for n in 1..=2 {
        let (kind, detail, sent) = failure(child.call("die", json!({})).await);
        assert_eq!((kind, sent), (FailureKind::Unreachable, true));
        assert!(detail.contains("exit status: 3"), "{detail}");
        assert_eq!((child.starts(), child.noted("tools/call").len()), (n, n), "a call was repeated");
    }
    succeeded(child.call("echo", json!({})).await);
}

#[tokio::test]
async fn a_child_that_never_comes_up_is_started_less_and_less_often() {
    let mut child = Child::new("crash");
    let mut details = Vec::new();
    for _ in 0..6 {
        let (kind, detail, sent) = failure(child.call("echo", json!({})).await);
        assert_eq!((kind, sent), (FailureKind::Unreachable, false), "{detail}");
        details.push(detail);
    }
    assert!(details[0].contains("exit status: 1"), "{}", details[0]);
    assert!(details[5].contains("in a row; the next start is due in"), "{}", details[5]);
    // A probe of the era starts a child that exits on it twice.
    assert!(child.starts() <= 10, "{}", child.starts());
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    let mut child = Child::new("legacy");
    child.caller.target.transport = Transport::Stdio {
        command: "no-such-program".to_owned(),
        args: vec!["--key=hunter2".to_owned()],
        env: Vec::new(),
        of_user: Vec::new(),
    };
    let err = child.caller.upstreams.probe(&child.caller.target).await.unwrap_err();
    assert!(err.to_string().contains("\"no-such-program\""), "{err}");
    assert!(!err.to_string().contains("hunter2"), "{err}");
}

#[tokio::test]
async fn an_answer_over_the_limit_is_refused_and_the_child_restarted() {
    let mut child = Child::new("legacy");
    succeeded(child.call("large", json!({"n": 9_000})).await);
    let (kind, _, sent) = failure(child.call("large", json!({"n": 11_000})).await);
    assert_eq!((kind, sent), (FailureKind::TooLarge, true));
    succeeded(child.call("echo", json!({})).await);
    assert_eq!(child.starts(), 2);
}

#[tokio::test]
async fn a_call_that_is_cancelled_or_late_is_cancelled_by_its_id() {
    for (era, cancelled) in [("legacy", true), ("legacy", false), ("modern", true)] {
        let mut child = Child::new(era);
        succeeded(child.call("echo", json!({})).await);
        child.caller.wait = Duration::from_millis(500);
        if cancelled {
            let (cancel, notes) = (child.caller.cancel.clone(), child.notes.clone());
            tokio::spawn(async move {
                until("it arrived", || fs::read_to_string(&notes).unwrap().contains("silent")).await;
                cancel.cancel();
            });
        }
        match child.call("silent", json!({})).await {
            Outcome::Cancelled { sent: true } => assert!(cancelled),
            other => assert_eq!(failure(other).0, FailureKind::Timeout),
        }
        until("told", || child.noted("notifications/cancelled").len() == 1).await;
        let id = &child.noted("tools/call")[1]["id"];
        assert_eq!(child.noted("notifications/cancelled")[0]["params"]["requestId"], *id);
        assert_eq!(child.starts(), 1);
    }
}

#[tokio::test]
async fn what_the_gate_does_not_let_pass_is_never_written() {
    let mut child = Child::new("legacy");
    succeeded(child.call("echo", json!({})).await);
    let refusal = Refusal { reason: "the session was revoked".to_owned() };
    let gate = Arc::new(Always(Err(refusal)));
    child.caller.admission = Some(Admission::of_test("call_2", 2, gate));
    let (kind, _, sent) = failure(child.call("echo", json!({})).await);
    assert_eq!((kind, sent), (FailureKind::NotLet, false));
    succeeded(child.call("echo", json!({})).await);
    assert_eq!(child.noted("tools/call").len(), 2);
}

#[tokio::test]
async fn subjects_have_children_of_their_own_within_the_limit() {
    let child = Child::with("legacy", Limits { children_max: 2, ..Limits::default() });
    for subject in ["sub_1", "sub_2", "sub_1"] {
        succeeded(child.caller.call_for(subject, "echo").await);
    }
    assert_eq!(child.starts(), 2);
    succeeded(child.caller.call_for("sub_3", "echo").await);
    until("the longest idle one is stopped", || child.notes().contains("input closed")).await;
    assert_eq!(child.starts(), 3);
}

#[tokio::test]
async fn a_stop_closes_the_input_and_kills_whoever_does_not_leave() {
    for era in ["legacy", "stubborn"] {
        let mut child = Child::new(era);
        let result = succeeded(child.call("pid", json!({})).await);
        let pids = result["pids"].as_array().unwrap();
        assert!(pids.iter().all(runs));
        child.caller.upstreams.shutdown().await;
        assert!(child.notes().contains("input closed"));
        assert!(!runs(&pids[0]), "the child still runs");
        // What a child that leaves by itself has started is its own affair.
        if era == "stubborn" {
            until("the grandchild is gone too", || !runs(&pids[1])).await;
        } else {
            let _gone = process::Command::new("kill").arg(pids[1].to_string()).status();
        }
    }
}

#[tokio::test]
async fn what_a_user_brought_is_in_the_environment_of_that_users_child_alone() {
    let mut child = Child::new("legacy");
    let bring = |child: &mut Child, value: &str| {
        let Transport::Stdio { of_user, .. } = &mut child.caller.target.transport else { panic!() };
        *of_user = vec![("TOKEN".to_owned(), Zeroizing::new(value.to_owned()))];
    };
    for subject in ["sub_1", "sub_2"] {
        bring(&mut child, &format!("of {subject}"));
        let result = succeeded(child.caller.call_for(subject, "environment").await);
        assert_eq!(
            (&result["env"]["GIVEN"], &result["env"]["TOKEN"]),
            (&json!("yes"), &json!(format!("of {subject}")))
        );
    }
    assert_eq!(child.starts(), 2);
}

#[tokio::test]
async fn a_child_with_a_replaced_credential_ends_with_its_last_call_and_serves_no_new_one() {
    let mut child = Child::new("legacy");
    let pid = |result: Value| result["pid"].clone();
    let old = pid(succeeded(child.call("environment", json!({})).await));
    let other = pid(succeeded(child.caller.call_for("sub_2", "environment").await));
    let (upstreams, target) = (child.caller.upstreams.clone(), child.caller.target.clone());
    let running = tokio::spawn(async move {
        let arguments = raw(r#"{"s":1.0}"#);
        let call = Call::of_tool("sleep", Some(&arguments));
        let (deadline, cancel) = (Instant::now() + Duration::from_secs(10), CancellationToken::new());
        upstreams.call(admitted(), &target, "sub_1", call, deadline, cancel, |_: &RawValue| ()).await
    });
    until("it arrived", || child.notes().contains(r#""name":"sleep""#)).await;

    child.caller.upstreams.end_children("notes", Some("sub_1"), true);
    child.caller.target.credential_generation = 2;
    let new = pid(succeeded(child.call("environment", json!({})).await));
    assert_ne!(new, old);
    assert!(runs(&old), "its call was not finished");
    assert_eq!(succeeded(running.await.unwrap())["slept"], 1.0);
    until("the old one is gone", || !runs(&old)).await;

    // One that was admitted with the old credential, and comes only now.
    child.caller.target.credential_generation = 1;
    let late = pid(succeeded(child.call("environment", json!({})).await));
    until("it is gone with its call", || !runs(&late)).await;
    child.caller.target.credential_generation = 3;
    succeeded(child.call("environment", json!({})).await);
    until("whoever has a newer one ends the older", || !runs(&new)).await;
    assert!(runs(&other), "another subject's was ended");
}

#[tokio::test]
async fn the_child_of_an_account_that_was_taken_back_ends_with_what_it_is_doing() {
    let mut child = Child::new("legacy");
    let pid = succeeded(child.call("environment", json!({})).await)["pid"].clone();
    let other = succeeded(child.caller.call_for("sub_2", "environment").await)["pid"].clone();
    let (upstreams, target) = (child.caller.upstreams.clone(), child.caller.target.clone());
    let running = tokio::spawn(async move {
        let (deadline, cancel) = (Instant::now() + Duration::from_secs(60), CancellationToken::new());
        upstreams
            .call(
                admitted(),
                &target,
                "sub_1",
                Call::of_tool("silent", None),
                deadline,
                cancel,
                |_: &RawValue| (),
            )
            .await
    });
    until("it arrived", || child.notes().contains("silent")).await;
    child.caller.upstreams.end_children("notes", Some("sub_1"), false);
    assert_eq!(failure(running.await.unwrap()).0, FailureKind::Unreachable);
    until("it is gone", || !runs(&pid)).await;
    assert!(runs(&other));
}

#[tokio::test]
async fn a_connection_has_no_more_children_than_allowed_and_leaves_others_theirs() {
    let limits = Limits { children_max: 3, children_of_connection_max: 2, ..Limits::default() };
    let child = Child::with("stubborn", limits);
    let mut pids = Vec::new();
    let mut other = child.caller.target.clone();
    other.connection = "mail".to_owned();
    let (deadline, cancel) = (Instant::now() + Duration::from_secs(10), CancellationToken::new());
    let call = child.caller.upstreams.call(
        admitted(),
        &other,
        "sub_1",
        Call::of_tool("environment", None),
        deadline,
        cancel,
        |_: &RawValue| (),
    );
    let mail = succeeded(call.await)["pid"].clone();
    for subject in ["sub_1", "sub_2", "sub_3"] {
        pids.push(succeeded(child.caller.call_for(subject, "environment").await)["pid"].clone());
        // Also while one that does not leave is being killed.
        assert!(pids.iter().filter(|pid| runs(pid)).count() <= 2, "more than allowed after {subject}");
    }
    assert!(!runs(&pids[0]) && runs(&pids[1]) && runs(&pids[2]));
    assert!(runs(&mail), "another connection's was ended to make room");
    child.caller.upstreams.shutdown().await;
}

#[tokio::test]
async fn a_child_that_nobody_uses_ends_after_a_while() {
    let limits = Limits { idle_max: Duration::from_millis(300), ..Limits::default() };
    let mut child = Child::with("legacy", limits);
    let pid = succeeded(child.call("environment", json!({})).await)["pid"].clone();
    until("it is gone", || !runs(&pid)).await;
    assert!(child.notes().contains("input closed"));
}
