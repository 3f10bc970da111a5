//! The era of `initialize` and sessions, in which a server may ask its clients.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Response};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::answering::{House, What, accepts_stream, arguments, capabilities, server_info};
use super::call::{Call, Step, Voice, lacking};
use super::headers::header;
use super::outbox::Outbox;
use super::sessions::{LEVELS, STANDING, Session};
use super::wire::{Body, Fault, INVALID_PARAMS, json_response, message, plain};
use super::{catalog, prompts, resources};
use crate::LEGACY;
use crate::server::lock;

const VERSIONS: &[&str] = &["2024-11-05", "2025-03-26", "2025-06-18", LEGACY];

const SESSION: &str = "mcp-session-id";

const RESOURCE_NOT_FOUND: i64 = -32002;

const NO_ID: (u16, &str) = (400, "Mcp-Session-Id is missing");
const NO_SESSION: (u16, &str) = (404, "there is no such session");

/// The session that a request belongs to, or how to refuse it.
fn session(house: &House, headers: &HeaderMap) -> Result<Arc<Session>, (u16, &'static str)> {
    let id = header(headers, SESSION).ok_or(NO_ID)?;
    house.sessions.get(id).ok_or(NO_SESSION)
}

/// Opens the session's standing stream, or goes on with the one that was lost.
pub fn get(house: &House, headers: &HeaderMap) -> Response<Body> {
    let session = match session(house, headers) {
        Ok(session) => session,
        Err((status, why)) => return plain(status, why),
    };
    let last = header(headers, "last-event-id");
    let (name, from) = match last.and_then(|last| last.rsplit_once('-')) {
        Some((name, number)) => (name, number.parse().unwrap_or(0)),
        None => (STANDING, session.outbox(STANDING).map_or(0, |standing| standing.len())),
    };
    match session.outbox(name) {
        Some(outbox) => outbox.read(from, Some(name.to_owned()), None),
        None => plain(400, "there is no such stream"),
    }
}

/// Ends a session.
pub fn delete(house: &House, headers: &HeaderMap) -> Response<Body> {
    let (status, text) = match header(headers, SESSION) {
        None => NO_ID,
        Some(id) if house.sessions.end(id) => (200, ""),
        Some(_) => NO_SESSION,
    };
    plain(status, text)
}

/// Answers a message.
pub async fn answer(house: &Arc<House>, headers: &HeaderMap, received: &Value) -> Response<Body> {
    let (method, id, params) = (received["method"].as_str(), received.get("id"), &received["params"]);
    if let (Some("initialize"), Some(id)) = (method, id) {
        return initialize(house, id, params);
    }
    let session = match session(house, headers) {
        Ok(session) => session,
        Err((status, why)) => return plain(status, why),
    };
    let asked = header(headers, "mcp-protocol-version");
    if asked.is_some_and(|asked| !VERSIONS.contains(&asked)) {
        return plain(400, "this protocol version is not served");
    }
    match (method, id) {
        (None, _) => session.answered(received),
        (Some("notifications/cancelled"), None) => {
            if let Some(running) = lock(&session.running).get(&params["requestId"].to_string()) {
                running.cancel();
            }
        }
        (Some(_), None) => {}
        (Some(method @ ("tools/call" | "prompts/get")), Some(id)) => {
            return match What::of(house, method, params) {
                Ok(what) => call(house, session, headers, id, what, params).await,
                Err(fault) => json_response(200, &message(id, Err(fault))),
            };
        }
        (Some(method), Some(id)) => {
            let outcome = simple(house, &session, method, params);
            return json_response(200, &message(id, outcome));
        }
    }
    plain(202, "")
}

fn initialize(house: &House, id: &Value, params: &Value) -> Response<Body> {
    let asked = params["protocolVersion"].as_str().unwrap_or(LEGACY);
    let version = if VERSIONS.contains(&asked) { asked } else { LEGACY };
    let session = house.sessions.begin(version.to_owned(), params["capabilities"].clone());
    let result = json!({
        "protocolVersion": version, "capabilities": capabilities(), "serverInfo": server_info(),
    });
    let mut response = json_response(200, &message(id, Ok(result)));
    let value = HeaderValue::from_str(&session).expect("an id of hexadecimal digits");
    response.headers_mut().insert(SESSION, value);
    response
}

/// Everything that is answered at once.
fn simple(house: &House, session: &Session, method: &str, params: &Value) -> Result<Value, Fault> {
    let uri = params["uri"].as_str().unwrap_or_default();
    match method {
        "ping" => Ok(json!({})),
        "logging/setLevel" => {
            let level = LEVELS.iter().position(|level| params["level"] == *level);
            let level = level.ok_or_else(|| Fault::new(INVALID_PARAMS, "there is no such log level"))?;
            *lock(&session.log_level) = level;
            Ok(json!({}))
        }
        "tools/list" => Ok(json!({ "tools": catalog::tools(house.changes.more_tools()) })),
        "prompts/list" => Ok(json!({ "prompts": prompts::prompts(house.changes.more_prompts()) })),
        "resources/list" => Ok(json!({ "resources": resources::resources() })),
        "resources/templates/list" => Ok(json!({ "resourceTemplates": resources::templates() })),
        "resources/read" => resources::read(uri).ok_or_else(|| {
            Fault::new(RESOURCE_NOT_FOUND, "there is no such resource").with_data(json!({ "uri": uri }))
        }),
        "resources/subscribe" => {
            lock(&session.subscribed).insert(uri.to_owned());
            Ok(json!({}))
        }
        "resources/unsubscribe" => {
            lock(&session.subscribed).remove(uri);
            Ok(json!({}))
        }
        "completion/complete" => prompts::complete(params),
        _ => Err(Fault::method_not_found(method)),
    }
}

async fn call(
    house: &Arc<House>,
    session: Arc<Session>,
    headers: &HeaderMap,
    id: &Value,
    what: What,
    params: &Value,
) -> Response<Body> {
    // Event ids and a first event without data are for those who know them.
    let resumable = session.version == LEGACY;
    let stream = (accepts_stream(headers) && what.speaks(false)).then(|| session.open());
    let running = CancellationToken::new();
    lock(&session.running).insert(id.to_string(), running.clone());
    let voice = Voice {
        outbox: stream.as_ref().map(|(_, outbox)| outbox.clone()),
        progress_token: params["_meta"].get("progressToken").cloned(),
        log_level: Some(*lock(&session.log_level)),
        resumable,
    };
    let arguments = arguments(params);
    let key = id.to_string();
    let house = house.clone();
    let run = async move {
        let outcome = tokio::select! {
            outcome = run(&house, &session, &what, &arguments, &voice) => Some(outcome),
            // What was cancelled is not answered.
            () = running.cancelled() => None,
        };
        lock(&session.running).remove(&key);
        outcome
    };
    match stream {
        None => match run.await {
            Some(outcome) => json_response(200, &message(id, outcome)),
            None => plain(202, ""),
        },
        Some((name, outbox)) => {
            let response = outbox.read(0, resumable.then_some(name), None);
            let id = id.clone();
            // A client that goes away has not cancelled its call.
            tokio::spawn(async move {
                if let Some(outcome) = run.await {
                    outbox.say(&message(&id, outcome));
                }
                outbox.end();
            });
            response
        }
    }
}

/// Runs a tool or prompt to its end, and asks the client for what it needs.
async fn run(
    house: &Arc<House>,
    session: &Session,
    what: &What,
    arguments: &Value,
    voice: &Voice,
) -> Result<Value, Fault> {
    let (mut answers, mut state) = (Map::new(), None);
    loop {
        let change = |change: super::changes::Change<'_>| house.make(change);
        let call = Call {
            arguments,
            answers: &answers,
            state: state.as_ref(),
            capabilities: &session.capabilities,
            voice,
            change: &change,
        };
        match house.step(what, &call).await {
            Step::Done(result) => return Ok(result),
            Step::Fault(fault) => return Err(fault),
            Step::Ask { requests, state: remembered } => {
                if let Some(lacking) = lacking(&requests, &session.capabilities) {
                    return unable(what, format!("the client does not support what is needed: {lacking}"));
                }
                let Some(outbox) = &voice.outbox else {
                    return unable(what, "the client accepts no stream to be asked on".to_owned());
                };
                match ask(session, outbox, requests).await {
                    Some(answered) => answers = answered,
                    None => return unable(what, "the client answered with an error".to_owned()),
                }
                state = remembered;
            }
        }
    }
}

/// Asks one after the other, as long as there are answers.
async fn ask(session: &Session, outbox: &Outbox, requests: Map<String, Value>) -> Option<Map<String, Value>> {
    let mut answers = Map::new();
    for (key, request) in requests {
        answers.insert(key, session.request(outbox, &request).await?);
    }
    Some(answers)
}

/// A call does not get to know what it must know.
fn unable(what: &What, why: String) -> Result<Value, Fault> {
    match what {
        What::Tool(_) => Ok(json!({ "content": [{ "type": "text", "text": why }], "isError": true })),
        What::Prompt(_) => Err(Fault::new(INVALID_PARAMS, why)),
    }
}
