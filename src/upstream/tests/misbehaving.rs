//! Upstreams over HTTP that are slow, too large, wrong or gone.

use serde_json::json;

use super::{
    scripted::{Do, Scripted, Seen, chunk, event, http, legacy, result, rpc_error, stream_end, stream_head},
    *,
};

fn fine(seen: &Seen) -> Vec<Do> {
    result(seen, json!({"content": []}))
}

async fn modern(script: impl Fn(&Seen) -> Vec<Do> + Send + Sync + 'static) -> (Scripted, Caller) {
    let server = Scripted::start(script).await;
    let caller = Caller::new(http_target(&server.url, Some(Era::Modern)));
    (server, caller)
}

/// Calls once; the failure's kind and `sent`, after checking that nothing was repeated.
async fn fails(script: impl Fn(&Seen) -> Vec<Do> + Send + Sync + 'static) -> (FailureKind, bool, String) {
    let (server, mut caller) = modern(script).await;
    let (kind, detail, sent) = failure(caller.call(Call::of_tool("t", None)).await);
    assert_eq!(server.seen().len(), 1, "{detail}");
    assert!(!detail.contains("hunter2"), "{detail}");
    (kind, sent, detail)
}

#[tokio::test]
async fn a_stream_is_understood_wherever_its_bytes_are_cut() {
    let stream = |seen: &Seen| {
        let progress = json!({"jsonrpc": "2.0", "method": "notifications/progress",
            "params": {"progressToken": seen.body["id"], "progress": 1, "message": "ü"}});
        let answer = json!({"jsonrpc": "2.0", "id": seen.body["id"], "result": {"text": "größe"}});
        format!(": hi\r\n\r\nevent: message\r\ndata: {progress}\r\n\r\ndata: {answer}\n\n")
    };
    for piece in [1, 2, 3, 7, 1_000] {
        let (server, mut caller) = modern(move |seen| {
            let head =
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
            let mut bytes = head.as_bytes().to_vec();
            for part in stream(seen).as_bytes().chunks(piece) {
                bytes.extend(format!("{:x}\r\n", part.len()).bytes());
                bytes.extend(part);
                bytes.extend(b"\r\n");
            }
            bytes.extend(b"0\r\n\r\n");
            bytes.chunks(piece * 5).map(|part| Do::Write(part.to_vec())).collect()
        })
        .await;
        let call = Call { progress_wanted: true, ..Call::of_tool("t", None) };
        assert_eq!(succeeded(caller.call(call).await)["text"], "größe");
        let id = &server.seen()[0].body["id"];
        assert_eq!(server.seen()[0].body["params"]["_meta"]["progressToken"], *id);
        let [progress] = &caller.notifications[..] else { panic!("{:?}", caller.notifications) };
        assert_eq!(progress["params"], json!({"progressToken": id, "progress": 1, "message": "ü"}));
    }
}

#[tokio::test]
async fn the_connection_of_an_answered_stream_is_used_again() {
    let (server, mut caller) = modern(|seen| {
        let answer = json!({"jsonrpc": "2.0", "id": seen.body["id"], "result": {}});
        vec![stream_head(), event(&answer), Do::Wait(Duration::from_millis(5)), stream_end()]
    })
    .await;
    for _ in 0..3 {
        succeeded(caller.call(Call::of_tool("t", None)).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn answers_over_the_limit_are_refused_however_they_come() {
    let big = "x".repeat(20_000);
    let announced = fails(move |seen| result(seen, json!({"text": "x".repeat(20_000)}))).await;
    let headers = "content-type: application/json\r\ntransfer-encoding: chunked";
    let head = format!("HTTP/1.1 200 OK\r\n{headers}\r\n\r\n");
    let part = big.clone();
    let chunked =
        fails(move |_| vec![Do::Write(head.clone().into_bytes()), chunk(&part), stream_end()]).await;
    let streamed = fails(move |_| {
        let line = |n: usize| chunk(&format!("data: {}\n", "x".repeat(n)));
        (0..30).map(|_| line(1_000)).fold(vec![stream_head()], |mut all, line| {
            all.push(line);
            all
        })
    })
    .await;
    for (kind, sent, detail) in [announced, chunked, streamed] {
        assert_eq!((kind, sent), (FailureKind::TooLarge, true), "{detail}");
    }
}

#[tokio::test]
async fn answers_that_are_not_ours_or_none_at_all_are_refused() {
    let json = |text: &'static str| move |_: &Seen| http(200, "content-type: application/json", text);
    let wrong_id = fails(json(r#"{"jsonrpc":"2.0","id":999999,"result":{}}"#)).await;
    let no_json = fails(json("hunter2")).await;
    let notification = fails(json(r#"{"jsonrpc":"2.0","method":"x"}"#)).await;
    let html = fails(|_| http(200, "content-type: text/html", "<p>hunter2")).await;
    let nothing = fails(|_| http(202, "", "")).await;
    let zipped = fails(|_| http(200, "content-type: application/json\ncontent-encoding: gzip", "x")).await;
    let event_wrong = fails(|_| {
        vec![stream_head(), event(&json!({"jsonrpc": "2.0", "id": 999_999, "result": {}})), stream_end()]
    })
    .await;
    let no_object = fails(|seen| result(seen, json!([1]))).await;
    for (kind, sent, detail) in
        [wrong_id, no_json, notification, html, nothing, zipped, event_wrong, no_object]
    {
        assert_eq!((kind, sent), (FailureKind::Protocol, true), "{detail}");
    }
}

#[tokio::test]
async fn a_redirect_is_an_error_that_says_so_and_is_not_followed() {
    let elsewhere = Scripted::start(fine).await;
    for status in [301, 302, 303, 307, 308] {
        let location = format!("location: {}", elsewhere.url);
        let (kind, sent, detail) = fails(move |_| http(status, &location, "")).await;
        assert_eq!((kind, sent), (FailureKind::Redirect, true));
        assert!(detail.contains("redirect") && detail.contains("register the final URL"), "{detail}");
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn statuses_become_failures_unless_they_carry_an_error_of_the_protocol() {
    for (status, kind) in [
        (401, FailureKind::Unauthorized),
        (403, FailureKind::Forbidden),
        (404, FailureKind::Http(404)),
        (429, FailureKind::Http(429)),
        (500, FailureKind::Http(500)),
        (503, FailureKind::Http(503)),
    ] {
        let (found, sent, detail) = fails(move |_| http(status, "content-type: text/plain", "hunter2")).await;
        assert_eq!((found, sent), (kind, true));
        assert!(detail.contains(&status.to_string()), "{detail}");
    }
    for (status, code) in [(200, -32602), (400, -32020), (404, -32601), (500, -32603)] {
        let (_, mut caller) =
            modern(move |seen| rpc_error(status, &seen.body["id"], code, json!({"why": 1.0}))).await;
        let Outcome::RpcError(err) = caller.call(Call::of_tool("t", None)).await else { panic!("{status}") };
        assert_eq!((err.code, err.message.as_str(), err.data.unwrap().get()), (code, "no", "{\"why\":1.0}"));
    }
    // An error for another request says nothing about this one.
    let (kind, ..) = fails(|_| rpc_error(400, &json!(999_999), -32602, json!(null))).await;
    assert_eq!(kind, FailureKind::Http(400));
    // What an error says beside 401 is not the tool's answer.
    let (kind, ..) = fails(|seen| rpc_error(401, &seen.body["id"], -32000, json!(null))).await;
    assert_eq!(kind, FailureKind::Unauthorized);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_asked_for_again() {
    let before = fails(|_| vec![Do::Close]).await;
    let half = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"json";
    let middle = fails(|_| vec![Do::Write(half.into()), Do::Close]).await;
    let in_stream = fails(|_| vec![stream_head(), chunk("data: {"), Do::Close]).await;
    let ended = fails(|_| vec![stream_head(), chunk(": hi\n\n"), stream_end()]).await;
    for (kind, sent, detail) in [before, middle, in_stream, ended] {
        assert_eq!((kind, sent), (FailureKind::Unreachable, true), "{detail}");
    }
}

#[tokio::test]
async fn a_connection_that_the_upstream_closed_while_idle_is_replaced_without_a_word() {
    let (server, mut caller) = modern(|seen| {
        let mut steps = fine(seen);
        steps.push(Do::Close);
        steps
    })
    .await;
    for _ in 0..5 {
        succeeded(caller.call(Call::of_tool("t", None)).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((server.seen().len(), server.connections()), (5, 5));
}

#[tokio::test]
async fn an_answer_that_ends_with_its_connection_is_read_whole() {
    let (server, mut caller) = modern(|seen| {
        let answer = json!({"jsonrpc": "2.0", "id": seen.body["id"], "result": {"text": "x".repeat(9_000)}});
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n";
        vec![Do::Write(format!("{head}{answer}").into_bytes()), Do::Close]
    })
    .await;
    for _ in 0..2 {
        assert_eq!(
            succeeded(caller.call(Call::of_tool("t", None)).await)["text"].as_str().unwrap().len(),
            9_000
        );
    }
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn nobody_listening_is_said_so_and_nothing_was_sent() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let mut caller = Caller::new(http_target(&url, Some(Era::Modern)));
    let (kind, detail, sent) = failure(caller.call(Call::of_tool("t", None)).await);
    assert_eq!((kind, sent), (FailureKind::Unreachable, false));
    assert!(detail.starts_with("connection \"notes\" cannot be reached"), "{detail}");
}

#[tokio::test]
async fn a_modern_call_that_is_cancelled_or_late_closes_its_connection() {
    for cancelled in [true, false] {
        for answer in [vec![], vec![stream_head()]] {
            let streams = !answer.is_empty();
            let (server, mut caller) = modern(move |_| {
                let mut steps = if streams { vec![stream_head()] } else { vec![] };
                steps.push(Do::AwaitClose);
                steps
            })
            .await;
            if cancelled {
                let (cancel, seen) = (caller.cancel.clone(), Arc::new(server));
                let watched = seen.clone();
                tokio::spawn(async move {
                    until("it arrived", || watched.seen().len() == 1).await;
                    cancel.cancel();
                });
                let outcome = caller.call(Call::of_tool("t", None)).await;
                assert!(matches!(outcome, Outcome::Cancelled { sent: true }), "{outcome:?}");
                until("closed", || seen.closed_by_client() == 1).await;
            } else {
                caller.wait = Duration::from_millis(50);
                let (kind, _, sent) = failure(caller.call(Call::of_tool("t", None)).await);
                assert_eq!((kind, sent), (FailureKind::Timeout, true));
                until("closed", || server.closed_by_client() == 1).await;
            }
        }
    }
}

#[tokio::test]
async fn a_legacy_call_that_is_cancelled_or_late_is_cancelled_by_its_id() {
    for cancelled in [true, false] {
        let server = Arc::new(Scripted::start(legacy(|_| vec![Do::AwaitClose])).await);
        let mut caller = Caller::new(http_target(&server.url, Some(Era::Legacy)));
        if cancelled {
            let (cancel, watched) = (caller.cancel.clone(), server.clone());
            tokio::spawn(async move {
                until("it arrived", || watched.seen_of("tools/call").len() == 1).await;
                cancel.cancel();
            });
            assert!(matches!(caller.call(Call::of_tool("t", None)).await, Outcome::Cancelled { sent: true }));
        } else {
            caller.wait = Duration::from_millis(200);
            assert_eq!(failure(caller.call(Call::of_tool("t", None)).await).0, FailureKind::Timeout);
        }
        until("told", || server.seen_of("notifications/cancelled").len() == 1).await;
        let told = &server.seen_of("notifications/cancelled")[0];
        assert_eq!(told.body["params"]["requestId"], server.seen_of("tools/call")[0].body["id"]);
        assert_eq!(told.header("mcp-session-id"), Some("s1"));
    }
}

#[tokio::test]
async fn a_handshake_that_does_not_end_in_time_means_that_the_call_was_not_sent() {
    let server = Scripted::start(|_| vec![Do::AwaitClose]).await;
    let mut caller = Caller::new(http_target(&server.url, Some(Era::Legacy)));
    caller.wait = Duration::from_millis(50);
    let (kind, _, sent) = failure(caller.call(Call::of_tool("t", None)).await);
    assert_eq!((kind, sent), (FailureKind::Timeout, false));
}

#[tokio::test]
async fn unknown_fields_and_odd_numbers_of_results_survive() {
    let text = "{ \"content\":[],\"isError\": true ,\"x\":[1.50, 1E3,\"\\u0041\"],\"_meta\":{} }";
    let (_, mut caller) = modern(move |seen| {
        let body = format!("{{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":{text}}}", seen.body["id"]);
        http(200, "content-type: application/json", &body)
    })
    .await;
    let Outcome::Succeeded { result, is_error: true } = caller.call(Call::of_tool("t", None)).await else {
        panic!("not a result")
    };
    assert_eq!(result.get(), text);
}
