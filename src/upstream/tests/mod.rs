//! The way out as a caller sees it, against servers that behave well and badly.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use proctor_domain::CallId;
use serde_json::{Value, value::RawValue};
use tokio_util::sync::CancellationToken;

use super::*;

mod eras;
mod isolation;
mod leaving;
mod misbehaving;
mod processes;
mod real;
mod scripted;

/// A gate that always gives the same answer.
struct Always(Result<(), Refusal>);

impl Gate for Always {
    fn may_still_leave(&self, _: &CallId) -> bool {
        true
    }

    fn may_leave<'a>(&'a self, _: &'a CallId) -> Passage<'a> {
        Passage::Now(self.0.clone())
    }
}

fn admitted() -> Admission {
    Admission::of_test("call_1", 1, Arc::new(Always(Ok(()))))
}

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap()
}

fn http_target(url: &str, era: Option<Era>) -> Target {
    Target {
        connection: "notes".to_owned(),
        generation: 1,
        credential_generation: 1,
        transport: Transport::Http { url: url.to_owned() },
        auth: Auth::None,
        private_network: true,
        shared: false,
        era,
    }
}

/// A caller with its own way out and short limits.
struct Caller {
    upstreams: Upstreams,
    target: Target,
    admission: Option<Admission>,
    cancel: CancellationToken,
    wait: Duration,
    notifications: Vec<Value>,
}

impl Caller {
    fn new(target: Target) -> Self {
        Self::with(target, Limits { answer_bytes_max: 10_000, ..Limits::default() })
    }

    fn with(target: Target, limits: Limits) -> Self {
        Self {
            upstreams: Upstreams::new(limits),
            target,
            admission: None,
            cancel: CancellationToken::new(),
            wait: Duration::from_secs(10),
            notifications: Vec::new(),
        }
    }

    async fn call(&mut self, call: Call<'_>) -> Outcome {
        let admission = self.admission.take().unwrap_or_else(admitted);
        let (notifications, deadline) = (&mut self.notifications, Instant::now() + self.wait);
        self.upstreams
            .call(
                admission,
                &self.target,
                "sub_1",
                call,
                deadline,
                self.cancel.clone(),
                |notification: &RawValue| {
                    notifications.push(serde_json::from_str(notification.get()).unwrap());
                },
            )
            .await
    }

    async fn call_for(&self, subject: &str, tool: &str) -> Outcome {
        let deadline = Instant::now() + self.wait;
        self.upstreams
            .call(
                admitted(),
                &self.target,
                subject,
                Call::of_tool(tool, None),
                deadline,
                self.cancel.clone(),
                |_: &RawValue| (),
            )
            .await
    }
}

/// The result of a call that has to succeed.
fn succeeded(outcome: Outcome) -> Value {
    match outcome {
        Outcome::Succeeded { result, is_error: false } => serde_json::from_str(result.get()).unwrap(),
        other => panic!("not a success: {other:?}"),
    }
}

/// The kind, words and `sent` of a call that has to fail.
fn failure(outcome: Outcome) -> (FailureKind, String, bool) {
    match outcome {
        Outcome::Failed { kind, detail, sent } => (kind, detail, sent),
        other => panic!("not a failure: {other:?}"),
    }
}

/// Waits until something has become true, for as long as a test may take.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let give_up = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < give_up, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn a_call_can_run_on_any_thread() {
    fn is_send<T: Send>(_: T) {}
    let call = |upstreams: Upstreams, target: Target| async move {
        let deadline = Instant::now();
        let cancel = CancellationToken::new();
        upstreams
            .call(admitted(), &target, "", Call::of_tool("t", None), deadline, cancel, |_: &RawValue| ())
            .await
    };
    is_send(call);
    fn future_is_send<F: Future + Send>(_: fn(Upstreams, Target) -> F) {}
    future_is_send(|upstreams, target| async move {
        let cancel = CancellationToken::new();
        upstreams
            .call(
                admitted(),
                &target,
                "",
                Call::of_tool("t", None),
                Instant::now(),
                cancel,
                |_: &RawValue| (),
            )
            .await
    });
}

#[test]
fn secrets_are_not_part_of_debug_output() {
    let mut target = http_target("http://a.example/?key=hunter2", None);
    target.auth = Auth::Header { name: "X-Key".to_owned(), value: Zeroizing::new("hunter2".to_owned()) };
    assert!(!format!("{target:?}").contains("hunter2"));
    target.transport = Transport::Stdio {
        command: "c".to_owned(),
        args: vec!["--key=hunter2".to_owned()],
        env: vec![("KEY".to_owned(), Zeroizing::new("hunter2".to_owned()))],
        of_user: vec![("TOKEN".to_owned(), Zeroizing::new("hunter2".to_owned()))],
    };
    assert!(!format!("{target:?}").contains("hunter2"));
}
