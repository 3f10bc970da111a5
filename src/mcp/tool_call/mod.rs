//! `tools/call`: what everything else is for.
//!
//! **Invariants.** A call is asked for, admitted, sent, recorded and answered in this order, and
//! nothing is skipped: what is not admitted is not sent, what is not recorded is not answered as
//! done. A call that left runs to its outcome, whether or not its client still waits.

mod account;
mod ask;
mod asking;
mod limits;
mod outcome;
mod refusal;
mod result;
mod trace;

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Instant;

use actix_web::http::StatusCode;
use proctor_domain::connection::Connection;
use proctor_domain::session::{Client, Route, Session, SessionEvent};
use proctor_domain::virtual_server::VirtualServer;
use proctor_domain::{CallId, Event};
use serde_json::value::RawValue;

use super::Knock;
use super::answer::{Fault, Reply, codes};
use super::envelope::{Meta, Request};
use super::members::text;
use super::modern;
use crate::actors::{AskError, Flight, KeyringError, new_id};
use crate::connect::Due;
use crate::journal::Delivered;
use crate::targets::TargetError;
use crate::traces::Span;
use crate::upstream::{self, Admission, FailureKind, HeaderParam, Target, Trace};
use crate::vault::SessionKey;
use account::Refused;
use ask::{Asked, Sent};
use limits::Bounds;
use outcome::Ending;
use trace::Came;

/// Calls that one process has on their way at a time.
const CALLS_MAX: usize = 10_000;
/// Calls that one session has on their way at a time.
const SESSION_CALLS_MAX: usize = 256;
/// Times that a refusal is asked for again because nothing stands for it in the journal any more.
const ASKED_AGAIN_MAX: usize = 3;

/// Who makes a call, in which era.
pub(super) struct Speaker<'a> {
    pub is_modern: bool,
    pub client: Client,
    /// The client, as it introduced itself.
    pub client_info: Option<&'a RawValue>,
    /// What the client can do, as it declared it.
    pub capabilities: Option<&'a RawValue>,
    /// Under which name the request can be cancelled by another.
    pub request_name: Option<String>,
}

/// Makes a call, from the request to its answer.
///
/// # Errors
/// Whatever is not the result of a tool.
pub(super) async fn call(knock: &Knock, request: &Request<'_>, speaker: Speaker<'_>) -> Result<Reply, Fault> {
    let came = Came::with(knock, &request.params.meta);
    let span = came.begin(knock);
    let answer = answer(knock, request, &speaker, (&came, &span)).await;
    if let Err(fault) = &answer {
        span.fail(&fault.code.to_string());
    }
    answer
}

async fn answer(
    knock: &Knock,
    request: &Request<'_>,
    speaker: &Speaker<'_>,
    (came, span): (&Came<'_>, &Span),
) -> Result<Reply, Fault> {
    let (proctor, caller) = (&knock.proctor, &knock.caller);
    let params = &request.params;
    let wrong = || Fault::new(codes::INVALID_PARAMS, "params.name must be a string");
    let name = params.name.and_then(text).ok_or_else(wrong)?;
    check_load(knock)?;
    let key = proctor.keyring.session_key(caller.session_id.as_str(), &caller.terms.subject).await;
    let key = key.map_err(|error| no_key(&error))?;
    let attempt = Attempt { knock, request, speaker, name, key: &key, came, span };
    let made = attempt.make().await?;
    let Some(refused) = &made.refused else { return made.reply(&attempt).await };
    if knock.link.is_gone() || !Box::pin(refused.renewed(knock)).await {
        return made.reply(&attempt).await;
    }
    let made = Box::pin(attempt.make()).await?;
    if let Some(refused) = &made.refused {
        Box::pin(refused.expire(knock)).await;
    }
    made.reply(&attempt).await
}

/// One request for a call, which may make two: a second one when the upstream did not accept the
/// user's credential, and it was renewed.
struct Attempt<'a> {
    knock: &'a Knock,
    request: &'a Request<'a>,
    speaker: &'a Speaker<'a>,
    name: Cow<'a, str>,
    key: &'a SessionKey,
    came: &'a Came<'a>,
    span: &'a Span,
}

/// A call that is over, and on the record.
struct Made {
    ending: Ending,
    call: CallId,
    server: Arc<VirtualServer>,
    /// The user's credential, where the upstream did not accept it.
    refused: Option<Refused>,
}

impl Made {
    async fn reply(self, attempt: &Attempt<'_>) -> Result<Reply, Fault> {
        let Attempt { knock, request, speaker, .. } = attempt;
        self.ending.reply(knock, request.id, speaker, &self.call, &self.server).await
    }
}

impl Attempt<'_> {
    /// Makes one call, from its admission to its outcome.
    async fn make(&self) -> Result<Made, Fault> {
        let Self { knock, request, speaker, key, came, span, .. } = *self;
        let arrived = Instant::now();
        let admission = span.part("admission");
        let (proctor, caller, params) = (&knock.proctor, &knock.caller, &request.params);
        let call = CallId::from(new_id("call"));
        // Before the admission is asked for, so that no revocation can miss it.
        let flight = proctor.calls.enter(
            call.clone(),
            caller.session_id.clone(),
            caller.session.opened_at(),
            caller.terms.subject.clone(),
            caller.server().clone(),
        );
        if speaker.is_modern {
            knock.link.leash(call.clone());
        }
        let mut asked = Asked::new(knock, call, self.name.clone(), params, speaker, key, (came, span));
        let mut first = asked.gather().await?;
        let due = first.due();
        if due != Due::Later {
            first = Box::pin(account::freshened(&asked, first, due)).await?;
        }
        if speaker.is_modern
            && let Some(tool) = first.visible_tool(&caller.terms)
        {
            modern::check_params(knock.request.headers(), &tool.header_params, params.arguments, proctor)?;
        }
        let mut share = match limits::share(knock, &first) {
            Ok(share) => share,
            Err(held_back) => {
                asked.hold_back(&mut first, held_back);
                None
            }
        };
        let (admitted, sent) = admit(&asked, first).await?;
        drop(admission);
        proctor.door.measures.admission_took(arrived.elapsed());
        if let Some(share) = &mut share {
            share.spend();
        }
        let leaving = span.leaving("tools/call");
        let goes_on = came.goes_on(&leaving);
        let trace = goes_on.with(&params.meta);
        let travel = Travel { knock, meta: &params.meta, speaker, flight: &flight, trace };
        let begun = Instant::now();
        let came_back = travel.send(&admitted, &sent, begun).await;
        drop(leaving);
        let took = begun.elapsed();
        proctor.door.measures.upstream_took(took);
        let ending = Ending::of(came_back, &flight, sent.capture(), &proctor.vault);
        let recording = span.part("outcome");
        let recorded = outcome::record(knock, &asked, &ending, took).await;
        drop(recording);
        proctor.door.measures.outcome_took(begun.elapsed() - took);
        ending.tell(knock, &admitted, span, recorded.is_ok());
        match recorded {
            Ok(()) => {
                drop(flight);
                let refused = if ending.is_unauthorized() { Refused::of(&admitted) } else { None };
                Ok(Made { ending, call: asked.call.clone(), server: Arc::clone(&sent.server), refused })
            }
            Err(error) => {
                tracing::error!(call = %asked.call, %error, "failed to record the outcome of a call");
                outcome::record_later(knock, &asked, ending, took, flight);
                let message =
                    "the call was made, but what became of it could not be recorded: its outcome is unknown";
                Err(Fault::new(codes::INTERNAL, message)
                    .with_code("outcome_unknown", Some(asked.call.as_str())))
            }
        }
    }
}

/// Refuses what would pile up. Nothing is on its way then, so nothing is on the record.
fn check_load(knock: &Knock) -> Result<(), Fault> {
    if knock.caller.session.in_flight().len() >= SESSION_CALLS_MAX {
        let message = format!("this session has {SESSION_CALLS_MAX} calls on their way: wait for one to end");
        return Err(Fault::new(codes::REFUSED, message)
            .with_status(StatusCode::TOO_MANY_REQUESTS)
            .with_code("too_many_calls", None));
    }
    if knock.proctor.calls.len() >= CALLS_MAX {
        return Err(Fault::unavailable("too many calls are on their way: try again soon"));
    }
    Ok(())
}

/// Asks the session to let the call leave.
async fn admit<'a>(asked: &'a Asked<'a>, first: ask::Gathered<'a>) -> Result<(Delivered, Sent<'a>), Fault> {
    let directory = &asked.knock.proctor.directory;
    let (first, sent, fault) = (RefCell::new(Some(first)), RefCell::new(None), RefCell::new(None));
    for _ in 0..ASKED_AGAIN_MAX {
        let answer = directory
            .ask::<Session, _>(asked.session(), || async {
                let first = first.borrow_mut().take();
                let gathered = match first {
                    Some(gathered) => Ok(gathered),
                    None => asked.gather().await,
                };
                match gathered {
                    Ok(gathered) => {
                        let (prepared, what) = asked.prepare(gathered);
                        *sent.borrow_mut() = Some(what);
                        Ok(prepared)
                    }
                    Err(unfit) => {
                        *fault.borrow_mut() = Some(unfit);
                        Err(AskError::Unavailable(asked.stream()))
                    }
                }
            })
            .await;
        let events =
            answer.map_err(|error| fault.take().unwrap_or_else(|| refusal::not_asked(asked, &error)))?;
        let Some(event) = events.into_iter().next() else {
            match refusal::again(asked).await? {
                Some(fault) => return Err(fault),
                // What stood for it is of another minute by now.
                None => continue,
            }
        };
        return match (&event.event, sent.take()) {
            (Event::Session(SessionEvent::ToolCallAdmitted { .. }), Some(sent)) => Ok((event, sent)),
            (Event::Session(SessionEvent::ToolCallRefused { call, reason, retry_at, .. }), sent) => {
                let retry = limits::retry_after_seconds(*reason, *retry_at, Some(event.place.recorded_at));
                let connection = sent.as_ref().and_then(|sent| sent.connection_name(&asked.name)).cloned();
                let wrong = sent.and_then(|sent| sent.wrong);
                let fault = refusal::fault(asked, *reason, call, (wrong, connection.as_ref()), retry);
                Err(Box::pin(asking::asking(asked, *reason, fault)).await)
            }
            _ => Err(Fault::new(codes::INTERNAL, "the session answered something else than was asked")),
        };
    }
    Err(Fault::unavailable("the call could not be judged: try again"))
}

fn no_key(error: &KeyringError) -> Fault {
    match error {
        KeyringError::Store(_) => Fault::unavailable("the session's key cannot be read now: try again soon"),
        KeyringError::Gone(_) | KeyringError::Open(_) | KeyringError::Vault(_) => {
            tracing::error!(%error, "a session has no key");
            Fault::new(
                codes::INTERNAL,
                "the session's key is gone, so its calls cannot be recorded: mint a new session",
            )
            .with_code("key_gone", None)
        }
    }
}

/// An admitted call on its way out and back.
struct Travel<'a> {
    knock: &'a Knock,
    meta: &'a Meta<'a>,
    speaker: &'a Speaker<'a>,
    flight: &'a Flight,
    trace: Trace<'a>,
}

/// Why an admitted call has no way out.
#[derive(Debug, thiserror::Error)]
enum NoWay {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    Key(#[from] KeyringError),
}

impl Travel<'_> {
    /// How the call's upstream is reached, with the credential that it was admitted with.
    async fn target(&self, route: &Route, connection: &Connection) -> Result<Arc<Target>, NoWay> {
        let Knock { proctor, caller, .. } = self.knock;
        let Some(generation) = route.user_generation else {
            return Ok(proctor.targets.of(&route.connection, connection).await?);
        };
        let subject = &caller.terms.subject;
        let open =
            async || Ok(proctor.keyring.user_credential(subject, &route.connection, generation).await?);
        proctor.targets.of_user(&route.connection, connection, (subject, generation), open).await
    }

    async fn send(&self, admitted: &Delivered, sent: &Sent<'_>, begun: Instant) -> upstream::Outcome {
        let proctor = &self.knock.proctor;
        let (Event::Session(SessionEvent::ToolCallAdmitted { route, .. }), Some(admission)) =
            (&admitted.event, Admission::of(admitted, proctor.door.gate(proctor)))
        else {
            return not_sent(FailureKind::NotLet, "no admission was delivered".to_owned());
        };
        let target = match &sent.connection {
            Some(connection) if connection.generation() == route.generation => {
                self.target(route, connection).await
            }
            Some(_) | None => {
                return not_sent(FailureKind::NotLet, "the connection was reconfigured meanwhile".to_owned());
            }
        };
        let target = match target {
            Ok(target) => target,
            Err(error) => return not_sent(FailureKind::Configuration, error.to_string()),
        };
        let header_params = header_params(sent);
        let bounds = Bounds::of(sent, &proctor.config);
        let token = self.meta.progress_token.filter(|_| self.knock.accepts.stream);
        let call = upstream::Call {
            progress_wanted: token.is_some(),
            arguments: sent.arguments.as_deref(),
            client_info: self.speaker.client_info,
            // None: nothing that an upstream could ask of a client is handed on.
            client_capabilities: None,
            trace: self.trace,
            header_params: &header_params,
            tool: &route.tool,
            answer_bytes_max: bounds.result_bytes_max,
        };
        let deadline = begun + bounds.deadline;
        let notify = |notification: &RawValue| {
            if let Some(json) = token.and_then(|token| result::progress(notification, token)) {
                self.knock.link.notify(json.as_bytes());
            }
        };
        let subject = self.knock.caller.terms.subject.as_str();
        let cancel = self.flight.token().clone();
        proctor.upstreams.call(admission, &target, subject, call, deadline, cancel, notify).await
    }
}

fn header_params(sent: &Sent<'_>) -> Vec<HeaderParam> {
    let params = sent.tool.iter().flat_map(|tool| &tool.upstream_header_params);
    params.filter_map(|param| HeaderParam::new(&param.header, param.path.clone())).collect()
}

fn not_sent(kind: FailureKind, detail: String) -> upstream::Outcome {
    upstream::Outcome::Failed { kind, detail, sent: false }
}
