//! The HTTP side: methods, sessions, and answers as JSON or as a stream.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::check::{Refusal, check, header};
use crate::guard::METADATA_PATH;
use crate::ledger::Received;
use crate::rpc::{self, Message, Params};
use crate::server::{Answers, Shared, lock};
use crate::tools::{self, Call, Ended};
use crate::{LEGACY, MODERN};

pub type Body = BoxBody<Bytes, Infallible>;

/// The error that makes hyper close the connection without an answer.
#[derive(Debug)]
pub struct Vanished;

impl std::fmt::Display for Vanished {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the tool closes the connection")
    }
}

impl std::error::Error for Vanished {}

fn respond(status: StatusCode, content_type: &str, body: String) -> Response<Body> {
    let response = Response::builder().status(status).header("content-type", content_type);
    response.body(Full::from(body).boxed()).expect("a static content type")
}

fn plain(status: u16, text: &str) -> Response<Body> {
    let status = StatusCode::from_u16(status).expect("a status");
    respond(status, "text/plain", text.to_owned())
}

fn json_answer(status: u16, body: String) -> Response<Body> {
    let status = StatusCode::from_u16(status).expect("a status");
    respond(status, "application/json", body)
}

fn unauthorized(shared: &Shared, reason: &str) -> Response<Body> {
    let mut response = plain(401, reason);
    let challenge = shared.guard.challenge(&shared.origin).and_then(|value| value.parse().ok());
    response.headers_mut().extend(challenge.map(|value| (http::header::WWW_AUTHENTICATE, value)));
    response
}

/// Answers one HTTP request, after writing it down.
pub async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, Vanished> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        return Err(Vanished);
    };
    let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    let message: Option<Message> = serde_json::from_str(&body).ok();
    let params = message.as_ref().and_then(|message| message.params);
    let params: Params = params.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    let method = message.as_ref().and_then(|message| message.method.as_deref());
    let is_call = method == Some("tools/call");

    let resource = format!("{}/mcp", shared.origin);
    let admitted = shared.guard.admit(&head.headers, &resource);
    let checked = check(&shared, &head.headers, method, &params);
    shared.ledger.write(|record| {
        record.received.push(Received {
            at: Instant::now(),
            http_method: head.method.to_string(),
            headers: header_list(&head.headers),
            body: body.clone(),
            method: method.map(str::to_owned),
            id: message.as_ref().and_then(|message| message.id).map(|id| id.get().to_owned()),
            tool: params.name.clone().filter(|_| is_call),
            arguments: params.arguments.filter(|_| is_call).map(|raw| raw.get().to_owned()),
            subject: admitted.as_ref().ok().cloned().flatten(),
            refused: match (&admitted, &checked) {
                (Err(reason), _) => Some(reason.clone()),
                (_, Err(refusal)) => Some(refusal.reason.clone()),
                (Ok(_), Ok(_)) => None,
            },
        });
    });

    if head.uri.path() == METADATA_PATH
        && let Some(metadata) = shared.guard.metadata(&resource)
    {
        return Ok(json_answer(200, metadata));
    }
    if head.uri.path() != "/mcp" {
        return Ok(plain(404, "not found"));
    }
    let subject = match admitted {
        Ok(subject) => subject,
        Err(reason) => return Ok(unauthorized(&shared, &reason)),
    };
    let session = header(&head.headers, "mcp-session-id").unwrap_or_default().to_owned();
    match head.method {
        Method::POST => {}
        Method::GET if shared.options.list_changed && lock(&shared.sessions).contains(&session) => {
            return Ok(events(shared.listeners.add(None)));
        }
        Method::DELETE if lock(&shared.sessions).remove(&session) => return Ok(plain(200, "")),
        _ => return Ok(plain(405, "method not allowed")),
    }
    let (Some(message), Some(method)) = (&message, method) else {
        return Ok(plain(400, "the body is not a JSON-RPC message"));
    };
    let id = message.id.map_or("null", serde_json::value::RawValue::get);
    let modern = match checked {
        Ok(modern) => modern,
        Err(Refusal { status, code, reason, data }) => {
            let data = data.map(|data| data.to_string());
            return Ok(json_answer(status, rpc::error(id, code, &reason, data.as_deref())));
        }
    };
    match method {
        "initialize" => Ok(initialize(&shared, id)),
        "server/discover" => {
            let result = json!({
                "resultType": "complete", "supportedVersions": [MODERN],
                "capabilities": { "tools": { "listChanged": shared.options.list_changed } },
                "instructions": "An upstream for tests.", "ttlMs": 0, "cacheScope": "private",
                "_meta": { "io.modelcontextprotocol/serverInfo": server_info() },
            });
            Ok(json_answer(200, rpc::result(id, &result.to_string())))
        }
        "subscriptions/listen" if modern && shared.options.list_changed => {
            Ok(events(shared.listeners.add(Some(id))))
        }
        "ping" if !modern => Ok(json_answer(200, rpc::result(id, "{}"))),
        "tools/list" => Ok(json_answer(200, list(&shared, id, &params, modern))),
        "tools/call" => {
            let call = Call {
                id: id.to_owned(),
                tool: params.name.unwrap_or_default(),
                arguments: params.arguments.map_or("{}", |raw| raw.get()).to_owned(),
                progress_token: params
                    .meta
                    .and_then(|meta| meta.progress_token)
                    .map(|token| token.get().to_owned()),
                modern,
                subject,
                cancelled: CancellationToken::new(),
            };
            let accepts_stream =
                header(&head.headers, "accept").is_some_and(|accept| accept.contains("text/event-stream"));
            call_tool(shared, session, call, accepts_stream).await
        }
        "notifications/cancelled" => {
            let id = params.request_id.map_or("null", |id| id.get()).to_owned();
            let running = lock(&shared.running).get(&(session, id)).cloned();
            if let Some(running) = running {
                running.cancel();
            }
            Ok(plain(202, ""))
        }
        notification if notification.starts_with("notifications/") => Ok(plain(202, "")),
        _ => {
            let status = if modern { 404 } else { 200 };
            Ok(json_answer(status, rpc::error(id, -32601, "method not found", None)))
        }
    }
}

fn server_info() -> Value {
    json!({ "name": "proctor-test-upstream", "version": "1.0.0" })
}

fn initialize(shared: &Shared, id: &str) -> Response<Body> {
    let number = shared.sessions_opened.fetch_add(1, Ordering::Relaxed);
    let session = format!("upstream-session-{number}");
    lock(&shared.sessions).insert(session.clone());
    let result = json!({
        "protocolVersion": LEGACY,
        "capabilities": { "tools": if shared.options.list_changed { json!({ "listChanged": true }) } else { json!({}) } }, "serverInfo": server_info(),
        "instructions": "An upstream for tests.",
    });
    let mut response = json_answer(200, rpc::result(id, &result.to_string()));
    let value = http::HeaderValue::from_str(&session).expect("an ASCII session id");
    response.headers_mut().insert("mcp-session-id", value);
    response
}

fn list(shared: &Shared, id: &str, params: &Params<'_>, modern: bool) -> String {
    let offset = params.cursor.as_deref().map(|cursor| cursor.strip_prefix("tools-from-"));
    let offset = match offset {
        None => 0,
        Some(offset) => match offset.and_then(|offset| offset.parse().ok()) {
            Some(offset) => offset,
            None => return rpc::error(id, -32602, "unknown cursor", None),
        },
    };
    let (tools, next) = shared.catalog.page(offset, shared.options.page_size);
    let next = next.map(|next| format!(r#","nextCursor":"tools-from-{next}""#));
    let next = next.unwrap_or_default();
    let era = if modern { r#","resultType":"complete","ttlMs":0,"cacheScope":"private""# } else { "" };
    rpc::result(id, &format!(r#"{{"tools":[{tools}]{next}{era},"x-unknown":1.50}}"#))
}

async fn call_tool(
    shared: Arc<Shared>,
    session: String,
    call: Call,
    accepts_stream: bool,
) -> Result<Response<Body>, Vanished> {
    if shared.catalog.definition(&call.tool).is_none() {
        let unknown = format!("unknown tool {:?}", call.tool);
        return Ok(json_answer(200, rpc::error(&call.id, -32602, &unknown, None)));
    }
    let registration = Registration::new(shared.clone(), session, &call);
    let streams = shared.options.answers == Answers::Sse || call.progress_token.is_some();
    if accepts_stream && streams {
        return Ok(stream(shared, call, registration));
    }
    let _registration = registration;
    match tools::run(&call, &shared.ledger, None).await {
        Ended::Answered(body) => Ok(json_answer(200, body)),
        Ended::Cancelled => Ok(json_answer(200, rpc::error(&call.id, -32800, "cancelled", None))),
        Ended::Vanished => Err(Vanished),
    }
}

fn stream(shared: Arc<Shared>, call: Call, registration: Registration) -> Response<Body> {
    let (sender, receiver) = mpsc::channel::<String>(16);
    tokio::spawn(async move {
        let _registration = registration;
        if let Some(changed) = shared.listeners.in_this_call() {
            let _ = sender.send(changed).await;
        }
        tokio::select! {
            ended = tools::run(&call, &shared.ledger, Some(&sender)) => {
                if let Ended::Answered(body) = ended {
                    let _ = sender.send(body).await;
                }
            }
            () = sender.closed() => {}
        }
    });
    events(receiver)
}

/// A stream of these messages.
fn events(receiver: mpsc::Receiver<String>) -> Response<Body> {
    let frames = futures_util::stream::unfold(receiver, |mut receiver| async {
        let message = receiver.recv().await?;
        let lines = message.split(['\r', '\n']).map(|line| format!("data: {line}\n"));
        let event = format!("event: message\n{}\n", lines.collect::<String>());
        Some((Ok(Frame::data(Bytes::from(event))), receiver))
    });
    let response = Response::builder().header("content-type", "text/event-stream");
    response.body(BodyExt::boxed(StreamBody::new(frames))).expect("a static content type")
}

/// Holds a call in the table of running calls for as long as it runs.
struct Registration {
    shared: Arc<Shared>,
    key: (String, String),
}

impl Registration {
    fn new(shared: Arc<Shared>, session: String, call: &Call) -> Self {
        let key = (session, call.id.clone());
        lock(&shared.running).insert(key.clone(), call.cancelled.clone());
        Self { shared, key }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        lock(&self.shared.running).remove(&self.key);
    }
}

fn header_list(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}
