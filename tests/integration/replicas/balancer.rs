//! A plain TCP balancer: a connection goes to the next process that takes it.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// Dropping it closes its port and all its connections.
pub struct Balancer {
    pub address: SocketAddr,
    backends: Arc<Backends>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

struct Backends {
    addresses: Mutex<Vec<SocketAddr>>,
    next: AtomicUsize,
}

impl Balancer {
    pub fn start(addresses: Vec<SocketAddr>) -> Self {
        let backends = Arc::new(Backends { addresses: Mutex::new(addresses), next: AtomicUsize::new(0) });
        let serving = Arc::clone(&backends);
        let (address, stop, thread) = listen(move |client| pass_on(client, Arc::clone(&serving)));
        Self { address, backends, stop: Some(stop), thread: Some(thread) }
    }

    /// A process has come back at another port.
    pub fn moved(&self, at: usize, address: SocketAddr) {
        self.backends.addresses.lock().unwrap()[at] = address;
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.stop.take().map(|stop| stop.send(()));
        self.thread.take().map(std::thread::JoinHandle::join);
    }
}

/// Listens on a thread of its own until told to stop.
pub(super) fn listen<F>(
    serve: impl Fn(TcpStream) -> F + Send + 'static,
) -> (SocketAddr, oneshot::Sender<()>, std::thread::JoinHandle<()>)
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, mut stopped) = oneshot::channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener).unwrap();
            loop {
                tokio::select! {
                    client = listener.accept() => {
                        let Ok((client, _)) = client else { continue };
                        // An error is that of somebody who went away.
                        tokio::spawn(serve(client));
                    }
                    _ = &mut stopped => return,
                }
            }
        });
    });
    (address, stop, thread)
}

async fn pass_on(mut client: TcpStream, backends: Arc<Backends>) -> io::Result<()> {
    let addresses = backends.addresses.lock().unwrap().clone();
    let first = backends.next.fetch_add(1, Ordering::Relaxed);
    for turn in 0..addresses.len() {
        let address = addresses[(first + turn) % addresses.len()];
        if let Ok(mut backend) = TcpStream::connect(address).await {
            tokio::io::copy_bidirectional(&mut client, &mut backend).await?;
            break;
        }
    }
    Ok(())
}
