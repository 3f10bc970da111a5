//! Is everything in its room? Reads the source as text.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A file that needs more lines holds more than one idea.
const LINES_MAX: usize = 500;

/// Names of drawers, which say nothing of what is in them.
const DRAWERS: &[&str] =
    &["utils", "util", "helpers", "helper", "common", "misc", "manager", "service", "services"];

/// Which rooms of the server a room may know. What is not listed may know everything.
const ARROWS: &[(&str, &[&str])] = &[
    ("vault", &[]),
    ("difference", &[]),
    ("token_count", &[]),
    ("config", &["vault"]),
    ("journal", &["vault"]),
    ("views", &[]),
    ("actors", &["journal", "vault"]),
    ("manifests", &["actors", "journal"]),
    ("payload", &["vault", "actors"]),
    ("upstream", &["journal"]),
    ("opening", &["actors", "journal", "vault"]),
    ("targets", &["actors", "journal", "upstream", "vault"]),
    ("named_server", &[]),
    ("traces", &["config", "named_server"]),
    ("drift", &["actors", "journal", "manifests", "proctor", "targets", "upstream"]),
];

/// The doors do not know each other.
const STRANGERS: &[(&str, &str)] = &[("api", "mcp"), ("mcp", "api"), ("api", "cli"), ("mcp", "cli")];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !matches!(name.as_str(), "target" | "node_modules" | ".venv" | ".git") {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn files() -> BTreeMap<String, String> {
    let mut found = Vec::new();
    rust_files(&root(), &mut found);
    assert!(found.len() > 50, "the source was not found");
    found
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect()
}

/// The room of the server that a file stands in.
fn room(file: &str) -> Option<&str> {
    let inside = file.strip_prefix("src/")?;
    Some(inside.split_once('/').map_or_else(|| inside.trim_end_matches(".rs"), |(room, _)| room))
}

/// The rooms that a text names as `crate::room`, or as `crate::{room, …}`.
fn rooms_named(text: &str) -> BTreeSet<&str> {
    let mut named = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        if at > 0 && text.as_bytes()[at - 1] == b'$' {
            continue;
        }
        let rest = &text[at + "crate::".len()..];
        let list =
            rest.strip_prefix('{').and_then(|list| list.split_once('}')).map_or(rest, |(list, _)| list);
        let parts = if list.len() == rest.len() { 1 } else { usize::MAX };
        for part in list.split(',').take(parts) {
            let part = part.trim();
            let end = part.find(|c: char| !(c.is_ascii_lowercase() || c == '_')).unwrap_or(part.len());
            named.insert(&part[..end]);
        }
    }
    named
}

fn assert_none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

#[test]
fn arrows_point_one_way() {
    let mut wrong = Vec::new();
    for (file, text) in files() {
        // A room's tests may use whatever stands on it.
        let tests = file.contains("/tests/") || file.ends_with("/tests.rs");
        let Some(room) = room(&file).filter(|_| !tests) else { continue };
        let named = rooms_named(&text);
        if let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == room) {
            let known: BTreeSet<&str> = files_rooms();
            for other in named.iter().filter(|other| known.contains(*other)) {
                if *other != room && !allowed.contains(other) {
                    wrong.push(format!("{file} knows {other}"));
                }
            }
        }
        for (one, other) in STRANGERS {
            if room == *one && named.contains(other) {
                wrong.push(format!("{file} knows {other}"));
            }
        }
    }
    assert_none("arrows that ARCHITECTURE.md does not have", &wrong);
}

fn files_rooms() -> BTreeSet<&'static str> {
    let mut rooms: BTreeSet<&str> = ARROWS.iter().map(|(room, _)| *room).collect();
    rooms.extend(["api", "mcp", "cli", "server", "proctor", "webhooks"]);
    rooms
}

#[test]
fn what_is_pure_depends_on_nothing_that_is_not() {
    for (manifest, allowed) in [
        ("domain/Cargo.toml", &["cqrs-es", "serde", "serde_json", "sha2", "thiserror"][..]),
        (
            "projections/Cargo.toml",
            &["proctor-domain", "serde", "serde_json", "sha2", "thiserror", "hex"][..],
        ),
    ] {
        let text = fs::read_to_string(root().join(manifest)).unwrap();
        let (_, after) = text.split_once("[dependencies]").unwrap();
        let dependencies = after.split("\n[").next().unwrap();
        let wrong: Vec<String> = dependencies
            .lines()
            .filter_map(|line| line.split(['.', ' ', '=']).next())
            .filter(|name| !name.is_empty() && !name.starts_with('#') && !allowed.contains(name))
            .map(str::to_owned)
            .collect();
        assert_none(&format!("{manifest} has more than it needs"), &wrong);
    }
}

#[test]
fn no_file_holds_more_than_one_idea() {
    let long: Vec<String> = files()
        .iter()
        .filter(|(_, text)| text.lines().count() > LINES_MAX)
        .map(|(file, text)| format!("{file} has {} lines", text.lines().count()))
        .collect();
    assert_none("files that are too long", &long);
}

#[test]
fn no_room_is_a_drawer() {
    let drawers: Vec<String> = files()
        .into_keys()
        .filter(|file| file.split(['/', '.']).any(|part| DRAWERS.contains(&part)))
        .collect();
    assert_none("names that say nothing", &drawers);
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent: Vec<String> =
        files().into_iter().filter(|(_, text)| !text.starts_with("//!")).map(|(file, _)| file).collect();
    assert_none("files without a first line of documentation", &silent);
}

#[test]
fn nothing_is_left_for_later() {
    let marks = ["todo", "unimplemented"].map(|name| format!("{name}!("));
    let words = ["TO", "FIX"].iter().zip(["DO", "ME"]).map(|(a, b)| format!("{a}{b}")).collect::<Vec<_>>();
    let ignored = format!("#[{}", "ignore");
    let open: Vec<String> = files()
        .iter()
        .filter(|(_, text)| {
            marks.iter().chain(&words).any(|mark| text.contains(mark)) || text.contains(&ignored)
        })
        .map(|(file, _)| file.clone())
        .collect();
    assert_none("left open", &open);
}
