//! The headers of the modern era, which must say what the body says (SEP-2243).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use serde_json::Value;

use super::catalog;
use super::wire::{Fault, HEADER_MISMATCH};

/// A header without the space around it.
pub fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim)
}

/// A name or argument as it was before it was made fit for a header. `None` where it cannot have
/// been one.
fn decoded(value: &str) -> Option<String> {
    match value.strip_prefix("=?base64?").and_then(|value| value.strip_suffix("?=")) {
        Some(encoded) => String::from_utf8(STANDARD.decode(encoded).ok()?).ok(),
        None => Some(value.to_owned()),
    }
}

fn mismatch(header: &str, why: &str) -> Fault {
    Fault::new(HEADER_MISMATCH, format!("{header} {why}")).with_status(400)
}

fn must_say(headers: &HeaderMap, name: &str, expected: &str) -> Result<(), Fault> {
    let value = header(headers, name).ok_or_else(|| mismatch(name, "is missing"))?;
    let value = decoded(value).ok_or_else(|| mismatch(name, "is not valid Base64"))?;
    if value == expected { Ok(()) } else { Err(mismatch(name, "does not say what the body says")) }
}

/// Whether the headers fit this request.
pub fn check(headers: &HeaderMap, method: &str, params: &Value) -> Result<(), Fault> {
    // A method is a plain token: only names and arguments are ever encoded.
    match header(headers, "mcp-method") {
        None => return Err(mismatch("Mcp-Method", "is missing")),
        Some(value) if value != method => {
            return Err(mismatch("Mcp-Method", "does not say what the body says"));
        }
        Some(_) => {}
    }
    let named = match method {
        "tools/call" | "prompts/get" => &params["name"],
        "resources/read" => &params["uri"],
        "tasks/get" | "tasks/update" | "tasks/cancel" => &params["taskId"],
        _ => return Ok(()),
    };
    if let Some(named) = named.as_str() {
        must_say(headers, "Mcp-Name", named)?;
    }
    if method == "tools/call" { check_arguments(headers, params) } else { Ok(()) }
}

/// The arguments that the tool's schema wants to see in headers.
fn check_arguments(headers: &HeaderMap, params: &Value) -> Result<(), Fault> {
    let schema = params["name"].as_str().and_then(catalog::input_schema);
    let properties = schema.as_ref().and_then(|schema| schema["properties"].as_object());
    for (property, schema) in properties.into_iter().flatten() {
        let Some(suffix) = schema["x-mcp-header"].as_str() else { continue };
        let name = format!("Mcp-Param-{suffix}");
        match &params["arguments"][property] {
            Value::Null if header(headers, &name).is_some() => {
                return Err(mismatch(&name, "is there, but the argument is not"));
            }
            Value::Null => {}
            Value::String(text) => must_say(headers, &name, text)?,
            other => must_say(headers, &name, &other.to_string())?,
        }
    }
    Ok(())
}
