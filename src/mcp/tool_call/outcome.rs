//! How a call ended: what is recorded of it and what its agent is told.
//!
//! **Invariants.** What is recorded is what came back, byte for byte. What an upstream's failure
//! was exactly is sealed in the record; the agent is told of its kind alone.

use std::fmt;
use std::time::Duration;

use actix_web::rt;
use proctor_domain::session::{Cause, Outcome, Session, SessionCommand, SessionEvent};
use proctor_domain::virtual_server::{Capture, Method};
use proctor_domain::{CallId, Event};
use serde_json::value::{RawValue, to_raw_value};

use super::ask::{Asked, digest, kept, sealed};
use super::result::Unfit;
use crate::actors::{AskError, Flight, Prepared, Sealed};
use crate::journal::Delivered;
use crate::mcp::answer::{Fault, codes};
use crate::mcp::auth::Caller;
use crate::mcp::{Knock, measures};
use crate::payload::Ended;
use crate::traces::Span;
use crate::upstream::{self, FailureKind, RpcError};
use crate::vault::Vault;

/// An outcome that could not be written is tried again after this, and then ever more rarely.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How often that is tried.
const AGAIN_MAX: u32 = 7;
/// Codes by which an upstream complains of our side of the exchange, not of the call: an agent
/// would take them for ours.
const ABOUT_THE_EXCHANGE: std::ops::RangeInclusive<i64> = -32_022..=-32_020;

/// See the module.
pub(super) struct Ending {
    came_back: CameBack,
    outcome: Outcome,
    payload: Vec<u8>,
    result_bytes: u64,
}

enum CameBack {
    Result(Box<RawValue>),
    /// A result of a kind that this door does not hand on.
    Unfit(Unfit),
    Error(RpcError),
    Failed {
        kind: FailureKind,
        sent: bool,
    },
    Cancelled(Cause),
}

impl Ending {
    /// What came back, as it is recorded.
    pub fn of(
        came_back: upstream::Outcome,
        flight: &Flight,
        capture: Capture,
        vault: &Vault,
        can_do: impl FnOnce(&RawValue) -> bool,
    ) -> Self {
        match came_back {
            upstream::Outcome::Succeeded { result, is_error } => {
                let digest = digest(capture, Some(&result), vault);
                let payload = Ended::result(kept(capture, Some(&result), digest.as_deref())).to_bytes();
                let result_bytes = result.get().len() as u64;
                let (unfit, wanted) = match Unfit::of(&result) {
                    Some(Unfit::InputRequired) if can_do(&result) => (None, true),
                    unfit => (unfit, false),
                };
                let outcome = match (&unfit, is_error) {
                    (None, _) if wanted => Outcome::InputRequired,
                    (Some(unfit), _) => Outcome::Failed(unfit.code().to_owned()),
                    (None, true) => Outcome::Failed("tool_error".to_owned()),
                    (None, false) => Outcome::Succeeded,
                };
                let came_back = unfit.map_or(CameBack::Result(result), CameBack::Unfit);
                Self { came_back, outcome, payload, result_bytes }
            }
            upstream::Outcome::RpcError(error) => {
                let outcome = Outcome::Failed(format!("rpc_error:{}", error.code));
                let raw = error_payload(&error.message, Some(error.code), error.data.as_deref());
                let payload = sealed_error(&raw, capture, vault);
                let result_bytes = raw.get().len() as u64;
                Self { came_back: CameBack::Error(error), outcome, payload, result_bytes }
            }
            upstream::Outcome::Failed { kind: FailureKind::NotLet, .. } if flight.token().is_cancelled() => {
                Self::cancelled(flight.cause())
            }
            upstream::Outcome::Failed { kind, detail, sent } => {
                let payload = sealed_error(&error_payload(&detail, None, None), capture, vault);
                let outcome = Outcome::Failed(code_of(kind).into_owned());
                Self { came_back: CameBack::Failed { kind, sent }, outcome, payload, result_bytes: 0 }
            }
            upstream::Outcome::Cancelled { .. } => Self::cancelled(flight.cause()),
        }
    }

    fn cancelled(cause: Cause) -> Self {
        let payload = Ended::result(crate::payload::Kept::Nothing).to_bytes();
        Self {
            came_back: CameBack::Cancelled(cause),
            outcome: Outcome::Cancelled(cause),
            payload,
            result_bytes: 0,
        }
    }

    /// Counts the call, and tells its span how it ended, unless that could not be recorded.
    pub fn tell(&self, knock: &Knock, admitted: &Delivered, span: &Span, is_recorded: bool) {
        let Event::Session(SessionEvent::ToolCallAdmitted { route, .. }) = &admitted.event else { return };
        let (measures, server) = (&knock.proctor.door.measures, knock.caller.server());
        span.say("proctor.connection", route.connection.as_str());
        span.say("gen_ai.tool.name", &route.tool);
        if is_recorded {
            measures.ended(server, &route.connection, &self.outcome);
            span.say("proctor.outcome", measures::code(&self.outcome));
        } else {
            measures.unknown(server, &route.connection);
            span.say("proctor.outcome", "unknown");
        }
        if let Outcome::Failed(code) = &self.outcome {
            span.fail(code);
        }
    }

    /// The upstream's wish for input, where it has one.
    pub fn wish(&self) -> Option<&RawValue> {
        match (&self.outcome, &self.came_back) {
            (Outcome::InputRequired, CameBack::Result(result)) => Some(result),
            _ => None,
        }
    }

    /// Whether the upstream did not accept the credential, and so did nothing.
    pub fn is_unauthorized(&self) -> bool {
        matches!(self.came_back, CameBack::Failed { kind: FailureKind::Unauthorized, .. })
    }

    /// The result, now that the outcome is recorded.
    ///
    /// # Errors
    /// When there is none to answer with.
    pub async fn result(
        self,
        knock: &Knock,
        call: &CallId,
        (method, eras): (Method, Eras),
    ) -> Result<Box<RawValue>, Fault> {
        let call = Some(call.as_str());
        let fault = |message: &'static str, code: &str| {
            Err(Fault::new(codes::INTERNAL, message).with_code(code, call))
        };
        match self.came_back {
            CameBack::Result(result) => Ok(result),
            CameBack::Unfit(unfit) => fault(unfit.message(), unfit.code()),
            CameBack::Error(error) if error.code == codes::MISSING_CAPABILITY && eras.agent_is_modern => {
                let fault = Fault::malformed(error.code, error.message);
                Err(match error.data {
                    Some(data) => fault.with_data(data.get().to_owned()),
                    None => fault,
                })
            }
            CameBack::Error(error) if ABOUT_THE_EXCHANGE.contains(&error.code) => fault(
                "the upstream server refused the exchange: an administrator must look at its connection",
                "protocol",
            ),
            CameBack::Error(error) => {
                let fault = Fault::new(code_for(error.code, method, eras), error.message);
                Err(match error.data {
                    Some(data) => fault.with_data(data.get().to_owned()),
                    None => fault,
                })
            }
            CameBack::Failed { kind, sent } => {
                let message = match (kind, sent) {
                    (FailureKind::Timeout, true) => {
                        "the upstream server did not answer in time; whether the call had an effect is not known"
                    }
                    (FailureKind::Timeout, false) => "the upstream server could not be reached in time",
                    (FailureKind::TooLarge, _) => "the result is larger than the limit",
                    (FailureKind::NotLet, _) => "the call was stopped before it left: try again soon",
                    (FailureKind::Busy, _) => "too many upstream servers are in use: try again soon",
                    (FailureKind::Unauthorized, _) => {
                        "the upstream server did not accept the credential it was given"
                    }
                    (FailureKind::Forbidden, _) => {
                        "the upstream server does not allow this with the credential it was given"
                    }
                    (_, true) => "the upstream server failed; whether the call had an effect is not known",
                    (_, false) => "the upstream server could not be called",
                };
                fault(message, &code_of(kind))
            }
            CameBack::Cancelled(cause) => Err(Box::pin(cancelled(knock, cause, call)).await),
        }
    }
}

/// Which eras a call crosses.
#[derive(Clone, Copy)]
pub(super) struct Eras {
    /// Whether the agent is modern.
    pub agent_is_modern: bool,
    /// Whether its upstream is, as far as that is known.
    pub upstream_is_modern: bool,
}

/// The code of an upstream's error as the agent's era has it: the eras differ in how they say that there is
/// no such resource.
fn code_for(code: i64, method: Method, eras: Eras) -> i64 {
    match (method, code, eras.upstream_is_modern, eras.agent_is_modern) {
        (Method::ResourcesRead, codes::RESOURCE_NOT_FOUND, false, true) => codes::INVALID_PARAMS,
        (Method::ResourcesRead, codes::INVALID_PARAMS, true, false) => codes::RESOURCE_NOT_FOUND,
        _ => code,
    }
}

async fn cancelled(knock: &Knock, cause: Cause, call: Option<&str>) -> Fault {
    let message = match cause {
        Cause::Revocation => {
            let session = knock.proctor.directory.state::<Session>(knock.caller.session_id.as_str()).await;
            if let Ok(session) = session
                && let Err(ended) =
                    (Caller { session, ..knock.caller.clone() }).check_alive(&knock.proctor).await
            {
                return ended;
            }
            "the call was cancelled, because what it used was revoked; whether it had an effect is not known"
        }
        Cause::Agent => "the call was cancelled; whether it had an effect is not known",
        Cause::Shutdown => {
            "the call was cancelled, because Proctor is shutting down; whether it had an effect is not known"
        }
    };
    Fault::new(codes::REFUSED, message).with_code("cancelled", call)
}

fn code_of(kind: FailureKind) -> std::borrow::Cow<'static, str> {
    match kind {
        FailureKind::Http(status) => format!("http_{status}").into(),
        FailureKind::NotLet => "not_sent".into(),
        kind => kind.as_str().into(),
    }
}

/// An error as it is sealed: an object with `message`, and `code` and `data` where there are some.
fn error_payload(message: &str, code: Option<i64>, data: Option<&RawValue>) -> Box<RawValue> {
    #[derive(serde::Serialize)]
    struct Error<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<i64>,
        message: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        data: Option<&'a RawValue>,
    }
    to_raw_value(&Error { code, message, data }).expect("text, a number and JSON are always JSON")
}

fn sealed_error(error: &RawValue, capture: Capture, vault: &Vault) -> Vec<u8> {
    let digest = digest(capture, Some(error), vault);
    Ended::error(kept(capture, Some(error), digest.as_deref())).to_bytes()
}

type NotRecorded = AskError<<Session as cqrs_es::Aggregate>::Error>;

/// Writes the outcome down.
///
/// # Errors
/// When it could not be written.
pub(super) async fn record(
    knock: &Knock,
    asked: &Asked<'_>,
    ending: &Ending,
    took: Duration,
) -> Result<(), NotRecorded> {
    let sealed = sealed(asked.key, &ending.payload);
    write(knock, command(&asked.call, ending, took), sealed).await
}

fn command(call: &CallId, ending: &Ending, took: Duration) -> SessionCommand {
    SessionCommand::RecordOutcome {
        call: call.clone(),
        outcome: ending.outcome.clone(),
        duration_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        result_bytes: ending.result_bytes,
    }
}

async fn write(knock: &Knock, command: SessionCommand, sealed: Sealed) -> Result<(), NotRecorded> {
    let (proctor, session) = (&knock.proctor, knock.caller.session_id.as_str());
    let answer = proctor.directory.ask::<Session, _>(session, || {
        let prepared = Prepared { sealed: Some(sealed.clone()), ..Prepared::alone(command.clone()) };
        async move { Ok(prepared) }
    });
    answer.await.map(drop)
}

/// Goes on trying to write down an outcome that could not be written at once. The agent has been
/// told that it is unknown; the record may still learn it.
/// As long as it tries, the call stays in flight, so that no sweeper records another outcome.
pub(super) fn record_later(knock: &Knock, asked: &Asked<'_>, ending: Ending, took: Duration, flight: Flight) {
    let command = command(&asked.call, &ending, took);
    let sealed = sealed(asked.key, &ending.payload);
    let (proctor, session) = (knock.proctor.clone(), knock.caller.session_id.clone());
    rt::spawn(async move {
        let _flight = flight;
        for attempt in 0..AGAIN_MAX {
            tokio::time::sleep(AGAIN_AFTER * 2_u32.pow(attempt)).await;
            let answer = proctor.directory.ask::<Session, _>(session.as_str(), || {
                let prepared = Prepared { sealed: Some(sealed.clone()), ..Prepared::alone(command.clone()) };
                async move { Ok(prepared) }
            });
            match answer.await {
                // Nonsense now means that it is written, or was given up by another.
                Ok(_) | Err(AskError::Nonsense(_)) => return,
                Err(error) => tracing::warn!(%session, %error, "failed to record an outcome once more"),
            }
        }
    });
}

impl fmt::Debug for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ending").field("outcome", &self.outcome).finish_non_exhaustive()
    }
}
