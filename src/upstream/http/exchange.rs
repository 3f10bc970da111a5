//! One HTTP request to an upstream: headers, connection, gate, bytes.

use std::sync::Arc;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{ACCEPT, CONTENT_TYPE, HOST},
};
use http_body_util::Full;
use hyper::body::Incoming;

use super::{
    HttpUpstream,
    wire::{Body, Wire},
};
use crate::upstream::{
    FailureKind, MODERN_VERSION,
    failure::Failure,
    guard::shown_location,
    headers::encoded,
    hears::Hears,
    line::{Asked, Outgoing, Pass, Ready, not_let},
};

const MCP_METHOD: HeaderName = HeaderName::from_static("mcp-method");
const MCP_NAME: HeaderName = HeaderName::from_static("mcp-name");
const MCP_PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
pub(super) const MCP_SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

const ANY_ANSWER: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Headers of a request, at most: a map of this size is allocated once.
const HEADERS_USUAL: usize = 10;

impl HttpUpstream {
    /// Sends a request and reads its answer; notifications that come before it are handed on.
    pub(super) async fn exchange<H: Hears>(
        self: &Arc<Self>,
        ready: &Ready,
        outgoing: Outgoing<'_>,
        pass: Option<&Pass>,
        hears: &mut H,
    ) -> Result<Asked, Failure> {
        let Outgoing { id, method, name, body, params } = outgoing;
        let mut request = self.post(ready, method, body);
        if ready.is_modern()
            && let Some(name) = name
        {
            request.headers_mut().insert(MCP_NAME, encoded(name));
        }
        request.headers_mut().extend(params);
        let (wire, response) = self.send(request, pass, method).await?;
        let asked = self.answer(ready, id, method, wire, response, hears).await;
        if ready.session().is_some()
            && let Err(Failure { kind: FailureKind::Http(400), .. }) = asked
        {
            // Some servers answer 400 for a session that they do not know. Whether they executed
            // anything is not said, so the call is over; the next one greets anew.
            self.forget(ready);
        }
        asked
    }

    /// Sends a notification or an answer of ours.
    pub(super) async fn send_only(
        self: &Arc<Self>,
        ready: &Ready,
        method: &'static str,
        body: String,
    ) -> Result<(), Failure> {
        let request = self.post(ready, method, body);
        let (wire, response) = self.send(request, None, method).await?;
        self.expect_accepted(wire, response, method).await
    }

    /// Ends a legacy session; servers may refuse that.
    pub(super) async fn end_session(self: &Arc<Self>, ready: &Ready) {
        let mut request = self.bare(Method::DELETE, ready);
        request.headers_mut().insert(ACCEPT, ANY_ANSWER);
        if let Err(failure) = self.send(request, None, "DELETE").await {
            tracing::debug!(detail = failure.detail, "a session was not ended");
        }
    }

    /// Asks for the rest of an event stream that ended early.
    pub(super) async fn resume(
        self: &Arc<Self>,
        ready: &Ready,
        last_event_id: &[u8],
    ) -> Result<(Wire, Response<Incoming>), Failure> {
        let mut request = self.bare(Method::GET, ready);
        let id = HeaderValue::from_bytes(last_event_id)
            .map_err(|_| Failure::protocol("sent an event id that no header can carry"))?;
        request.headers_mut().insert(ACCEPT, EVENT_STREAM);
        request.headers_mut().insert(LAST_EVENT_ID, id);
        self.send(request, None, "a resumed stream").await
    }

    /// Asks for the stream on which a legacy server says what nobody has asked for.
    pub(super) async fn open_stream(
        self: &Arc<Self>,
        ready: &Ready,
    ) -> Result<(Wire, Response<Incoming>), Failure> {
        let mut request = self.bare(Method::GET, ready);
        request.headers_mut().insert(ACCEPT, EVENT_STREAM);
        self.send(request, None, "GET").await
    }

    /// Sends a request whose answer is a stream without an end.
    pub(super) async fn subscribe(
        self: &Arc<Self>,
        ready: &Ready,
        method: &'static str,
        body: String,
    ) -> Result<(Wire, Response<Incoming>), Failure> {
        self.send(self.post(ready, method, body), None, method).await
    }

    fn bare(&self, method: Method, ready: &Ready) -> Request<Body> {
        let mut request = Request::new(Full::default());
        *request.method_mut() = method;
        *request.uri_mut() = self.endpoint.target.clone();
        let mut headers = HeaderMap::with_capacity(HEADERS_USUAL);
        headers.insert(HOST, self.endpoint.authority.clone());
        match ready {
            Ready::Modern => {
                let version = HeaderValue::from_static(MODERN_VERSION);
                headers.insert(MCP_PROTOCOL_VERSION, version);
            }
            Ready::Greeting => {}
            Ready::Legacy { version, session } => {
                headers.insert(MCP_PROTOCOL_VERSION, HeaderValue::from_static(version));
                if let Some(session) = session {
                    headers.insert(MCP_SESSION_ID, session.clone());
                }
            }
        }
        if let Some((name, value)) = &self.auth {
            headers.insert(name.clone(), value.clone());
        }
        *request.headers_mut() = headers;
        request
    }

    fn post(&self, ready: &Ready, method: &'static str, body: String) -> Request<Body> {
        let mut request = self.bare(Method::POST, ready);
        *request.body_mut() = Full::new(Bytes::from(body));
        let headers = request.headers_mut();
        headers.insert(ACCEPT, ANY_ANSWER);
        headers.insert(CONTENT_TYPE, JSON);
        if ready.is_modern() {
            headers.insert(MCP_METHOD, HeaderValue::from_static(method));
        }
        request
    }

    /// Hands a request to a connection and waits for the head of the answer. For a tool call, the
    /// gate is asked when the connection stands.
    async fn send(
        &self,
        mut request: Request<Body>,
        pass: Option<&Pass>,
        method: &str,
    ) -> Result<(Wire, Response<Incoming>), Failure> {
        loop {
            let mut wire = match self.idle.take().await {
                Some(wire) => wire,
                None => Box::pin(self.open()).await?,
            };
            if let Some(pass) = pass {
                if let Err(refused) = pass.check().await {
                    self.idle.put(wire).await;
                    return Err(refused);
                }
                pass.flight.set_sent(true);
            }
            let mut failed = match wire.send(request, pass.map(|pass| pass.admission.last_look())).await {
                Ok(response) => return Ok((wire, response)),
                Err(failed) => failed,
            };
            let unsent = failed.take_message();
            let refused = wire.has_refused();
            if (unsent.is_some() || refused)
                && let Some(pass) = pass
            {
                pass.flight.set_sent(false);
            }
            if refused {
                return Err(not_let("it was revoked, or could not be confirmed, just before it left"));
            }
            match unsent {
                // The server had closed an idle connection, and nothing of the request was
                // written: it may go over another one.
                Some(back) if wire.reused => request = back,
                unsent => {
                    return Err(Failure {
                        kind: FailureKind::Unreachable,
                        detail: format!(
                            "closed the connection before it answered {method} ({})",
                            failed.into_error()
                        ),
                        sent: unsent.is_none(),
                    });
                }
            }
        }
    }

    async fn open(&self) -> Result<Wire, Failure> {
        let stream = self.dialer.dial(&self.endpoint, self.reach).await?;
        Wire::open(stream)
            .await
            .map_err(|err| Failure::unsent(FailureKind::Unreachable, format!("cannot be reached: {err}")))
    }
}

/// What a status means that carries no JSON-RPC answer.
pub(super) fn status_failure(status: StatusCode, headers: &HeaderMap, method: &str) -> Failure {
    let code = status.as_u16();
    if status.is_redirection() {
        let to = shown_location(headers).map_or(String::new(), |to| format!(" to {to}"));
        return Failure::sent(
            FailureKind::Redirect,
            format!(
                "answered {method} with a redirect ({code}){to}: redirects are not followed; \
                 register the final URL"
            ),
        );
    }
    match code {
        401 => Failure::sent(
            FailureKind::Unauthorized,
            format!("answered {code} to {method}: check its credential"),
        ),
        403 => Failure::sent(
            FailureKind::Forbidden,
            format!("answered {code} to {method}: check what its credential may be used for"),
        ),
        404 | 405 => Failure::sent(
            FailureKind::Http(code),
            format!("answered {code} to {method}: check that its URL is a streamable HTTP endpoint"),
        ),
        _ => Failure::sent(FailureKind::Http(code), format!("answered {code} to {method}")),
    }
}
