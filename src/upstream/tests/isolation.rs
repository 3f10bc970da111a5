//! What is shared between whom, and what is closed when.

use serde_json::json;

use super::{
    scripted::{Do, Scripted, Seen, legacy, result},
    *,
};

fn fine(seen: &Seen) -> Vec<Do> {
    result(seen, json!({"session": seen.header("mcp-session-id")}))
}

#[tokio::test]
async fn each_subject_configuration_and_credential_has_connections_and_sessions_of_its_own() {
    let server = Scripted::start(legacy(fine)).await;
    let mut caller = Caller::new(http_target(&server.url, Some(Era::Legacy)));
    let mut sessions = Vec::new();
    for subject in ["sub_1", "sub_2", "sub_1"] {
        sessions.push(succeeded(caller.call_for(subject, "t").await)["session"].clone());
    }
    caller.target.credential_generation = 2;
    sessions.push(succeeded(caller.call_for("sub_1", "t").await)["session"].clone());
    caller.target.generation = 2;
    sessions.push(succeeded(caller.call_for("sub_1", "t").await)["session"].clone());
    assert_eq!(sessions, ["s1", "s2", "s1", "s3", "s4"]);
    assert_eq!(server.connections(), 4);
    for seen in server.seen_of("tools/call") {
        let of_session: Vec<_> = server
            .seen()
            .into_iter()
            .filter(|other| other.connection == seen.connection)
            .filter_map(|other| other.header("mcp-session-id").map(str::to_owned))
            .collect();
        assert!(of_session.iter().all(|id| Some(id.as_str()) == seen.header("mcp-session-id")));
    }
}

#[tokio::test]
async fn subjects_of_a_shared_connection_share() {
    let server = Scripted::start(legacy(fine)).await;
    let mut caller = Caller::new(http_target(&server.url, Some(Era::Legacy)));
    caller.target.shared = true;
    for subject in ["sub_1", "sub_2"] {
        assert_eq!(succeeded(caller.call_for(subject, "t").await)["session"], "s1");
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_retired_connection_is_closed_at_once_and_its_session_ended() {
    let server = Scripted::start(legacy(fine)).await;
    let caller = Caller::new(http_target(&server.url, Some(Era::Legacy)));
    let mut other = caller.target.clone();
    other.connection = "calendar".to_owned();
    succeeded(caller.call_for("sub_1", "t").await);
    succeeded(caller.call_for("sub_2", "t").await);
    let deadline = Instant::now() + Duration::from_secs(5);
    let cancel = CancellationToken::new();
    let call = caller.upstreams.call(
        admitted(),
        &other,
        "sub_1",
        Call::of_tool("t", None),
        deadline,
        cancel,
        |_: &RawValue| (),
    );
    assert_eq!(succeeded(call.await)["session"], "s3");

    caller.upstreams.retire("notes");
    until("two connections closed", || server.closed_by_client() == 2).await;
    let ended: Vec<_> = server.seen().into_iter().filter(|seen| seen.verb == "DELETE").collect();
    let mut ended: Vec<_> = ended.iter().filter_map(|seen| seen.header("mcp-session-id")).collect();
    ended.sort_unstable();
    assert_eq!(ended, ["s1", "s2"]);
}

#[tokio::test]
async fn what_nobody_uses_is_closed_after_a_while() {
    let server = Scripted::start(legacy(fine)).await;
    let limits = Limits { idle_max: Duration::from_millis(60), ..Limits::default() };
    let caller = Caller::with(http_target(&server.url, Some(Era::Legacy)), limits);
    succeeded(caller.call_for("sub_1", "t").await);
    until("closed", || server.closed_by_client() == 1).await;
    assert_eq!(succeeded(caller.call_for("sub_1", "t").await)["session"], "s2");
}

#[tokio::test]
async fn room_is_made_by_closing_what_is_idle_and_never_what_is_in_use() {
    let slow = |seen: &Seen| match seen.body["params"]["name"] == "slow" {
        true => vec![Do::AwaitClose],
        false => fine(seen),
    };
    let server = Arc::new(Scripted::start(legacy(slow)).await);
    let limits = Limits { open_max: 2, ..Limits::default() };
    let caller = Arc::new(Caller::with(http_target(&server.url, Some(Era::Legacy)), limits));
    for subject in ["sub_1", "sub_2", "sub_3"] {
        succeeded(caller.call_for(subject, "t").await);
    }
    // The third took the place of the first, which was idle for longest.
    until("closed", || server.closed_by_client() == 1).await;
    assert_eq!(succeeded(caller.call_for("sub_2", "t").await)["session"], "s2");

    for (n, subject) in ["sub_2", "sub_3"].into_iter().enumerate() {
        let caller = caller.clone();
        tokio::spawn(async move { caller.call_for(subject, "slow").await });
        until("it arrived", || server.seen_of("tools/call").len() == 5 + n).await;
    }
    let (kind, _, sent) = failure(caller.call_for("sub_4", "t").await);
    assert_eq!((kind, sent), (FailureKind::Busy, false));
    caller.cancel.cancel();
}
