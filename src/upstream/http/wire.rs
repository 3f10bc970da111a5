//! HTTP/1.1 connections to one upstream, kept open between requests.
//!
//! A connection is driven by whoever uses it: there is no task behind it. So dropping a request
//! closes its connection at once, which is how a modern call is cancelled, and no other task has to
//! be woken on the way.
//!
//! **Invariants.** A connection is used only by the runtime that opened it. One that was left with
//! an unread answer is never used again.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::{Mutex, PoisonError},
    task::Poll,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::Incoming,
    client::conn::{
        TrySendError,
        http1::{self, Connection, SendRequest},
    },
};
use hyper_util::rt::TokioIo;
use tokio::runtime::{Handle, Id};

use super::guarded::{Guarded, Lookout};
use crate::upstream::{admission::LastLook, guard::Stream};

/// Servers commonly close idle connections after a minute; ours go first.
const WIRE_IDLE_MS_MAX: u64 = 50_000;
/// Idle connections kept for one isolation key.
const WIRES_IDLE_MAX: usize = 256;
/// Buffer of one connection while reading; larger answers are read in pieces of this size.
const READ_BUFFER_BYTES_MAX: usize = 256 * 1024;

pub(super) type Body = Full<Bytes>;

/// One open connection.
pub(super) struct Wire {
    sender: SendRequest<Body>,
    lookout: Lookout,
    /// Absent once the connection has ended: hyper gives a request that is still queued back only
    /// when its end is dropped.
    driver: Option<Box<Connection<TokioIo<Guarded>, Body>>>,
    /// Whether it has served a request before; only then can it have gone stale.
    pub reused: bool,
    idle_since: Instant,
    runtime: Id,
}

impl Wire {
    pub async fn open(stream: Stream) -> hyper::Result<Self> {
        let lookout = Lookout::default();
        let guarded = TokioIo::new(Guarded::new(stream, lookout.clone()));
        let (sender, driver) =
            http1::Builder::new().max_buf_size(READ_BUFFER_BYTES_MAX).handshake(guarded).await?;
        Ok(Self {
            sender,
            lookout,
            driver: Some(Box::new(driver)),
            reused: false,
            idle_since: Instant::now(),
            runtime: Handle::current().id(),
        })
    }

    /// Moves bytes on this connection until `work`, which depends on them, is done.
    async fn drive<F: Future>(&mut self, work: F) -> F::Output {
        let mut work = pin!(work);
        let driver = &mut self.driver;
        poll_fn(|cx| {
            if let Some(running) = driver
                && Pin::new(&mut **running).poll(cx).is_ready()
            {
                *driver = None;
            }
            work.as_mut().poll(cx)
        })
        .await
    }

    /// Sends a request and waits for the head of its answer. The error gives the request back
    /// where none of it was written. With a look, see [`Self::has_refused`].
    pub async fn send(
        &mut self,
        request: Request<Body>,
        look: Option<LastLook>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Body>>> {
        self.lookout.expect(look);
        let answer = self.sender.try_send_request(request);
        self.drive(answer).await
    }

    /// Whether the look for the last request said no: nothing of it was written.
    pub fn has_refused(&self) -> bool {
        self.lookout.has_refused()
    }

    /// The next piece of an answer's body.
    pub async fn chunk(&mut self, body: &mut Incoming) -> Option<hyper::Result<Bytes>> {
        loop {
            match self.drive(body.frame()).await? {
                Ok(frame) => {
                    if let Ok(data) = frame.into_data() {
                        return Some(Ok(data));
                    }
                }
                Err(err) => return Some(Err(err)),
            }
        }
    }

    /// Whether the connection can take a request, as far as can be known without sending one.
    async fn is_live(&mut self) -> bool {
        self.drive(poll_fn(|_| Poll::Ready(()))).await;
        self.driver.is_some() && self.sender.is_ready()
    }
}

/// The idle connections of one isolation key.
#[derive(Default)]
pub(super) struct IdleWires(Mutex<Vec<Wire>>);

impl IdleWires {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Wire>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the connection of this runtime that was used last and still lives.
    pub async fn take(&self) -> Option<Wire> {
        let here = Handle::current().id();
        loop {
            let mut wire = {
                let mut wires = self.lock();
                let newest = wires.iter().rposition(|wire| wire.runtime == here)?;
                wires.remove(newest)
            };
            if wire.idle_since.elapsed() < WIRE_IDLE_MAX && wire.is_live().await {
                return Some(wire);
            }
        }
    }

    /// Keeps a connection whose answer was read to its end.
    pub async fn put(&self, mut wire: Wire) {
        if wire.is_live().await {
            wire.reused = true;
            wire.idle_since = Instant::now();
            let mut wires = self.lock();
            if wires.len() < WIRES_IDLE_MAX {
                wires.push(wire);
            }
        }
    }

    /// Closes those that were idle for long.
    pub fn prune(&self) {
        self.lock().retain(|wire| wire.idle_since.elapsed() < WIRE_IDLE_MAX);
    }

    /// Closes all.
    pub fn clear(&self) {
        self.lock().clear();
    }
}

const WIRE_IDLE_MAX: Duration = Duration::from_millis(WIRE_IDLE_MS_MAX);
