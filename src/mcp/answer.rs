//! Answers, written by hand around the bytes that they carry.
//!
//! **Invariants.** A result's bytes are copied as they are. No error repeats a token, a credential
//! or an upstream's address.

use std::borrow::Cow;
use std::fmt::Write as _;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName};
use actix_web::{HttpResponse, HttpResponseBuilder};
use bytes::Bytes;

/// The JSON-RPC error codes that this door answers with.
pub(super) mod codes {
    /// JSON-RPC: not JSON.
    pub const PARSE: i64 = -32700;
    /// JSON-RPC: not a request.
    pub const INVALID_REQUEST: i64 = -32600;
    /// JSON-RPC: no such method.
    pub const METHOD_NOT_FOUND: i64 = -32601;
    /// JSON-RPC: wrong parameters; MCP: also an unknown tool.
    pub const INVALID_PARAMS: i64 = -32602;
    /// JSON-RPC: it went wrong on this side or behind it.
    pub const INTERNAL: i64 = -32603;
    /// JSON-RPC leaves it to the server: the call was not let through, or was stopped.
    pub const REFUSED: i64 = -32000;
    /// MCP up to 2025-11-25: there is no such resource.
    pub const RESOURCE_NOT_FOUND: i64 = -32002;
    /// MCP 2025-11-25: the user has to visit a URL first.
    pub const URL_ELICITATION_REQUIRED: i64 = -32042;
    /// MCP 2026-07-28: a header disagrees with the body.
    pub const HEADER_MISMATCH: i64 = -32020;
    /// MCP 2026-07-28: it needs something that the client has not declared to be able to do.
    pub const MISSING_CAPABILITY: i64 = -32021;
    /// MCP 2026-07-28: the protocol version is not supported.
    pub const UNSUPPORTED_VERSION: i64 = -32022;
}

/// Seconds after which a client may try again what could not be done now.
const RETRY_AFTER_SECONDS: &str = "1";
/// The header of the legacy era's session id.
pub(super) const MCP_SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");

/// Something that is not done, and how that is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub status: StatusCode,
    pub code: i64,
    pub message: Cow<'static, str>,
    /// The error's `data`, as JSON.
    pub data: Option<String>,
    /// The `WWW-Authenticate` header.
    pub challenge: Option<String>,
    /// What is answered in place of an error, as JSON.
    pub result: Option<Box<str>>,
}

impl Fault {
    /// An error within JSON-RPC: HTTP itself went well.
    pub fn new(code: i64, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status: StatusCode::OK,
            code,
            message: message.into(),
            data: None,
            challenge: None,
            result: None,
        }
    }

    /// The message itself is wrong: HTTP 400.
    pub fn malformed(code: i64, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(code, message).with_status(StatusCode::BAD_REQUEST)
    }

    /// It cannot be done now, and nothing was done: HTTP 503.
    pub fn unavailable(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(codes::INTERNAL, message)
            .with_status(StatusCode::SERVICE_UNAVAILABLE)
            .with_code("unavailable", None)
    }

    /// The same with another HTTP status.
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// The same with this JSON as `data`.
    pub fn with_data(self, data: String) -> Self {
        Self { data: Some(data), ..self }
    }

    /// The same with a stable code, and a call's id where there is one, in `data`.
    pub fn with_code(self, code: &str, call: Option<&str>) -> Self {
        let mut data = String::with_capacity(96);
        data.push_str("{\"code\":");
        push_text(&mut data, code);
        if let Some(call) = call {
            data.push_str(",\"call_id\":");
            push_text(&mut data, call);
        }
        data.push('}');
        self.with_data(data)
    }

    /// The same, with another text in `data`.
    pub fn with_member(self, key: &str, text: &str) -> Self {
        let Some(open) = self.data.as_deref().and_then(|data| data.strip_suffix('}')) else { return self };
        let mut data = format!("{open},\"{key}\":");
        push_text(&mut data, text);
        data.push('}');
        self.with_data(data)
    }

    /// The same, with the seconds after which it may be tried again.
    pub fn with_retry(self, seconds: Option<u32>) -> Self {
        let (Some(seconds), Some(data)) = (seconds, self.data.as_deref()) else { return self };
        let Some(open) = data.strip_suffix('}') else { return self };
        let data = format!("{open},\"retry_after_seconds\":{seconds}}}");
        self.with_data(data)
    }

    /// The same said by a result: that something is to be done first.
    pub fn with_result(self, result: String) -> Self {
        Self { result: Some(result.into()), ..self }
    }

    /// As the answer to the request with this id.
    pub fn reply(self, id: &str) -> Reply {
        if let Some(result) = &self.result {
            return Reply::result(id, result);
        }
        let mut body = String::with_capacity(160 + self.message.len());
        let _infallible =
            write!(body, "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{{\"code\":{},\"message\":", self.code);
        push_text(&mut body, &self.message);
        if let Some(data) = &self.data {
            body.push_str(",\"data\":");
            body.push_str(data);
        }
        body.push_str("}}");
        Reply { status: self.status, body: body.into(), session: None, challenge: self.challenge }
    }
}

/// An answer, before it is known whether it goes out alone or on a stream.
#[derive(Debug)]
pub(super) struct Reply {
    pub status: StatusCode,
    /// A JSON-RPC message; empty where there is nothing to say.
    pub body: Bytes,
    /// The `Mcp-Session-Id` header.
    pub session: Option<String>,
    /// The `WWW-Authenticate` header.
    pub challenge: Option<String>,
}

impl Reply {
    /// A result, which is JSON.
    pub fn result(id: &str, result: &str) -> Self {
        Self::parts(id, &[result])
    }

    /// A result in pieces, which together are JSON.
    pub fn parts(id: &str, parts: &[&str]) -> Self {
        const AROUND: [&str; 3] = ["{\"jsonrpc\":\"2.0\",\"id\":", ",\"result\":", "}"];
        let around: usize = AROUND.iter().map(|part| part.len()).sum();
        let inside: usize = parts.iter().map(|part| part.len()).sum();
        let mut body = String::with_capacity(around + id.len() + inside);
        body.push_str(AROUND[0]);
        body.push_str(id);
        body.push_str(AROUND[1]);
        parts.iter().for_each(|part| body.push_str(part));
        body.push_str(AROUND[2]);
        Self { status: StatusCode::OK, body: body.into(), session: None, challenge: None }
    }

    /// A notification was taken in.
    pub fn accepted() -> Self {
        Self { status: StatusCode::ACCEPTED, body: Bytes::new(), session: None, challenge: None }
    }

    /// As an HTTP answer of its own.
    pub fn into_response(self) -> HttpResponse {
        let mut response = HttpResponseBuilder::new(self.status);
        if let Some(session) = self.session {
            response.insert_header((MCP_SESSION_ID, session));
        }
        if let Some(challenge) = self.challenge {
            response.insert_header((header::WWW_AUTHENTICATE, challenge));
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.insert_header((header::RETRY_AFTER, RETRY_AFTER_SECONDS));
        }
        if self.body.is_empty() {
            return response.finish();
        }
        response.insert_header((header::CONTENT_TYPE, "application/json"));
        response.body(self.body)
    }
}

/// Appends `text` as a JSON string.
pub(super) fn push_text(json: &mut String, text: &str) {
    let plain = text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\');
    if plain {
        json.push('"');
        json.push_str(text);
        json.push('"');
    } else {
        json.push_str(&serde_json::to_string(text).expect("a string is always JSON"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_carries_the_bytes_of_its_result() {
        let reply = Reply::parts("\"a\"", &["{ \"x\":", "1.0 }"]);
        assert_eq!(reply.body, r#"{"jsonrpc":"2.0","id":"a","result":{ "x":1.0 }}"#);
    }

    #[test]
    fn an_error_is_json_whatever_it_repeats() {
        let fault = Fault::new(codes::INVALID_PARAMS, "Unknown tool: \"\\\u{1}é")
            .with_code("not_in_scope", Some("call_1"));
        let body: serde_json::Value = serde_json::from_slice(&fault.reply("7").body).unwrap();
        assert_eq!(
            body,
            serde_json::json!({"jsonrpc": "2.0", "id": 7, "error": {
                "code": -32602, "message": "Unknown tool: \"\\\u{1}é",
                "data": {"code": "not_in_scope", "call_id": "call_1"}}})
        );
    }
}
