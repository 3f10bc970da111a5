//! A call of a tool or a prompt, whichever era it comes from.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::changes::Change;
use super::outbox::Outbox;
use super::sessions::LEVELS;
use super::wire::{Fault, notification};

/// What a tool or prompt has come to.
#[derive(Debug)]
pub enum Step {
    /// This result.
    Done(Value),
    /// It needs answers first: requests to the client by key, and what to remember meanwhile.
    Ask {
        requests: Map<String, Value>,
        state: Option<Value>,
    },
    Fault(Fault),
}

/// What a call has to do with besides its result.
#[derive(Debug, Default)]
pub struct Voice {
    pub outbox: Option<Arc<Outbox>>,
    pub progress_token: Option<Value>,
    /// From which severity on log messages are wanted; `None` is none at all.
    pub log_level: Option<usize>,
    /// Whether the client can come back to a stream.
    pub resumable: bool,
}

impl Voice {
    fn say(&self, method: &str, params: &Value) {
        if let Some(outbox) = &self.outbox {
            outbox.say(&notification(method, params));
        }
    }

    pub fn progress(&self, progress: u32, total: u32) {
        if let Some(token) = &self.progress_token {
            let params = json!({ "progressToken": token, "progress": progress, "total": total });
            self.say("notifications/progress", &params);
        }
    }

    pub fn log(&self, level: &str, text: &str) {
        let severity = LEVELS.iter().position(|known| *known == level);
        if severity.zip(self.log_level).is_some_and(|(severity, wanted)| severity >= wanted) {
            let params = json!({ "level": level, "logger": "conformance-upstream", "data": text });
            self.say("notifications/message", &params);
        }
    }

    /// Lets the client go, who shall ask again for the rest of the stream.
    pub fn let_go(&self) {
        if let Some(outbox) = self.outbox.as_ref().filter(|_| self.resumable) {
            outbox.let_go();
        }
    }
}

/// What a tool or prompt is called with.
pub struct Call<'a> {
    pub arguments: &'a Value,
    /// The client's answers to what the call asked before.
    pub answers: &'a Map<String, Value>,
    /// What it wanted to be remembered then.
    pub state: Option<&'a Value>,
    /// What the client can do.
    pub capabilities: &'a Value,
    pub voice: &'a Voice,
    /// Makes a change that others hear of.
    pub change: &'a (dyn Fn(Change<'_>) + Send + Sync),
}

impl Call<'_> {
    /// An argument as text, or nothing.
    pub fn text(&self, argument: &str) -> &str {
        self.arguments[argument].as_str().unwrap_or_default()
    }
}

/// The capability that a client needs to answer such a request.
pub fn capability(request: &Value) -> &'static str {
    match request["method"].as_str() {
        Some("sampling/createMessage") => "sampling",
        Some("roots/list") => "roots",
        _ => "elicitation",
    }
}

/// The capabilities that the client lacks to answer these requests, in the form of
/// `ClientCapabilities`.
pub fn lacking(requests: &Map<String, Value>, capabilities: &Value) -> Option<Value> {
    let lacking = requests.values().map(capability).filter(|needed| !capabilities[*needed].is_object());
    let lacking: Map<String, Value> = lacking.map(|needed| (needed.to_owned(), json!({}))).collect();
    (!lacking.is_empty()).then_some(Value::Object(lacking))
}

/// The client's answers in a request, which must be objects.
pub fn answers(params: &Value) -> Result<Map<String, Value>, Fault> {
    let bad = || Fault::new(super::wire::INVALID_PARAMS, "inputResponses is not an object of objects");
    match params.get("inputResponses") {
        None => Ok(Map::new()),
        Some(Value::Object(answers)) if answers.values().all(Value::is_object) => Ok(answers.clone()),
        Some(_) => Err(bad()),
    }
}
