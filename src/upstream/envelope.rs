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

use super::{Ask, Call, Completed, Input, MODERN_VERSION, RpcError};

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
    others: &'a [(Cow<'a, str>, &'a RawValue)],
}

/// A call.
pub(super) fn call(id: u64, call: &Call<'_>, modern: bool) -> String {
    let raw_len = |raw: Option<&RawValue>| raw.map_or(0, |raw| raw.get().len());
    let (name, arguments) = (call.ask.name().map_or(0, str::len), raw_len(call.ask.arguments()));
    let context = raw_len(call.client_info) + raw_len(call.client_capabilities);
    let mut body = String::with_capacity(ENVELOPE_BYTES + name + arguments + context);
    open(&mut body, id, call.ask.method());
    let mut has_params = push_params(&mut body, &call.ask);
    if modern {
        has_params |= push_input(&mut body, call.input, has_params);
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
        others: call.meta,
    };
    push_meta(&mut body, meta, has_params);
    body.push_str("}}");
    body
}

/// What is asked; whether that is anything.
fn push_params(body: &mut String, ask: &Ask<'_>) -> bool {
    match ask {
        Ask::Tool { name, arguments } | Ask::Prompt { name, arguments } => {
            body.push_str(r#""name":"#);
            push_string(body, name);
            if let Some(arguments) = arguments {
                body.push_str(r#","arguments":"#);
                body.push_str(arguments.get());
            }
        }
        Ask::ResourceList { cursor: None } => return false,
        Ask::ResourceList { cursor: Some(cursor) } => {
            body.push_str(r#""cursor":"#);
            push_string(body, cursor);
        }
        Ask::Resource { uri } => {
            body.push_str(r#""uri":"#);
            push_string(body, uri);
        }
        Ask::Completion { of, argument, context } => {
            let (open, name) = match of {
                Completed::Prompt(name) => (r#""ref":{"type":"ref/prompt","name":"#, name),
                Completed::ResourceTemplate(template) => (r#""ref":{"type":"ref/resource","uri":"#, template),
            };
            body.push_str(open);
            push_string(body, name);
            body.push_str(r#"},"argument":"#);
            body.push_str(argument.get());
            if let Some(context) = context {
                body.push_str(r#","context":"#);
                body.push_str(context.get());
            }
        }
    }
    true
}

/// The input that was wanted; whether there is any.
fn push_input(body: &mut String, input: Input<'_>, after_field: bool) -> bool {
    let mut comma = after_field;
    let mut key = |body: &mut String, name: &str| {
        body.push_str(if comma { "," } else { "" });
        comma = true;
        let _infallible = write!(body, r#""{name}":"#);
    };
    if let Some(responses) = input.responses {
        key(body, "inputResponses");
        body.push_str(responses.get());
    }
    if let Some(state) = input.state {
        key(body, "requestState");
        push_string(body, state);
    }
    input.responses.is_some() || input.state.is_some()
}

/// A request for a list, from the beginning or from a cursor.
pub(super) fn list(id: u64, method: &str, cursor: Option<&str>, modern: bool) -> String {
    let mut body = String::with_capacity(ENVELOPE_BYTES);
    open(&mut body, id, method);
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

/// A `subscriptions/listen` for changes of what is pinned.
pub(super) fn listen(id: u64) -> String {
    let mut body = String::with_capacity(ENVELOPE_BYTES);
    open(&mut body, id, "subscriptions/listen");
    body.push_str(r#""notifications":{"toolsListChanged":true,"promptsListChanged":true}"#);
    let meta = Meta { modern: true, ..Meta::default() };
    push_meta(&mut body, meta, true);
    body.push_str("}}");
    body
}

/// A legacy `initialize` that declares these capabilities, an object.
pub(super) fn initialize(id: u64, version: &str, declared: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"initialize","params":{{"protocolVersion":"{version}","capabilities":{declared},"clientInfo":{OWN_CLIENT_INFO}}}}}"#
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

/// An answer to a request that an upstream sent to us: `"result":…` or `"error":…`.
pub(super) fn answer_with(request_id: &RawValue, answer: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{},{answer}}}"#, request_id.get())
}

/// The answer to a request that an upstream sent to us and nobody takes up: a `ping` is answered, all else refused,
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
        push_string(body, name);
        body.push(':');
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
    for (name, value) in meta.others {
        key(body, name);
        body.push_str(value.get());
    }
    if body.len() > start {
        body.push('}');
    }
}

fn push_string(body: &mut String, text: &str) {
    if text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        body.push('"');
        body.push_str(text);
        body.push('"');
        return;
    }
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
    Request { id: &'a RawValue, method: Cow<'a, str>, params: Option<&'a RawValue> },
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
        Envelope { method: Some(method), id: Some(id), params, .. } => {
            Ok(Incoming::Request { id, method, params })
        }
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
        let tool = Call::of_tool("t", Some(&arguments));
        assert!(call(1, &tool, true).contains(arguments.get()));
    }

    #[test]
    fn a_modern_call_carries_its_context_and_a_legacy_one_does_not() {
        let capabilities = raw(r#"{"elicitation":{}}"#);
        let info = raw(r#"{"name":"agent","version":"1"}"#);
        let full = Call {
            client_info: Some(&info),
            client_capabilities: Some(&capabilities),
            progress_wanted: true,
            trace: Trace { traceparent: Some("00-a-b-01"), ..Trace::default() },
            ..Call::of_tool("odd \"name\"\n", None)
        };
        let modern = parsed(&call(7, &full, true));
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
        let legacy = parsed(&call(7, &full, false));
        assert_eq!(legacy["params"]["_meta"], json!({"progressToken": 7, "traceparent": "00-a-b-01"}));
        let bare = parsed(&call(7, &Call::of_tool("t", None), false));
        assert_eq!(bare["params"], json!({"name": "t"}));
    }

    #[test]
    fn each_method_asks_in_its_own_words() {
        let argument = raw(r#"{"name":"to","value":"a"}"#);
        let asked = |ask: Ask<'_>| {
            let message = parsed(&call(1, &Call { ask, ..Call::of_tool("t", None) }, false));
            (message["method"].clone(), message["params"].clone())
        };
        let arguments = raw(r#"{"a":"1"}"#);
        for (ask, method, params) in [
            (
                Ask::Prompt { name: "p", arguments: Some(&arguments) },
                "prompts/get",
                json!({"name": "p", "arguments": {"a": "1"}}),
            ),
            (Ask::Resource { uri: "x://\"" }, "resources/read", json!({"uri": "x://\""})),
            (Ask::ResourceList { cursor: None }, "resources/list", json!({})),
            (Ask::ResourceList { cursor: Some("c") }, "resources/list", json!({"cursor": "c"})),
            (
                Ask::Completion { of: Completed::Prompt("p"), argument: &argument, context: None },
                "completion/complete",
                json!({"ref": {"type": "ref/prompt", "name": "p"}, "argument": {"name": "to", "value": "a"}}),
            ),
            (
                Ask::Completion {
                    of: Completed::ResourceTemplate("x://{i}"),
                    argument: &argument,
                    context: Some(&arguments),
                },
                "completion/complete",
                json!({"ref": {"type": "ref/resource", "uri": "x://{i}"},
                       "argument": {"name": "to", "value": "a"}, "context": {"a": "1"}}),
            ),
        ] {
            assert_eq!(asked(ask), (json!(method), params));
        }
    }

    #[test]
    fn without_the_callers_capabilities_none_are_declared() {
        let call = parsed(&call(1, &Call::of_tool("t", None), true));
        let key = "io.modelcontextprotocol/clientCapabilities";
        assert_eq!(call["params"]["_meta"][key], json!({}));
        assert_eq!(parsed(&discover(1))["params"]["_meta"][key], json!({}));
        assert_eq!(parsed(&initialize(1, "2025-11-25", "{}"))["params"]["capabilities"], json!({}));
    }

    #[test]
    fn every_request_is_json() {
        assert_eq!(parsed(&list(1, "tools/list", None, false))["params"], json!({}));
        assert_eq!(parsed(&list(1, "tools/list", Some("c\""), false))["params"], json!({"cursor": "c\""}));
        assert_eq!(parsed(&list(1, "prompts/list", Some("c"), true))["params"]["cursor"], "c");
        assert_eq!(
            parsed(&listen(2))["params"]["notifications"],
            json!({"toolsListChanged": true, "promptsListChanged": true})
        );
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
