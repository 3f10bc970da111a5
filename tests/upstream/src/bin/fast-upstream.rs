//! A modern-era MCP upstream for load tests: it answers every call with the same small result, at
//! as little cost of its own as it can.
//!
//! Usage: `fast-upstream PORT` listens on 127.0.0.1, on one thread, until it is killed.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::process::ExitCode;

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::value::RawValue;

const DISCOVERED: &str = r#"{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"ttlMs":0,"cacheScope":"public","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"fast-upstream","version":"1.0.0"}}}"#;

const TOOLS: &str = r#"{"tools":[{"name":"echo","description":"Answers with a small constant result.","inputSchema":{"type":"object","properties":{"text":{"type":"string"}}}}],"resultType":"complete","ttlMs":0,"cacheScope":"public"}"#;

/// About 200 bytes.
const CALLED: &str = r#"{"content":[{"type":"text","text":"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"}],"isError":false,"resultType":"complete"}"#;

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: &'a str,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Some(port) = std::env::args().nth(1).and_then(|port| port.parse::<u16>().ok()) else {
        eprintln!("usage: fast-upstream PORT");
        return ExitCode::from(2);
    };
    let listener = match tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
        Ok(listener) => listener,
        Err(err) => {
            eprintln!("cannot listen on 127.0.0.1:{port}: {err}");
            return ExitCode::FAILURE;
        }
    };
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        // Without it small answers wait for the peer's acknowledgement; failing costs only speed.
        let _ = stream.set_nodelay(true);
        let mut server = http1::Builder::new();
        server.pipeline_flush(true);
        tokio::spawn(server.serve_connection(TokioIo::new(stream), service_fn(answer)));
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = match request.into_body().collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => Bytes::new(),
    };
    let (status, answer) = match serde_json::from_slice::<Message>(&body) {
        Ok(message) => respond(&message),
        Err(_) => (400, String::new()),
    };
    let mut response = Response::new(Full::from(answer));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    Ok(response)
}

fn respond(message: &Message<'_>) -> (u16, String) {
    let Some(id) = message.id else { return (202, String::new()) };
    let (status, what, value) = match message.method {
        "tools/call" => (200, "result", CALLED),
        "tools/list" => (200, "result", TOOLS),
        "server/discover" => (200, "result", DISCOVERED),
        "initialize" => (
            400,
            "error",
            r#"{"code":-32022,"message":"only modern requests are served","data":{"supported":["2026-07-28"]}}"#,
        ),
        _ => (404, "error", r#"{"code":-32601,"message":"method not found"}"#),
    };
    let answer = format!(r#"{{"jsonrpc":"2.0","id":{},"{what}":{value}}}"#, id.get());
    (status, answer)
}
