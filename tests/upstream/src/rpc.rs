//! JSON-RPC messages with their parts left as they came.

use serde::Deserialize;
use serde_json::value::RawValue;

/// A request or notification.
#[derive(Deserialize)]
pub struct Message<'a> {
    #[serde(borrow)]
    pub id: Option<&'a RawValue>,
    pub method: Option<String>,
    #[serde(borrow)]
    pub params: Option<&'a RawValue>,
}

/// The parts of `params` that the upstream looks at.
#[derive(Deserialize, Default)]
pub struct Params<'a> {
    pub name: Option<String>,
    #[serde(borrow)]
    pub arguments: Option<&'a RawValue>,
    pub cursor: Option<String>,
    #[serde(rename = "requestId", borrow)]
    pub request_id: Option<&'a RawValue>,
    #[serde(rename = "_meta", borrow)]
    pub meta: Option<Meta<'a>>,
}

/// The parts of `_meta` that the upstream looks at.
#[derive(Deserialize, Default)]
pub struct Meta<'a> {
    #[serde(rename = "progressToken", borrow)]
    pub progress_token: Option<&'a RawValue>,
    #[serde(rename = "io.modelcontextprotocol/protocolVersion")]
    pub protocol_version: Option<String>,
    #[serde(rename = "io.modelcontextprotocol/clientCapabilities", borrow)]
    pub client_capabilities: Option<&'a RawValue>,
}

/// A response with a result.
pub fn result(id: &str, result: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)
}

/// A response with an error; `data` is raw JSON.
pub fn error(id: &str, code: i32, message: &str, data: Option<&str>) -> String {
    let message = quoted(message);
    let data = data.map(|data| format!(r#","data":{data}"#)).unwrap_or_default();
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":{message}{data}}}}}"#)
}

/// A JSON string.
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
