//! A TCP proxy that breaks what goes through it, as it is told.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{Notify, oneshot, watch};

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
    /// Of so many pieces sent by a server one ends its connection.
    pub answers_cut_one_in: AtomicUsize,
    /// How long every piece is on its way, in either direction.
    pub delay_ms: AtomicU64,
    pub commits_cut: AtomicUsize,
    pub pieces_cut: AtomicUsize,
    pub answers_cut: AtomicUsize,
    /// Pieces of clients that are kept back now.
    pub waiting: AtomicUsize,
    held: watch::Sender<bool>,
    dice: Mutex<Dice>,
}

/// What both directions of a connection know of each other.
#[derive(Default)]
struct Connection {
    /// The next answer is to be lost.
    loses_answer: AtomicBool,
    lost: Notify,
}

/// How a connection ended.
#[derive(PartialEq, Eq)]
enum Ended {
    /// By one of its sides.
    InOrder,
    /// Here.
    Cut,
}

impl Proxy {
    pub fn start(to: SocketAddr, seed: u64) -> Self {
        let faults = Arc::new(Faults {
            commits_cut_one_in: AtomicUsize::new(0),
            pieces_cut_one_in: AtomicUsize::new(0),
            answers_cut_one_in: AtomicUsize::new(0),
            delay_ms: AtomicU64::new(0),
            commits_cut: AtomicUsize::new(0),
            pieces_cut: AtomicUsize::new(0),
            answers_cut: AtomicUsize::new(0),
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

    /// Of so many pieces of either side one ends its connection; none at 0.
    pub fn cut_one_in(&self, pieces: usize) {
        self.pieces_cut_one_in.store(pieces, Ordering::Relaxed);
        self.answers_cut_one_in.store(pieces, Ordering::Relaxed);
    }

    /// How many pieces of clients and of servers ended their connections.
    pub fn cut(&self) -> (usize, usize) {
        (self.pieces_cut.load(Ordering::Relaxed), self.answers_cut.load(Ordering::Relaxed))
    }

    fn strikes(&self, one_in: &AtomicUsize) -> bool {
        let one_in = one_in.load(Ordering::Relaxed);
        one_in > 0 && self.roll(one_in) == 0
    }

    fn roll(&self, sides: usize) -> usize {
        self.dice.lock().unwrap().roll(sides)
    }

    /// How much of the last piece still arrives: all, nothing or something.
    fn part<'p>(&self, piece: &'p [u8]) -> &'p [u8] {
        &piece[..[0, self.roll(piece.len()), piece.len()][self.roll(3)]]
    }

    async fn delay(&self) {
        let delay = self.delay_ms.load(Ordering::Relaxed);
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
    }
}

/// Returning closes both sides.
async fn pass_on(mut client: TcpStream, to: SocketAddr, faults: Arc<Faults>) -> io::Result<()> {
    let mut server = TcpStream::connect(to).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let connection = Connection::default();
    let ended = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::select! {
            ended = pass_questions(from_client, to_server, &connection, &faults) => ended?,
            ended = pass_answers(from_server, to_client, &connection, &faults) => ended?,
        }
    };
    // A connection that is cut ends in order for its sides, or is reset.
    if ended == Ended::Cut && faults.roll(2) == 0 {
        client.set_zero_linger()?;
        server.set_zero_linger()?;
    }
    Ok(())
}

async fn pass_questions(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    connection: &Connection,
    faults: &Faults,
) -> io::Result<Ended> {
    let mut held = faults.held.subscribe();
    let mut is_open = false;
    let mut buffer = vec![0; PIECE_BYTES_MAX];
    loop {
        let length = from.read(&mut buffer).await?;
        let piece = &buffer[..length];
        if piece.is_empty() {
            return Ok(Ended::InOrder);
        }
        if *held.borrow() {
            faults.waiting.fetch_add(1, Ordering::SeqCst);
            let released = held.wait_for(|held| !held).await.is_ok();
            faults.waiting.fetch_sub(1, Ordering::SeqCst);
            if !released {
                return Ok(Ended::InOrder);
            }
        }
        faults.delay().await;
        let says = |text: &[u8]| piece.windows(text.len()).any(|part| part == text);
        is_open |= says(b"BEGIN");
        // Also events that are written in one journey, without a transaction around them.
        let is_commit = says(b"COMMIT") || !is_open && says(b"evt_");
        is_open &= !is_commit && !says(b"ROLLBACK");
        if is_commit && faults.strikes(&faults.commits_cut_one_in) {
            connection.loses_answer.store(true, Ordering::Relaxed);
            to.write_all(piece).await?;
            // Now and then while it still commits, otherwise once it surely has.
            if faults.roll(2) == 0 {
                let _ = tokio::time::timeout(COMMIT_WAIT, connection.lost.notified()).await;
            }
            faults.commits_cut.fetch_add(1, Ordering::Relaxed);
            return Ok(Ended::Cut);
        }
        if faults.strikes(&faults.pieces_cut_one_in) {
            to.write_all(faults.part(piece)).await?;
            faults.pieces_cut.fetch_add(1, Ordering::Relaxed);
            return Ok(Ended::Cut);
        }
        to.write_all(piece).await?;
    }
}

async fn pass_answers(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    connection: &Connection,
    faults: &Faults,
) -> io::Result<Ended> {
    let mut buffer = vec![0; PIECE_BYTES_MAX];
    loop {
        let length = from.read(&mut buffer).await?;
        let piece = &buffer[..length];
        if piece.is_empty() {
            return Ok(Ended::InOrder);
        }
        if connection.loses_answer.load(Ordering::Relaxed) {
            connection.lost.notify_one();
            continue;
        }
        faults.delay().await;
        if faults.strikes(&faults.answers_cut_one_in) {
            to.write_all(faults.part(piece)).await?;
            faults.answers_cut.fetch_add(1, Ordering::Relaxed);
            return Ok(Ended::Cut);
        }
        to.write_all(piece).await?;
    }
}
