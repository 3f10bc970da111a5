//! The MCP headers of the modern era: how names and arguments travel beside the body.
//!
//! Rules from SEP-2243 (protocol version 2026-07-28): `Mcp-Name` for a tool's name,
//! `Mcp-Param-*` for arguments that the tool's schema marks with `x-mcp-header`.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value, value::RawValue};

const BASE64_PREFIX: &str = "=?base64?";
const BASE64_SUFFIX: &str = "?=";
/// Schemas nested deeper are not searched; serde_json reads at most 128 levels anyway.
const SCHEMA_DEPTH_MAX: usize = 64;

/// One argument that is repeated in a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderParam {
    header: HeaderName,
    path: Vec<String>,
}

impl HeaderParam {
    /// The argument at `path`, repeated in `Mcp-Param-{name}`; `None` where that is no header's name.
    pub fn new(name: &str, path: Vec<String>) -> Option<Self> {
        let header = HeaderName::try_from(format!("mcp-param-{name}")).ok()?;
        Some(Self { header, path })
    }
}

/// A header value for any text: as it is where HTTP can carry it, else wrapped in Base64.
pub(super) fn encoded(value: &str) -> HeaderValue {
    let bytes = value.as_bytes();
    let looks_wrapped = value.starts_with(BASE64_PREFIX) && value.ends_with(BASE64_SUFFIX);
    let plain = bytes.iter().all(|b| (0x20..=0x7e).contains(b))
        && !bytes.starts_with(b" ")
        && !bytes.ends_with(b" ")
        && !looks_wrapped;
    if plain {
        return HeaderValue::from_str(value).expect("visible ASCII and inner spaces are allowed");
    }
    let wrapped = format!("{BASE64_PREFIX}{}{BASE64_SUFFIX}", BASE64_STANDARD.encode(value));
    HeaderValue::try_from(wrapped).expect("Base64 is visible ASCII")
}

/// Finds the arguments that a tool's input schema wants repeated in headers.
///
/// # Errors
/// With the rule that an annotation breaks; the specification has clients reject such a tool.
pub fn header_params(input_schema: &RawValue) -> Result<Vec<HeaderParam>, String> {
    // Nearly no tool uses this: do not build a tree to find that out.
    if !input_schema.get().contains("x-mcp-header") {
        return Ok(Vec::new());
    }
    let schema: Map<String, Value> = serde_json::from_str(input_schema.get())
        .map_err(|err| format!("the input schema is no JSON object ({err})"))?;
    let mut found = Vec::new();
    search(&schema, Some(&mut Vec::new()), 0, &mut found)?;
    Ok(found)
}

/// Walks a schema. `path` is present while `schema` is the root or was reached from it through
/// `properties` alone, where annotations are allowed.
fn search(
    schema: &Map<String, Value>,
    mut path: Option<&mut Vec<String>>,
    depth: usize,
    found: &mut Vec<HeaderParam>,
) -> Result<(), String> {
    if depth > SCHEMA_DEPTH_MAX {
        return Err("the input schema is nested too deeply".to_owned());
    }
    if let Some(annotation) = schema.get("x-mcp-header") {
        match path.as_deref() {
            Some(path) if !path.is_empty() => found.push(annotated(schema, annotation, path, found)?),
            _ => return Err("x-mcp-header stands elsewhere than on a property".to_owned()),
        }
    }
    for (key, value) in schema {
        match (key.as_str(), value) {
            ("properties", Value::Object(properties)) => {
                for (name, property) in properties {
                    let Value::Object(property) = property else {
                        continue;
                    };
                    match path.as_deref_mut() {
                        Some(path) => {
                            path.push(name.clone());
                            search(property, Some(path), depth + 1, found)?;
                            path.pop();
                        }
                        None => search(property, None, depth + 1, found)?,
                    }
                }
            }
            (
                "$defs" | "definitions" | "dependencies" | "dependentSchemas" | "patternProperties",
                Value::Object(schemas),
            ) => {
                for inner in schemas.values() {
                    search_value(inner, depth + 1, found)?;
                }
            }
            // Data, not schemas.
            ("default" | "const" | "enum" | "examples" | "dependentRequired" | "x-mcp-header", _) => {}
            (_, value) => search_value(value, depth + 1, found)?,
        }
    }
    Ok(())
}

fn search_value(value: &Value, depth: usize, found: &mut Vec<HeaderParam>) -> Result<(), String> {
    match value {
        Value::Object(schema) => search(schema, None, depth, found),
        Value::Array(items) => items.iter().try_for_each(|item| search_value(item, depth + 1, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

fn annotated(
    schema: &Map<String, Value>,
    annotation: &Value,
    path: &[String],
    found: &[HeaderParam],
) -> Result<HeaderParam, String> {
    let wrong = |rule: &str| Err(format!("x-mcp-header on a property {rule}"));
    let Some(suffix) = annotation.as_str().filter(|s| !s.is_empty()) else {
        return wrong("is not a name");
    };
    let Ok(header) = HeaderName::try_from(format!("mcp-param-{suffix}")) else {
        return wrong("is not a valid HTTP header name");
    };
    if found.iter().any(|other| other.header == header) {
        return wrong("repeats another property's header");
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("string" | "integer" | "boolean") => Ok(HeaderParam { header, path: path.to_vec() }),
        _ => wrong("that is neither string, integer nor boolean"),
    }
}

/// The `Mcp-Param-*` headers of a call; absent and null arguments have none.
pub(super) fn param_headers(
    params: &[HeaderParam],
    arguments: Option<&RawValue>,
) -> Vec<(HeaderName, HeaderValue)> {
    let Some(arguments) = arguments.filter(|_| !params.is_empty()) else {
        return Vec::new();
    };
    let Ok(arguments) = serde_json::from_str::<Value>(arguments.get()) else {
        return Vec::new();
    };
    let value_of = |param: &HeaderParam| {
        let value = param.path.iter().try_fold(&arguments, |v, key| v.get(key))?;
        match value {
            Value::String(text) => Some(encoded(text)),
            Value::Bool(_) | Value::Number(_) => Some(encoded(&value.to_string())),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    };
    params.iter().filter_map(|param| Some((param.header.clone(), value_of(param)?))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn raw(value: Value) -> Box<RawValue> {
        serde_json::value::to_raw_value(&value).unwrap()
    }

    fn annotated_property(annotation: Value, kind: &str) -> Box<RawValue> {
        raw(json!({"type": "object",
            "properties": {"p": {"type": kind, "x-mcp-header": annotation}}}))
    }

    #[test]
    fn text_that_http_cannot_carry_is_wrapped_in_base64() {
        for plain in ["get_weather", "a b", "x=?base64?y", ""] {
            assert_eq!(encoded(plain), plain);
        }
        assert_eq!(encoded("café"), "=?base64?Y2Fmw6k=?=");
        for odd in [" a", "a ", "\ta", "a\r\nEvil: 1", "\u{7f}", "=?base64?x?="] {
            assert!(encoded(odd).to_str().unwrap().starts_with(BASE64_PREFIX), "{odd:?}");
        }
    }

    #[test]
    fn annotated_arguments_travel_in_headers() {
        let schema = raw(json!({"type": "object", "properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "nested": {"type": "object", "properties": {
                "count": {"type": "integer", "x-mcp-header": "Count"}}},
            "flag": {"type": "boolean", "x-mcp-header": "Flag"},
            "absent": {"type": "string", "x-mcp-header": "Absent"},
            "null": {"type": "string", "x-mcp-header": "Null"},
            "plain": {"type": "string"}}}));
        let arguments = raw(json!({"region": "zürich", "nested": {"count": 42}, "flag": true,
            "null": null, "plain": "x"}));
        let params = header_params(&schema).unwrap();
        let headers = param_headers(&params, Some(&arguments));
        let expected = [
            ("mcp-param-region", "=?base64?esO8cmljaA==?="),
            ("mcp-param-count", "42"),
            ("mcp-param-flag", "true"),
        ];
        assert_eq!(headers.len(), expected.len());
        for (name, value) in expected {
            assert!(headers.iter().any(|(n, v)| n == name && v == value), "{name}");
        }
    }

    #[test]
    fn annotations_that_break_a_rule_reject_the_tool() {
        for bad in [
            annotated_property(json!(""), "string"),
            annotated_property(json!(7), "string"),
            annotated_property(json!("bad:name"), "string"),
            annotated_property(json!("N"), "number"),
            annotated_property(json!("A"), "array"),
            raw(json!({"x-mcp-header": "Root"})),
            raw(json!({"properties": {"a": {"type": "string", "x-mcp-header": "R"},
                "b": {"type": "string", "x-mcp-header": "r"}}})),
            raw(json!({"properties": {"l": {"type": "array",
                "items": {"type": "string", "x-mcp-header": "I"}}}})),
            raw(json!({"$defs": {"d": {"type": "string", "x-mcp-header": "D"}}})),
        ] {
            assert!(header_params(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn data_inside_a_schema_is_not_taken_for_an_annotation() {
        let schema = raw(json!({"properties": {"p": {"type": "object",
            "default": {"x-mcp-header": "NotOne"}}}}));
        assert_eq!(header_params(&schema).unwrap(), Vec::new());
    }
}
