//! A database that is slow, until nothing of it comes back in time.
#![expect(clippy::print_stdout, reason = "what a test measured is read in its output")]

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use proctor_test_postgres::{Cluster, Database};
use proctor_test_upstream::Upstream;
use serde_json::Value;

use super::load::{Load, Told};
use super::proxy::Proxy;
use super::{Replicas, database, desk, doors};
use crate::agent::Answer;
use crate::dice::{self, Dice};
use crate::http::Response;
use crate::rest::Session;
use crate::world::Server;

const AGENTS: u64 = 6;
/// How long each piece is on its way: a journey there and back is slow, then longer than a head
/// counts as confirmed (500 ms), then longer than an answer is waited for (2.5 s).
const DELAYS_MS: [u64; 3] = [50, 300, SILENCE_MS];
const SILENCE_MS: u64 = 3_000;
/// How long each of them lasts.
const STAGE: Duration = Duration::from_secs(3);
/// How often the database is silent for a moment, so that what was sent arrives when all is well again.
const MOMENTS: usize = 5;
const MOMENT_MS_MAX: usize = 3_500;
/// No answer may take longer. A call is recorded twice, and for each record 4 s are waited; between them
/// the head is confirmed within 2 s.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(12);

/// What was answered at both doors of one replica.
#[derive(Debug, Default)]
struct Answers {
    done: usize,
    refused: usize,
    /// Refused so late that the answer had begun as a stream.
    refused_late: usize,
    /// Calls that were admitted, and stopped before they left.
    stopped: usize,
    /// Calls that were made, of which the outcome could not be written.
    unknown: usize,
    longest: Duration,
}

#[test]
fn a_slow_database_keeps_nobody_waiting_and_lets_nothing_leave_without_a_record() {
    let site = Site::start();
    let Site { replicas, upstream, session, load, .. } = &site;
    load.during(AGENTS, replicas.balancer.address, || {
        upstream.ledger().wait_until("calls", |record| record.calls().count() > 100);
        let sizes = replicas.resident_kib();
        for delay_ms in DELAYS_MS {
            site.delay(delay_ms);
            let answers: Vec<Answers> = std::thread::scope(|scope| {
                let ask = |at| ask_for(STAGE, replicas.server(at), session);
                let asking: Vec<_> = (0..replicas.all.len()).map(|at| scope.spawn(move || ask(at))).collect();
                asking.into_iter().map(|asking| asking.join().unwrap()).collect()
            });
            println!("{delay_ms} ms: {answers:?}");
        }
        replicas.refuse_everything(upstream, session);
        replicas.have_not_grown(&sizes);
        site.delay(0);
        replicas.recover(session);
    });
    site.ends_well();
}

#[test]
fn what_a_database_that_was_silent_for_a_moment_does_late_is_done_once_or_not_at_all() {
    let site = Site::start();
    let Site { replicas, upstream, session, load, .. } = &site;
    let mut dice = Dice::new(site.seed);
    load.during(AGENTS, replicas.balancer.address, || {
        for _ in 0..MOMENTS {
            let arrived = upstream.ledger().calls().len();
            upstream.ledger().wait_until("calls", |record| record.calls().count() > arrived + 20);
            site.delay(SILENCE_MS);
            std::thread::sleep(Duration::from_millis(dice.roll(MOMENT_MS_MAX) as u64));
            site.delay(0);
            replicas.recover(session);
        }
    });
    site.ends_well();
}

/// Replicas whose database is behind a proxy, and who calls them.
struct Site {
    replicas: Replicas,
    upstream: Upstream,
    session: Session,
    load: Load,
    seed: u64,
    proxy: Proxy,
    // Last, so that everybody else has ended when they do.
    database: Database,
    _cluster: Cluster,
}

impl Site {
    fn start() -> Self {
        let seed = dice::seed();
        let (cluster, database) = database();
        let proxy = Proxy::start(cluster.host().parse().unwrap(), seed);
        let url = format!("postgres://postgres@{}/{}", proxy.address, database.name());
        let replicas = Replicas::start(&url, &[]);
        let upstream = desk(&replicas);
        let session = replicas.server(0).mint("desk", doors::USER);
        let load = Load::new(seed);
        Self { replicas, upstream, session, load, seed, proxy, database, _cluster: cluster }
    }

    fn delay(&self, ms: u64) {
        self.proxy.faults.delay_ms.store(ms, Ordering::Relaxed);
    }

    /// Everybody was answered in time, and the journal explains the answers.
    fn ends_well(self) {
        let (_, seen) = self.replicas.end_well(self.load, &self.upstream, |sql| self.database.sql(sql));
        let longest = seen.calls.iter().map(|call| call.ended - call.began).max().unwrap();
        println!("the longest took {longest:?}");
        assert!(longest < ANSWER_WAIT_MAX, "{longest:?}");
        assert!(seen.calls.iter().all(|call| call.told != Told::Nothing), "a call was not answered");
    }
}

/// Asks at both doors of a replica, one question after the other.
fn ask_for(time: Duration, server: &Server, session: &Session) -> Answers {
    let mut answers = Answers::default();
    let end = Instant::now() + time;
    while Instant::now() < end {
        answers.note(|| doors::call(server, session));
        answers.note(|| doors::mint(server));
        answers.note(|| server.get("/api/v1/sessions?limit=1"));
    }
    answers
}

impl Answers {
    /// Every answer is a result or a refusal, or says what is not known of a call.
    fn note(&mut self, ask: impl FnOnce() -> Response) {
        let asked = Instant::now();
        let response = ask();
        self.longest = self.longest.max(asked.elapsed());
        assert!(self.longest < ANSWER_WAIT_MAX, "{:?}: {}", self.longest, response.text());
        if doors::is_refused(&response) {
            self.refused += 1;
            return;
        }
        let message: Value = serde_json::from_str(&Answer::of(&response).text).unwrap();
        match (response.status, message["error"]["data"]["code"].as_str()) {
            (200 | 201, None) => self.done += 1,
            (200, Some("unavailable" | "journal_unavailable")) => self.refused_late += 1,
            (200, Some("not_sent")) => self.stopped += 1,
            (200, Some("outcome_unknown")) => self.unknown += 1,
            _ => panic!("{} {}", response.status, response.text()),
        }
    }
}
