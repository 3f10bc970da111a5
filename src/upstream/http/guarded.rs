//! The last question, between HTTP and the operating system.
//!
//! **Invariants.** Of a request for which somebody looks, no byte is handed to the operating system
//! before the look was had, and none at all when it says no: the connection is broken off then.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::upstream::admission::LastLook;
use crate::upstream::guard::Stream;

/// Where the look for the next request lies until its first byte is written.
#[derive(Clone, Default)]
pub(super) struct Lookout(Arc<Mutex<Next>>);

#[derive(Default)]
enum Next {
    /// What is written next needs no look, or has had it.
    #[default]
    Free,
    Look(LastLook),
    Refused,
}

impl Lookout {
    fn lock(&self) -> std::sync::MutexGuard<'_, Next> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next request is one that this look is for; `None` for one that needs none.
    pub fn expect(&self, look: Option<LastLook>) {
        *self.lock() = look.map_or(Next::Free, Next::Look);
    }

    /// Whether the look said no: nothing of its request was written.
    pub fn has_refused(&self) -> bool {
        matches!(*self.lock(), Next::Refused)
    }

    fn look(&self) -> io::Result<()> {
        let mut next = self.lock();
        let refused = match &*next {
            Next::Free => return Ok(()),
            Next::Look(look) => !look.may_still_leave(),
            Next::Refused => true,
        };
        *next = if refused { Next::Refused } else { Next::Free };
        if refused { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }
}

/// A connection that looks before it writes.
pub(super) struct Guarded {
    stream: Stream,
    lookout: Lookout,
}

impl Guarded {
    pub fn new(stream: Stream, lookout: Lookout) -> Self {
        Self { stream, lookout }
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.lookout.look()?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.lookout.look()?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
