//! An HTTP server on a socket that does what a test tells it to, byte by byte.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::sleep,
};

/// A request that reached the server.
#[derive(Clone, Debug)]
pub struct Seen {
    pub connection: usize,
    pub verb: String,
    pub target: String,
    pub headers: HashMap<String, String>,
    pub text: String,
    pub body: Value,
}

impl Seen {
    pub fn method(&self) -> &str {
        self.body["method"].as_str().unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub fn is_modern(&self) -> bool {
        self.header("mcp-protocol-version") == Some("2026-07-28")
    }
}

/// What the server does with a request.
pub enum Do {
    Write(Vec<u8>),
    Wait(Duration),
    /// Waits until the client closes the connection.
    AwaitClose,
    Close,
}

#[derive(Default)]
struct Record {
    seen: Vec<Seen>,
    connections: usize,
    closed_by_client: usize,
}

pub struct Scripted {
    pub url: String,
    record: Arc<Mutex<Record>>,
}

impl Scripted {
    pub async fn start(script: impl Fn(&Seen) -> Vec<Do> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp?key=hunter2", listener.local_addr().unwrap());
        let record = Arc::new(Mutex::new(Record::default()));
        let (script, for_all) = (Arc::new(script), record.clone());
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (script, record) = (script.clone(), for_all.clone());
                let nth = {
                    let mut record = record.lock().unwrap();
                    record.connections += 1;
                    record.connections
                };
                tokio::spawn(async move { serve(tcp, nth, &*script, &record).await });
            }
        });
        Self { url, record }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.record.lock().unwrap().seen.clone()
    }

    /// The requests with this method.
    pub fn seen_of(&self, method: &str) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.method() == method).collect()
    }

    pub fn connections(&self) -> usize {
        self.record.lock().unwrap().connections
    }

    pub fn closed_by_client(&self) -> usize {
        self.record.lock().unwrap().closed_by_client
    }
}

async fn serve(
    mut tcp: TcpStream,
    connection: usize,
    script: &(impl Fn(&Seen) -> Vec<Do> + ?Sized),
    record: &Mutex<Record>,
) {
    let mut bytes = Vec::new();
    loop {
        let Some(seen) = request(&mut tcp, &mut bytes, connection).await else {
            record.lock().unwrap().closed_by_client += 1;
            return;
        };
        record.lock().unwrap().seen.push(seen.clone());
        for step in script(&seen) {
            match step {
                Do::Write(bytes) => {
                    if tcp.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
                Do::Wait(time) => sleep(time).await,
                Do::AwaitClose => {
                    let _end = tcp.read(&mut [0; 64]).await;
                    record.lock().unwrap().closed_by_client += 1;
                    return;
                }
                Do::Close => return,
            }
        }
    }
}

async fn request(tcp: &mut TcpStream, bytes: &mut Vec<u8>, connection: usize) -> Option<Seen> {
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break at;
        }
        if tcp.read_buf(bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap().split(' ').map(str::to_owned);
    let headers: HashMap<_, _> = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers.get("content-length").map_or(0, |n| n.parse().unwrap());
    bytes.drain(..head_end + 4);
    while bytes.len() < length {
        if tcp.read_buf(bytes).await.ok()? == 0 {
            return None;
        }
    }
    let text = String::from_utf8(bytes.drain(..length).collect()).unwrap();
    Some(Seen {
        connection,
        verb: first.next().unwrap(),
        target: first.next().unwrap(),
        headers,
        body: serde_json::from_str(&text).unwrap_or(Value::Null),
        text,
    })
}

/// An answer with a body and some headers, one per line.
pub fn http(status: u16, headers: &str, body: &str) -> Vec<Do> {
    let extra: String = headers.lines().map(|line| format!("{}\r\n", line.trim())).collect();
    let text = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n{extra}\r\n{body}", body.len());
    vec![Do::Write(text.into_bytes())]
}

pub fn json_answer(status: u16, body: &Value) -> Vec<Do> {
    http(status, "content-type: application/json", &body.to_string())
}

pub fn result(seen: &Seen, result: Value) -> Vec<Do> {
    json_answer(200, &json!({"jsonrpc": "2.0", "id": seen.body["id"], "result": result}))
}

pub fn rpc_error(status: u16, id: &Value, code: i64, data: Value) -> Vec<Do> {
    let error = json!({"code": code, "message": "no", "data": data});
    json_answer(status, &json!({"jsonrpc": "2.0", "id": id, "error": error}))
}

pub fn accepted() -> Vec<Do> {
    http(202, "", "")
}

/// The head of an event stream in chunks.
pub fn stream_head() -> Do {
    Do::Write(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n".to_vec(),
    )
}

pub fn chunk(text: &str) -> Do {
    Do::Write(format!("{:x}\r\n{text}\r\n", text.len()).into_bytes())
}

pub fn stream_end() -> Do {
    chunk("")
}

pub fn event(message: &Value) -> Do {
    chunk(&format!("event: message\ndata: {message}\n\n"))
}

/// A legacy server: sessions are numbered; `call` answers tool calls.
pub fn legacy(call: impl Fn(&Seen) -> Vec<Do> + Send + Sync + 'static) -> impl Fn(&Seen) -> Vec<Do> {
    let sessions = Mutex::new(0);
    move |seen| match seen.method() {
        "initialize" => {
            let mut sessions = sessions.lock().unwrap();
            *sessions += 1;
            let body = json!({"jsonrpc": "2.0", "id": seen.body["id"], "result": {
                "protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
                "serverInfo": {"name": "old", "version": "0", "x": 1.0}, "instructions": "be kind"}});
            let headers = format!("content-type: application/json\nmcp-session-id: s{sessions}");
            http(200, &headers, &body.to_string())
        }
        "server/discover" => json_answer(
            400,
            &json!({"jsonrpc": "2.0", "id": "server-error",
            "error": {"code": -32600, "message": "Bad Request: Missing session ID"}}),
        ),
        "tools/call" | "tools/list" => call(seen),
        _ if seen.verb == "DELETE" => http(200, "", ""),
        _ => accepted(),
    }
}
