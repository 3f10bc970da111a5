//! The tool definitions as raw JSON, with fields and number forms that only raw JSON keeps.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Name and definition of every tool at the start. Numbers such as `1.50` and `1e3`, the order of
/// keys and the fields that MCP does not define are there to be kept.
const DEFINITIONS: [(&str, &str); 9] = [
    (
        "echo",
        r#"{"name":"echo","title":"Echo","description":"Returns its arguments as they came. ✓","inputSchema":{"type":"object","properties":{"text":{"type":"string","x-unknown":{"kept":1.50}},"tenant":{"type":"string"}},"additionalProperties":true},"x-unknown":{"b":1e3,"a":[1.50,"é",null]}}"#,
    ),
    (
        "slow",
        r#"{"name":"slow","description":"Waits, and tells of its progress on the way.","inputSchema":{"type":"object","properties":{"milliseconds":{"type":"integer"},"steps":{"type":"integer"}},"required":["milliseconds"]}}"#,
    ),
    (
        "fail",
        r#"{"name":"fail","description":"Answers with a JSON-RPC error.","inputSchema":{"type":"object"}}"#,
    ),
    (
        "tool_error",
        r#"{"name":"tool_error","description":"Answers with a result that is an error.","inputSchema":{"type":"object"}}"#,
    ),
    (
        "big",
        r#"{"name":"big","description":"Answers with so many bytes of text.","inputSchema":{"type":"object","properties":{"bytes":{"type":"integer"}},"required":["bytes"]},"annotations":{"readOnlyHint":true}}"#,
    ),
    (
        "read_thing",
        r#"{"name":"read_thing","description":"Reads a thing.","inputSchema":{"type":"object","properties":{"id":{"type":"string"}}},"annotations":{"readOnlyHint":true,"x-unknown":true}}"#,
    ),
    (
        "delete_thing",
        r#"{"name":"delete_thing","description":"Deletes a thing.","inputSchema":{"type":"object","properties":{"id":{"type":"string"}},"required":["id"]},"annotations":{"destructiveHint":true,"readOnlyHint":false}}"#,
    ),
    (
        "route",
        r#"{"name":"route","description":"Works in a region.","inputSchema":{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"},"text":{"type":"string"}}}}"#,
    ),
    (
        "vanish",
        r#"{"name":"vanish","description":"Closes the connection without an answer.","inputSchema":{"type":"object"}}"#,
    ),
];

/// The definitions as they are now, in the order in which they are listed.
#[derive(Debug, Clone)]
pub struct Catalog(Arc<Mutex<Vec<(String, String)>>>);

impl Default for Catalog {
    fn default() -> Self {
        let definitions = DEFINITIONS.map(|(name, json)| (name.to_owned(), json.to_owned()));
        Self(Arc::new(Mutex::new(definitions.into())))
    }
}

impl Catalog {
    /// The definition of a tool.
    pub fn definition(&self, name: &str) -> Option<String> {
        let definitions = self.lock();
        let found = definitions.iter().find(|(tool, _)| tool == name);
        found.map(|(_, json)| json.clone())
    }

    /// Puts a definition in the place of the tool's old one, or at the end.
    pub fn put(&self, name: &str, json: &str) {
        let mut definitions = self.lock();
        match definitions.iter_mut().find(|(tool, _)| tool == name) {
            Some((_, old)) => json.clone_into(old),
            None => definitions.push((name.to_owned(), json.to_owned())),
        }
    }

    /// Takes a tool away.
    pub fn remove(&self, name: &str) {
        self.lock().retain(|(tool, _)| tool != name);
    }

    /// The page of `tools/list` that starts at `offset`, as the inner text of a JSON array, and
    /// the offset of the next page.
    pub fn page(&self, offset: usize, size: usize) -> (String, Option<usize>) {
        let definitions = self.lock();
        let page = definitions.iter().skip(offset).take(size);
        let page: Vec<&str> = page.map(|(_, json)| json.as_str()).collect();
        let next = offset + size;
        (page.join(","), (next < definitions.len()).then_some(next))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(String, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
