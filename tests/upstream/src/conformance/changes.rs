//! What can change while the fixture runs, and who hears of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::outbox::Outbox;
use super::wire::notification;
use crate::server::lock;

/// Something that has changed.
#[derive(Debug, Clone, Copy)]
pub enum Change<'a> {
    Tools,
    Prompts,
    /// The content of the resource with this URI.
    Resource(&'a str),
}

impl Change<'_> {
    pub fn method(self) -> &'static str {
        match self {
            Change::Tools => "notifications/tools/list_changed",
            Change::Prompts => "notifications/prompts/list_changed",
            Change::Resource(_) => "notifications/resources/updated",
        }
    }

    pub fn params(self) -> Value {
        match self {
            Change::Tools | Change::Prompts => json!({}),
            Change::Resource(uri) => json!({ "uri": uri }),
        }
    }

    fn is_wanted(self, filter: &Value) -> bool {
        match self {
            Change::Tools => filter["toolsListChanged"] == true,
            Change::Prompts => filter["promptsListChanged"] == true,
            Change::Resource(uri) => {
                let wanted = filter["resourceSubscriptions"].as_array();
                wanted.is_some_and(|wanted| wanted.iter().any(|wanted| wanted == uri))
            }
        }
    }
}

#[derive(Debug)]
struct Listener {
    id: Value,
    filter: Value,
    outbox: Arc<Outbox>,
    gone: CancellationToken,
}

/// The lists that change, and the streams of `subscriptions/listen`.
#[derive(Debug, Default)]
pub struct Changes {
    more_tools: AtomicBool,
    more_prompts: AtomicBool,
    listeners: Mutex<Vec<Listener>>,
}

impl Changes {
    /// Whether the tool is offered that comes and goes.
    pub fn more_tools(&self) -> bool {
        self.more_tools.load(Ordering::Acquire)
    }

    /// Whether the prompt is offered that comes and goes.
    pub fn more_prompts(&self) -> bool {
        self.more_prompts.load(Ordering::Acquire)
    }

    /// Makes a change, and tells those who listen to it in the modern era.
    pub fn make(&self, change: Change<'_>) {
        match change {
            Change::Tools => _ = self.more_tools.fetch_xor(true, Ordering::AcqRel),
            Change::Prompts => _ = self.more_prompts.fetch_xor(true, Ordering::AcqRel),
            Change::Resource(_) => {}
        }
        let mut listeners = lock(&self.listeners);
        listeners.retain(|listener| !listener.gone.is_cancelled());
        for listener in listeners.iter().filter(|listener| change.is_wanted(&listener.filter)) {
            let mut params = change.params();
            params["_meta"] = subscription(&listener.id);
            listener.outbox.say(&notification(change.method(), &params));
        }
    }

    /// The stream of a `subscriptions/listen` with this id.
    pub fn listen(&self, id: &Value, wanted: &Value) -> http::Response<super::wire::Body> {
        let mut filter = json!({});
        for kind in ["toolsListChanged", "promptsListChanged", "resourceSubscriptions"] {
            if let Some(wanted) = wanted.get(kind).filter(|wanted| **wanted != false) {
                filter[kind] = wanted.clone();
            }
        }
        let outbox = Arc::new(Outbox::default());
        let acknowledged = json!({ "_meta": subscription(id), "notifications": filter });
        outbox.say(&notification("notifications/subscriptions/acknowledged", &acknowledged));
        let gone = CancellationToken::new();
        let response = outbox.read(0, None, Some(gone.clone()));
        lock(&self.listeners).push(Listener { id: id.clone(), filter, outbox, gone });
        response
    }
}

fn subscription(id: &Value) -> Value {
    json!({ "io.modelcontextprotocol/subscriptionId": id })
}
