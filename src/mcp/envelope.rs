//! Takes a JSON-RPC message apart, leaving what it carries as the bytes that were sent.
//!
//! **Invariants.** Nothing that is sent makes this panic or recurse. A key that stands twice in the
//! envelope, its parameters or their `_meta` refuses the message. Batches are refused: revision
//! 2025-06-18 removed them, and no earlier client needs one.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::answer::{Fault, codes, push_text};
use super::members::{self, NotMembers, members, text};

/// Deepest nesting of a message. What is recorded must also be readable by everything behind, and
/// serde_json reads no deeper.
pub(super) const DEPTH_MAX: usize = 127;
/// Longest id of a request, in bytes: it is repeated in every message about it.
const ID_BYTES_MAX: usize = 256;

/// A message, taken apart.
#[derive(Debug)]
pub(super) enum Message<'a> {
    /// It wants an answer.
    Request(Request<'a>),
    /// It wants none.
    Notification(Request<'a>),
    /// It answers something that a server asked.
    Answer(Answered<'a>),
}

/// An answer to something that a server asked.
#[derive(Debug)]
pub(super) struct Answered<'a> {
    pub id: &'a RawValue,
    /// Its `result`, or its `error`.
    pub value: &'a RawValue,
    pub is_error: bool,
}

/// A request, or a notification, which has no id.
#[derive(Debug)]
pub(super) struct Request<'a> {
    /// Its id as it was written; `null` for a notification.
    pub id: &'a str,
    pub method: Cow<'a, str>,
    pub params: Params<'a>,
}

/// The parameters that this program knows of any method.
#[derive(Debug, Default)]
pub(super) struct Params<'a> {
    pub name: Option<&'a RawValue>,
    pub arguments: Option<&'a RawValue>,
    pub cursor: Option<&'a RawValue>,
    pub uri: Option<&'a RawValue>,
    pub level: Option<&'a RawValue>,
    /// `ref`: what has an argument that is to be completed.
    pub reference: Option<&'a RawValue>,
    pub argument: Option<&'a RawValue>,
    pub context: Option<&'a RawValue>,
    /// What an upstream had asked for.
    pub input_responses: Option<&'a RawValue>,
    pub request_state: Option<&'a RawValue>,
    pub protocol_version: Option<&'a RawValue>,
    pub capabilities: Option<&'a RawValue>,
    pub client_info: Option<&'a RawValue>,
    pub request_id: Option<&'a RawValue>,
    pub notifications: Option<&'a RawValue>,
    pub meta: Meta<'a>,
}

/// The members of `_meta` that this program knows.
#[derive(Debug, Default)]
pub(super) struct Meta<'a> {
    /// `io.modelcontextprotocol/protocolVersion`, which selects the modern era.
    pub protocol_version: Option<&'a RawValue>,
    /// `io.modelcontextprotocol/clientInfo`
    pub client_info: Option<&'a RawValue>,
    /// `io.modelcontextprotocol/clientCapabilities`
    pub client_capabilities: Option<&'a RawValue>,
    pub progress_token: Option<&'a RawValue>,
    pub traceparent: Option<Cow<'a, str>>,
    pub tracestate: Option<Cow<'a, str>>,
    pub baggage: Option<Cow<'a, str>>,
    /// All else, as it goes on to upstreams.
    pub others: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl Meta<'_> {
    /// All else as an object, where there is any.
    pub fn others(&self) -> Option<Box<RawValue>> {
        if self.others.is_empty() {
            return None;
        }
        let mut json = String::from("{");
        for (name, value) in &self.others {
            if json.len() > 1 {
                json.push(',');
            }
            push_text(&mut json, name);
            json.push(':');
            json.push_str(value.get());
        }
        json.push('}');
        RawValue::from_string(json).ok()
    }

    /// Whether anything in it belongs to the modern era alone.
    pub fn is_modern(&self) -> bool {
        self.protocol_version.is_some()
    }
}

/// A message that is refused: with the id to say so to, as far as it could be read.
#[derive(Debug)]
pub(super) struct Malformed<'a> {
    pub id: &'a str,
    pub fault: Fault,
}

const NO_ID: &str = "null";

/// Takes `body` apart.
///
/// # Errors
/// What is wrong with it, as the answer that the specification prescribes.
pub(super) fn parse(body: &[u8]) -> Result<Message<'_>, Malformed<'_>> {
    let anonymous = |fault| Malformed { id: NO_ID, fault };
    let json = std::str::from_utf8(body)
        .map_err(|_| anonymous(Fault::malformed(codes::PARSE, "the body is not UTF-8")))?;
    if nests_deeper_than(json.as_bytes(), DEPTH_MAX) {
        let message = format!("the body is nested deeper than {DEPTH_MAX} levels");
        return Err(anonymous(Fault::malformed(codes::INVALID_REQUEST, message)));
    }
    if json.trim_start_matches(JSON_SPACE).starts_with('[') {
        let wrong = if is_json(json) {
            (codes::INVALID_REQUEST, "batches are not supported: send one message per request")
        } else {
            (codes::PARSE, NOT_JSON)
        };
        return Err(anonymous(Fault::malformed(wrong.0, wrong.1)));
    }
    let mut outer = Outer::default();
    let walked = members(json, |key, value| outer.take(key, value));
    let wrong = match walked {
        Ok(()) => None,
        Err(NotMembers::OtherType) if is_json(json) => Some("the body is not a JSON-RPC message".into()),
        Err(NotMembers::OtherType) => return Err(anonymous(Fault::malformed(codes::PARSE, NOT_JSON))),
        Err(other) => Some(duplicate("the message", &other)),
    };
    let id = outer.id.filter(|id| is_id(id)).map_or(NO_ID, RawValue::get);
    let refused = |message: Cow<'static, str>| Malformed {
        id,
        fault: Fault::malformed(codes::INVALID_REQUEST, message),
    };
    if let Some(wrong) = wrong {
        return Err(refused(wrong.into()));
    }
    if outer.version.and_then(text).as_deref() != Some("2.0") {
        return Err(refused("jsonrpc must be \"2.0\"".into()));
    }
    if outer.id.is_some_and(|id| !is_id(id)) {
        return Err(refused("id must be an integer or a string".into()));
    }
    let Some(method) = outer.method else {
        return match (outer.answer, outer.id) {
            (Some((value, is_error)), Some(id)) => Ok(Message::Answer(Answered { id, value, is_error })),
            _ => Err(refused("method is missing".into())),
        };
    };
    // Not even a string is always text: it may hold half of an escaped surrogate pair.
    let Some(method) = text(method) else {
        return Err(refused("method must be a string".into()));
    };
    if outer.answer.is_some() {
        return Err(refused("a message with a method has neither result nor error".into()));
    }
    let params = Params::of(outer.params).map_err(|fault| Malformed { id, fault })?;
    let request = Request { id, method, params };
    Ok(if outer.id.is_some() { Message::Request(request) } else { Message::Notification(request) })
}

const NOT_JSON: &str = "the body is not JSON";
const JSON_SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

#[derive(Default)]
struct Outer<'a> {
    version: Option<&'a RawValue>,
    id: Option<&'a RawValue>,
    method: Option<&'a RawValue>,
    params: Option<&'a RawValue>,
    /// The value of `result` or `error`, and whether it is the latter.
    answer: Option<(&'a RawValue, bool)>,
}

impl<'a> Outer<'a> {
    fn take(&mut self, key: &str, value: &'a RawValue) {
        match key {
            "jsonrpc" => self.version = Some(value),
            "id" => self.id = Some(value),
            "method" => self.method = Some(value),
            "params" => self.params = Some(value),
            "result" => self.answer = Some((value, false)),
            "error" => self.answer = Some((value, true)),
            _ => {}
        }
    }
}

impl<'a> Params<'a> {
    fn of(raw: Option<&'a RawValue>) -> Result<Self, Fault> {
        let mut params = Self::default();
        let Some(raw) = raw else { return Ok(params) };
        let mut meta = None;
        members(raw.get(), |key, value| match key {
            "name" => params.name = Some(value),
            "arguments" => params.arguments = Some(value),
            "cursor" => params.cursor = Some(value),
            "uri" => params.uri = Some(value),
            "level" => params.level = Some(value),
            "ref" => params.reference = Some(value),
            "argument" => params.argument = Some(value),
            "context" => params.context = Some(value),
            "inputResponses" => params.input_responses = Some(value),
            "requestState" => params.request_state = Some(value),
            "protocolVersion" => params.protocol_version = Some(value),
            "capabilities" => params.capabilities = Some(value),
            "clientInfo" => params.client_info = Some(value),
            "requestId" => params.request_id = Some(value),
            "notifications" => params.notifications = Some(value),
            "_meta" => meta = Some(value),
            _ => {}
        })
        .map_err(|wrong| unfit("params", &wrong))?;
        if let Some(meta) = meta {
            params.meta = Meta::of(meta)?;
        }
        Ok(params)
    }
}

impl<'a> Meta<'a> {
    fn of(raw: &'a RawValue) -> Result<Self, Fault> {
        let mut meta = Self::default();
        members(raw.get(), |key, value| match key {
            "io.modelcontextprotocol/protocolVersion" => meta.protocol_version = Some(value),
            "io.modelcontextprotocol/clientInfo" => meta.client_info = Some(value),
            "io.modelcontextprotocol/clientCapabilities" => meta.client_capabilities = Some(value),
            "progressToken" => meta.progress_token = Some(value),
            "traceparent" => meta.traceparent = text(value),
            "tracestate" => meta.tracestate = text(value),
            "baggage" => meta.baggage = text(value),
            other => meta.others.push((other.to_owned().into(), value)),
        })
        .map_err(|wrong| unfit("params._meta", &wrong))?;
        if meta.progress_token.is_some_and(|token| !members::is_integer_or_text(token)) {
            let message = "params._meta.progressToken must be an integer or a string";
            return Err(Fault::malformed(codes::INVALID_PARAMS, message));
        }
        Ok(meta)
    }
}

fn unfit(what: &str, wrong: &NotMembers) -> Fault {
    match wrong {
        NotMembers::OtherType => Fault::malformed(codes::INVALID_PARAMS, format!("{what} must be an object")),
        other => Fault::malformed(codes::INVALID_REQUEST, duplicate(what, other)),
    }
}

fn duplicate(what: &str, wrong: &NotMembers) -> String {
    match wrong {
        NotMembers::Twice(key) => format!("{what} has the key \"{key}\" twice"),
        NotMembers::TooMany => format!("{what} has too many members"),
        NotMembers::OtherType => format!("{what} is not an object"),
    }
}

fn is_id(id: &RawValue) -> bool {
    members::is_integer_or_text(id) && id.get().len() <= ID_BYTES_MAX
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok()
}

/// Counts brackets outside of strings; no need to know more about a text that may be no JSON.
fn nests_deeper_than(text: &[u8], depth_max: usize) -> bool {
    let mut depth = 0_usize;
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => {
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'"' => break,
                        b'\\' => drop(bytes.next()),
                        _ => {}
                    }
                }
            }
            b'{' | b'[' => {
                depth += 1;
                if depth > depth_max {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests;
