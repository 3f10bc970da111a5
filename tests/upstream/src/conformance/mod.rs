//! An MCP server that offers what the official conformance suite asks for, in both eras.
//!
//! It follows the specification and knows nothing of scenarios: a tool that needs an answer of the
//! user is written once, and asks by a request to the client in the legacy era, by `input_required`
//! in the modern one, and by its task where it runs as one.
//!
//! **Invariants.** No message is answered by what the client calls itself. Nothing is promised in
//! `capabilities` that is not served.

mod answering;
mod call;
mod catalog;
mod changes;
mod headers;
mod inputs;
mod legacy;
mod modern;
mod outbox;
mod prompts;
mod resources;
mod seal;
mod sessions;
mod tasks;
mod tools;
mod wire;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;

use answering::House;

/// A running fixture; dropping it closes its port and all its connections.
#[derive(Debug)]
pub struct Fixture {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Fixture {
    /// Starts one on a free loopback port, which lets everybody in.
    ///
    /// # Panics
    /// When the machine gives no port or thread.
    #[must_use]
    pub fn start() -> Self {
        Self::start_house(House::default())
    }

    /// Starts one that lets in nobody without this bearer token.
    ///
    /// # Panics
    /// When the machine gives no port or thread.
    #[must_use]
    pub fn start_for(bearer: &str) -> Self {
        Self::start_house(House { bearer: Some(bearer.to_owned()), ..House::default() })
    }

    /// Starts one that speaks as servers did before the modern era.
    ///
    /// # Panics
    /// When the machine gives no port or thread.
    #[must_use]
    pub fn start_legacy() -> Self {
        Self::start_house(House { is_legacy: true, ..House::default() })
    }

    fn start_house(house: House) -> Self {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free loopback port");
        listener.set_nonblocking(true).expect("a non-blocking listener");
        let address = listener.local_addr().expect("the address of a bound listener");
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                tokio::select! {
                    () = accept(listener, Arc::new(house)) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address, stop: Some(stop), thread: Some(thread) }
    }

    /// The URL of its MCP endpoint.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.stop.take().map(|stop| stop.send(()));
        // A panic of the thread has been printed by then.
        self.thread.take().map(std::thread::JoinHandle::join);
    }
}

async fn accept(listener: tokio::net::TcpListener, house: Arc<House>) {
    while let Ok((stream, _)) = listener.accept().await {
        let house = house.clone();
        let service = service_fn(move |request| answering::answer(house.clone(), request));
        // Errors here are clients that went away.
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}
