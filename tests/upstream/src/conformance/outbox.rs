//! What is said on one stream, kept so that a client that lost it can go on where it was.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::wire::Body;

/// When a client shall come back that was let go.
const RETRY_MS: u64 = 300;

#[derive(Debug, Default)]
struct Said {
    messages: Vec<String>,
    ended: bool,
    /// How often all readers have been let go.
    let_go: u64,
}

/// The messages of a stream, in order.
#[derive(Debug, Default)]
pub struct Outbox(watch::Sender<Said>);

impl Outbox {
    pub fn say(&self, message: &Value) {
        self.0.send_modify(|said| said.messages.push(message.to_string()));
    }

    /// Nothing follows.
    pub fn end(&self) {
        self.0.send_modify(|said| said.ended = true);
    }

    /// Ends the connections of all readers, but not the stream.
    pub fn let_go(&self) {
        self.0.send_modify(|said| said.let_go += 1);
    }

    pub fn len(&self) -> usize {
        self.0.borrow().messages.len()
    }

    /// The stream as the body of an answer, from the message with this number on. With a `name` it
    /// carries event ids, and begins with one and no data (SEP-1699). `reading` is cancelled when
    /// the client goes away.
    pub fn read(
        self: &Arc<Self>,
        from: usize,
        name: Option<String>,
        reading: Option<CancellationToken>,
    ) -> Response<Body> {
        let mut receiver = self.0.subscribe();
        let let_go = receiver.borrow_and_update().let_go;
        let primer = name.as_ref().map(|name| format!("id: {name}-{from}\nretry: {RETRY_MS}\ndata: \n\n"));
        let reader = Reader {
            receiver,
            next: from,
            let_go,
            name,
            primer,
            _outbox: self.clone(),
            _reading: reading.map(CancellationToken::drop_guard),
        };
        let frames = futures_util::stream::unfold(reader, |mut reader| async {
            let event = reader.next().await?;
            Some((Ok(Frame::data(Bytes::from(event))), reader))
        });
        let response = Response::builder().header("content-type", "text/event-stream");
        let response = response.header("cache-control", "no-cache");
        response.body(BodyExt::boxed(StreamBody::new(frames))).expect("a static content type")
    }
}

struct Reader {
    receiver: watch::Receiver<Said>,
    next: usize,
    let_go: u64,
    name: Option<String>,
    primer: Option<String>,
    /// A stream lasts as long as it is read.
    _outbox: Arc<Outbox>,
    _reading: Option<DropGuard>,
}

impl Reader {
    async fn next(&mut self) -> Option<String> {
        if let Some(primer) = self.primer.take() {
            return Some(primer);
        }
        loop {
            let ended = {
                let said = self.receiver.borrow_and_update();
                if let Some(message) = said.messages.get(self.next) {
                    self.next += 1;
                    let id = self.name.as_ref().map(|name| format!("id: {name}-{}\n", self.next));
                    return Some(format!("event: message\n{}data: {message}\n\n", id.unwrap_or_default()));
                }
                said.ended || said.let_go > self.let_go
            };
            if ended || self.receiver.changed().await.is_err() {
                return None;
            }
        }
    }
}
