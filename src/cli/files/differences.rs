//! What differs between what is and what is desired, in words.

use std::collections::BTreeSet;

use serde_json::Value;

/// Members that are limits: one that is left out limits nothing.
const LIMITS: [&str; 2] = ["limits", "session_limits"];

/// One line for each difference. What the desired side leaves out does not matter.
pub(super) fn of(current: &Value, desired: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    compare("", current, desired, &mut lines);
    lines
}

fn compare(place: &str, current: &Value, desired: &Value, lines: &mut Vec<String>) {
    match (current, desired) {
        (Value::Object(current), Value::Object(desired)) if !LIMITS.contains(&place) => {
            for (name, wanted) in desired {
                let place = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
                compare(&place, current.get(name).unwrap_or(&Value::Null), wanted, lines);
            }
        }
        (Value::Array(current), Value::Array(desired)) if place == "tools" => tools(current, desired, lines),
        _ if current == desired => {}
        _ => lines.push(format!("{place}: {} becomes {}", shown(current), shown(desired))),
    }
}

/// Tools by their names: which come, go, or are exposed otherwise.
fn tools(current: &[Value], desired: &[Value], lines: &mut Vec<String>) {
    let before = lines.len();
    let named = |tools: &[Value]| tools.iter().map(name).collect::<BTreeSet<_>>();
    let (there, wanted) = (named(current), named(desired));
    let list = |names: &[&String]| names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
    let added: Vec<_> = wanted.difference(&there).collect();
    let removed: Vec<_> = there.difference(&wanted).collect();
    if !added.is_empty() {
        lines.push(format!("tools: {} can be seen", list(&added)));
    }
    if !removed.is_empty() {
        lines.push(format!("tools: {} can be seen no more", list(&removed)));
    }
    for tool in desired {
        let same_name = current.iter().find(|other| name(other) == name(tool));
        if same_name.is_some_and(|other| other != tool) {
            lines.push(format!("tools: {} is exposed otherwise", name(tool)));
        }
    }
    if lines.len() == before && current != desired {
        lines.push("tools: they come in another order".to_owned());
    }
}

fn name(tool: &Value) -> String {
    let text = |member: &str| tool[member].as_str().unwrap_or_default();
    let name = format!("{}/{}", text("connection"), text("tool"));
    match tool["name"].as_str() {
        Some(shown) => format!("{name} (as {shown})"),
        None => name,
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_difference_is_a_line_with_its_place_and_what_is_left_out_is_none() {
        let current =
            json!({ "auth": { "type": "none", "more": 1 }, "shared": false, "state": "registered" });
        let desired = json!({ "auth": { "type": "basic" }, "shared": true });
        assert_eq!(
            of(&current, &desired),
            [r#"auth.type: "none" becomes "basic""#, "shared: false becomes true"]
        );
        assert!(of(&current, &json!({ "auth": { "type": "none" } })).is_empty());
        let limited = json!({ "limits": { "deadline_ms": 5 } });
        assert_eq!(of(&limited, &json!({ "limits": {} })), [r#"limits: {"deadline_ms":5} becomes {}"#]);
        assert_eq!(
            of(&current, &json!({ "login": { "provider": "x" } })),
            [r#"login: nothing becomes {"provider":"x"}"#]
        );
    }

    #[test]
    fn tools_are_told_by_name() {
        let tool = |tool: &str| json!({ "connection": "notes", "tool": tool });
        let current = json!({ "tools": [tool("read"), tool("write"), tool("tag")] });
        let mut tagged = tool("tag");
        tagged["description"] = "other".into();
        let desired = json!({ "tools": [tool("read"), tool("search"), tagged] });
        let expected = [
            "tools: notes/search can be seen",
            "tools: notes/write can be seen no more",
            "tools: notes/tag is exposed otherwise",
        ];
        assert_eq!(of(&current, &desired), expected);
        let turned = json!({ "tools": [tool("write"), tool("read"), tool("tag")] });
        assert_eq!(of(&current, &turned), ["tools: they come in another order"]);
    }
}
