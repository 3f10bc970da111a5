//! What the protocol demands of a client, demanded to the letter, so that a sloppy one is noticed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::HeaderMap;
use serde_json::{Value, json};

use crate::rpc::Params;
use crate::server::{Eras, Shared, lock};
use crate::{LEGACY, MODERN};

/// Why a request is refused, as HTTP status and JSON-RPC error.
pub struct Refusal {
    pub status: u16,
    pub code: i32,
    pub reason: String,
    pub data: Option<Value>,
}

fn refusal(status: u16, code: i32, reason: impl Into<String>) -> Refusal {
    Refusal { status, code, reason: reason.into(), data: None }
}

/// Whether the request is of the modern era, or why it is refused.
pub fn check(
    shared: &Shared,
    headers: &HeaderMap,
    method: Option<&str>,
    params: &Params<'_>,
) -> Result<bool, Refusal> {
    if let Some((name, value)) = &shared.options.secret
        && header(headers, name) != Some(value)
    {
        return Err(refusal(401, -32001, format!("the header {name} is missing or wrong")));
    }
    let Some(method) = method else { return Ok(false) };
    let version = params.meta.as_ref().and_then(|meta| meta.protocol_version.as_deref());
    match version {
        Some(version) if shared.options.eras != Eras::Legacy => {
            check_modern(shared, headers, method, params, version).map(|()| true)
        }
        // A legacy server knows nothing of `_meta`, and its first complaint is the session.
        _ => check_legacy(shared, headers, method).map(|()| false),
    }
}

fn check_modern(
    shared: &Shared,
    headers: &HeaderMap,
    method: &str,
    params: &Params<'_>,
    version: &str,
) -> Result<(), Refusal> {
    let mismatch = |reason: String| Err(refusal(400, -32020, reason));
    if version != MODERN {
        let mut refused = refusal(400, -32022, format!("unsupported version {version}"));
        refused.data = Some(json!({ "supported": [MODERN], "requested": version }));
        return Err(refused);
    }
    if params.meta.as_ref().is_none_or(|meta| meta.client_capabilities.is_none()) {
        return Err(refusal(400, -32602, "_meta has no clientCapabilities"));
    }
    if header(headers, "mcp-protocol-version") != Some(version) {
        return mismatch(format!("MCP-Protocol-Version is not {version}"));
    }
    if header(headers, "mcp-method") != Some(method) {
        return mismatch(format!("Mcp-Method is not {method}"));
    }
    if header(headers, "mcp-session-id").is_some() {
        return mismatch("Mcp-Session-Id has no meaning in this era".to_owned());
    }
    if method != "tools/call" {
        return Ok(());
    }
    if decoded(headers, "mcp-name") != params.name {
        return mismatch(format!("Mcp-Name is not {:?}", params.name));
    }
    let definition = params.name.as_deref().and_then(|name| shared.catalog.definition(name));
    let definition: Value = definition.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default();
    let arguments: Value =
        params.arguments.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    let properties = definition["inputSchema"]["properties"].as_object();
    for (property, schema) in properties.into_iter().flatten() {
        let Some(name) = schema["x-mcp-header"].as_str() else { continue };
        let told = decoded(headers, &format!("mcp-param-{}", name.to_lowercase()));
        let meant = arguments[property].as_str().map(str::to_owned);
        if told != meant {
            return mismatch(format!("Mcp-Param-{name} is {told:?}, the body says {meant:?}"));
        }
    }
    Ok(())
}

fn check_legacy(shared: &Shared, headers: &HeaderMap, method: &str) -> Result<(), Refusal> {
    if shared.options.eras == Eras::Modern {
        let mut refused = refusal(400, -32022, "only modern requests are served");
        refused.data = Some(json!({ "supported": [MODERN] }));
        return Err(refused);
    }
    if method == "initialize" {
        return Ok(());
    }
    match header(headers, "mcp-session-id") {
        None => Err(refusal(400, -32000, "Bad Request: Mcp-Session-Id header is required")),
        Some(session) if !lock(&shared.sessions).contains(session) => {
            Err(refusal(404, -32001, "Session not found"))
        }
        Some(_) if header(headers, "mcp-protocol-version") != Some(LEGACY) => {
            Err(refusal(400, -32000, format!("MCP-Protocol-Version is not {LEGACY}")))
        }
        Some(_) => Ok(()),
    }
}

/// The first value of a header.
pub fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// A header value, out of its `=?base64?…?=` wrapping if it has one.
fn decoded(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = header(headers, name)?;
    let wrapped = value.strip_prefix("=?base64?").and_then(|value| value.strip_suffix("?="));
    match wrapped {
        Some(wrapped) => String::from_utf8(BASE64.decode(wrapped).ok()?).ok(),
        None => Some(value.to_owned()),
    }
}
