//! A web server that says what it was told to say, for what no honest authorization server does, and
//! that can tell whether anybody came at all.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What is answered on a path: status, more header lines, body.
type Answer = (u16, String, String);

/// What came: the request line, and the body.
type Received = (String, String);

/// Dropping it closes its port.
pub struct Canned {
    pub address: SocketAddr,
    answers: Arc<Mutex<BTreeMap<String, Answer>>>,
    received: Arc<Mutex<Vec<Received>>>,
    stopped: Arc<AtomicBool>,
}

impl Canned {
    /// On loopback, both of IPv4 and of IPv6 where the machine has it, at the same port.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let canned =
            Self { address, answers: Arc::default(), received: Arc::default(), stopped: Arc::default() };
        canned.serve(listener);
        if let Ok(listener) = TcpListener::bind(("::1", address.port())) {
            canned.serve(listener);
        }
        canned
    }

    fn serve(&self, listener: TcpListener) {
        let (answers, received, stopped) =
            (self.answers.clone(), self.received.clone(), self.stopped.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                // A client that goes away while it is answered is none of ours.
                let _ = stream.and_then(|stream| answer(stream, &answers, &received));
            }
        });
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers a path with a JSON document.
    pub fn put(&self, path: &str, document: &serde_json::Value) {
        self.put_raw(path, 200, "Content-Type: application/json\r\n", &document.to_string());
    }

    pub fn put_raw(&self, path: &str, status: u16, headers: &str, body: &str) {
        let answer = (status, headers.to_owned(), body.to_owned());
        self.answers.lock().unwrap().insert(path.to_owned(), answer);
    }

    /// Everything that came. A connection on which nothing was asked is one as well.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

impl Drop for Canned {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        // Wakes the threads that accept.
        let _ = TcpStream::connect(self.address);
        let _ = TcpStream::connect(("::1", self.address.port()));
    }
}

fn answer(
    stream: TcpStream,
    answers: &Mutex<BTreeMap<String, Answer>>,
    received: &Mutex<Vec<Received>>,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut first, mut length) = (String::new(), 0);
    let read = reader.read_line(&mut first);
    loop {
        let mut line = String::new();
        if read.is_err() || reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    let _ = reader.read_exact(&mut body);
    let path = first.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default().to_owned();
    received.lock().unwrap().push((first.trim().to_owned(), String::from_utf8_lossy(&body).into_owned()));
    let answer = answers.lock().unwrap().get(&path).cloned();
    let (status, headers, body) = answer.unwrap_or((404, String::new(), String::new()));
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status} Canned\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}
