//! The legacy era, 2024-11-05 to 2025-11-25: a handshake, then requests that name it.
//!
//! **Invariants.** What the handshake agreed on is kept by the client, sealed, so that any replica
//! serves the next request. Two clients on one token use the same ids for their requests: a request
//! is known by its id together with the handshake's nonce, never by its id alone.

mod initialize;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use proctor_domain::session::{LogLevel, Session, SessionCommand};
use proctor_domain::virtual_server::Method;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::answer::{Fault, MCP_SESSION_ID, Reply, codes};
use super::auth::Caller;
use super::client::client;
use super::envelope::{Answered, Request};
use super::link::{Accepts, Done};
use super::members::{is_integer_or_text, shown, text};
use super::streams::{self, Listed, Words};
use super::tool_call::{self, Speaker};
use super::{Knock, let_in, lists, modern, resources_list, sse};
use crate::actors::AskError;
use crate::proctor::Proctor;
use crate::upstream::{LEGACY_VERSIONS, MODERN_VERSION};
use crate::vault::McpSession;

const PROTOCOL_VERSION: &str = "mcp-protocol-version";
/// Bytes of the hash by which a request is known in the journal.
const REQUEST_NAME_BYTES: usize = 16;

/// Answers a request.
pub(super) async fn answer(knock: &Knock, request: &Request<'_>) -> Result<Done, Fault> {
    if request.method == "initialize" {
        return initialize::answer(knock, request).await.map(Done::Reply);
    }
    let agreed = agreed(&knock.request, &knock.caller, &knock.proctor)?;
    let client = client(Some(&agreed.client_info), &agreed.protocol_version);
    if let Some(list) = lists::named(&request.method, knock).await? {
        let page = lists::page(knock, list, request.params.cursor, client).await?;
        let mut json = String::from("{");
        page.write(&mut json);
        json.push('}');
        return Ok(Done::Reply(Reply::result(request.id, &json)));
    }
    let speaker = Speaker {
        is_modern: false,
        client,
        client_info: Some(&agreed.client_info),
        capabilities: Some(&agreed.client_capabilities),
        request_name: Some(request_name(&agreed.nonce, request.id)),
        log_level: knock.caller.session.log_level(&client_name(&agreed.nonce)),
    };
    let reply = match &*request.method {
        "resources/list" if resources_list::is_shown(knock).await? => {
            let page = Box::pin(resources_list::page(knock, request, &speaker)).await?;
            let mut json = String::from("{");
            page.write(&mut json);
            json.push('}');
            Reply::result(request.id, &json)
        }
        "logging/setLevel" => {
            let level = request.params.level.and_then(text).and_then(|level| LogLevel::from_code(&level));
            let wrong = || {
                let known = LogLevel::ALL.map(LogLevel::code).join(", ");
                Fault::new(codes::INVALID_PARAMS, format!("params.level must be one of {known}"))
            };
            set_log_level(knock, client_name(&agreed.nonce), level.ok_or_else(wrong)?).await?;
            Reply::result(request.id, "{}")
        }
        "ping" => {
            knock.caller.check_alive(&knock.proctor).await?;
            Reply::result(request.id, "{}")
        }
        method if let Some(method) = Method::named(method).filter(|it| *it != Method::ResourcesList) => {
            tool_call::call(knock, request, method, speaker).await?
        }
        method => {
            knock.caller.check_alive(&knock.proctor).await?;
            return Err(Fault::new(codes::METHOD_NOT_FOUND, format!("Method not found: {}", shown(method))));
        }
    };
    Ok(Done::Reply(reply))
}

async fn set_log_level(knock: &Knock, client: String, level: LogLevel) -> Result<(), Fault> {
    knock.caller.check_alive(&knock.proctor).await?;
    knock.check_all_read()?;
    let command = SessionCommand::SetLogLevel { client, level };
    match knock.proctor.directory.tell::<Session>(knock.caller.session_id.as_str(), command).await {
        Ok(_) => Ok(()),
        Err(AskError::Nonsense(error)) => Err(Fault::new(codes::REFUSED, error.to_string())),
        Err(error) => Err(Fault::unavailable(error.to_string())),
    }
}

/// Takes in a notification.
pub(super) async fn notice(knock: &Knock, notification: &Request<'_>) -> Reply {
    match take_in(knock, notification).await {
        Ok(()) => Reply::accepted(),
        Err(fault) => fault.reply("null"),
    }
}

/// Takes in what an agent answers to something that it was asked.
pub(super) async fn answered(knock: &Knock, answered: &Answered<'_>) -> Reply {
    let taken = match agreed(&knock.request, &knock.caller, &knock.proctor) {
        Ok(_) => tool_call::take_input(knock, answered).await,
        Err(fault) => Err(fault),
    };
    match taken {
        Ok(()) => Reply::accepted(),
        Err(fault) => fault.reply("null"),
    }
}

async fn take_in(knock: &Knock, notification: &Request<'_>) -> Result<(), Fault> {
    let agreed = agreed(&knock.request, &knock.caller, &knock.proctor)?;
    if notification.method != "notifications/cancelled" {
        return Ok(());
    }
    let Some(id) = notification.params.request_id.filter(|id| is_integer_or_text(id)).map(RawValue::get)
    else {
        return Err(Fault::malformed(
            codes::INVALID_PARAMS,
            "params.requestId must be an integer or a string",
        ));
    };
    // An event of the session: the call may run in another process.
    let command = SessionCommand::RequestCancel { request: request_name(&agreed.nonce, id) };
    let asked = knock.proctor.directory.tell::<Session>(knock.caller.session_id.as_str(), command).await;
    asked.map(drop).map_err(|error| Fault::unavailable(error.to_string()))
}

/// `GET`: the stream that tells when a list has changed.
///
/// # Errors
/// When there is no good token, the handshake is not known, or the session has too many streams.
pub(super) async fn stream(
    request: &HttpRequest,
    proctor: web::Data<Proctor>,
) -> Result<HttpResponse, Fault> {
    let caller = let_in(request, &proctor).await?;
    agreed(request, &caller, &proctor)?;
    if !Accepts::of(request).stream {
        let message = "Accept must allow text/event-stream";
        return Err(Fault::new(codes::INVALID_REQUEST, message).with_status(StatusCode::NOT_ACCEPTABLE));
    }
    // Before it is checked that the session lives, so that no end is missed.
    let changes = proctor.changes.subscribe();
    caller.check_alive(&proctor).await?;
    let place = proctor.door.streams.take(&caller.session_id)?;
    let changed = Listed::ALL.map(|list| {
        let method = list.method();
        (list, sse::event(format!("{{\"jsonrpc\":\"2.0\",\"method\":\"{method}\"}}").as_bytes()))
    });
    let words = Words { first: None, changed: changed.into(), last: None::<Bytes> };
    Ok(streams::open(proctor, caller, changes, place, words))
}

/// What the handshake agreed on, from the id that was given out for it.
fn agreed(request: &HttpRequest, caller: &Caller, proctor: &Proctor) -> Result<McpSession, Fault> {
    let headers = request.headers();
    if let Some(version) = headers.get(PROTOCOL_VERSION) {
        let version = version.to_str().unwrap_or_default();
        if !LEGACY_VERSIONS.contains(&version) {
            let supported = [&[MODERN_VERSION], &LEGACY_VERSIONS[..]].concat();
            return Err(modern::unsupported(version, &supported));
        }
    }
    let mut ids = headers.get_all(MCP_SESSION_ID);
    let (Some(id), None) = (ids.next(), ids.next()) else {
        let message =
            "the header Mcp-Session-Id is missing: send initialize first, and its id with every request";
        return Err(Fault::malformed(codes::INVALID_REQUEST, message));
    };
    let id = id.to_str().unwrap_or_default();
    proctor.vault.open_mcp_session(caller.session_id.as_str(), id).map_err(|_| {
        Fault::new(codes::INVALID_REQUEST, "this Mcp-Session-Id is not known here: send initialize again")
            .with_status(StatusCode::NOT_FOUND)
    })
}

/// The name of a client in the journal, by its handshake.
fn client_name(nonce: &str) -> String {
    hex::encode(&Sha256::digest(nonce)[..REQUEST_NAME_BYTES])
}

/// The name of a request in the journal: the same in every process, and of another client another.
fn request_name(nonce: &str, id: &str) -> String {
    let mut hash = Sha256::new();
    hash.update((nonce.len() as u64).to_be_bytes());
    hash.update(nonce);
    hash.update(id);
    hex::encode(&hash.finalize()[..REQUEST_NAME_BYTES])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_id_of_two_clients_names_two_requests() {
        assert_eq!(request_name("a", "1"), request_name("a", "1"));
        assert_ne!(request_name("a", "1"), request_name("b", "1"));
        assert_ne!(request_name("a", "1"), request_name("a", "\"1\""));
        assert_ne!(request_name("a1", "1"), request_name("a", "11"));
    }
}
