//! JSON-RPC answers, and how HTTP carries them.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};

pub type Body = BoxBody<Bytes, Infallible>;

pub const INVALID_PARAMS: i64 = -32602;
pub const METHOD_NOT_FOUND: i64 = -32601;
pub const HEADER_MISMATCH: i64 = -32020;
pub const MISSING_CAPABILITY: i64 = -32021;
pub const UNSUPPORTED_VERSION: i64 = -32022;

/// A JSON-RPC error, and the HTTP status that the modern era gives it.
#[derive(Debug, Clone)]
pub struct Fault {
    pub status: u16,
    pub code: i64,
    pub message: String,
    pub data: Option<Value>,
}

impl Fault {
    /// One that HTTP knows nothing of.
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self { status: 200, code, message: message.into(), data: None }
    }

    pub fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    pub fn with_data(self, data: Value) -> Self {
        Self { data: Some(data), ..self }
    }

    pub fn method_not_found(method: &str) -> Self {
        Self::new(METHOD_NOT_FOUND, format!("method not found: {method}")).with_status(404)
    }

    /// The client has not declared `capabilities`, which has the form of `ClientCapabilities`.
    pub fn missing_capability(capabilities: &Value) -> Self {
        Self::new(MISSING_CAPABILITY, "the client has not declared a capability that is needed")
            .with_status(400)
            .with_data(json!({ "requiredCapabilities": capabilities }))
    }

    /// What goes into `error`.
    pub fn to_value(&self) -> Value {
        let mut error = json!({ "code": self.code, "message": self.message });
        if let Some(data) = &self.data {
            error["data"] = data.clone();
        }
        error
    }
}

/// A response message.
pub fn message(id: &Value, outcome: Result<Value, Fault>) -> Value {
    match outcome {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(fault) => json!({ "jsonrpc": "2.0", "id": id, "error": fault.to_value() }),
    }
}

/// A notification.
pub fn notification(method: &str, params: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "method": method, "params": params })
}

/// A response message as JSON.
pub fn json_response(status: u16, message: &Value) -> Response<Body> {
    response(status, "application/json", message.to_string())
}

/// A status with nothing to say in JSON-RPC.
pub fn plain(status: u16, text: &str) -> Response<Body> {
    response(status, "text/plain", text.to_owned())
}

fn response(status: u16, content_type: &str, body: String) -> Response<Body> {
    let status = StatusCode::from_u16(status).expect("a status");
    let response = Response::builder().status(status).header("content-type", content_type);
    response.body(Full::from(body).boxed()).expect("a static content type")
}
