//! The modern era, 2026-07-28: each request carries its whole context.
//!
//! **Invariants.** What is decided is decided on the body; a header that disagrees with it refuses
//! the request, because something on the way may have gone by the header.

mod headers;
mod listen;

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use proctor_domain::session::LogLevel;
use proctor_domain::virtual_server::Method;

use super::answer::{Fault, Reply, codes, push_text};
use super::client::client;
use super::envelope::{Meta, Request};
use super::link::Done;
use super::members::{is_object, shown, text};
use super::tool_call::{self, Speaker};
use super::{Knock, capabilities, lists, resources_list, server_info};
use crate::upstream::MODERN_VERSION;

pub(super) use headers::check_params;

/// How long a client may go by what it was told, in milliseconds. Whoever listens is told of
/// changes anyway.
const TTL_MS: &str = "5000";
/// The key under which an answer says who gives it.
pub(super) const SERVER_INFO_KEY: &str = "io.modelcontextprotocol/serverInfo";
/// The key under which a request says which log messages it wants.
pub(super) const LOG_LEVEL_KEY: &str = "io.modelcontextprotocol/logLevel";
const SUBSCRIPTION_ID_KEY: &str = "io.modelcontextprotocol/subscriptionId";

/// Whether a message is of this era: it says so itself, or its header does.
pub(super) fn speaks(http: &HttpRequest, request: &Request<'_>) -> bool {
    // A handshake is of the other era, whatever the header says, unless it says itself that it is of this one.
    let handshake = request.method == "initialize";
    request.params.meta.is_modern() || (!handshake && (request.method == "server/discover" || is_named(http)))
}

/// Whether the version header names this era or a later one.
pub(super) fn is_named(http: &HttpRequest) -> bool {
    let version = http.headers().get(headers::PROTOCOL_VERSION).and_then(|version| version.to_str().ok());
    // Versions are dates, which sort as text.
    version.is_some_and(|version| {
        version.len() == MODERN_VERSION.len() && version.starts_with('2') && version >= MODERN_VERSION
    })
}

/// Answers a request.
pub(super) async fn answer(knock: &Knock, request: &Request<'_>) -> Result<Done, Fault> {
    let speaker = speaker(knock, request)?;
    if let Some(list) = lists::named(&request.method, knock).await? {
        let page = lists::page(knock, list, request.params.cursor, speaker.client).await?;
        let mut json = String::from("{\"resultType\":\"complete\",");
        page.write(&mut json);
        close(&mut json, TTL_MS, &server_info(&page.shown().server, knock.caller.server().as_str()));
        return Ok(Done::Reply(Reply::result(request.id, &json)));
    }
    let done = match &*request.method {
        "resources/list" if resources_list::is_shown(knock).await? => {
            let page = Box::pin(resources_list::page(knock, request, &speaker)).await?;
            let mut json = String::from("{\"resultType\":\"complete\",");
            page.write(&mut json);
            close(&mut json, "0", &server_info(&page.server, knock.caller.server().as_str()));
            Done::Reply(Reply::result(request.id, &json))
        }
        "server/discover" => Done::Reply(discover(knock, request.id).await?),
        "subscriptions/listen" => Done::Stream(listen::open(knock, request).await?),
        method if let Some(method) = Method::named(method).filter(|it| *it != Method::ResourcesList) => {
            Done::Reply(tool_call::call(knock, request, method, speaker).await?)
        }
        method => {
            knock.caller.check_alive(&knock.proctor).await?;
            let message = format!("Method not found: {}", shown(method));
            return Err(Fault::new(codes::METHOD_NOT_FOUND, message).with_status(StatusCode::NOT_FOUND));
        }
    };
    Ok(done)
}

/// Takes in a notification: none of this era means anything to a server over HTTP.
pub(super) fn notice(knock: &Knock, notification: &Request<'_>) -> Reply {
    match headers::check_method(knock.request.headers(), &notification.method) {
        Ok(()) => Reply::accepted(),
        Err(fault) => headers::counted(&knock.proctor, fault).reply("null"),
    }
}

/// Checks what every request must carry.
fn speaker<'a>(knock: &Knock, request: &Request<'a>) -> Result<Speaker<'a>, Fault> {
    let meta: &Meta<'a> = &request.params.meta;
    let missing = |key: &str| {
        let message = format!("params._meta must have io.modelcontextprotocol/{key}");
        Fault::malformed(codes::INVALID_PARAMS, message)
    };
    let version = meta.protocol_version.and_then(text).ok_or_else(|| missing("protocolVersion, a string"))?;
    let mismatch = |fault| headers::counted(&knock.proctor, fault);
    let http = knock.request.headers();
    headers::check_version(http, &version).map_err(mismatch)?;
    if version != MODERN_VERSION {
        return Err(unsupported(&version, &[MODERN_VERSION]));
    }
    headers::check_method(http, &request.method).map_err(mismatch)?;
    let named = match &*request.method {
        "tools/call" | "prompts/get" => request.params.name,
        "resources/read" => request.params.uri,
        _ => None,
    };
    if let Some(name) = named.and_then(text) {
        headers::check_name(http, &name).map_err(mismatch)?;
    }
    if !meta.client_capabilities.is_some_and(is_object) {
        return Err(missing("clientCapabilities, an object"));
    }
    Ok(Speaker {
        is_modern: true,
        client: client(meta.client_info, MODERN_VERSION),
        client_info: meta.client_info.filter(|info| is_object(info)),
        capabilities: meta.client_capabilities,
        request_name: None,
        log_level: log_level(meta),
    })
}

/// The least log messages that a request wants; none where it does not say so.
fn log_level(meta: &Meta<'_>) -> Option<LogLevel> {
    let (_, level) = meta.others.iter().find(|(key, _)| key == LOG_LEVEL_KEY)?;
    LogLevel::from_code(&text(level)?)
}

/// The error of a version that is not spoken here.
pub(super) fn unsupported(version: &str, supported: &[&str]) -> Fault {
    let mut data = String::from("{\"requested\":");
    push_text(&mut data, &shown(version));
    data.push_str(",\"supported\":[\"");
    data.push_str(&supported.join("\",\""));
    data.push_str("\"]}");
    Fault::malformed(codes::UNSUPPORTED_VERSION, "Unsupported protocol version").with_data(data)
}

async fn discover(knock: &Knock, id: &str) -> Result<Reply, Fault> {
    let server = knock.caller.check_alive(&knock.proctor).await?;
    let mut json = String::from("{\"resultType\":\"complete\",\"supportedVersions\":[\"");
    json.push_str(MODERN_VERSION);
    json.push_str("\"],\"capabilities\":");
    json.push_str(&capabilities::of(knock).await?);
    let instructions = &server.definition().instructions;
    if !instructions.is_empty() {
        json.push_str(",\"instructions\":");
        push_text(&mut json, instructions);
    }
    close(&mut json, TTL_MS, &server_info(&server, knock.caller.server().as_str()));
    Ok(Reply::result(id, &json))
}

/// Ends a result that may be kept for a while, by this client alone.
fn close(json: &mut String, ttl_ms: &str, server_info: &str) {
    json.push_str(",\"ttlMs\":");
    json.push_str(ttl_ms);
    json.push_str(",\"cacheScope\":\"private\",\"_meta\":{\"");
    json.push_str(SERVER_INFO_KEY);
    json.push_str("\":");
    json.push_str(server_info);
    json.push_str("}}");
}
