//! Does a tool's new definition only narrow what the old one took?
//!
//! What is not proved here is no narrowing: everything but the input schema has to be the same, and of
//! that only what is listed below may change. Text that a model reads never does, nor does a tool get
//! an argument that it had not.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Deeper than this nothing is proved.
const DEPTH_MAX: usize = 32;

/// What makes a part of a schema mean something that stands elsewhere.
const REFERENCES: [&str; 7] =
    ["$id", "id", "$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveAnchor", "$recursiveRef"];
/// A larger number takes less.
const LEAST: [&str; 5] = ["minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"];
/// A smaller number takes less.
const MOST: [&str; 5] = ["maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"];
/// The names of JSON Schema's types.
const TYPES: [&str; 7] = ["array", "boolean", "integer", "null", "number", "object", "string"];

/// Whether a tool as `after` defines it takes less than as `before` does, and is otherwise the same.
#[must_use]
pub fn narrows(before: &Value, after: &Value) -> bool {
    let (Value::Object(before), Value::Object(after)) = (before, after) else { return false };
    let same = |name: &String| name == "inputSchema" || before.get(name) == after.get(name);
    let (Some(Value::Object(schema)), Some(Value::Object(narrower))) =
        (before.get("inputSchema"), after.get("inputSchema"))
    else {
        return false;
    };
    before.keys().chain(after.keys()).all(same)
        && is_self_contained(&before["inputSchema"], 0)
        && schema_narrows(schema, narrower, 0)
}

/// Whether no part of the schema that may be narrowed is referred to from elsewhere, where narrowing it
/// could mean the opposite.
fn is_self_contained(schema: &Value, depth: usize) -> bool {
    if depth > 2 * DEPTH_MAX {
        return false;
    }
    match schema {
        Value::Object(members) => members.iter().all(|(name, value)| match (name.as_str(), value) {
            ("$ref", Value::String(to)) => to.starts_with("#/$defs/") || to.starts_with("#/definitions/"),
            // An argument may have such a name: that is an object, and no text.
            (name, Value::String(_)) if REFERENCES.contains(&name) => false,
            (name, Value::Bool(true)) if REFERENCES.contains(&name) => false,
            (_, value) => is_self_contained(value, depth + 1),
        }),
        Value::Array(items) => items.iter().all(|item| is_self_contained(item, depth + 1)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

fn schema_narrows(before: &Map<String, Value>, after: &Map<String, Value>, depth: usize) -> bool {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    depth <= DEPTH_MAX
        && names.into_iter().all(|name| {
            let (old, new) = (before.get(name), after.get(name));
            old == new || keyword_narrows(name, (old, new), (before, after), depth)
        })
}

/// Keywords that stand side by side all have to hold, so that each may be looked at alone.
fn keyword_narrows(
    name: &str,
    (old, new): (Option<&Value>, Option<&Value>),
    (before, after): (&Map<String, Value>, &Map<String, Value>),
    depth: usize,
) -> bool {
    match (name, old, new) {
        ("required", old, Some(Value::Array(new))) => required_grows(old, new, after),
        ("properties", Some(Value::Object(old)), Some(Value::Object(new))) => {
            properties_narrow(old, new, before.get("required"), depth)
        }
        ("additionalProperties", None | Some(Value::Bool(true)), Some(Value::Bool(false))) => true,
        ("uniqueItems", None | Some(Value::Bool(false)), Some(Value::Bool(true))) => true,
        ("items", Some(Value::Object(old)), Some(Value::Object(new))) => schema_narrows(old, new, depth + 1),
        ("enum", Some(Value::Array(old)), Some(Value::Array(new))) => {
            !new.is_empty() && new.iter().all(|value| old.contains(value))
        }
        ("type", old, Some(new)) => type_narrows(old, new),
        (name, None, Some(Value::Number(_))) => LEAST.contains(&name) || MOST.contains(&name),
        (name, Some(old), Some(new)) => match (old.as_f64(), new.as_f64()) {
            (Some(old), Some(new)) if LEAST.contains(&name) => new >= old,
            (Some(old), Some(new)) if MOST.contains(&name) => new <= old,
            _ => false,
        },
        _ => false,
    }
}

/// What was required still is, and what is now is an argument.
fn required_grows(old: Option<&Value>, new: &[Value], after: &Map<String, Value>) -> bool {
    let old = match old {
        None => &[][..],
        Some(Value::Array(old)) => old,
        Some(_) => return false,
    };
    let is_argument = |name: &Value| {
        let name = name.as_str();
        name.is_some_and(|name| after.get("properties").and_then(|all| all.get(name)).is_some())
    };
    old.iter().all(|name| new.contains(name))
        && new.iter().all(|name| old.contains(name) || is_argument(name))
}

/// No argument is added, none that was required is lost, and the others narrow.
fn properties_narrow(
    old: &Map<String, Value>,
    new: &Map<String, Value>,
    required: Option<&Value>,
    depth: usize,
) -> bool {
    let is_required = |name: &String| match required {
        None => false,
        Some(Value::Array(names)) => names.iter().any(|required| required.as_str() == Some(name)),
        Some(_) => true,
    };
    let lost_only_what_may = old.keys().all(|name| new.contains_key(name) || !is_required(name));
    lost_only_what_may
        && new.iter().all(|(name, new)| match (old.get(name), new) {
            (Some(old), new) if old == new => true,
            (Some(Value::Object(old)), Value::Object(new)) => schema_narrows(old, new, depth + 1),
            (_, _) => false,
        })
}

fn type_narrows(old: Option<&Value>, new: &Value) -> bool {
    let Some(new) = types(new).filter(|new| !new.is_empty()) else { return false };
    let Some(old) = old else { return true };
    types(old).is_some_and(|old| {
        new.iter().all(|name| old.contains(name) || (*name == "integer" && old.contains("number")))
    })
}

/// The types that are allowed, where they are all known.
fn types(value: &Value) -> Option<BTreeSet<&str>> {
    let one = |value: &Value| TYPES.into_iter().find(|known| value.as_str() == Some(known));
    match value {
        Value::String(_) => Some(BTreeSet::from([one(value)?])),
        Value::Array(several) => several.iter().map(one).collect(),
        _ => None,
    }
}
