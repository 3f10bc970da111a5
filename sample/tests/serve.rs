//! The sample as a client sees it: over HTTP, in both protocol eras.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

struct Answer {
    status: u16,
    session: Option<String>,
    /// The JSON-RPC message, out of a JSON body or out of the last event of a stream.
    message: Value,
}

struct Client {
    address: std::net::SocketAddr,
}

impl Client {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(proctor_sample::serve(listener, std::future::pending()));
        Self { address }
    }

    async fn post(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = http::Request::post(path)
            .header("Host", self.address.to_string())
            .header("Content-Type", "application/json")
            .header("Accept", "application/json, text/event-stream");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = Full::new(Bytes::from(body.to_string()));
        let response = sender.send_request(request.body(body).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let session = response.headers().get("Mcp-Session-Id");
        let session = session.map(|id| id.to_str().unwrap().to_owned());
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let text = std::str::from_utf8(&bytes).unwrap();
        let data = text.lines().filter_map(|line| line.strip_prefix("data:")).next_back();
        let message = serde_json::from_str(data.unwrap_or(text)).unwrap_or(Value::Null);
        Answer { status, session, message }
    }

    async fn modern(&self, method: &str, name: Option<&str>, mut params: Value) -> Value {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let mut headers = vec![("MCP-Protocol-Version", "2026-07-28"), ("Mcp-Method", method)];
        headers.extend(name.map(|name| ("Mcp-Name", name)));
        self.post("/mcp", &headers, &body).await.message["result"].clone()
    }

    async fn call(&self, tool: &str, arguments: Value) -> Value {
        let params = json!({ "name": tool, "arguments": arguments });
        self.modern("tools/call", Some(tool), params).await
    }
}

#[tokio::test]
async fn twenty_tools_say_whether_they_read_or_destroy() {
    let client = Client::start().await;
    let result = client.modern("tools/list", None, json!({})).await;
    let tools = result["tools"].as_array().unwrap();
    assert_eq!(tools.len(), 20);
    let with = |hint: &str| {
        let with_hint = tools.iter().filter(|tool| tool["annotations"][hint] == true);
        with_hint.map(|tool| tool["name"].as_str().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(
        with("readOnlyHint"),
        [
            "calendar_free_slots",
            "calendar_get_event",
            "calendar_list_events",
            "notes_list",
            "notes_read",
            "notes_search"
        ]
    );
    assert_eq!(
        with("destructiveHint"),
        [
            "calendar_cancel_event",
            "calendar_delete_event",
            "calendar_purge_past",
            "calendar_update_event",
            "notes_delete",
            "notes_update"
        ]
    );
}

#[tokio::test]
async fn a_modern_client_writes_a_note_that_it_then_finds_and_deletes() {
    let client = Client::start().await;
    let note = json!({ "title": "Trip", "body": "Take the early train" });
    let created = client.call("notes_create", note).await;
    let id = &created["structuredContent"]["id"];
    let found = client.call("notes_search", json!({ "query": "EARLY trip" })).await;
    assert_eq!(found["structuredContent"]["notes"][0]["id"], *id);
    client.call("notes_delete", json!({ "id": id })).await;
    let missing = client.call("notes_read", json!({ "id": id })).await;
    assert_eq!(missing["isError"], true);
}

#[tokio::test]
async fn a_cancelled_event_leaves_a_free_slot() {
    let client = Client::start().await;
    let event = json!({
        "title": "Lunch", "starts_at": "2031-05-05T11:00:00Z", "ends_at": "2031-05-05T12:00:00Z"
    });
    let created = client.call("calendar_create_event", event).await;
    let day = json!({
        "from": "2031-05-05T10:00:00Z", "to": "2031-05-05T13:00:00Z", "minutes": 30
    });
    let slots = client.call("calendar_free_slots", day.clone()).await;
    assert_eq!(slots["structuredContent"]["slots"].as_array().unwrap().len(), 2);
    let id = &created["structuredContent"]["id"];
    client.call("calendar_cancel_event", json!({ "id": id })).await;
    let slots = client.call("calendar_free_slots", day).await;
    assert_eq!(slots["structuredContent"]["slots"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_legacy_client_initializes_and_calls() {
    let client = Client::start().await;
    let initialize = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": { "name": "test", "version": "1" }
    }});
    let hello = client.post("/mcp", &[], &initialize).await;
    assert_eq!(hello.message["result"]["protocolVersion"], "2025-11-25");
    let session = hello.session.unwrap();
    let headers = [("Mcp-Session-Id", session.as_str()), ("MCP-Protocol-Version", "2025-11-25")];
    let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    assert_eq!(client.post("/mcp", &headers, &initialized).await.status, 202);
    let call = json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {
        "name": "notes_list", "arguments": { "tag": "release" }
    }});
    let answer = client.post("/mcp", &headers, &call).await.message;
    let notes = &answer["result"]["structuredContent"]["notes"];
    assert_eq!(notes[0]["title"], "Release plan");
}

#[tokio::test]
async fn only_the_mcp_path_exists() {
    let client = Client::start().await;
    assert_eq!(client.post("/other", &[], &json!({})).await.status, 404);
}

#[tokio::test]
async fn the_server_ends_when_told_to() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(proctor_sample::serve(listener, async {
        let _ = stopped.await;
    }));
    // An idle connection must not hold the end up.
    let _idle = TcpStream::connect(address).await.unwrap();
    stop.send(()).unwrap();
    serving.await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}
