//! Starting, steering and stopping the upstream.

use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::answer::answer;
use crate::catalog::Catalog;
use crate::guard::{Guard, Protection};
use crate::ledger::Ledger;
use crate::listening::Listeners;

/// Which protocol eras the upstream speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eras {
    /// Both.
    Both,
    /// Only `server/discover` and per-request metadata.
    Modern,
    /// Only `initialize` and sessions.
    Legacy,
}

/// In which form `tools/call` is answered. Progress always makes it a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// `application/json`.
    Json,
    /// `text/event-stream`.
    Sse,
}

/// How the upstream behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which eras it speaks.
    pub eras: Eras,
    /// In which form it answers calls.
    pub answers: Answers,
    /// Header name (lower case) and value without which every request is answered with 401.
    pub secret: Option<(String, String)>,
    /// Tools on a page of `tools/list`.
    pub page_size: usize,
    /// Whether it says when its tools change, to whoever listens.
    pub list_changed: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { eras: Eras::Both, answers: Answers::Json, secret: None, page_size: 4, list_changed: false }
    }
}

/// A running upstream; dropping it closes its port and all its connections.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// What all requests of one upstream share.
#[derive(Debug)]
pub struct Shared {
    pub options: Options,
    pub ledger: Ledger,
    pub catalog: Catalog,
    pub guard: Guard,
    /// Scheme, address and port of the upstream.
    pub origin: String,
    pub sessions: Mutex<HashSet<String>>,
    /// Calls that run, by session (empty in the modern era) and id.
    pub running: Mutex<HashMap<(String, String), CancellationToken>>,
    pub sessions_opened: AtomicU64,
    pub listeners: Listeners,
}

impl Upstream {
    /// Starts an upstream on a free loopback port.
    ///
    /// # Panics
    /// When the machine gives no port or thread.
    #[must_use]
    pub fn start(options: Options) -> Self {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let listener = listener.expect("a free loopback port");
        listener.set_nonblocking(true).expect("a non-blocking listener");
        let address = listener.local_addr().expect("the address of a bound listener");
        let shared = Arc::new(Shared {
            options,
            ledger: Ledger::default(),
            catalog: Catalog::default(),
            guard: Guard::default(),
            origin: format!("http://{address}"),
            sessions: Mutex::default(),
            running: Mutex::default(),
            sessions_opened: AtomicU64::default(),
            listeners: Listeners::default(),
        });
        let (stop, stopped) = oneshot::channel();
        let serving = shared.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                tokio::select! {
                    () = accept(listener, serving) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address, shared, stop: Some(stop), thread: Some(thread) }
    }

    /// Where the upstream listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of its MCP endpoint.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// Everything that reached it.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.shared.ledger
    }

    /// The definition of a tool as it is now.
    #[must_use]
    pub fn definition(&self, tool: &str) -> Option<String> {
        self.shared.catalog.definition(tool)
    }

    /// Changes the definition of a tool, or adds the tool. `json` is sent as it is.
    pub fn put_tool(&self, tool: &str, json: &str) {
        self.shared.catalog.put(tool, json);
    }

    /// Takes a tool away.
    pub fn remove_tool(&self, tool: &str) {
        self.shared.catalog.remove(tool);
    }

    /// Says to everybody who listens that the tools have changed.
    pub fn announce(&self) {
        self.shared.listeners.announce();
    }

    /// Says so on the stream of the next call that is answered on one.
    pub fn announce_in_next_call(&self) {
        self.shared.listeners.announce_in_next_call();
    }

    /// Ends the streams of everybody who listens.
    pub fn hang_up(&self) {
        self.shared.listeners.hang_up();
    }

    /// How many listen.
    #[must_use]
    pub fn listening(&self) -> usize {
        self.shared.listeners.open()
    }

    /// Lets in nobody from now on who has no token of this kind, and offers the tool `whoami`.
    pub fn protect(&self, protection: Protection) {
        self.put_tool(
            "whoami",
            r#"{"name":"whoami","description":"Says whose token the call carries.","inputSchema":{"type":"object"}}"#,
        );
        self.shared.guard.protect(protection);
    }

    /// Refuses the tokens of a subject, however good they are, or takes them again.
    pub fn ban(&self, subject: &str, banned: bool) {
        self.shared.guard.ban(subject, banned);
    }

    /// Refuses from now on every token that was issued up to now, to the second.
    pub fn refuse_tokens_issued_before_now(&self) {
        self.shared.guard.refuse_issued_before_now();
    }

    /// Forgets all legacy sessions, as after a restart: their next requests are answered with 404.
    pub fn forget_sessions(&self) {
        lock(&self.shared.sessions).clear();
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stop.take().map(|stop| stop.send(()));
        // A panic of the thread has been printed by then.
        self.thread.take().map(std::thread::JoinHandle::join);
    }
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: tokio::net::TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = shared.clone();
        let service = service_fn(move |request| answer(shared.clone(), request));
        // Errors here are clients that went away.
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}
