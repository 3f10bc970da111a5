//! JSON-RPC messages to and from upstreams, assembled and taken apart by hand.
//!
//! Arguments and results are carried as the bytes that were sent: typed forwarding would lose
//! fields that this program does not know.
//!
//! **Invariants.** A request carries no more client capabilities than the caller gave. Progress
//! tokens are our own request ids, never the caller's.

use std::{borrow::Cow, fmt::Write as _};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Call, MODERN_VERSION, RpcError};

/// Who Proctor says it is, where the caller's own client is not known.
const OWN_CLIENT_INFO: &str = concat!(r#"{"name":"proctor","version":""#, env!("CARGO_PKG_VERSION"), r#""}"#);
/// An envelope without its arguments and `_meta` values is smaller than this.
const ENVELOPE_BYTES: usize = 320;

/// What the `_meta` of a request is made of.
#[derive(Clone, Copy, Default)]
struct Meta<'a> {
    modern: bool,
    client_info: Option<&'a RawValue>,
    client_capabilities: Option<&'a RawValue>,
    progress_token: Option<u64>,
    trace: [(&'static str, Option<&'a str>); 3],
}

/// A `tools/call`.
pub(super) fn tool_call(id: u64, call: &Call<'_>, modern: bool) -> String {
    let raw_len = |raw: Option<&RawValue>| raw.map_or(0, |raw| raw.get().len());
    let mut body = String::with_capacity(
        ENVELOPE_BYTES
            + call.tool.len()
            + raw_len(call.arguments)
            + raw_len(call.client_info)
            + raw_len(call.client_capabilities),
    );
    open(&mut body, id, "tools/call");
    body.push_str(r#""name":"#);
    push_string(&mut body, call.tool);
    if let Some(arguments) = call.arguments {
        body.push_str(r#","arguments":"#);
        body.push_str(arguments.get());
    }
    let meta = Meta {
        modern,
        client_info: call.client_info,
        client_capabilities: call.client_capabilities,
        progress_token: call.progress_wanted.then_some(id),
        trace: [
            ("traceparent", call.trace.traceparent),
            ("tracestate", call.trace.tracestate),
            ("baggage", call.trace.baggage),
        ],
    };
    push_meta(&mut body, meta, true);
    body.push_str("}}");
    body
}

/// A `tools/list`, from the beginning or from a cursor.
pub(super) fn tools_list(id: u64, cursor: Option<&str>, modern: bool) -> String {
    let mut body = String::with_capacity(ENVELOPE_BYTES);
    open(&mut body, id, "tools/list");
    if let Some(cursor) = cursor {
        body.push_str(r#""cursor":"#);
        push_string(&mut body, cursor);
    }
    let meta = Meta { modern, ..Meta::default() };
    push_meta(&mut body, meta, cursor.is_some());
    body.push_str("}}");
    body
}

/// A `server/discover`.
pub(super) fn discover(id: u64) -> String {
    let mut body = String::with_capacity(ENVELOPE_BYTES);
    open(&mut body, id, "server/discover");
    let meta = Meta { modern: true, ..Meta::default() };
    push_meta(&mut body, meta, false);
    body.push_str("}}");
    body
}

/// A `subscriptions/listen` for changes of tools.
pub(super) fn listen(id: u64) -> String {
    let mut body = String::with_capacity(ENVELOPE_BYTES);
    open(&mut body, id, "subscriptions/listen");
    body.push_str(r#""notifications":{"toolsListChanged":true}"#);
    let meta = Meta { modern: true, ..Meta::default() };
    push_meta(&mut body, meta, true);
    body.push_str("}}");
    body
}

/// A legacy `initialize` that declares no capabilities: a session outlives any one caller.
pub(super) fn initialize(id: u64, version: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"initialize","params":{{"protocolVersion":"{version}","capabilities":{{}},"clientInfo":{OWN_CLIENT_INFO}}}}}"#
    )
}

/// The legacy `notifications/initialized`.
pub(super) const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

/// A `notifications/cancelled` for our request `id`.
pub(super) fn cancelled(id: u64) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id},"reason":"the call was cancelled"}}}}"#
    )
}

/// The answer to a request that an upstream sent to us: a `ping` is answered, all else refused,
/// since no capability was declared that would allow it.
pub(super) fn answer_to(request_id: &RawValue, method: &str) -> String {
    let id = request_id.get();
    if method == "ping" {
        return format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#);
    }
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32601,"message":"this client offers no such method"}}}}"#
    )
}

fn open(body: &mut String, id: u64, method: &str) {
    let _infallible = write!(body, r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{"#);
}

fn push_meta(body: &mut String, meta: Meta<'_>, after_field: bool) {
    let mut separator = if after_field { r#","_meta":{"# } else { r#""_meta":{"# };
    let start = body.len();
    let mut key = |body: &mut String, name: &str| {
        body.push_str(separator);
        separator = ",";
        let _infallible = write!(body, r#""{name}":"#);
    };
    if meta.modern {
        key(body, "io.modelcontextprotocol/protocolVersion");
        let _infallible = write!(body, r#""{MODERN_VERSION}""#);
        key(body, "io.modelcontextprotocol/clientCapabilities");
        body.push_str(meta.client_capabilities.map_or("{}", RawValue::get));
        key(body, "io.modelcontextprotocol/clientInfo");
        body.push_str(meta.client_info.map_or(OWN_CLIENT_INFO, RawValue::get));
    }
    if let Some(token) = meta.progress_token {
        key(body, "progressToken");
        let _infallible = write!(body, "{token}");
    }
    for (name, value) in meta.trace {
        if let Some(value) = value {
            key(body, name);
            push_string(body, value);
        }
    }
    if body.len() > start {
        body.push('}');
    }
}

fn push_string(body: &mut String, text: &str) {
    let quoted = serde_json::to_string(text).expect("a string is always JSON");
    body.push_str(&quoted);
}

/// A message that an upstream sent.
pub(super) enum Incoming<'a> {
    /// The answer to a request of ours; `id` is absent where the upstream could not tell.
    Answer { id: Option<u64>, answer: Answer },
    /// A notification.
    Notification { method: Cow<'a, str>, params: Option<&'a RawValue> },
    /// A request to us.
    Request { id: &'a RawValue, method: Cow<'a, str> },
}

/// What a request of ours came back with.
#[derive(Debug)]
pub(super) enum Answer {
    Result(Box<RawValue>),
    Error(RpcError),
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<ErrorObject<'a>>,
}

#[derive(Deserialize)]
struct ErrorObject<'a> {
    code: i64,
    #[serde(default)]
    message: String,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

/// Takes a message apart; what is wrong with it otherwise.
pub(super) fn incoming(text: &[u8]) -> Result<Incoming<'_>, String> {
    let envelope: Envelope<'_> = serde_json::from_slice(text)
        .map_err(|err| format!("sent something that is no JSON-RPC message ({})", place(&err)))?;
    match envelope {
        Envelope { method: Some(method), id: Some(id), .. } => Ok(Incoming::Request { id, method }),
        Envelope { method: Some(method), params, .. } => Ok(Incoming::Notification { method, params }),
        Envelope { id, result: Some(result), error: None, .. } => {
            Ok(Incoming::Answer { id: number(id), answer: Answer::Result(result.to_owned()) })
        }
        Envelope { id, result: None, error: Some(error), .. } => Ok(Incoming::Answer {
            id: number(id),
            answer: Answer::Error(RpcError {
                code: error.code,
                message: error.message,
                data: error.data.map(ToOwned::to_owned),
            }),
        }),
        Envelope { .. } => Err("sent a JSON-RPC message without a method, or without exactly one of \
             result and error"
            .to_owned()),
    }
}

/// A JSON error without the text it occurred in.
fn place(err: &serde_json::Error) -> String {
    format!("{:?} error at line {}, column {}", err.classify(), err.line(), err.column())
}

/// Our ids are numbers; some servers give them back as strings.
fn number(id: Option<&RawValue>) -> Option<u64> {
    id?.get().trim_matches('"').parse().ok()
}

/// The `isError` of a tool's result.
pub(super) fn is_error(result: &RawValue) -> Result<bool, String> {
    #[derive(Deserialize)]
    struct ToolResult {
        #[serde(rename = "isError", default)]
        is_error: Option<bool>,
    }
    let result: ToolResult = serde_json::from_str(result.get())
        .map_err(|err| format!("answered with a result of the wrong shape ({})", place(&err)))?;
    Ok(result.is_error.unwrap_or(false))
}

/// The `progressToken` of a progress notification's parameters, if it is one of ours.
pub(super) fn progress_token(params: Option<&RawValue>) -> Option<u64> {
    #[derive(Deserialize)]
    struct Progress<'a> {
        #[serde(rename = "progressToken", borrow, default)]
        token: Option<&'a RawValue>,
    }
    let progress: Progress<'_> = serde_json::from_str(params?.get()).ok()?;
    number(progress.token)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::upstream::Trace;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    fn parsed(body: &str) -> Value {
        serde_json::from_str(body).unwrap()
    }

    #[test]
    fn arguments_travel_byte_for_byte() {
        let arguments =
            raw("{ \"b\" : 1.0e0,\n\t\"a\":\"\\u00fc\" , \"b2\":123456789012345678901234567890 }");
        let call = Call { arguments: Some(&arguments), ..Call::of("t") };
        assert!(tool_call(1, &call, true).contains(arguments.get()));
    }

    #[test]
    fn a_modern_call_carries_its_context_and_a_legacy_one_does_not() {
        let capabilities = raw(r#"{"elicitation":{}}"#);
        let info = raw(r#"{"name":"agent","version":"1"}"#);
        let call = Call {
            client_info: Some(&info),
            client_capabilities: Some(&capabilities),
            progress_wanted: true,
            trace: Trace { traceparent: Some("00-a-b-01"), ..Trace::default() },
            ..Call::of("odd \"name\"\n")
        };
        let modern = parsed(&tool_call(7, &call, true));
        assert_eq!(
            modern,
            json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {
                "name": "odd \"name\"\n",
                "_meta": {
                    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                    "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}},
                    "io.modelcontextprotocol/clientInfo": {"name": "agent", "version": "1"},
                    "progressToken": 7,
                    "traceparent": "00-a-b-01"}}})
        );
        let legacy = parsed(&tool_call(7, &call, false));
        assert_eq!(legacy["params"]["_meta"], json!({"progressToken": 7, "traceparent": "00-a-b-01"}));
        let bare = parsed(&tool_call(7, &Call::of("t"), false));
        assert_eq!(bare["params"], json!({"name": "t"}));
    }

    #[test]
    fn without_the_callers_capabilities_none_are_declared() {
        let call = parsed(&tool_call(1, &Call::of("t"), true));
        let key = "io.modelcontextprotocol/clientCapabilities";
        assert_eq!(call["params"]["_meta"][key], json!({}));
        assert_eq!(parsed(&discover(1))["params"]["_meta"][key], json!({}));
        assert_eq!(parsed(&initialize(1, "2025-11-25"))["params"]["capabilities"], json!({}));
    }

    #[test]
    fn every_request_is_json() {
        assert_eq!(parsed(&tools_list(1, None, false))["params"], json!({}));
        assert_eq!(parsed(&tools_list(1, Some("c\""), false))["params"], json!({"cursor": "c\""}));
        assert_eq!(parsed(&tools_list(1, Some("c"), true))["params"]["cursor"], "c");
        assert_eq!(parsed(&listen(2))["params"]["notifications"], json!({"toolsListChanged": true}));
        assert_eq!(parsed(&cancelled(3))["params"]["requestId"], 3);
        assert_eq!(parsed(&answer_to(&raw("\"x\""), "ping"))["result"], json!({}));
        assert_eq!(parsed(&answer_to(&raw("4"), "roots/list"))["error"]["code"], -32601);
    }

    #[test]
    fn results_keep_every_byte() {
        let text = br#" {"result": {"x" : [1.0, "\u00fc"], "isError":true },"id":"5","jsonrpc":"2.0"} "#;
        let Ok(Incoming::Answer { id: Some(5), answer: Answer::Result(result) }) = incoming(text) else {
            panic!("not the answer")
        };
        assert_eq!(result.get(), r#"{"x" : [1.0, "\u00fc"], "isError":true }"#);
        assert_eq!(is_error(&result), Ok(true));
        assert!(is_error(&raw("[1]")).is_err());
    }

    #[test]
    fn messages_that_are_none_are_refused_without_repeating_them() {
        for bad in [
            "",
            "secret",
            "[]",
            "{}",
            "{\"id\":1}",
            "[{\"id\":1,\"result\":{}}]",
            "{\"id\":1,\"result\":{},\"error\":{\"code\":1}}",
            "{\"id\":1,\"result\":null}",
            "{\"id\":1,\"result\":{\"secret\":1},\"result\":{\"secret\":2}}",
            "{\"id\":1,\"error\":\"secret\"}",
        ] {
            let err = incoming(bad.as_bytes()).err().unwrap_or_else(|| panic!("{bad}"));
            assert!(!err.contains("secret"), "{err}");
        }
        assert!(incoming(b"{\"id\":1,\"result\":\"\xff\"}").is_err());
    }
}
