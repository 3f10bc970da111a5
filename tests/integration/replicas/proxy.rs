//! A TCP proxy that breaks what goes through it, as it is told.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};

use super::balancer::listen;
use crate::dice::Dice;

/// How long the answer to a `COMMIT` is waited for before the connection is cut.
const COMMIT_WAIT: Duration = Duration::from_secs(2);
const PIECE_BYTES_MAX: usize = 64 * 1024;

/// Dropping it closes its port and all its connections.
pub struct Proxy {
    pub address: SocketAddr,
    pub faults: Arc<Faults>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// What is done to connections; nothing at first.
pub struct Faults {
    /// Of so many `COMMIT`s one loses its answer.
    pub commits_cut_one_in: AtomicUsize,
    /// Of so many pieces sent by a client one ends its connection.
    pub pieces_cut_one_in: AtomicUsize,
    pub commits_cut: AtomicUsize,
    pub pieces_cut: AtomicUsize,
    /// Pieces of clients that are kept back now.
    pub waiting: AtomicUsize,
    held: watch::Sender<bool>,
    dice: Mutex<Dice>,
}

impl Proxy {
    pub fn start(to: SocketAddr, seed: u64) -> Self {
        let faults = Arc::new(Faults {
            commits_cut_one_in: AtomicUsize::new(0),
            pieces_cut_one_in: AtomicUsize::new(0),
            commits_cut: AtomicUsize::new(0),
            pieces_cut: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            held: watch::Sender::new(false),
            dice: Mutex::new(Dice::new(seed)),
        });
        let serving = Arc::clone(&faults);
        let (address, stop, thread) = listen(move |client| pass_on(client, to, Arc::clone(&serving)));
        Self { address, faults, stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.take().map(|stop| stop.send(()));
        self.thread.take().map(std::thread::JoinHandle::join);
    }
}

impl Faults {
    /// Keeps back what clients send, or lets it go on.
    pub fn hold(&self, held: bool) {
        self.held.send_replace(held);
    }

    fn strikes(&self, one_in: &AtomicUsize) -> bool {
        let one_in = one_in.load(Ordering::Relaxed);
        one_in > 0 && self.roll(one_in) == 0
    }

    fn roll(&self, sides: usize) -> usize {
        self.dice.lock().unwrap().roll(sides)
    }
}

/// Returning closes both sides.
async fn pass_on(mut client: TcpStream, to: SocketAddr, faults: Arc<Faults>) -> io::Result<()> {
    let mut server = TcpStream::connect(to).await?;
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let mut held = faults.held.subscribe();
    let mut is_open = false;
    let (mut asked, mut answered) = (vec![0; PIECE_BYTES_MAX], vec![0; PIECE_BYTES_MAX]);
    loop {
        tokio::select! {
            bytes = from_client.read(&mut asked) => {
                let piece = &asked[..bytes?];
                if piece.is_empty() {
                    return Ok(());
                }
                if *held.borrow() {
                    faults.waiting.fetch_add(1, Ordering::SeqCst);
                    let released = held.wait_for(|held| !held).await.is_ok();
                    faults.waiting.fetch_sub(1, Ordering::SeqCst);
                    if !released {
                        return Ok(());
                    }
                }
                let says = |text: &[u8]| piece.windows(text.len()).any(|part| part == text);
                is_open |= says(b"BEGIN");
                // Also events that are written in one journey, without a transaction around them.
                let is_commit = says(b"COMMIT") || !is_open && says(b"evt_");
                is_open &= !is_commit && !says(b"ROLLBACK");
                if is_commit && faults.strikes(&faults.commits_cut_one_in) {
                    to_server.write_all(piece).await?;
                    // Now and then while it still commits, otherwise once it surely has.
                    if faults.roll(2) == 0 {
                        let _ = tokio::time::timeout(COMMIT_WAIT, from_server.read(&mut answered)).await;
                    }
                    faults.commits_cut.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
                if faults.strikes(&faults.pieces_cut_one_in) {
                    if faults.roll(2) == 0 {
                        to_server.write_all(piece).await?;
                    }
                    faults.pieces_cut.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
                to_server.write_all(piece).await?;
            }
            bytes = from_server.read(&mut answered) => {
                let bytes = bytes?;
                if bytes == 0 {
                    return Ok(());
                }
                to_client.write_all(&answered[..bytes]).await?;
            }
        }
    }
}
