//! The era without sessions, in which a server says what it needs in its result.

use std::sync::Arc;

use http::{HeaderMap, Response};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::answering::{House, What, accepts_stream, arguments, capabilities, server_info};
use super::call::{Call, Step, Voice, answers, lacking};
use super::catalog::{self, Tasks};
use super::changes::Change;
use super::headers::{self, header};
use super::outbox::Outbox;
use super::sessions::LEVELS;
use super::tasks::EXTENSION;
use super::wire::{
    Body, Fault, HEADER_MISMATCH, INVALID_PARAMS, UNSUPPORTED_VERSION, json_response, message, plain,
};
use super::{prompts, resources, tasks};
use crate::MODERN;

pub const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";

/// Answers a message.
pub async fn answer(house: &Arc<House>, headers: &HeaderMap, received: &Value) -> Response<Body> {
    let (method, params) = (received["method"].as_str(), &received["params"]);
    let (Some(method), Some(id)) = (method, received.get("id")) else {
        return plain(202, "");
    };
    match respond(house, headers, id, method, params).await {
        Ok(Answer::Result(result)) => json_response(200, &message(id, Ok(complete(result)))),
        Ok(Answer::Stream(response)) => response,
        Err(fault) => json_response(fault.status, &message(id, Err(fault))),
    }
}

enum Answer {
    Result(Value),
    Stream(Response<Body>),
}

/// A result with what every result has.
pub fn complete(mut result: Value) -> Value {
    if let Some(result) = result.as_object_mut() {
        result.entry("resultType").or_insert_with(|| json!("complete"));
        let meta = result.entry("_meta").or_insert_with(|| json!({}));
        meta[SERVER_INFO] = server_info();
    }
    result
}

/// A result that may be kept for no time at all, since everything can change.
fn cacheable(mut result: Value) -> Value {
    result["ttlMs"] = json!(0);
    result["cacheScope"] = json!("public");
    result
}

fn check(headers: &HeaderMap, method: &str, params: &Value) -> Result<(), Fault> {
    let meta = &params["_meta"];
    let (Some(version), true) = (meta[VERSION].as_str(), meta[CAPABILITIES].is_object()) else {
        let missing = format!("_meta must hold {VERSION} and {CAPABILITIES}");
        return Err(Fault::new(INVALID_PARAMS, missing).with_status(400));
    };
    if header(headers, "mcp-protocol-version") != Some(version) {
        let mismatch = "MCP-Protocol-Version does not say what the body says";
        return Err(Fault::new(HEADER_MISMATCH, mismatch).with_status(400));
    }
    if version != MODERN {
        let data = json!({ "supported": [MODERN], "requested": version });
        let fault = Fault::new(UNSUPPORTED_VERSION, "this protocol version is not served");
        return Err(fault.with_status(400).with_data(data));
    }
    headers::check(headers, method, params)
}

async fn respond(
    house: &Arc<House>,
    headers: &HeaderMap,
    id: &Value,
    method: &str,
    params: &Value,
) -> Result<Answer, Fault> {
    check(headers, method, params)?;
    let client = &params["_meta"][CAPABILITIES];
    let uri = params["uri"].as_str().unwrap_or_default();
    let result = match method {
        "tools/call" | "prompts/get" => return call(house, headers, id, method, params).await,
        "subscriptions/listen" => {
            return Ok(Answer::Stream(house.changes.listen(id, &params["notifications"])));
        }
        "server/discover" => {
            let mut capabilities = capabilities();
            capabilities["extensions"] = json!({ EXTENSION: {} });
            let discovered = json!({ "supportedVersions": [MODERN], "capabilities": capabilities });
            cacheable(discovered)
        }
        "tools/list" => cacheable(json!({ "tools": catalog::tools(house.changes.more_tools()) })),
        "prompts/list" => cacheable(json!({ "prompts": prompts::prompts(house.changes.more_prompts()) })),
        "resources/list" => cacheable(json!({ "resources": resources::resources() })),
        "resources/templates/list" => cacheable(json!({ "resourceTemplates": resources::templates() })),
        "resources/read" => cacheable(resources::read(uri).ok_or_else(|| {
            Fault::new(INVALID_PARAMS, "there is no such resource").with_data(json!({ "uri": uri }))
        })?),
        "completion/complete" => prompts::complete(params)?,
        "tasks/get" | "tasks/update" | "tasks/cancel" => {
            if !tasks::knows(client) {
                return Err(tasks::unknown_to_client());
            }
            house.tasks.answer(method, params)?
        }
        _ => return Err(Fault::method_not_found(method)),
    };
    Ok(Answer::Result(result))
}

/// A call of a tool or prompt.
pub struct Asked {
    pub what: What,
    pub arguments: Value,
    pub answers: Map<String, Value>,
    pub state: Option<Value>,
    /// What the client can do.
    pub client: Value,
    pub voice: Voice,
}

async fn call(
    house: &Arc<House>,
    headers: &HeaderMap,
    id: &Value,
    method: &str,
    params: &Value,
) -> Result<Answer, Fault> {
    let what = What::of(house, method, params)?;
    let state = match params.get("requestState") {
        None => None,
        Some(state) => {
            let state = state.as_str().and_then(|state| house.seal.open(what.name(), state));
            let strange = || Fault::new(INVALID_PARAMS, "requestState is not what was given");
            Some(state.ok_or_else(strange)?)
        }
    };
    let meta = &params["_meta"];
    let stream = (accepts_stream(headers) && what.speaks(true)).then(|| Arc::new(Outbox::default()));
    let wanted = meta.get(LOG_LEVEL);
    let asked = Asked {
        arguments: arguments(params),
        answers: answers(params)?,
        state,
        client: meta[CAPABILITIES].clone(),
        voice: Voice {
            outbox: stream.clone(),
            progress_token: meta.get("progressToken").cloned(),
            log_level: wanted.and_then(|wanted| LEVELS.iter().position(|level| wanted == level)),
            resumable: false,
        },
        what,
    };
    if let What::Tool(tool) = &asked.what
        && catalog::needs_tasks(tool)
        && !tasks::knows(&asked.client)
    {
        return Err(tasks::unknown_to_client());
    }
    let Some(outbox) = stream else {
        return run(house, asked).await.map(Answer::Result);
    };
    let gone = CancellationToken::new();
    let response = outbox.read(0, None, Some(gone.clone()));
    let (house, id) = (house.clone(), id.clone());
    tokio::spawn(async move {
        tokio::select! {
            outcome = run(&house, asked) => outbox.say(&message(&id, outcome.map(complete))),
            // Closing the stream cancels the request.
            () = gone.cancelled() => {}
        }
        outbox.end();
    });
    Ok(Answer::Stream(response))
}

/// Runs a tool or prompt until it is done, needs an answer, or is a task.
async fn run(house: &Arc<House>, asked: Asked) -> Result<Value, Fault> {
    let tasks = match &asked.what {
        What::Tool(tool) if tasks::knows(&asked.client) => catalog::tasks(tool, &asked.arguments),
        What::Tool(_) | What::Prompt(_) => Tasks::Never,
    };
    if tasks == Tasks::FromTheBeginning {
        return Ok(house.tasks.begin(house, asked));
    }
    match step(house, &asked).await {
        Step::Done(_) if tasks == Tasks::AfterAsking => Ok(house.tasks.begin(house, asked)),
        Step::Done(result) => Ok(result),
        Step::Fault(fault) => Err(fault),
        Step::Ask { requests, state } => {
            if let Some(lacking) = lacking(&requests, &asked.client) {
                return Err(Fault::missing_capability(&lacking));
            }
            let mut result = json!({ "resultType": "input_required", "inputRequests": requests });
            if let Some(state) = state {
                result["requestState"] = json!(house.seal.close(asked.what.name(), &state));
            }
            Ok(result)
        }
    }
}

/// Takes one step of a call.
pub async fn step(house: &House, asked: &Asked) -> Step {
    let change = |change: Change<'_>| house.make(change);
    let call = Call {
        arguments: &asked.arguments,
        answers: &asked.answers,
        state: asked.state.as_ref(),
        capabilities: &asked.client,
        voice: &asked.voice,
        change: &change,
    };
    house.step(&asked.what, &call).await
}
