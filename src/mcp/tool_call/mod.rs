//! `tools/call`, which everything else is for, and the other methods by which an agent reaches an
//! upstream: each of them is a call like it.
//!
//! **Invariants.** A call is asked for, admitted, sent, recorded and answered in this order, and
//! nothing is skipped: what is not admitted is not sent, what is not recorded is not answered as
//! done. A call that left runs to its outcome, whether or not its client still waits.

mod account;
mod ask;
mod asking;
mod input;
mod limits;
mod outcome;
mod refusal;
mod result;
mod rounds;
mod trace;
mod travel;
mod wanting;

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Instant;

use actix_web::http::StatusCode;
use proctor_domain::session::{Client, LogLevel, Session, SessionEvent};
use proctor_domain::virtual_server::{Method, VirtualServer};
use proctor_domain::{CallId, Event, Name};
use serde_json::value::RawValue;

use super::Knock;
use super::answer::{Fault, Reply, codes};
use super::envelope::Request;
use super::{modern, server_info};
use crate::actors::{AskError, KeyringError, new_id};
use crate::connect::Due;
use crate::journal::Delivered;
use crate::traces::Span;
use crate::vault::SessionKey;
pub(super) use input::take as take_input;

use account::Refused;
use ask::{Asked, Sent};
use input::Asker;
use outcome::{Ending, Eras};
use result::Fit;
use rounds::Continued;
use trace::Came;
use travel::Travel;
use wanting::Wants;

/// Calls that one process has on their way at a time.
const CALLS_MAX: usize = 10_000;
/// Calls that one session has on their way at a time.
const SESSION_CALLS_MAX: usize = 256;
/// Rounds of one request of a legacy agent.
const ROUNDS_MAX: usize = 16;
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
    /// The least log messages that it wants, where it has said so.
    pub log_level: Option<LogLevel>,
}

/// Makes the call that a request asks for by this method, from the request to its answer.
///
/// # Errors
/// Whatever is not the result of a call.
pub(super) async fn call(
    knock: &Knock,
    request: &Request<'_>,
    method: Method,
    speaker: Speaker<'_>,
) -> Result<Reply, Fault> {
    let mut wants = Wants::of(method, &request.params)?;
    if speaker.is_modern {
        wants = wants.with_input(knock, &request.params)?;
    }
    traced(knock, request, &wants, async |came, span| {
        let made = made(knock, request, &wants, &speaker, (came, span)).await?;
        made.reply(knock, (request.id, &wants), &speaker).await
    })
    .await
}

/// Which resources a connection has, from the upstream's own cursor on: its answer as it came.
///
/// # Errors
/// Whatever is not the result of a call.
pub(super) async fn resources(
    knock: &Knock,
    request: &Request<'_>,
    speaker: &Speaker<'_>,
    connection: &Name,
    cursor: Option<String>,
) -> Result<Box<RawValue>, Fault> {
    let wants = Wants::resources(connection.clone(), cursor);
    traced(knock, request, &wants, async |came, span| {
        made(knock, request, &wants, speaker, (came, span)).await?.result(knock).await
    })
    .await
}

/// Does it within the span of the call.
async fn traced<T>(
    knock: &Knock,
    request: &Request<'_>,
    wants: &Wants<'_>,
    work: impl AsyncFnOnce(&Came<'_>, &Span) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let came = Came::with(knock, &request.params.meta);
    let span = came.begin(knock, wants.what.method());
    let answer = work(&came, &span).await;
    if let Err(fault) = &answer {
        span.fail(&fault.code.to_string());
    }
    answer
}

/// Makes the call, in as many rounds as its upstream needs where the agent is a legacy one.
async fn made(
    knock: &Knock,
    request: &Request<'_>,
    wants: &Wants<'_>,
    speaker: &Speaker<'_>,
    (came, span): (&Came<'_>, &Span),
) -> Result<Made, Fault> {
    let (proctor, caller) = (&knock.proctor, &knock.caller);
    check_load(knock)?;
    if !wants.what.method().is_tools_call() {
        knock.check_all_read()?;
    }
    let key = proctor.keyring.session_key(caller.session_id.as_str(), &caller.terms.subject).await;
    let key = key.map_err(|error| no_key(&error))?;
    let asker = Asker::new(knock, &key);
    let attempt = Attempt { knock, request, speaker, wants, key: &key, came, span, asker: &asker };
    let made = attempt.renewing().await?;
    if speaker.is_modern || made.ending.wish().is_none() {
        return Ok(made);
    }
    Box::pin(attempt.rounds(made)).await
}

/// One request for a call, which may make several: another one when the upstream did not accept the
/// user's credential, and it was renewed, or when it wanted input first.
struct Attempt<'a> {
    knock: &'a Knock,
    request: &'a Request<'a>,
    speaker: &'a Speaker<'a>,
    wants: &'a Wants<'a>,
    key: &'a SessionKey,
    came: &'a Came<'a>,
    span: &'a Span,
    asker: &'a Asker<'a>,
}

/// A call that is over, and on the record.
struct Made {
    ending: Ending,
    call: CallId,
    method: Method,
    connection: Option<Name>,
    upstream_is_modern: bool,
    server: Arc<VirtualServer>,
    /// The user's credential, where the upstream did not accept it.
    refused: Option<Refused>,
}

impl Made {
    /// The answer to the request of this id.
    async fn reply(
        self,
        knock: &Knock,
        (id, wants): (&str, &Wants<'_>),
        speaker: &Speaker<'_>,
    ) -> Result<Reply, Fault> {
        let Self { ending, call, method, connection, server, upstream_is_modern, .. } = self;
        let eras = Eras { agent_is_modern: speaker.is_modern, upstream_is_modern };
        let wants_input = ending.wish().is_some();
        let result = ending.result(knock, &call, (method, eras)).await?;
        let state = match (wants_input, &connection) {
            (true, Some(connection)) => {
                let request = (&wants.what, wants.arguments());
                let theirs = result::request_state(&result);
                Some(rounds::sealed(knock, request, (&call, connection), theirs)?)
            }
            _ => None,
        };
        let (is_modern, connection) = (speaker.is_modern, connection.as_ref());
        let fit = Fit { is_modern, method, server: &server, connection, state };
        let info = || server_info(&server, knock.caller.server().as_str());
        Ok(fit.fitted(result.get(), info, |parts| Reply::parts(id, parts)))
    }

    /// The result as it came.
    async fn result(self, knock: &Knock) -> Result<Box<RawValue>, Fault> {
        let eras = Eras { agent_is_modern: true, upstream_is_modern: self.upstream_is_modern };
        self.ending.result(knock, &self.call, (self.method, eras)).await
    }
}

impl Attempt<'_> {
    /// Goes on as long as the upstream wants input, and asks a legacy agent for it.
    async fn rounds(&self, mut made: Made) -> Result<Made, Fault> {
        for _ in 0..ROUNDS_MAX {
            let (Some(wish), Some(connection)) = (made.ending.wish(), made.connection.clone()) else {
                return Ok(made);
            };
            let capture = made.server.definition().capture;
            let given = self.asker.all((&made.call, capture), wish).await?;
            let state = result::request_state(wish);
            let wants = self.wants.going_on(Continued { call: made.call, connection, state }, given);
            made = Attempt { wants: &wants, ..*self }.renewing().await?;
        }
        let message = "the upstream server asks for input again and again";
        Err(Fault::new(codes::INTERNAL, message).with_code("too_many_rounds", Some(made.call.as_str())))
    }

    /// Makes the call, once more where its user's credential had to be renewed.
    async fn renewing(&self) -> Result<Made, Fault> {
        let knock = self.knock;
        let made = self.make().await?;
        let Some(refused) = &made.refused else { return Ok(made) };
        if knock.link.is_gone() || !Box::pin(refused.renewed(knock)).await {
            return Ok(made);
        }
        let made = Box::pin(self.make()).await?;
        if let Some(refused) = &made.refused {
            Box::pin(refused.expire(knock)).await;
        }
        Ok(made)
    }

    /// Makes one call, from its admission to its outcome.
    async fn make(&self) -> Result<Made, Fault> {
        let Self { knock, request, speaker, wants, key, came, span, asker } = *self;
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
        let mut asked = Asked::new(knock, call, (wants, &params.meta), speaker, key, (came, span));
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
        let leaving = span.leaving(wants.what.method().name());
        let goes_on = came.goes_on(&leaving);
        let trace = goes_on.with(&params.meta);
        // What only newer processes can read is not asked for while older ones are there.
        let can_be_asked = speaker.is_modern || knock.accepts.stream;
        let asks = can_be_asked && knock.all_read();
        let declared = asks.then(|| rounds::handed_on(speaker.capabilities));
        let travel =
            Travel { knock, wants, meta: &params.meta, speaker, flight: &flight, trace, declared, asker };
        let begun = Instant::now();
        let came_back = travel.send(&admitted, &sent, begun).await;
        drop(leaving);
        let took = begun.elapsed();
        proctor.door.measures.upstream_took(took);
        let declared = travel.declared.as_deref();
        let can_do = |result: &RawValue| declared.is_some() && rounds::can_do(declared, result);
        let ending = Ending::of(came_back, &flight, sent.capture(), &proctor.vault, can_do);
        let recording = span.part("outcome");
        let recorded = outcome::record(knock, &asked, &ending, took).await;
        drop(recording);
        proctor.door.measures.outcome_took(begun.elapsed() - took);
        ending.tell(knock, &admitted, span, recorded.is_ok());
        match recorded {
            Ok(()) => {
                drop(flight);
                let refused = if ending.is_unauthorized() { Refused::of(&admitted) } else { None };
                Ok(Made {
                    ending,
                    call: asked.call.clone(),
                    method: wants.what.method(),
                    connection: sent.connection_name.clone(),
                    upstream_is_modern: sent.upstream_is_modern(),
                    server: Arc::clone(&sent.server),
                    refused,
                })
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
                let connection = sent.as_ref().and_then(|sent| sent.connection_name.clone());
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
