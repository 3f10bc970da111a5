//! What ties a request to its client: the answer, alone or on a stream, and what happens when the
//! client goes away before it.
//!
//! **Invariants.** Work that has begun is never dropped: it goes on without its client, so that a
//! call that left gets its outcome on the record. A slow reader never holds up the work.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, rt};
use bytes::Bytes;
use futures_util::Stream;
use futures_util::future::LocalBoxFuture;
use proctor_domain::CallId;
use proctor_domain::session::Cause;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use super::answer::Reply;
use super::sse;
use crate::actors::Calls;

/// An answer that takes longer goes out on a stream, where comments keep the connection alive.
const STREAM_AFTER: Duration = Duration::from_secs(5);
/// Progress notifications that wait for a slow reader; further ones are dropped.
const PROGRESS_WAITING_MAX: usize = 64;

/// What a client says that it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Accepts {
    pub json: bool,
    pub stream: bool,
}

impl Accepts {
    /// Reads the `Accept` headers; without any, JSON is taken.
    pub fn of(request: &HttpRequest) -> Self {
        let mut accepts = Self { json: false, stream: false };
        let mut any = false;
        for header in request.headers().get_all(actix_web::http::header::ACCEPT) {
            any = true;
            accepts.add(header.to_str().unwrap_or_default());
        }
        if any { accepts } else { Self { json: true, stream: false } }
    }

    fn add(&mut self, header: &str) {
        for range in header.split(',') {
            let kind = range.split_once(';').map_or(range, |(kind, _)| kind).trim();
            self.json |=
                ["application/json", "application/*", "*/*"].iter().any(|k| kind.eq_ignore_ascii_case(k));
            self.stream |= ["text/event-stream", "text/*"].iter().any(|k| kind.eq_ignore_ascii_case(k));
        }
    }
}

/// How work ended.
pub(super) enum Done {
    /// With an answer.
    Reply(Reply),
    /// With a stream of its own.
    Stream(HttpResponse),
}

impl Done {
    fn into_response(self, accepts: Accepts) -> HttpResponse {
        match self {
            Self::Reply(reply) if !accepts.json && accepts.stream && reply.status == StatusCode::OK => {
                let event = sse::event(&reply.body);
                let mut response = sse::response(futures_util::stream::iter([Ok(event)]));
                if let Some(session) = reply.session.and_then(|session| session.parse().ok()) {
                    response.headers_mut().insert(super::answer::MCP_SESSION_ID, session);
                }
                response
            }
            Self::Reply(reply) => reply.into_response(),
            Self::Stream(response) => response,
        }
    }
}

/// See the module. It stays on its thread.
pub(super) struct Link {
    calls: Arc<Calls>,
    /// Cancelled when the client goes away.
    leashed: RefCell<Option<CallId>>,
    events: RefCell<VecDeque<Bytes>>,
    ended: Cell<bool>,
    is_gone: Cell<bool>,
    reader: RefCell<Option<Waker>>,
}

impl Link {
    pub fn new(calls: Arc<Calls>) -> Rc<Self> {
        Rc::new(Self {
            calls,
            leashed: RefCell::default(),
            events: RefCell::default(),
            ended: Cell::new(false),
            is_gone: Cell::new(false),
            reader: RefCell::default(),
        })
    }

    /// Whether the client has gone away.
    pub fn is_gone(&self) -> bool {
        self.is_gone.get()
    }

    /// Has this call cancelled when the client goes away.
    pub fn leash(&self, call: CallId) {
        if self.is_gone() {
            self.calls.cancel(&call, Cause::Agent);
        }
        *self.leashed.borrow_mut() = Some(call);
    }

    /// Sends a notification ahead of the answer, which thereby goes out on a stream.
    pub fn notify(&self, json: &[u8]) {
        let mut events = self.events.borrow_mut();
        if events.len() < PROGRESS_WAITING_MAX {
            events.push_back(sse::event(json));
            drop(events);
            self.wake();
        }
    }

    /// Asks the client something ahead of the answer. Unlike a notification it is never dropped.
    pub fn ask(&self, json: &[u8]) {
        self.events.borrow_mut().push_back(sse::event(json));
        self.wake();
    }

    fn end(&self, reply: &Reply) {
        if !reply.body.is_empty() {
            self.events.borrow_mut().push_back(sse::event(&reply.body));
        }
        self.ended.set(true);
        self.wake();
    }

    fn wake(&self) {
        if let Some(reader) = self.reader.borrow_mut().take() {
            reader.wake();
        }
    }

    fn wants_stream(&self) -> bool {
        !self.events.borrow().is_empty()
    }

    /// The client has gone away.
    fn gone(&self) {
        self.is_gone.set(true);
        if let Some(call) = self.leashed.borrow_mut().take() {
            self.calls.cancel(&call, Cause::Agent);
        }
    }
}

/// Waits for `work` and answers with what it gives, on a stream where that is needed.
pub(super) async fn respond(
    work: LocalBoxFuture<'static, Done>,
    link: Rc<Link>,
    accepts: Accepts,
) -> HttpResponse {
    let mut work = Attended { work: Some(work), link: Rc::clone(&link) };
    if !accepts.stream {
        return (&mut work).await.into_response(accepts);
    }
    let soon = poll_fn(|cx| match Pin::new(&mut work).poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if link.wants_stream() || !accepts.json => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    });
    match timeout(STREAM_AFTER, soon).await {
        // What was told ahead of the answer must not be lost.
        Ok(Some(Done::Reply(reply))) if link.wants_stream() => link.end(&reply),
        Ok(Some(done)) => return done.into_response(accepts),
        Ok(None) | Err(_) => {}
    }
    if let Some(work) = work.work.take() {
        let link = Rc::clone(&link);
        // Apart from the stream: a reader that takes nothing must not stop it.
        rt::spawn(async move {
            match work.await {
                Done::Reply(reply) => link.end(&reply),
                Done::Stream(_) => link.ended.set(true),
            }
        });
    }
    let mut keep_alive = interval(sse::KEEP_ALIVE_EVERY);
    keep_alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    keep_alive.reset();
    sse::response(Events { link, keep_alive })
}

/// Work whose client waits. Dropped before its end, it goes on alone.
struct Attended {
    work: Option<LocalBoxFuture<'static, Done>>,
    link: Rc<Link>,
}

impl Future for Attended {
    type Output = Done;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Done> {
        let Some(work) = &mut self.work else { return Poll::Pending };
        let polled = work.as_mut().poll(cx);
        if polled.is_ready() {
            self.work = None;
        }
        polled
    }
}

impl Drop for Attended {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            self.link.gone();
            rt::spawn(work);
        }
    }
}

/// The stream of an answer: notifications, comments, and the answer at last.
struct Events {
    link: Rc<Link>,
    keep_alive: Interval,
}

impl Stream for Events {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(event) = self.link.events.borrow_mut().pop_front() {
            return Poll::Ready(Some(Ok(event)));
        }
        if self.link.ended.get() {
            return Poll::Ready(None);
        }
        if self.keep_alive.poll_tick(cx).is_ready() {
            return Poll::Ready(Some(Ok(sse::KEEP_ALIVE)));
        }
        *self.link.reader.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        if !self.link.ended.get() {
            self.link.gone();
        }
    }
}

#[cfg(test)]
mod tests;
