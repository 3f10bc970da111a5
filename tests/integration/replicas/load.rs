//! Agents and backends that go on whatever happens, and remember what they were told.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use proctor_test_upstream::Received;
use serde_json::{Value, json};

use crate::agent::{Agent, Answer};
use crate::dice::Dice;
use crate::http::{Request, Response};
use crate::rest::Session;
use crate::world::ADMIN_KEY;

/// Sessions that calls are made in; one that is revoked makes room for another.
const SESSIONS: usize = 6;
/// A pause after each call, so that the machine has time for what is tested.
const PAUSE: Duration = Duration::from_millis(4);
const USERS: [&str; 3] = ["ada", "grace", "joan"];

/// What a call's agent was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// The result of the tool.
    Succeeded,
    /// This status, and no result.
    Refused(u16),
    /// Nothing: the connection broke.
    Nothing,
}

#[derive(Debug, Clone)]
pub struct Called {
    pub trace: String,
    pub session: String,
    pub began: Instant,
    pub ended: Instant,
    pub told: Told,
}

#[derive(Debug, Clone)]
pub struct Revoked {
    pub session: String,
    pub acknowledged: Instant,
}

/// All that clients were told.
#[derive(Debug, Default)]
pub struct Seen {
    pub calls: Vec<Called>,
    pub minted: Vec<String>,
    pub revoked: Vec<Revoked>,
    /// The users whose sessions were cut, at a position.
    pub cut: Vec<u64>,
}

impl Seen {
    pub fn succeeded(&self) -> usize {
        self.told(Told::Succeeded)
    }

    fn told(&self, told: Told) -> usize {
        self.calls.iter().filter(|call| call.told == told).count()
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (asked, unanswered) = (self.calls.len(), self.told(Told::Nothing));
        write!(f, "{asked} asked {} succeeded and {unanswered} had no answer", self.succeeded())
    }
}

/// See the module.
pub struct Load {
    pub seen: Mutex<Seen>,
    pub stop: AtomicBool,
    sessions: Mutex<Vec<Session>>,
    seed: u64,
    calls: AtomicU64,
}

impl Load {
    pub fn new(seed: u64) -> Self {
        Self {
            seen: Mutex::default(),
            stop: AtomicBool::new(false),
            sessions: Mutex::default(),
            seed,
            calls: AtomicU64::new(0),
        }
    }

    /// A W3C trace id that no other call has: it is how a call is known everywhere.
    fn new_trace(&self) -> String {
        format!("{:016x}{:016x}", self.seed | 1 << 63, self.calls.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// So many agents call while this is done.
    pub fn during<T>(&self, agents: u64, address: SocketAddr, work: impl FnOnce() -> T) -> T {
        std::thread::scope(|scope| {
            let _stops = self.stops_when_this_panics();
            for agent in 0..agents {
                scope.spawn(move || self.run(agent, address));
            }
            let done = work();
            self.stop.store(true, Ordering::Relaxed);
            done
        })
    }

    /// To be held wherever somebody goes on until [`Self::stop`]: an assertion that fails would wait
    /// for them for ever.
    pub fn stops_when_this_panics(&self) -> impl Drop {
        StopsWhenPanicking(&self.stop)
    }

    /// Goes on until told to stop. Calls mostly, and now and then what ends sessions.
    fn run(&self, thread: u64, address: SocketAddr) {
        let mut dice = Dice::new(self.seed.wrapping_add(thread));
        while !self.stop.load(Ordering::Relaxed) {
            let session = {
                let sessions = self.sessions.lock().unwrap();
                (sessions.len() >= SESSIONS).then(|| sessions[dice.roll(sessions.len())].clone())
            };
            match (session, dice.roll(60)) {
                (None, _) => self.mint(&mut dice, address),
                (Some(session), 0) => {
                    let wait = if dice.roll(2) == 0 { "" } else { "?wait=true" };
                    self.revoke(address, &session.id, wait);
                }
                (Some(_), 1) if dice.roll(4) == 0 => self.cut(address, USERS[dice.roll(USERS.len())]),
                (Some(session), _) => {
                    self.call(address, &session, "echo", "{}");
                }
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn mint(&self, dice: &mut Dice, address: SocketAddr) {
        let opening = json!({ "virtual_server": "desk", "user": USERS[dice.roll(USERS.len())] });
        let Some(answer) = ask(address, "/api/v1/sessions", &opening).filter(|answer| answer.status == 201)
        else {
            return;
        };
        let session = Session::of(&answer.json());
        self.seen.lock().unwrap().minted.push(session.id.clone());
        self.sessions.lock().unwrap().push(session);
    }

    /// Calls once, in whatever way the connection ends.
    pub fn call(&self, address: SocketAddr, session: &Session, tool: &str, arguments: &str) -> Told {
        let trace = self.new_trace();
        let agent = Agent {
            address,
            path: session.path.clone(),
            token: session.token.clone(),
            legacy: None,
            capabilities: "{}",
        };
        let meta = format!(r#""traceparent":"00-{trace}-b7ad6b7169203331-01""#);
        let request = agent.call_request_with_meta("1", tool, arguments, &meta);
        let began = Instant::now();
        let told = match request.try_send(address) {
            Err(_) => Told::Nothing,
            Ok(response) => told(&response),
        };
        // What is over for others is over for all.
        if told == Told::Refused(401) {
            self.sessions.lock().unwrap().retain(|other| other.id != session.id);
        }
        let called = Called { trace, session: session.id.clone(), began, ended: Instant::now(), told };
        self.seen.lock().unwrap().calls.push(called);
        told
    }

    /// Whether it was acknowledged; with `?wait=true`, by every replica that lives.
    pub fn revoke(&self, address: SocketAddr, session: &str, wait: &str) -> Option<Instant> {
        let path = format!("/api/v1/sessions/{session}/revoke{wait}");
        let answer = ask(address, &path, &json!({ "reason": "at random" }))?;
        let confirmed = wait.is_empty() || answer.status == 200 && answer.json()["confirmed"] == true;
        if answer.status != 200 || !confirmed {
            return None;
        }
        let acknowledged = Instant::now();
        self.sessions.lock().unwrap().retain(|other| other.id != session);
        self.seen.lock().unwrap().revoked.push(Revoked { session: session.to_owned(), acknowledged });
        Some(acknowledged)
    }

    fn cut(&self, address: SocketAddr, user: &str) {
        let cut = json!({ "user": user, "reason": "at random" });
        let Some(answer) = ask(address, "/api/v1/revocations", &cut) else { return };
        if answer.status == 200 {
            let position = answer.header("proctor-position").and_then(|position| position.parse().ok());
            self.seen.lock().unwrap().cut.push(position.expect("a write says where it stands"));
        }
    }
}

struct StopsWhenPanicking<'a>(&'a AtomicBool);

impl Drop for StopsWhenPanicking<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

fn told(response: &Response) -> Told {
    says_when_to_try_again(response);
    let answer = Answer::of(response);
    let message: Value = serde_json::from_str(&answer.text).unwrap_or_default();
    match message.get("result").is_some_and(|result| result["isError"] != true) {
        true => Told::Succeeded,
        false => Told::Refused(answer.status),
    }
}

/// A request of the administrator; nothing when the connection breaks.
pub fn ask(address: SocketAddr, path: &str, body: &Value) -> Option<Response> {
    let answer = Request::new("POST", path)
        .header("Authorization", format!("Bearer {ADMIN_KEY}"))
        .header("Content-Type", "application/json")
        .body(body.to_string())
        .try_send(address)
        .ok();
    answer.iter().for_each(says_when_to_try_again);
    answer
}

/// Whatever the trouble is, a refusal that is none of the client's doing says it.
fn says_when_to_try_again(answer: &Response) {
    let says = answer.status != 503 || answer.header("retry-after").is_some();
    assert!(says, "{:?} {}", answer.headers, answer.text());
}

/// The trace id under which a call reached the upstream.
pub fn trace_of(received: &Received) -> String {
    let body: Value = serde_json::from_str(&received.body).unwrap();
    let parent = body["params"]["_meta"]["traceparent"].as_str().expect("every call carries its trace");
    parent.split('-').nth(1).unwrap().to_owned()
}
