//! Calls that outlive their request (the extension `io.modelcontextprotocol/tasks`, SEP-2663).

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use chrono::{SecondsFormat, Utc};
use serde_json::{Map, Value, json};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::answering::House;
use super::call::{Step, lacking};
use super::modern::{Asked, complete, step};
use super::seal::unguessable;
use super::wire::{Fault, INVALID_PARAMS};
use crate::server::lock;

pub const EXTENSION: &str = "io.modelcontextprotocol/tasks";

/// How long a task can be asked for. The fixture keeps it for longer: until it stops.
const TTL_MS: u64 = 600_000;

const POLL_INTERVAL_MS: u64 = 100;

/// Whether a client knows tasks.
pub fn knows(capabilities: &Value) -> bool {
    capabilities["extensions"].get(EXTENSION).is_some()
}

/// What a client is told that does not.
pub fn unknown_to_client() -> Fault {
    Fault::missing_capability(&json!({ "extensions": { EXTENSION: {} } }))
}

#[derive(Debug)]
enum Status {
    Working,
    /// Requests that have no answer, and the answers to those that have one.
    InputRequired {
        pending: Map<String, Value>,
        answers: Map<String, Value>,
    },
    Completed(Value),
    Failed(Value),
    Cancelled,
}

impl Status {
    fn has_ended(&self) -> bool {
        match self {
            Self::Working | Self::InputRequired { .. } => false,
            Self::Completed(_) | Self::Failed(_) | Self::Cancelled => true,
        }
    }
}

#[derive(Debug)]
struct Task {
    id: String,
    created_at: String,
    /// The status, and since when.
    status: Mutex<(Status, String)>,
    answered: Notify,
    cancelled: CancellationToken,
}

fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true)
}

impl Task {
    /// Says how it stands, unless it has ended.
    fn set(&self, status: Status) {
        let mut current = lock(&self.status);
        if !current.0.has_ended() {
            *current = (status, now());
        }
    }

    /// What every client is told of it.
    fn describe(&self) -> Value {
        let (status, since) = &*lock(&self.status);
        let (name, detail) = match status {
            Status::Working => ("working", None),
            Status::InputRequired { pending, .. } => {
                ("input_required", Some(("inputRequests", json!(pending))))
            }
            Status::Completed(result) => ("completed", Some(("result", result.clone()))),
            Status::Failed(error) => ("failed", Some(("error", error.clone()))),
            Status::Cancelled => ("cancelled", None),
        };
        let mut described = json!({
            "taskId": self.id, "status": name, "createdAt": self.created_at, "lastUpdatedAt": since,
            "ttlMs": TTL_MS, "pollIntervalMs": POLL_INTERVAL_MS,
        });
        if let Some((key, detail)) = detail {
            described[key] = detail;
        }
        described
    }

    /// Takes answers to what is asked, and no others.
    fn update(&self, given: &Map<String, Value>) {
        if let (Status::InputRequired { pending, answers }, since) = &mut *lock(&self.status) {
            for (key, answer) in given {
                if pending.remove(key).is_some() {
                    answers.insert(key.clone(), answer.clone());
                    *since = now();
                }
            }
        }
        self.answered.notify_one();
    }

    /// The answers, when none is missing.
    async fn answers(&self) -> Map<String, Value> {
        loop {
            if let (Status::InputRequired { pending, answers }, _) = &*lock(&self.status)
                && pending.is_empty()
            {
                return answers.clone();
            }
            self.answered.notified().await;
        }
    }

    async fn run(&self, house: &House, mut asked: Asked) {
        loop {
            match step(house, &asked).await {
                Step::Done(result) => return self.set(Status::Completed(complete(result))),
                Step::Fault(fault) => return self.set(Status::Failed(fault.to_value())),
                Step::Ask { requests, state } => {
                    if let Some(lacking) = lacking(&requests, &asked.client) {
                        let fault = Fault::missing_capability(&lacking);
                        return self.set(Status::Failed(fault.to_value()));
                    }
                    self.set(Status::InputRequired { pending: requests, answers: Map::new() });
                    asked.answers = self.answers().await;
                    asked.state = state;
                    self.set(Status::Working);
                }
            }
        }
    }
}

/// All tasks, by id.
#[derive(Debug, Default)]
pub struct Tasks(Mutex<HashMap<String, Arc<Task>>>);

impl Tasks {
    /// Begins one, and says so as the result of the call.
    pub fn begin(&self, house: &Arc<House>, asked: Asked) -> Value {
        let task = Arc::new(Task {
            id: unguessable(),
            created_at: now(),
            status: Mutex::new((Status::Working, now())),
            answered: Notify::new(),
            cancelled: CancellationToken::new(),
        });
        // Before the client knows its id, since it may ask at once.
        lock(&self.0).insert(task.id.clone(), task.clone());
        let mut created = task.describe();
        created["resultType"] = json!("task");
        let house = house.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = task.run(&house, asked) => {}
                () = task.cancelled.cancelled() => task.set(Status::Cancelled),
            }
        });
        created
    }

    /// Answers `tasks/get`, `tasks/update` or `tasks/cancel`.
    pub fn answer(&self, method: &str, params: &Value) -> Result<Value, Fault> {
        let id = params["taskId"].as_str().unwrap_or_default();
        let task = lock(&self.0).get(id).cloned();
        let task = task.ok_or_else(|| Fault::new(INVALID_PARAMS, "there is no such task"))?;
        match method {
            "tasks/get" => return Ok(task.describe()),
            "tasks/update" => task.update(params["inputResponses"].as_object().unwrap_or(&Map::new())),
            _ => task.cancelled.cancel(),
        }
        Ok(json!({}))
    }
}
