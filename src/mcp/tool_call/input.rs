//! Asking a legacy agent for what an upstream wants (elicitation, sampling, roots): on the stream of the
//! request that needs it, and answered by another request, perhaps to another process.
//!
//! **Invariants.** A wish is on the record before the agent is asked, and an answer before it goes on. An
//! agent is asked for nothing that it has not declared to be able to do, and not once its session has ended.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::error::Error;
use std::future::ready;
use std::time::Duration;

use proctor_domain::CallId;
use proctor_domain::session::{Session, SessionCommand};
use proctor_domain::virtual_server::Capture;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::ask::{digest, kept, sealed};
use crate::actors::{Given, Prepared, new_id, now};
use crate::mcp::Knock;
use crate::mcp::answer::{Fault, codes, push_text};
use crate::mcp::auth::Caller;
use crate::mcp::envelope::Answered;
use crate::mcp::members::text;
use crate::payload;
use crate::vault::SessionKey;

/// Wishes of one request, at most: an upstream must not ask for ever.
const WISHES_MAX: usize = 32;
/// For so long an agent is waited for.
const WAIT: Duration = Duration::from_secs(600);
/// While it is, it is looked this often whether its session lives.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotAnswered {
    /// The agent is not there to be asked.
    #[error("the agent has gone away")]
    Gone,
    /// It took too long.
    #[error("the agent did not answer in time")]
    Late,
    /// The upstream asks without end.
    #[error("the upstream server asks for more input than one request may need")]
    TooMany,
    /// The session has ended, or the call was cancelled.
    #[error("the call was cancelled")]
    Cancelled,
    /// It could not be recorded, or the answer not be read.
    #[error("the input could not be recorded")]
    NotRecorded,
}

impl NotAnswered {
    fn fault(&self, call: &CallId) -> Fault {
        Fault::new(codes::REFUSED, format!("{self}, so the call was not completed"))
            .with_code("input_not_given", Some(call.as_str()))
    }
}

/// Whoever asks the agent of one request.
pub(super) struct Asker<'a> {
    pub knock: &'a Knock,
    pub key: &'a SessionKey,
    asked: Cell<usize>,
}

impl<'a> Asker<'a> {
    pub fn new(knock: &'a Knock, key: &'a SessionKey) -> Self {
        Self { knock, key, asked: Cell::new(0) }
    }

    /// Asks the agent, and waits for its answer: an object with `result` or `error`.
    ///
    /// # Errors
    /// When there is none.
    pub async fn ask(
        &self,
        (call, capture): (&CallId, Capture),
        (method, params): (&str, Option<&RawValue>),
        cancel: Option<&CancellationToken>,
    ) -> Result<Box<RawValue>, NotAnswered> {
        if self.asked.replace(self.asked.get() + 1) >= WISHES_MAX {
            return Err(NotAnswered::TooMany);
        }
        if self.knock.link.is_gone() {
            return Err(NotAnswered::Gone);
        }
        let input = new_id("input");
        let mut wait = self.knock.proctor.calls.inputs().wait(input.clone());
        self.record(&input, (call, capture), (method, params)).await?;
        self.knock.link.ask(request(&input, method, params).as_bytes());
        let until = Instant::now() + WAIT;
        let never = CancellationToken::new();
        let cancel = cancel.unwrap_or(&never);
        loop {
            tokio::select! {
                given = timeout(LOOK_EVERY, wait.given()) => match given {
                    Ok(Some(given)) => return self.read(given).await,
                    Ok(None) => return Err(NotAnswered::NotRecorded),
                    Err(_) => {}
                },
                () = cancel.cancelled() => return Err(NotAnswered::Cancelled),
                () = sleep_until(until) => return Err(NotAnswered::Late),
            }
            if !self.is_alive().await {
                return Err(NotAnswered::Cancelled);
            }
            if self.knock.link.is_gone() {
                return Err(NotAnswered::Gone);
            }
        }
    }

    /// Whether the session goes on, as it is now.
    async fn is_alive(&self) -> bool {
        let Knock { proctor, caller, .. } = self.knock;
        let Ok(session) = proctor.directory.state::<Session>(caller.session_id.as_str()).await else {
            return true;
        };
        (Caller { session, ..caller.clone() }).check_alive(proctor).await.is_ok()
    }

    async fn record(
        &self,
        input: &str,
        (call, capture): (&CallId, Capture),
        (method, params): (&str, Option<&RawValue>),
    ) -> Result<(), NotAnswered> {
        let (proctor, session) = (&self.knock.proctor, self.knock.caller.session_id.as_str());
        let digest = digest(capture, params, &proctor.vault);
        let sealed =
            sealed(self.key, &payload::Input::new(kept(capture, params, digest.as_deref())).to_bytes());
        let command = SessionCommand::RequestInput {
            at: now(),
            input: input.to_owned(),
            call: call.clone(),
            method: method.to_owned(),
        };
        let recorded = proctor.directory.ask::<Session, _>(session, || {
            let prepared = Prepared { sealed: Some(sealed.clone()), ..Prepared::alone(command.clone()) };
            ready(Ok(prepared))
        });
        recorded.await.map(drop).map_err(|error| {
            tracing::warn!(error = &error as &dyn Error, %call, "failed to record that input is wanted");
            NotAnswered::NotRecorded
        })
    }

    /// What was answered: as this process took it in, or as another one sealed it.
    async fn read(&self, given: Given) -> Result<Box<RawValue>, NotAnswered> {
        if let Some(answer) = given.answer {
            return Ok(answer);
        }
        let reader = self.knock.proctor.journal.reader();
        let unreadable = || {
            tracing::warn!(
                position = given.position.0,
                "an answer that another process took in cannot be read"
            );
            NotAnswered::NotRecorded
        };
        let before = proctor_domain::Position(given.position.0.saturating_sub(1));
        let events = reader.read(before, 1).await.map_err(|_| unreadable())?;
        let event = events.first().ok_or_else(unreadable)?;
        let bytes = reader.sealed(given.position).await.ok().flatten().ok_or_else(unreadable)?;
        let plain = self.key.open_payload(&event.event_id, &bytes).map_err(|_| unreadable())?;
        let input = payload::Input::read(&plain).map_err(|_| unreadable())?;
        input.message.map(ToOwned::to_owned).ok_or_else(unreadable)
    }

    /// Asks for everything that an upstream's result wishes for: the answers by its names.
    ///
    /// # Errors
    /// When one of them is not given, or the agent answers with an error.
    pub async fn all(
        &self,
        (call, capture): (&CallId, Capture),
        result: &RawValue,
    ) -> Result<Box<RawValue>, Fault> {
        #[derive(Deserialize)]
        struct Wishes<'a> {
            #[serde(rename = "inputRequests", borrow, default)]
            requests: BTreeMap<Cow<'a, str>, Wish<'a>>,
        }
        #[derive(Deserialize)]
        struct Wish<'a> {
            #[serde(borrow)]
            method: Cow<'a, str>,
            #[serde(borrow, default)]
            params: Option<&'a RawValue>,
        }
        let odd = || NotAnswered::NotRecorded.fault(call);
        let wishes: Wishes<'_> = serde_json::from_str(result.get()).map_err(|_| odd())?;
        let mut json = String::from("{");
        for (name, Wish { method, params }) in &wishes.requests {
            let asked = self.ask((call, capture), (method, *params), None).await;
            let answer = asked.map_err(|error| error.fault(call))?;
            let answer: AnswerOf<'_> = serde_json::from_str(answer.get()).map_err(|_| odd())?;
            let result = match (answer.result, answer.error) {
                (Some(result), _) => result,
                (None, Some(error)) => return Err(said(error, call)),
                (None, None) => return Err(odd()),
            };
            if json.len() > 1 {
                json.push(',');
            }
            push_text(&mut json, name);
            json.push(':');
            json.push_str(result.get());
        }
        json.push('}');
        RawValue::from_string(json).map_err(|_| odd())
    }
}

#[derive(Deserialize)]
struct AnswerOf<'a> {
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

/// What the agent said instead of an answer, to itself.
fn said(error: &RawValue, call: &CallId) -> Fault {
    #[derive(Deserialize)]
    struct Said {
        code: i64,
        #[serde(default)]
        message: String,
    }
    let said: Said = serde_json::from_str(error.get())
        .unwrap_or_else(|_| Said { code: codes::REFUSED, message: "the input was refused".to_owned() });
    Fault::new(said.code, said.message).with_code("input_not_given", Some(call.as_str()))
}

/// The member of a JSON-RPC message that an answer goes on as.
pub(super) fn member(answer: &RawValue) -> Option<String> {
    let answer: AnswerOf<'_> = serde_json::from_str(answer.get()).ok()?;
    let member = |name: &str, value: &RawValue| format!("\"{name}\":{}", value.get());
    let result = answer.result.map(|result| member("result", result));
    result.or_else(|| answer.error.map(|error| member("error", error)))
}

fn request(input: &str, method: &str, params: Option<&RawValue>) -> String {
    let mut json = String::from("{\"jsonrpc\":\"2.0\",\"id\":");
    push_text(&mut json, input);
    json.push_str(",\"method\":");
    push_text(&mut json, method);
    if let Some(params) = params {
        json.push_str(",\"params\":");
        json.push_str(params.get());
    }
    json.push('}');
    json
}

/// Takes in what an agent answers. What answers nothing that was asked is left alone.
///
/// # Errors
/// 503 when it cannot be recorded now.
pub(in crate::mcp) async fn take(knock: &Knock, answered: &Answered<'_>) -> Result<(), Fault> {
    let (proctor, caller) = (&knock.proctor, &knock.caller);
    let unavailable = |error: String| Fault::unavailable(error);
    let Some(input) = text(answered.id) else { return Ok(()) };
    let session_id = caller.session_id.as_str();
    let session = proctor.directory.fresh::<Session>(session_id).await;
    let session = session.map_err(|error| unavailable(error.to_string()))?;
    if session.input(&input).is_none() {
        return Ok(());
    }
    let json = match answered.is_error {
        true => format!("{{\"error\":{}}}", answered.value.get()),
        false => format!("{{\"result\":{}}}", answered.value.get()),
    };
    let Ok(answer) = RawValue::from_string(json) else { return Ok(()) };
    let server = caller.check_alive(proctor).await?;
    let capture = server.definition().capture;
    let key = proctor.keyring.session_key(session_id, &caller.terms.subject).await;
    let key = key.map_err(|error| super::no_key(&error))?;
    proctor.calls.inputs().keep(&input, &answer);
    let digest = digest(capture, Some(&answer), &proctor.vault);
    let kept = kept(capture, Some(&answer), digest.as_deref());
    let sealed = sealed(&key, &payload::Input::new(kept).to_bytes());
    let given = proctor.directory.ask::<Session, _>(session_id, || {
        let command = SessionCommand::GiveInput { input: input.clone().into_owned() };
        ready(Ok(Prepared { sealed: Some(sealed.clone()), ..Prepared::alone(command) }))
    });
    given.await.map(drop).map_err(|error| unavailable(error.to_string()))
}
