//! What every HTTP request meets first: who may ask, and in which era.

use std::convert::Infallible;
use std::sync::Arc;

use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Map, Value, json};

use super::call::{Call, Step};
use super::catalog;
use super::changes::{Change, Changes};
use super::headers::header;
use super::seal::Seal;
use super::sessions::Sessions;
use super::tasks::Tasks;
use super::wire::{Body, Fault, INVALID_PARAMS, plain};
use super::{legacy, modern, prompts, tools};
use crate::MODERN;

/// All state of the fixture.
#[derive(Debug, Default)]
pub struct House {
    /// The token without which nobody is let in.
    pub bearer: Option<String>,
    /// Whether it knows nothing of the modern era.
    pub is_legacy: bool,
    pub changes: Changes,
    pub sessions: Sessions,
    pub tasks: Tasks,
    pub seal: Seal,
}

impl House {
    /// Makes a change, and tells everybody who wants to hear of it.
    pub fn make(&self, change: Change<'_>) {
        self.changes.make(change);
        self.sessions.tell(change);
    }

    /// Takes one step of a tool or prompt.
    pub async fn step(&self, what: &What, call: &Call<'_>) -> Step {
        match what {
            What::Tool(name) => tools::step(name, call).await,
            What::Prompt(name) => prompts::step(name, call, self.changes.more_prompts()),
        }
    }
}

/// What is called.
#[derive(Debug, Clone)]
pub enum What {
    Tool(String),
    Prompt(String),
}

impl What {
    /// What a `tools/call` or `prompts/get` names.
    pub fn of(house: &House, method: &str, params: &Value) -> Result<Self, Fault> {
        let name = params["name"].as_str().unwrap_or_default().to_owned();
        if method == "prompts/get" {
            return Ok(Self::Prompt(name));
        }
        if !catalog::is_tool(&name, house.changes.more_tools()) {
            return Err(Fault::new(INVALID_PARAMS, format!("unknown tool: {name}")));
        }
        Ok(Self::Tool(name))
    }

    pub fn name(&self) -> &str {
        match self {
            Self::Tool(name) | Self::Prompt(name) => name,
        }
    }

    pub fn speaks(&self, modern: bool) -> bool {
        match self {
            Self::Tool(name) => catalog::speaks(name, modern),
            Self::Prompt(_) => !modern,
        }
    }
}

/// The arguments of a call, which may be left out.
pub fn arguments(params: &Value) -> Value {
    params.get("arguments").cloned().unwrap_or_else(|| Value::Object(Map::new()))
}

/// What the server can do, but for its extensions.
pub fn capabilities() -> Value {
    json!({
        "tools": { "listChanged": true }, "prompts": { "listChanged": true },
        "resources": { "subscribe": true }, "completions": {}, "logging": {},
    })
}

pub fn server_info() -> Value {
    json!({ "name": "conformance-upstream", "version": "1.0.0" })
}

/// Whether a client accepts a stream as an answer.
pub fn accepts_stream(headers: &HeaderMap) -> bool {
    header(headers, "accept").is_some_and(|accept| accept.contains("text/event-stream"))
}

/// Whether a host, with a port or without, is this machine as it calls itself.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    matches!(name, "localhost" | "127.0.0.1" | "[::1]")
}

/// Whether a web page elsewhere cannot have sent this (DNS rebinding).
fn is_local(headers: &HeaderMap) -> bool {
    let origin = header(headers, "origin").map(|origin| {
        let host = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        host.is_some_and(is_loopback)
    });
    header(headers, "host").is_some_and(is_loopback) && origin.unwrap_or(true)
}

/// Answers one HTTP request.
pub async fn answer(house: Arc<House>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    if !is_local(&head.headers) {
        return Ok(plain(403, "this host or origin is not served"));
    }
    if head.uri.path() != "/mcp" {
        return Ok(plain(404, "not found"));
    }
    let shown = header(&head.headers, "authorization").and_then(|value| value.strip_prefix("Bearer "));
    if house.bearer.is_some() && house.bearer.as_deref() != shown {
        let mut refused = plain(401, "a bearer token is needed");
        refused.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        return Ok(refused);
    }
    let says_modern = !house.is_legacy && header(&head.headers, "mcp-protocol-version") == Some(MODERN);
    match head.method {
        Method::POST => {}
        Method::GET if !says_modern => return Ok(legacy::get(&house, &head.headers)),
        Method::DELETE if !says_modern => return Ok(legacy::delete(&house, &head.headers)),
        _ => return Ok(plain(405, "method not allowed")),
    }
    let Ok(body) = body.collect().await else { return Ok(plain(400, "the body ended too early")) };
    let message: Value = match serde_json::from_slice(&body.to_bytes()) {
        Ok(message @ Value::Object(_)) => message,
        _ => return Ok(plain(400, "the body is not a JSON-RPC message")),
    };
    let is_modern = says_modern || message["params"]["_meta"].get(modern::VERSION).is_some();
    if is_modern && !house.is_legacy {
        Ok(modern::answer(&house, &head.headers, &message).await)
    } else {
        Ok(legacy::answer(&house, &head.headers, &message).await)
    }
}
