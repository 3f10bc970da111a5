//! Reading an upstream's HTTP answer: one JSON document, or an event stream that leads to it.
//!
//! **Invariants.** No answer is read beyond the limit. An answer counts only if it names our
//! request. What the upstream asks of us on the way is refused where nobody takes it up, never left hanging.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Response, StatusCode, header};
use hyper::body::{Body as _, Incoming as IncomingBody};
use tokio::time::{sleep, timeout};

use super::{
    HttpUpstream,
    exchange::{MCP_SESSION_ID, status_failure},
    wire::Wire,
};
use crate::upstream::{
    FailureKind,
    envelope::{self, Answer, Incoming},
    failure::Failure,
    hears::Hears,
    line::{Asked, Ready},
    sse::SseReader,
};

/// The body of an error status is read up to this size.
const ERROR_BYTES_MAX: usize = 256 * 1024;
/// A stream whose answer has arrived gets so long to end, so that its connection can be kept.
const STREAM_END_WAIT_MS_MAX: u64 = 1_000;
/// A stream is resumed so many times in a row without a new event.
const RESUMES_MAX: u32 = 5;
/// Waiting between resumes where the server does not say how long, and at most.
const RESUME_WAIT: Duration = Duration::from_secs(1);
const RESUME_WAIT_MAX: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Json,
    Events,
    Other,
}

pub(super) fn content(response: &Response<IncomingBody>) -> Content {
    let value = response.headers().get(header::CONTENT_TYPE);
    let value = value.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = value.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        Content::Json
    } else if kind.eq_ignore_ascii_case("text/event-stream") {
        Content::Events
    } else {
        Content::Other
    }
}

impl HttpUpstream {
    /// Reads the answer to request `id`.
    pub(super) async fn answer<H: Hears>(
        self: &Arc<Self>,
        ready: &Ready,
        id: u64,
        method: &str,
        mut wire: Wire,
        mut response: Response<IncomingBody>,
        hears: &mut H,
    ) -> Result<Asked, Failure> {
        let status = response.status();
        let content = content(&response);
        let session = response.headers_mut().remove(MCP_SESSION_ID);
        if response.headers().contains_key(header::CONTENT_ENCODING) {
            return Err(Failure::protocol(format!(
                "answered {method} in an encoding that was not asked for"
            )));
        }
        let answer = match content {
            Content::Events if status == StatusCode::OK => {
                Box::pin(self.streamed(ready, id, method, wire, response, hears)).await?
            }
            Content::Json if status == StatusCode::OK => {
                let max = self.limits.answer_bytes_max;
                let text = read_whole(&mut wire, response.body_mut(), max, method).await?;
                let answer = answer_in(&text, id, method)?;
                self.idle.put(wire).await;
                answer
            }
            _ => Box::pin(self.refused(ready, id, method, wire, response, content)).await?,
        };
        Ok(Asked { answer, session })
    }

    /// Reads an answer with an error status: it may still be a JSON-RPC error.
    async fn refused(
        &self,
        ready: &Ready,
        id: u64,
        method: &str,
        mut wire: Wire,
        mut response: Response<IncomingBody>,
        content: Content,
    ) -> Result<Answer, Failure> {
        let status = response.status();
        let failure = status_failure(status, response.headers(), method);
        if status.is_success() {
            return Err(Failure::protocol(format!(
                "answered {method} with status {} and neither JSON nor an event stream",
                status.as_u16()
            )));
        }
        let is_client_error = status.is_client_error() || status.is_server_error();
        let text = match read_whole(&mut wire, response.body_mut(), ERROR_BYTES_MAX, method).await {
            Ok(text) => text,
            Err(_) => return Err(failure),
        };
        self.idle.put(wire).await;
        let unknown_session = status == StatusCode::NOT_FOUND && ready.session().is_some();
        let may_answer = is_client_error
            && content == Content::Json
            && !matches!(failure.kind, FailureKind::Unauthorized | FailureKind::Forbidden)
            && !unknown_session;
        match envelope::incoming(&text) {
            Ok(Incoming::Answer { id: answered, answer: answer @ Answer::Error(_) })
                if may_answer && answered.is_none_or(|answered| answered == id) =>
            {
                // A legacy 400 without our id speaks of the session, not of the call.
                if answered.is_none() && ready.session().is_some() {
                    return Err(failure);
                }
                Ok(answer)
            }
            _ => Err(failure),
        }
    }

    async fn streamed<H: Hears>(
        self: &Arc<Self>,
        ready: &Ready,
        id: u64,
        method: &str,
        mut wire: Wire,
        mut response: Response<IncomingBody>,
        hears: &mut H,
    ) -> Result<Answer, Failure> {
        let mut events = SseReader::new(self.limits.answer_bytes_max);
        let mut resumes = 0;
        loop {
            while let Some(Ok(chunk)) = wire.chunk(response.body_mut()).await {
                let mut rest = &chunk[..];
                while let Some(event) = events.next(&mut rest).map_err(|_| too_large(method))? {
                    resumes = 0;
                    if let Some(answer) = self.event(ready, id, method, &event, hears).await? {
                        self.keep_when_ended(wire, response.into_body());
                        return Ok(answer);
                    }
                }
            }
            // Servers before 2026-07-28 may end a stream and have the client ask for the rest.
            let resumable = matches!(ready, Ready::Legacy { .. }) && resumes < RESUMES_MAX;
            let Some(last) = events.last_event_id().filter(|_| resumable).map(<[u8]>::to_vec) else {
                return Err(Failure::sent(
                    FailureKind::Unreachable,
                    format!("ended the event stream before it answered {method}"),
                ));
            };
            resumes += 1;
            sleep(events.retry().unwrap_or(RESUME_WAIT).min(RESUME_WAIT_MAX)).await;
            events.restart();
            (wire, response) =
                self.resume(ready, &last).await.map_err(|failure| Failure { sent: true, ..failure })?;
            if response.status() != StatusCode::OK || content(&response) != Content::Events {
                return Err(status_failure(response.status(), response.headers(), method));
            }
        }
    }

    /// Takes in one event; gives the answer, if it is that.
    async fn event<H: Hears>(
        self: &Arc<Self>,
        ready: &Ready,
        id: u64,
        method: &str,
        event: &[u8],
        hears: &mut H,
    ) -> Result<Option<Answer>, Failure> {
        // An empty event marks the beginning of a stream that can be resumed.
        if event.is_empty() {
            return Ok(None);
        }
        match envelope::incoming(event).map_err(Failure::protocol)? {
            Incoming::Answer { id: Some(answered), answer } if answered == id => Ok(Some(answer)),
            Incoming::Answer { .. } => Err(wrong_id(method)),
            Incoming::Notification { .. } => {
                if let Ok(whole) = serde_json::from_slice(event) {
                    hears.notification(whole);
                }
                Ok(None)
            }
            Incoming::Request { id, method: asked, params } => {
                let answer = match ready.is_modern() {
                    true => None,
                    false => hears.request(&asked, params).await,
                };
                let body = match answer {
                    Some(answer) => envelope::answer_with(id, &answer),
                    None => envelope::answer_to(id, &asked),
                };
                self.answer_request(ready, body);
                Ok(None)
            }
        }
    }

    /// Sends our answer to an upstream's request beside the stream that it came on.
    pub(super) fn answer_request(self: &Arc<Self>, ready: &Ready, body: String) {
        let Ready::Legacy { version, session } = ready else {
            tracing::debug!("a modern upstream sent a request, which the revision forbids");
            return;
        };
        let ready = Ready::Legacy { version, session: session.clone() };
        let upstream = self.clone();
        tokio::spawn(async move {
            if let Err(failure) = upstream.send_only(&ready, "an answer", body).await {
                tracing::debug!(detail = failure.detail, "an upstream took no answer");
            }
        });
    }

    /// Keeps the connection of an answered stream once the stream has ended.
    fn keep_when_ended(self: &Arc<Self>, mut wire: Wire, mut body: IncomingBody) {
        let upstream = self.clone();
        tokio::spawn(async move {
            let wait = Duration::from_millis(STREAM_END_WAIT_MS_MAX);
            let rest = async {
                loop {
                    match wire.chunk(&mut body).await {
                        Some(Ok(_)) => {}
                        Some(Err(_)) => break false,
                        None => break true,
                    }
                }
            };
            if timeout(wait, rest).await == Ok(true) {
                upstream.idle.put(wire).await;
            }
        });
    }

    /// Reads the answer to a notification.
    pub(super) async fn expect_accepted(
        &self,
        mut wire: Wire,
        mut response: Response<IncomingBody>,
        method: &str,
    ) -> Result<(), Failure> {
        let status = response.status();
        if !status.is_success() {
            return Err(status_failure(status, response.headers(), method));
        }
        // Some servers answer with a stream that never ends; such a connection is given up.
        if content(&response) != Content::Events
            && read_whole(&mut wire, response.body_mut(), ERROR_BYTES_MAX, method).await.is_ok()
        {
            self.idle.put(wire).await;
        }
        Ok(())
    }
}

fn answer_in(text: &[u8], id: u64, method: &str) -> Result<Answer, Failure> {
    match envelope::incoming(text).map_err(Failure::protocol)? {
        Incoming::Answer { id: Some(answered), answer } if answered == id => Ok(answer),
        Incoming::Answer { id: None, answer: answer @ Answer::Error(_) } => Ok(answer),
        Incoming::Answer { .. } => Err(wrong_id(method)),
        Incoming::Notification { .. } | Incoming::Request { .. } => {
            Err(Failure::protocol(format!("answered {method} with a message that is no answer")))
        }
    }
}

fn wrong_id(method: &str) -> Failure {
    Failure::protocol(format!("answered {method} under the id of another request"))
}

fn too_large(method: &str) -> Failure {
    Failure::sent(FailureKind::TooLarge, format!("answered {method} with more than the limit for an answer"))
}

/// Reads a body to its end. The usual body comes in one piece, which is not copied.
async fn read_whole(
    wire: &mut Wire,
    body: &mut IncomingBody,
    bytes_max: usize,
    method: &str,
) -> Result<Bytes, Failure> {
    let announced = body.size_hint().lower();
    if announced > bytes_max as u64 {
        return Err(too_large(method));
    }
    let cut = |err| {
        Failure::sent(
            FailureKind::Unreachable,
            format!("closed the connection in the middle of its answer to {method} ({err})"),
        )
    };
    let first = match wire.chunk(body).await {
        Some(chunk) => chunk.map_err(cut)?,
        None => return Ok(Bytes::new()),
    };
    if first.len() as u64 == announced && body.is_end_stream() {
        return Ok(first);
    }
    let mut whole = Vec::with_capacity(first.len().max(announced as usize));
    whole.extend_from_slice(&first);
    while let Some(chunk) = wire.chunk(body).await {
        let chunk = chunk.map_err(cut)?;
        if whole.len() + chunk.len() > bytes_max {
            return Err(too_large(method));
        }
        whole.extend_from_slice(&chunk);
    }
    if whole.len() > bytes_max {
        return Err(too_large(method));
    }
    Ok(Bytes::from(whole))
}
