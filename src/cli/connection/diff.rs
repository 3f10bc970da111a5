//! `proctor connection diff`: in what the upstream differs from what is in force.

use serde_json::Value;

use super::path;
use crate::cli::Failure;
use crate::cli::remote::Client;
use crate::cli::shown::{Line, Shown, Tone};
use crate::difference::visible;

pub(super) async fn run((client, shown): &(Client, Shown), name: &str) -> Result<(), Failure> {
    let difference = client.get(&path(name, "/diff")).await?;
    show(shown, name, &difference);
    Ok(())
}

/// Shows a difference.
pub(super) fn show(shown: &Shown, name: &str, difference: &Value) {
    shown.lines(difference, || lines(name, difference));
}

fn lines(name: &str, difference: &Value) -> Vec<Line> {
    let tools = difference["tools"].as_array().map(Vec::as_slice).unwrap_or_default();
    if tools.is_empty() {
        return vec![plain(format!("Connection {name}: the upstream offers what is in force."))];
    }
    let policy = text(difference, "drift");
    let mut lines = vec![plain(format!("Connection {name} differs from its upstream (policy: {policy}):"))];
    for tool in tools {
        lines.push(Vec::new());
        lines.push(vec![(
            Tone::Heading,
            format!("{} ({})", visible(text(tool, "tool")), text(tool, "state")),
        )]);
        if tool["state"] == "gone" {
            lines.push(plain("  it is offered no more".to_owned()));
        }
        let changes = tool["changes"].as_array().into_iter().flatten();
        lines.extend(changes.flat_map(of_change));
        if tool["compared"] == false && tool["state"] != "gone" {
            lines.push(plain("  too many tools differ for it to be compared: see --json".to_owned()));
        } else if tool["state"] == "changed" && tool["changes"].as_array().is_none_or(Vec::is_empty) {
            lines.push(plain("  its definition says the same, written otherwise".to_owned()));
        }
        lines.extend(tool["warnings"].as_array().into_iter().flatten().map(of_warning));
    }
    lines.push(Vec::new());
    let digest = text(difference, "offered");
    lines.push(plain(format!("To approve all of it: proctor connection approve {name} --digest {digest}")));
    lines
}

fn of_change(change: &Value) -> Vec<Line> {
    let place = visible(text(change, "path"));
    let value = |member: &str| match &change[member] {
        Value::String(text) => visible(text),
        other => visible(&other.to_string()),
    };
    match (text(change, "change"), change["text"].as_array()) {
        ("added", _) => vec![vec![(Tone::Added, format!("  + {place}: {}", value("to")))]],
        ("removed", _) => vec![vec![(Tone::Removed, format!("  - {place}: {}", value("from")))]],
        (_, Some(pieces)) => {
            let mut line = vec![(Tone::Plain, format!("  ~ {place}: "))];
            line.extend(pieces.iter().map(piece));
            vec![line]
        }
        (_, None) => vec![
            vec![(Tone::Removed, format!("  - {place}: {}", value("from")))],
            vec![(Tone::Added, format!("  + {place}: {}", value("to")))],
        ],
    }
}

/// Marked so that it can be read without colours.
fn piece(piece: &Value) -> (Tone, String) {
    let text = |member: &str| piece[member].as_str();
    match (text("kept"), text("removed"), text("added")) {
        (_, Some(removed), _) => (Tone::Removed, format!("[-{removed}-]")),
        (_, _, Some(added)) => (Tone::Added, format!("{{+{added}+}}")),
        (kept, None, None) => (Tone::Plain, kept.unwrap_or_default().to_owned()),
    }
}

fn of_warning(warning: &Value) -> Line {
    let known = if warning["is_new"] == false { " (so is the definition in force)" } else { "" };
    let (code, place) = (text(warning, "code"), visible(text(warning, "path")));
    let (found, message) = (text(warning, "found"), text(warning, "message"));
    vec![(Tone::Warned, format!("  ! {code} at {place}{known}: {message}: \"{found}\""))]
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_default()
}

fn plain(text: String) -> Line {
    vec![(Tone::Plain, text)]
}
