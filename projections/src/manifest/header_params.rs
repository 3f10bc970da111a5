//! Arguments that a client repeats in HTTP headers: `x-mcp-header` in a tool's schema (MCP
//! 2026-07-28, SEP-2243).

use serde_json::value::RawValue;

use super::raw_object::RawObject;

/// How deep annotations are looked for. A schema from outside must not decide how deep we recurse.
const PROPERTY_DEPTH_MAX: usize = 16;

/// An argument that is repeated in the header `Mcp-Param-{header}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderParam {
    /// The header's name after `Mcp-Param-`.
    pub header: String,
    /// The property's path from the root of the arguments; one name for a top-level property.
    pub path: Vec<String>,
}

/// The well-formed annotations of a tool's definition; malformed ones are left out.
///
/// Only properties that are reached from the root of the schema through `properties` alone count.
pub(super) fn of(definition: &RawValue) -> Vec<HeaderParam> {
    let mut found = Vec::new();
    if let Ok(tool) = RawObject::parse(definition)
        && let Some(schema) = tool.get("inputSchema")
        && let Ok(schema) = RawObject::parse(schema)
    {
        collect(&schema, &mut Vec::new(), &mut found);
    }
    found
}

fn collect(schema: &RawObject, path: &mut Vec<String>, found: &mut Vec<HeaderParam>) {
    let Some(Ok(properties)) = schema.get("properties").map(RawObject::parse) else {
        return;
    };
    if path.len() == PROPERTY_DEPTH_MAX {
        return;
    }
    for (name, property) in properties.iter() {
        let Ok(property) = RawObject::parse(property) else {
            continue;
        };
        path.push(name.to_owned());
        if let Some(header) = property.get("x-mcp-header")
            && let Ok(header) = serde_json::from_str::<String>(header.get())
            && !header.is_empty()
            && header.bytes().all(is_token)
        {
            found.push(HeaderParam { header, path: path.clone() });
        }
        collect(&property, path, found);
        path.pop();
    }
}

/// A character of a header's name (RFC 9110, 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
