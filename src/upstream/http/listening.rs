//! Listening to what an upstream says by itself: that its tools have changed.
//!
//! **Invariants.** A stream that says nothing at all for long is given up: nobody would notice that the
//! other end has gone. Whoever hears that it is open has missed nothing that is said after that.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use tokio::time::timeout;

use super::{
    HttpUpstream,
    exchange::status_failure,
    reply::{Content, content},
};
use crate::upstream::{
    FailureKind,
    envelope::{self, Incoming},
    failure::Failure,
    line::{Ready, next_id},
    pool::Heard,
    sse::SseReader,
    told,
};

/// An event on such a stream is small.
const EVENT_BYTES_MAX: usize = 64 * 1024;
/// Silence, keep-alives included, after which a stream is given up.
const SILENCE_MAX: Duration = Duration::from_secs(600);

impl HttpUpstream {
    /// Listens until the upstream ends the stream.
    pub async fn listen(
        self: &Arc<Self>,
        ready: &Ready,
        heard: &mut (dyn FnMut(Heard) + Send),
    ) -> Result<(), Failure> {
        let (method, id) = ("subscriptions/listen", next_id());
        let (mut wire, mut response) = match ready {
            Ready::Modern => self.subscribe(ready, method, envelope::listen(id)).await?,
            Ready::Greeting | Ready::Legacy { .. } => {
                let opened = self.open_stream(ready).await?;
                heard(Heard::Open);
                opened
            }
        };
        if response.status() != StatusCode::OK || content(&response) != Content::Events {
            return Err(status_failure(response.status(), response.headers(), method));
        }
        let mut events = SseReader::new(EVENT_BYTES_MAX);
        loop {
            let chunk = match timeout(SILENCE_MAX, wire.chunk(response.body_mut())).await {
                Ok(Some(Ok(chunk))) => chunk,
                Ok(Some(Err(_)) | None) => return Ok(()),
                Err(_) => {
                    return Err(Failure::sent(FailureKind::Timeout, "said nothing for a long time"));
                }
            };
            let mut rest = &chunk[..];
            let too_large = |_| Failure::sent(FailureKind::TooLarge, "sent an event that is too large");
            while let Some(event) = events.next(&mut rest).map_err(too_large)? {
                if event.is_empty() {
                    continue;
                }
                match envelope::incoming(&event).map_err(Failure::protocol)? {
                    Incoming::Notification { method, .. } if told::says_so(&method) => heard(Heard::Changed),
                    Incoming::Notification { method, .. }
                        if method == "notifications/subscriptions/acknowledged" =>
                    {
                        heard(Heard::Open);
                    }
                    Incoming::Notification { .. } => {}
                    Incoming::Request { id, method, .. } => {
                        self.answer_request(ready, envelope::answer_to(id, &method));
                    }
                    // That was all, or it is not let.
                    Incoming::Answer { .. } => return Ok(()),
                }
            }
        }
    }
}
