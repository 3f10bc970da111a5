//! Finding the era, and the legacy session.

use serde_json::json;

use super::{
    scripted::{
        Do, Scripted, Seen, event, http, json_answer, legacy, result, rpc_error, stream_end, stream_head,
    },
    *,
};

fn fine(seen: &Seen) -> Vec<Do> {
    result(seen, json!({"content": [], "session": seen.header("mcp-session-id")}))
}

fn discovered(seen: &Seen) -> Vec<Do> {
    result(
        seen,
        json!({"resultType": "complete", "supportedVersions": ["2025-11-25", "2026-07-28"],
        "capabilities": {}, "ttlMs": 0, "cacheScope": "private", "instructions": "be brief",
        "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "new", "version": "1"}}}),
    )
}

async fn probe(script: impl Fn(&Seen) -> Vec<Do> + Send + Sync + 'static) -> Result<Probed, UpstreamError> {
    let server = Scripted::start(script).await;
    let caller = Caller::new(http_target(&server.url, None));
    caller.upstreams.probe(&caller.target).await
}

#[tokio::test]
async fn a_modern_server_is_recognised_and_asked_with_all_headers() {
    let probed = probe(|seen| {
        assert_eq!(seen.header("mcp-method"), Some("server/discover"));
        assert!(seen.is_modern());
        discovered(seen)
    })
    .await
    .unwrap();
    assert_eq!((probed.era, probed.protocol_version), (Era::Modern, "2026-07-28"));
    assert_eq!(probed.server_info.unwrap().get(), r#"{"name":"new","version":"1"}"#);
    assert_eq!(probed.instructions.as_deref(), Some("be brief"));
}

#[tokio::test]
async fn whoever_does_not_know_discover_is_greeted_the_legacy_way() {
    let refusals: [fn(&Seen) -> Vec<Do>; 9] = [
        |_| http(400, "content-type: text/plain", "Missing session ID"),
        |_| http(404, "", ""),
        |_| http(405, "", ""),
        |_| http(500, "content-type: text/html", "<h1>oops</h1>"),
        |_| http(200, "content-type: text/html", "<h1>hello</h1>"),
        |seen| rpc_error(200, &seen.body["id"], -32601, json!(null)),
        |seen| rpc_error(404, &seen.body["id"], -32601, json!(null)),
        |seen| rpc_error(400, &seen.body["id"], -32022, json!({"supported": ["2025-06-18"]})),
        |seen| result(seen, json!({"supportedVersions": ["2025-03-26"]})),
    ];
    for refusal in refusals {
        let old = legacy(fine);
        let script = move |seen: &Seen| match seen.method() {
            "server/discover" => refusal(seen),
            _ => old(seen),
        };
        let probed = probe(script).await.unwrap();
        assert_eq!((probed.era, probed.protocol_version), (Era::Legacy, "2025-06-18"));
        assert_eq!(probed.server_info.unwrap().get(), r#"{"name":"old","version":"0","x":1.0}"#);
        assert_eq!(probed.instructions.as_deref(), Some("be kind"));
    }
}

#[tokio::test]
async fn a_wrong_credential_is_said_so_and_never_taken_for_a_legacy_server() {
    let err = probe(|_| http(401, "", "")).await.unwrap_err();
    assert_eq!(err.to_string(), "connection \"notes\" answered 401 to server/discover: check its credential");
    let old = legacy(fine);
    let err = probe(move |seen| match seen.method() {
        "initialize" => http(401, "", ""),
        _ => old(seen),
    })
    .await
    .unwrap_err();
    assert_eq!(err.to_string(), "connection \"notes\" answered 401 to initialize: check its credential");
}

#[tokio::test]
async fn versions_that_nobody_knows_are_named() {
    let err =
        probe(|seen| rpc_error(400, &seen.body["id"], -32022, json!({"supported": ["2031-01-01\u{1b}"]})))
            .await
            .unwrap_err();
    assert!(err.detail.contains(r#""2031-01-01\u{1b}""#), "{err}");
    let err = probe(|seen| match seen.method() {
        "initialize" => result(seen, json!({"protocolVersion": "1999-01-01"})),
        _ => http(400, "", ""),
    })
    .await
    .unwrap_err();
    assert!(err.detail.contains("1999-01-01"), "{err}");
    let err = probe(|_| http(404, "", "")).await.unwrap_err();
    assert!(err.detail.contains("streamable HTTP"), "{err}");
}

#[tokio::test]
async fn many_first_calls_at_once_shake_hands_once() {
    let server = Scripted::start(legacy(fine)).await;
    let caller = Caller::new(http_target(&server.url, None));
    let calls = (0..20).map(|_| caller.call_for("sub_1", "t"));
    for outcome in futures_util::future::join_all(calls).await {
        assert_eq!(succeeded(outcome)["session"], "s1");
    }
    assert_eq!(server.seen_of("server/discover").len(), 1);
    let [initialize] = &server.seen_of("initialize")[..] else { panic!("not one handshake") };
    assert_eq!(initialize.header("mcp-protocol-version"), None);
    assert_eq!(initialize.body["params"]["capabilities"], json!({}));
    let [initialized] = &server.seen_of("notifications/initialized")[..] else { panic!("not one") };
    for seen in server.seen_of("tools/call").iter().chain([initialized]) {
        assert_eq!(seen.header("mcp-session-id"), Some("s1"));
        assert_eq!(seen.header("mcp-protocol-version"), Some("2025-06-18"));
        assert_eq!(seen.header("mcp-method"), None);
    }
}

#[tokio::test]
async fn a_session_that_the_upstream_forgot_is_renewed_once_and_the_call_repeated() {
    let script = legacy(|seen| match seen.header("mcp-session-id") {
        Some("s1") => rpc_error(404, &json!(null), -32001, json!(null)),
        _ => fine(seen),
    });
    let server = Scripted::start(script).await;
    let mut caller = Caller::new(http_target(&server.url, Some(Era::Legacy)));
    assert_eq!(succeeded(caller.call(Call::of_tool("t", None)).await)["session"], "s2");
    assert_eq!(succeeded(caller.call(Call::of_tool("t", None)).await)["session"], "s2");
    assert_eq!(server.seen_of("initialize").len(), 2);
    assert_eq!(server.seen_of("tools/call").len(), 3);
}

#[tokio::test]
async fn an_upstream_that_forgets_every_session_is_given_up_after_one_renewal() {
    let server = Scripted::start(legacy(|_| http(404, "", ""))).await;
    let mut caller = Caller::new(http_target(&server.url, Some(Era::Legacy)));
    let (kind, _, sent) = failure(caller.call(Call::of_tool("t", None)).await);
    assert_eq!((kind, sent), (FailureKind::Http(404), true));
    assert_eq!(server.seen_of("tools/call").len(), 2);
}

#[tokio::test]
async fn a_400_that_may_mean_a_lost_session_repeats_nothing_but_the_next_call_greets_anew() {
    let script = legacy(|seen| match seen.header("mcp-session-id") {
        Some("s1") => rpc_error(400, &json!(null), -32000, json!(null)),
        _ => fine(seen),
    });
    let server = Scripted::start(script).await;
    let mut caller = Caller::new(http_target(&server.url, Some(Era::Legacy)));
    let (kind, _, sent) = failure(caller.call(Call::of_tool("t", None)).await);
    assert_eq!((kind, sent), (FailureKind::Http(400), true));
    assert_eq!(server.seen_of("tools/call").len(), 1);
    assert_eq!(succeeded(caller.call(Call::of_tool("t", None)).await)["session"], "s2");
}

#[tokio::test]
async fn requests_from_the_upstream_are_answered_beside_the_stream() {
    let script = legacy(|seen| {
        vec![
            stream_head(),
            event(&json!({"jsonrpc": "2.0", "id": "p1", "method": "ping"})),
            event(&json!({"jsonrpc": "2.0", "id": 7, "method": "sampling/createMessage", "params": {}})),
            Do::Wait(Duration::from_millis(100)),
            event(&json!({"jsonrpc": "2.0", "id": seen.body["id"], "result": {"content": []}})),
            stream_end(),
        ]
    });
    let server = Scripted::start(script).await;
    let mut caller = Caller::new(http_target(&server.url, Some(Era::Legacy)));
    succeeded(caller.call(Call::of_tool("t", None)).await);
    until("both answered", || {
        let answers: Vec<_> = server.seen().into_iter().filter(|seen| seen.method().is_empty()).collect();
        let pong = answers.iter().any(|a| a.body == json!({"jsonrpc": "2.0", "id": "p1", "result": {}}));
        let refused = answers.iter().any(|a| a.body["id"] == 7 && a.body["error"]["code"] == -32601);
        pong && refused && answers.iter().all(|a| a.header("mcp-session-id") == Some("s1"))
    })
    .await;
}

#[tokio::test]
async fn a_legacy_stream_that_ends_early_is_resumed_where_it_ended() {
    let calls =
        legacy(|_| vec![stream_head(), scripted::chunk("id: e1\nretry: 10\ndata:\n\n"), stream_end()]);
    let id = std::sync::Mutex::new(json!(null));
    let script = move |seen: &Seen| {
        if seen.verb == "GET" {
            assert_eq!(seen.header("last-event-id"), Some("e1"));
            assert_eq!(seen.header("mcp-session-id"), Some("s1"));
            let answer = json!({"jsonrpc": "2.0", "id": *id.lock().unwrap(), "result": {"resumed": true}});
            return vec![stream_head(), event(&answer), stream_end()];
        }
        if seen.method() == "tools/call" {
            *id.lock().unwrap() = seen.body["id"].clone();
        }
        calls(seen)
    };
    let server = Scripted::start(script).await;
    let mut caller = Caller::new(http_target(&server.url, Some(Era::Legacy)));
    assert_eq!(succeeded(caller.call(Call::of_tool("t", None)).await)["resumed"], true);
    assert_eq!(server.seen_of("tools/call").len(), 1);
}

#[tokio::test]
async fn the_catalog_is_read_page_by_page_in_the_era_that_is_found() {
    let list = |seen: &Seen| match seen.body["params"]["cursor"].as_str() {
        None => result(seen, json!({"tools": [{"name": "a"}], "nextCursor": "2"})),
        Some("2") => result(seen, json!({"tools": [{"name": "b", "annotations": {"readOnlyHint": true}}]})),
        Some(other) => panic!("{other}"),
    };
    let modern = move |seen: &Seen| match seen.method() {
        "server/discover" => discovered(seen),
        "tools/list" => {
            assert_eq!(seen.header("mcp-method"), Some("tools/list"));
            list(seen)
        }
        _ => json_answer(404, &json!({})),
    };
    for (server, era) in
        [(Scripted::start(modern).await, Era::Modern), (Scripted::start(legacy(list)).await, Era::Legacy)]
    {
        let caller = Caller::new(http_target(&server.url, None));
        let (catalog, found) = caller.upstreams.catalog(&caller.target).await.unwrap();
        assert_eq!(found.era, era);
        let names: Vec<_> = catalog.features.iter().map(|t| (t.feature.name(), t.read_only)).collect();
        assert_eq!(names, [("a", false), ("b", true)]);
        if era == Era::Legacy {
            until("the session is ended", || server.seen().iter().any(|s| s.verb == "DELETE")).await;
        }
    }
}
