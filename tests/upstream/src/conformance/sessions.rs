//! Sessions of the legacy era, and requests to their clients.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::changes::Change;
use super::outbox::Outbox;
use super::wire::notification;
use crate::server::lock;

/// Severities of log messages, least first.
pub const LEVELS: &[&str] =
    &["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

/// The stream that `GET` opens.
pub const STANDING: &str = "standing";

/// What the client of a session said, and what is said to it.
#[derive(Debug)]
pub struct Session {
    /// The revision that was agreed on.
    pub version: String,
    pub capabilities: Value,
    /// From which severity on the client wants log messages.
    pub log_level: Mutex<usize>,
    pub subscribed: Mutex<HashSet<String>>,
    /// Streams by name.
    outboxes: Mutex<HashMap<String, Arc<Outbox>>>,
    /// Requests to the client that it has not answered, by id.
    waiting: Mutex<HashMap<u64, oneshot::Sender<Option<Value>>>>,
    /// Calls that run, by the text of their id.
    pub running: Mutex<HashMap<String, CancellationToken>>,
    next: AtomicU64,
}

impl Session {
    fn new(version: String, capabilities: Value) -> Self {
        let standing = (STANDING.to_owned(), Arc::new(Outbox::default()));
        Self {
            version,
            capabilities,
            log_level: Mutex::default(),
            subscribed: Mutex::default(),
            outboxes: Mutex::new(HashMap::from([standing])),
            waiting: Mutex::default(),
            running: Mutex::default(),
            next: AtomicU64::default(),
        }
    }

    fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Another stream, and its name.
    pub fn open(&self) -> (String, Arc<Outbox>) {
        let name = format!("stream{}", self.number());
        let outbox = Arc::new(Outbox::default());
        lock(&self.outboxes).insert(name.clone(), outbox.clone());
        (name, outbox)
    }

    pub fn outbox(&self, name: &str) -> Option<Arc<Outbox>> {
        lock(&self.outboxes).get(name).cloned()
    }

    /// Asks the client on this stream. `None` when it answers with an error or not at all.
    pub async fn request(&self, outbox: &Outbox, request: &Value) -> Option<Value> {
        let id = self.number();
        let (sender, receiver) = oneshot::channel();
        lock(&self.waiting).insert(id, sender);
        let mut message = json!({ "jsonrpc": "2.0", "id": id });
        message["method"] = request["method"].clone();
        message["params"] = request["params"].clone();
        outbox.say(&message);
        receiver.await.ok().flatten()
    }

    /// Takes the client's answer to a request of ours.
    pub fn answered(&self, response: &Value) {
        let waiting = response["id"].as_u64().and_then(|id| lock(&self.waiting).remove(&id));
        if let Some(waiting) = waiting {
            // The call that asked may have been cancelled.
            let _ = waiting.send(response.get("result").cloned());
        }
    }

    /// Tells the client of a change that it can have heard of.
    pub fn tell(&self, change: Change<'_>) {
        let wanted = match change {
            Change::Tools | Change::Prompts => true,
            Change::Resource(uri) => lock(&self.subscribed).contains(uri),
        };
        if let Some(standing) = self.outbox(STANDING).filter(|_| wanted) {
            standing.say(&notification(change.method(), &change.params()));
        }
    }

    /// Ends everything that goes on in it.
    fn end(&self) {
        lock(&self.running).values().for_each(CancellationToken::cancel);
        lock(&self.waiting).clear();
        lock(&self.outboxes).values().for_each(|outbox| outbox.end());
    }
}

/// All sessions, by id.
#[derive(Debug, Default)]
pub struct Sessions(Mutex<HashMap<String, Arc<Session>>>);

impl Sessions {
    /// Begins one, and says its id.
    pub fn begin(&self, version: String, capabilities: Value) -> String {
        let id = super::seal::unguessable();
        lock(&self.0).insert(id.clone(), Arc::new(Session::new(version, capabilities)));
        id
    }

    pub fn get(&self, id: &str) -> Option<Arc<Session>> {
        lock(&self.0).get(id).cloned()
    }

    /// Ends one, if there is one with this id.
    pub fn end(&self, id: &str) -> bool {
        let session = lock(&self.0).remove(id);
        session.inspect(|session| session.end()).is_some()
    }

    pub fn tell(&self, change: Change<'_>) {
        lock(&self.0).values().for_each(|session| session.tell(change));
    }
}
