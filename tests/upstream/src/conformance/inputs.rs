//! What tools ask of the client, and how they read its answers.

use serde_json::{Map, Value, json};

use super::call::{Call, Step};

pub fn elicitation(message: &str, properties: &Value, required: &[&str]) -> Value {
    json!({
        "method": "elicitation/create",
        "params": {
            "message": message,
            "requestedSchema": { "type": "object", "properties": properties, "required": required },
        },
    })
}

pub fn sampling(prompt: &str, tokens_max: u32) -> Value {
    json!({
        "method": "sampling/createMessage",
        "params": {
            "messages": [{ "role": "user", "content": { "type": "text", "text": prompt } }],
            "maxTokens": tokens_max,
        },
    })
}

pub fn roots() -> Value {
    json!({ "method": "roots/list", "params": {} })
}

pub fn ask(key: &str, request: Value) -> Step {
    ask_all([(key, request)], None)
}

pub fn ask_all<const COUNT: usize>(requests: [(&str, Value); COUNT], state: Option<Value>) -> Step {
    let requests: Map<String, Value> =
        requests.into_iter().map(|(key, request)| (key.to_owned(), request)).collect();
    Step::Ask { requests, state }
}

impl Call<'_> {
    /// The answer to an elicitation, whether the user accepted or not.
    pub fn elicited(&self, key: &str) -> Option<&Value> {
        self.answers.get(key).filter(|answer| answer["action"].is_string())
    }

    /// What the user entered in an elicitation that they accepted.
    pub fn entered(&self, key: &str, field: &str) -> Option<&Value> {
        let answer = self.elicited(key).filter(|answer| answer["action"] == "accept")?;
        answer["content"].get(field)
    }

    /// The text that the client's model wrote.
    pub fn sampled(&self, key: &str) -> Option<&str> {
        let content = &self.answers.get(key)?["content"];
        let block = content.get(0).unwrap_or(content);
        block["text"].as_str()
    }

    /// The roots that the client named.
    pub fn listed_roots(&self, key: &str) -> Option<&Vec<Value>> {
        self.answers.get(key)?["roots"].as_array()
    }
}

/// A property with one of these values.
pub fn enumeration(values: &[&str]) -> Value {
    json!({ "type": "string", "enum": values })
}

/// A list of values that have titles, as JSON Schema writes it.
pub fn titled(values: &[(&str, &str)]) -> Value {
    values.iter().map(|(value, title)| json!({ "const": value, "title": title })).collect()
}
