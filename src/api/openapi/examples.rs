//! Requests and answers that were seen: the document shows them, and the tests send them again.

use serde::Deserialize;
use serde_json::{Map, Value};

/// In the order in which such requests can be made, one after the other.
const RECORDED: &str = include_str!("examples.json");

/// One request, and what was answered.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Example {
    /// The operation's identifier.
    pub(super) operation: String,
    /// The example's name among those of its operation.
    pub(super) name: String,
    pub(super) summary: String,
    /// The values in the address, by their names in its pattern.
    #[serde(default)]
    pub(super) path: Map<String, Value>,
    #[serde(default)]
    pub(super) query: Map<String, Value>,
    /// JSON, or the fields of a form.
    pub(super) body: Option<Value>,
    /// The answer, which is always one that says that all went well.
    pub(super) answer: Value,
}

/// All of them.
pub(super) struct Examples(Vec<Example>);

impl Examples {
    pub(super) fn read() -> Self {
        // That they can be read is for a test to say: no installation starts or stops serving for it.
        Self(serde_json::from_str(RECORDED).unwrap_or_default())
    }

    /// Those of an operation.
    pub(super) fn of(&self, operation: &str) -> impl Iterator<Item = &Example> {
        self.0.iter().filter(move |example| example.operation == operation)
    }
}
