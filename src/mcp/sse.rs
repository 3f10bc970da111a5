//! Server-sent events, as answers and notifications travel on a stream.

use std::convert::Infallible;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use bytes::Bytes;
use futures_util::Stream;

/// A comment goes out this often, so that nobody in between takes a quiet stream for a dead one.
pub(super) const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(15);
/// The comment.
pub(super) const KEEP_ALIVE: Bytes = Bytes::from_static(b": keep-alive\n\n");

/// A JSON-RPC message as an event. Line breaks between its tokens, which an upstream's result may
/// have, become lines of the event: the reader puts them together again.
pub(super) fn event(json: &[u8]) -> Bytes {
    const FIELD: &[u8] = b"data: ";
    let mut event = Vec::with_capacity(json.len() + FIELD.len() + 2);
    event.extend_from_slice(FIELD);
    let mut bytes = json.iter().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\r' | b'\n' => {
                if *byte == b'\r' && bytes.peek() == Some(&&b'\n') {
                    bytes.next();
                }
                event.push(b'\n');
                event.extend_from_slice(FIELD);
            }
            byte => event.push(*byte),
        }
    }
    event.extend_from_slice(b"\n\n");
    event.into()
}

/// The HTTP answer that carries a stream.
pub(super) fn response(events: impl Stream<Item = Result<Bytes, Infallible>> + 'static) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/event-stream"))
        .insert_header((CACHE_CONTROL, "no-cache"))
        // nginx holds streams back otherwise.
        .insert_header(("x-accel-buffering", "no"))
        .streaming(events)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_event_whatever_its_line_breaks() {
        assert_eq!(event(b"{\"a\":1}"), "data: {\"a\":1}\n\n");
        assert_eq!(event(b"{\n \"a\":\r\n1\r}"), "data: {\ndata:  \"a\":\ndata: 1\ndata: }\n\n");
    }
}
