//! How answers are shown: tables and YAML for people, JSON for programs.
//!
//! **Invariants.** What comes from outside cannot steer the terminal: control characters are escaped.

use std::io::IsTerminal as _;

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, Table};
use serde_json::Value;

/// Space between two columns.
const COLUMN_GAP: u16 = 2;
/// What stands in a table where there is nothing.
const NOTHING_THERE: &str = "-";
/// Longest text in a table's cell; all of it stands in what `show` prints.
const CELL_CHARS_MAX: usize = 80;

/// How a part of a line is meant; colours on a terminal only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Heading,
    Added,
    Removed,
    Warned,
}

/// Its parts, one after the other.
pub(super) type Line = Vec<(Tone, String)>;

/// See the module.
pub(super) struct Shown {
    json: bool,
    bold: bool,
}

impl Shown {
    pub(super) fn new(json: bool) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { json, bold: std::io::stdout().is_terminal() && !plain }
    }

    /// Whether a program reads.
    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// One thing, whole.
    pub(super) fn whole(&self, value: &Value) {
        if self.json {
            print_json(value);
            return;
        }
        match serde_saphyr::to_string(value) {
            Ok(yaml) => print!("{}", without_controls(&yaml)),
            // Whatever YAML cannot say, JSON can.
            Err(_) => print_json(value),
        }
    }

    /// What was done, in words; the whole answer for programs.
    pub(super) fn done(&self, value: &Value, words: impl FnOnce() -> String) {
        if self.json {
            print_json(value);
        } else {
            println!("{}", without_controls(&words()));
        }
    }

    /// Lines for people; the whole answer for programs.
    pub(super) fn lines(&self, value: &Value, lines: impl FnOnce() -> Vec<Line>) {
        if self.json {
            print_json(value);
            return;
        }
        for line in lines() {
            println!("{}", line.iter().map(|(tone, text)| self.toned(*tone, text)).collect::<String>());
        }
    }

    fn toned(&self, tone: Tone, text: &str) -> String {
        let text = without_controls(text);
        let code = match tone {
            Tone::Plain => return text,
            Tone::Heading => "1",
            Tone::Added => "32",
            Tone::Removed => "31",
            Tone::Warned => "33",
        };
        if self.bold { format!("\x1b[{code}m{text}\x1b[0m") } else { text }
    }

    /// Several things, as a table of these columns: each has a heading, and where its value stands.
    pub(super) fn table(&self, items: &[Value], columns: &[(&str, &str)]) {
        if self.json {
            print_json(&Value::Array(items.to_vec()));
            return;
        }
        if items.is_empty() {
            eprintln!("There are none.");
            return;
        }
        println!("{}", self.laid_out(items, columns));
    }

    /// A further table, where there is anything in it.
    pub(super) fn table_if_any(&self, items: &Value, columns: &[(&str, &str)]) {
        if let Some(items) = items.as_array().filter(|items| !items.is_empty()) {
            println!("\n{}", self.laid_out(items, columns));
        }
    }

    fn laid_out(&self, items: &[Value], columns: &[(&str, &str)]) -> String {
        let mut table = Table::new();
        table.load_style(NOTHING);
        table.set_header(columns.iter().map(|(heading, _)| Cell::new(heading)));
        for item in items {
            table.add_row(columns.iter().map(|(_, place)| cell(item.pointer(place))));
        }
        let last = columns.len().saturating_sub(1);
        for (index, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, if index == last { 0 } else { COLUMN_GAP }));
        }
        let text = table.to_string();
        let mut lines = text.lines().map(str::trim_end);
        let heading = lines.next().unwrap_or_default();
        let heading = if self.bold { format!("\x1b[1m{heading}\x1b[0m") } else { heading.to_owned() };
        std::iter::once(heading.as_str()).chain(lines).collect::<Vec<_>>().join("\n")
    }
}

fn print_json(value: &Value) {
    println!("{value:#}");
}

fn cell(value: Option<&Value>) -> Cell {
    let text = match value {
        None | Some(Value::Null) => NOTHING_THERE.to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned))
            .collect::<Vec<_>>()
            .join(","),
        // Who did it: the kind of being, and which.
        Some(Value::Object(members)) if members.len() == 1 => {
            members.iter().map(|(kind, id)| format!("{kind}:{}", id.as_str().unwrap_or_default())).collect()
        }
        Some(other) => other.to_string(),
    };
    let mut shown: String = escaped(&text).chars().take(CELL_CHARS_MAX).collect();
    if escaped(&text).chars().count() > CELL_CHARS_MAX {
        shown.push('…');
    }
    let is_number = value.is_some_and(Value::is_number);
    Cell::new(shown).set_alignment(if is_number { CellAlignment::Right } else { CellAlignment::Left })
}

/// On one line, and without what steers a terminal.
fn escaped(text: &str) -> String {
    text.chars()
        .map(|char| if steers(char) { char.escape_default().to_string() } else { char.to_string() })
        .collect()
}

/// Of several lines.
fn without_controls(text: &str) -> String {
    text.split('\n').map(escaped).collect::<Vec<_>>().join("\n")
}

/// Control characters, and those that turn the direction of text around.
fn steers(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown() -> Shown {
        Shown { json: false, bold: false }
    }

    #[test]
    fn a_table_has_a_heading_and_a_line_for_each_item_whatever_is_missing() {
        let items = [
            json!({ "name": "gmail", "catalog": { "tools": 12 }, "by": { "key": "k1" } }),
            json!({ "name": "calendar", "catalog": null, "tags": ["a", "b"] }),
        ];
        let columns = [("NAME", "/name"), ("TOOLS", "/catalog/tools"), ("BY", "/by"), ("TAGS", "/tags")];
        let expected = "NAME      TOOLS  BY      TAGS\n\
                        gmail        12  key:k1  -\n\
                        calendar  -      -       a,b";
        assert_eq!(shown().laid_out(&items, &columns), expected);
    }

    #[test]
    fn a_value_cannot_steer_the_terminal_nor_add_a_line() {
        let items = [json!({ "name": "a\u{1b}[31mb\nc\u{202e}d" })];
        let table = shown().laid_out(&items, &[("NAME", "/name")]);
        assert_eq!(table, "NAME\na\\u{1b}[31mb\\nc\\u{202e}d");
        assert_eq!(without_controls("x\ty\n\u{7}z"), "x\\ty\n\\u{7}z");
    }

    #[test]
    fn colours_are_for_terminals_and_never_come_from_a_text() {
        let text = "a\u{1b}[32mb";
        assert_eq!(shown().toned(Tone::Added, text), "a\\u{1b}[32mb");
        let colours = Shown { json: false, bold: true };
        assert_eq!(colours.toned(Tone::Added, text), "\x1b[32ma\\u{1b}[32mb\x1b[0m");
        assert_eq!(colours.toned(Tone::Plain, "x"), "x");
    }

    #[test]
    fn what_is_long_is_cut_in_a_table() {
        let table = shown().laid_out(&[json!({ "name": "x".repeat(100) })], &[("NAME", "/name")]);
        assert_eq!(table.lines().nth(1).unwrap().chars().count(), CELL_CHARS_MAX + 1);
    }
}
