//! Two definitions, place by place.

use std::time::Instant;

use serde::Serialize;
use serde_json::{Map, Value};
use similar::{ChangeTag, TextDiff};
use utoipa::ToSchema;

use super::CHANGES_MAX;
use super::hidden::visible;

/// Longer texts are shown whole, before and after.
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// Which part of a definition a change is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ChangedPart)]
pub enum Part {
    /// Its name.
    Name,
    /// Its title.
    Title,
    /// Its description.
    Description,
    /// What it takes.
    InputSchema,
    /// What it answers.
    OutputSchema,
    /// What it says of itself.
    Annotations,
    /// Anything else.
    Other,
}

/// What became of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ChangeKind)]
pub enum Kind {
    /// Something stands there now.
    Added,
    /// Nothing does any more.
    Removed,
    /// Something else does.
    Changed,
}

/// A piece of a text, with what is invisible escaped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = TextPiece)]
pub enum Piece {
    /// It is in both.
    Kept(String),
    /// It is in the older one only.
    Removed(String),
    /// It is in the newer one only.
    Added(String),
}

/// One change.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = ToolChange)]
pub struct Change {
    /// Where, roughly.
    pub part: Part,
    /// Where exactly: a JSON pointer (RFC 6901).
    pub path: String,
    /// What became of it.
    pub change: Kind,
    /// What stood there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub from: Option<Value>,
    /// What stands there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub to: Option<Value>,
    /// Both as one text, where both are texts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub text: Vec<Piece>,
}

/// The changes from one definition to another, in the newer one's order; at most [`CHANGES_MAX`]. Texts
/// are compared word by word until `until`, and more coarsely after that.
#[must_use]
pub fn compare(before: &Value, after: &Value, until: Instant) -> Vec<Change> {
    let mut found = Found { path: String::new(), part: Part::Other, changes: Vec::new(), until };
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => found.members(before, after, true),
        _ => found.values(before, after),
    }
    found.changes
}

struct Found {
    path: String,
    part: Part,
    changes: Vec<Change>,
    until: Instant,
}

impl Found {
    fn members(&mut self, before: &Map<String, Value>, after: &Map<String, Value>, outermost: bool) {
        let gone = before.keys().filter(|name| !after.contains_key(*name));
        for name in after.keys().chain(gone) {
            if outermost {
                self.part = part(name);
            }
            let step = name.replace('~', "~0").replace('/', "~1");
            self.at(&step, before.get(name), after.get(name));
        }
    }

    fn at(&mut self, step: &str, before: Option<&Value>, after: Option<&Value>) {
        let length = self.path.len();
        self.path.push('/');
        self.path.push_str(step);
        match (before, after) {
            (Some(before), Some(after)) => self.values(before, after),
            (before, after) => self.push(before, after, Vec::new()),
        }
        self.path.truncate(length);
    }

    fn values(&mut self, before: &Value, after: &Value) {
        match (before, after) {
            (before, after) if before == after => {}
            (Value::Object(before), Value::Object(after)) => self.members(before, after, false),
            (Value::Array(old), Value::Array(new)) if old.iter().chain(new).any(Value::is_object) => {
                for index in 0..old.len().max(new.len()) {
                    self.at(&index.to_string(), old.get(index), new.get(index));
                }
            }
            (Value::String(old), Value::String(new)) => {
                self.push(Some(before), Some(after), text(old, new, self.until));
            }
            (before, after) => self.push(Some(before), Some(after), Vec::new()),
        }
    }

    fn push(&mut self, from: Option<&Value>, to: Option<&Value>, text: Vec<Piece>) {
        if from == to || self.changes.len() >= CHANGES_MAX {
            return;
        }
        let change = match (from, to) {
            (None, _) => Kind::Added,
            (_, None) => Kind::Removed,
            (Some(_), Some(_)) => Kind::Changed,
        };
        let (path, part) = (self.path.clone(), self.part);
        self.changes.push(Change { part, path, change, from: from.cloned(), to: to.cloned(), text });
    }
}

fn part(name: &str) -> Part {
    match name {
        "name" => Part::Name,
        "title" => Part::Title,
        "description" => Part::Description,
        "inputSchema" => Part::InputSchema,
        "outputSchema" => Part::OutputSchema,
        "annotations" => Part::Annotations,
        _ => Part::Other,
    }
}

/// Both texts as one, word by word.
fn text(before: &str, after: &str, until: Instant) -> Vec<Piece> {
    if before.len().max(after.len()) > TEXT_BYTES_MAX {
        return vec![Piece::Removed(visible(before)), Piece::Added(visible(after))];
    }
    let difference = TextDiff::configure().deadline(until).diff_words(before, after);
    let mut pieces: Vec<(ChangeTag, String)> = Vec::new();
    for change in difference.iter_all_changes() {
        match pieces.last_mut() {
            Some((tag, piece)) if *tag == change.tag() => piece.push_str(change.value()),
            _ => pieces.push((change.tag(), change.value().to_owned())),
        }
    }
    let piece = |(tag, text): (ChangeTag, String)| match tag {
        ChangeTag::Equal => Piece::Kept(visible(&text)),
        ChangeTag::Delete => Piece::Removed(visible(&text)),
        ChangeTag::Insert => Piece::Added(visible(&text)),
    };
    pieces.into_iter().map(piece).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn compare(before: &Value, after: &Value) -> Vec<Change> {
        super::compare(before, after, Instant::now() + Duration::from_secs(60))
    }

    fn paths(changes: &[Change]) -> Vec<(&str, Kind)> {
        changes.iter().map(|change| (change.path.as_str(), change.change)).collect()
    }

    #[test]
    fn a_text_is_compared_word_by_word() {
        let before = json!({ "description": "Reads a note." });
        let after = json!({ "description": "Reads and deletes a note." });
        let changes = compare(&before, &after);
        assert_eq!(paths(&changes), [("/description", Kind::Changed)]);
        assert_eq!(changes[0].part, Part::Description);
        let joined: String = changes[0]
            .text
            .iter()
            .filter_map(|piece| match piece {
                Piece::Kept(text) | Piece::Added(text) => Some(text.as_str()),
                Piece::Removed(_) => None,
            })
            .collect();
        assert_eq!(joined, "Reads and deletes a note.");
        assert!(changes[0].text.contains(&Piece::Kept("Reads ".to_owned())), "{:?}", changes[0].text);
        assert_eq!(changes[0].from, Some(json!("Reads a note.")));
    }

    #[test]
    fn a_schema_is_compared_place_by_place() {
        let before = json!({ "inputSchema": {
            "properties": { "a/b": { "type": "string" }, "gone": {}, "n": { "maximum": 5 } },
            "required": ["a/b"], "anyOf": [{ "type": "object" }],
        } });
        let after = json!({ "inputSchema": {
            "properties": { "a/b": { "type": "string", "maxLength": 3 }, "n": { "maximum": 4 }, "new": true },
            "required": ["a/b", "n"], "anyOf": [{ "type": "array" }, {}],
        } });
        let changes = compare(&before, &after);
        assert_eq!(
            paths(&changes),
            [
                ("/inputSchema/properties/a~1b/maxLength", Kind::Added),
                ("/inputSchema/properties/n/maximum", Kind::Changed),
                ("/inputSchema/properties/new", Kind::Added),
                ("/inputSchema/properties/gone", Kind::Removed),
                ("/inputSchema/required", Kind::Changed),
                ("/inputSchema/anyOf/0/type", Kind::Changed),
                ("/inputSchema/anyOf/1", Kind::Added),
            ]
        );
        assert!(changes.iter().all(|change| change.part == Part::InputSchema));
        assert_eq!((changes[1].from.clone(), changes[1].to.clone()), (Some(json!(5)), Some(json!(4))));
    }

    #[test]
    fn every_part_is_named_and_what_is_the_same_is_no_change() {
        let after = json!({
            "name": "a", "title": "b", "description": "c", "inputSchema": {}, "outputSchema": {},
            "annotations": { "readOnlyHint": true }, "_meta": 1,
        });
        let parts: Vec<_> = compare(&json!({}), &after).iter().map(|change| change.part).collect();
        use Part::{Annotations, Description, InputSchema, Name, Other, OutputSchema, Title};
        assert_eq!(parts, [Name, Title, Description, InputSchema, OutputSchema, Annotations, Other]);
        let turned: Value = serde_json::from_str(r#"{"a": {"x": 1, "y": 2}}"#).unwrap();
        let other: Value = serde_json::from_str(r#"{"a": {"y": 2, "x": 1}}"#).unwrap();
        assert!(compare(&turned, &other).is_empty());
    }

    #[test]
    fn what_is_invisible_is_seen_in_a_text_and_changes_are_bounded() {
        let changes = compare(&json!({ "title": "ab" }), &json!({ "title": "a\u{200b}b" }));
        assert!(changes[0].text.contains(&Piece::Added("a\\u{200b}b".to_owned())), "{:?}", changes[0].text);
        let many: Map<String, Value> = (0..1_000).map(|n| (n.to_string(), json!(n))).collect();
        assert_eq!(compare(&json!({}), &Value::Object(many)).len(), CHANGES_MAX);
        let (one, other) = (json!({ "title": "a b c d" }), json!({ "title": "x b c y" }));
        let late = super::compare(&one, &other, Instant::now() - Duration::from_secs(1));
        assert_eq!(paths(&late), [("/title", Kind::Changed)], "there is no time, and still it is a change");
        let long = "word ".repeat(20_000);
        let changes = compare(&json!({ "title": long }), &json!({ "title": "x" }));
        assert_eq!(changes[0].text.len(), 2);
    }
}
