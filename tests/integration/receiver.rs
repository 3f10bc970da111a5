//! A backend that is sent messages: it checks each signature, keeps what came, and answers as told.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;

/// How long a receiver that hangs keeps a connection open.
const HANG: Duration = Duration::from_secs(60);
/// How old a message's time may be: the receiver's share against replays.
const AGE_SECONDS_MAX: i64 = 60;

/// What the next message is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    Status(u16),
    /// A redirect to a place of its own.
    Redirect,
    /// With a body that never ends.
    Endless,
    Never,
}

/// One message that came.
#[derive(Clone, Debug)]
pub struct Message {
    pub id: String,
    pub timestamp: i64,
    pub signatures: Vec<String>,
    pub body: String,
    pub path: String,
    pub at: Instant,
}

impl Message {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub fn kind(&self) -> String {
        self.json()["type"].as_str().unwrap().to_owned()
    }

    /// Whether a secret that was handed out has signed it, by the specification's own words.
    pub fn is_signed_with(&self, secret: &str) -> bool {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        mac.update(format!("{}.{}.{}", self.id, self.timestamp, self.body).as_bytes());
        let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        self.signatures.contains(&expected)
    }
}

#[derive(Default)]
struct Shared {
    messages: Mutex<Vec<Message>>,
    /// The last one holds for all that follow.
    answers: Mutex<VecDeque<Answers>>,
    stopped: AtomicBool,
}

/// See the module. It is down once it is dropped.
pub struct Receiver {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    pub fn start(answers: &[Answers]) -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), answers)
    }

    /// Back at the address of one that was down.
    pub fn at(address: SocketAddr, answers: &[Answers]) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        shared.answers.lock().unwrap().extend(answers);
        let inside = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if inside.stopped.load(Ordering::Acquire) {
                    return;
                }
                let (inside, stream) = (Arc::clone(&inside), stream.unwrap());
                std::thread::spawn(move || inside.serve(stream));
            }
        });
        Self { address, shared, thread: Some(thread) }
    }

    pub fn url(&self) -> String {
        format!("http://{}/hooks?of=proctor", self.address)
    }

    pub fn answer_from_now_on(&self, answers: Answers) {
        *self.shared.answers.lock().unwrap() = [answers].into();
    }

    pub fn messages(&self) -> Vec<Message> {
        self.shared.messages.lock().unwrap().clone()
    }

    #[track_caller]
    pub fn wait_for(&self, count: usize) -> Vec<Message> {
        crate::world::wait_until("messages", || self.messages().len() >= count);
        self.messages()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Release);
        // So that it looks.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) {
        let Some(message) = read(&stream) else { return };
        self.messages.lock().unwrap().push(message);
        let answer = {
            let mut answers = self.answers.lock().unwrap();
            if answers.len() > 1 { answers.pop_front() } else { answers.front().copied() }
        };
        let _ = match answer.unwrap_or(Answers::Status(200)) {
            Answers::Status(status) => {
                write!(stream, "HTTP/1.1 {status} As Told\r\nContent-Length: 2\r\n\r\nok")
            }
            Answers::Redirect => {
                write!(stream, "HTTP/1.1 307 Elsewhere\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n")
            }
            Answers::Endless => {
                let begun = write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
                while stream.write_all(&[b'x'; 4_096]).is_ok() {}
                begun
            }
            Answers::Never => {
                std::thread::sleep(HANG);
                Ok(())
            }
        };
    }
}

fn read(stream: &TcpStream) -> Option<Message> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    assert!(line.starts_with("POST "), "{line}");
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let header = |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    assert_eq!(header("content-type").as_deref(), Some("application/json"));
    let mut body = vec![0; header("content-length")?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    let timestamp: i64 = header("webhook-timestamp")?.parse().ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed();
    assert!((now - timestamp).abs() <= AGE_SECONDS_MAX, "sent at {now} with the time {timestamp}");
    Some(Message {
        id: header("webhook-id")?,
        timestamp,
        signatures: header("webhook-signature")?.split(' ').map(str::to_owned).collect(),
        body: String::from_utf8(body).ok()?,
        path,
        at: Instant::now(),
    })
}
