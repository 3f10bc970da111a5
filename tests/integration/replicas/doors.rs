//! Both doors of replicas whose database fails them, asked from outside.
#![expect(clippy::print_stdout, reason = "what a test measured is read in its output")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use proctor_test_upstream::Upstream;
use serde_json::json;

use super::load::ask;
use super::{Replicas, happens_within};
use crate::agent::Agent;
use crate::http::{Request, Response};
use crate::rest::Session;
use crate::world::{Server, wait_until};

/// Nobody in the load revokes this user's sessions.
pub const USER: &str = "hedy";
/// How long a database is kept away after all replicas were seen to refuse.
const OUTAGE: Duration = Duration::from_secs(4);
/// 5 s are promised; a busy machine may need longer.
const RECOVERY_MAX: Duration = Duration::from_secs(10);
/// By which a replica may grow while it can write nothing, and everybody asks.
const GROWTH_KIB_MAX: u64 = 64 * 1024;

/// A call of a session that nobody revokes.
pub fn call(server: &Server, session: &Session) -> Response {
    static CALLS: AtomicU64 = AtomicU64::new(1);
    let trace = CALLS.fetch_add(1, Ordering::Relaxed);
    let meta = format!(r#""traceparent":"00-{trace:032x}-b7ad6b7169203331-01""#);
    let agent = Agent::modern(server, session);
    agent.call_request_with_meta("1", "echo", "{}", &meta).send(server.address)
}

/// A session is asked for.
pub fn mint(server: &Server) -> Response {
    let opening = json!({ "virtual_server": "desk", "user": USER });
    ask(server.address, "/api/v1/sessions", &opening).expect("the server answers")
}

/// Whether it was told to try again later. An answer that tells it in part is none.
#[track_caller]
pub fn is_refused(answer: &Response) -> bool {
    let refused = answer.status == 503;
    assert!(!refused || answer.header("retry-after").is_some(), "{:?}", answer.headers);
    refused
}

impl Replicas {
    /// Waits until every replica has noticed that its database takes nothing.
    pub fn wait_until_refusing(&self, session: &Session) {
        for replica in &self.all {
            wait_until("its agents to be refused", || is_refused(&call(&replica.server, session)));
            wait_until("sessions to be refused", || is_refused(&mint(&replica.server)));
        }
    }

    /// For a while both doors of all replicas refuse whatever is asked of them, nothing leaves and
    /// nobody grows.
    pub fn refuse_everything(&self, upstream: &Upstream, session: &Session) {
        let arrived = upstream.ledger().calls().len();
        let sizes = self.resident_kib();
        let (mut asked, end) = (0, Instant::now() + OUTAGE);
        while Instant::now() < end {
            for replica in &self.all {
                let server = &replica.server;
                for answer in [call(server, session), mint(server)] {
                    assert!(is_refused(&answer), "{} {}", answer.status, answer.text());
                }
                assert_eq!(Request::new("GET", "/healthz").send(server.address).status, 200);
                asked += 2;
            }
        }
        assert_eq!(upstream.ledger().calls().len(), arrived, "a call left without a record");
        println!("refused {asked} times at both doors");
        self.have_not_grown(&sizes);
    }

    /// Memory that each of them uses.
    pub fn resident_kib(&self) -> Vec<u64> {
        self.all.iter().map(|replica| replica.server.resident_kib()).collect()
    }

    /// Compares with what they used before.
    pub fn have_not_grown(&self, before: &[u64]) {
        let grown: Vec<_> =
            self.resident_kib().iter().zip(before).map(|(now, before)| now.saturating_sub(*before)).collect();
        println!("grown by {grown:?} of {before:?} KiB");
        assert!(grown.iter().all(|grown| *grown < GROWTH_KIB_MAX), "grown by {grown:?} KiB");
    }

    /// The database is as it should be from now on: so are all replicas soon, by themselves.
    pub fn recover(&self, session: &Session) {
        let back = Instant::now();
        for replica in &self.all {
            let server = &replica.server;
            let well = happens_within(RECOVERY_MAX, || {
                server.is_ready() && call(server, session).status == 200 && mint(server).status == 201
            });
            let answer = call(server, session);
            assert!(well, "did not recover by itself: {} {}", answer.status, answer.text());
        }
        println!("recovered {:?} after the database", back.elapsed());
        assert!(back.elapsed() <= RECOVERY_MAX, "{:?}", back.elapsed());
    }
}
