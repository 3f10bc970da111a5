//! Three replicas on one database, with faults of every kind: nothing acknowledged is lost, nothing
//! leaves without a record, and what was revoked stays revoked.
//!
//! They run on PostgreSQL whatever `PROCTOR_TEST_STORE` says, so `./test` leaves them out of its run
//! for that store. Each prints the seed that repeats it (`PROCTOR_TEST_SEED`).
#![expect(clippy::print_stdout, reason = "what a test measured is read in its output")]

mod balancer;
mod cuts;
mod doors;
mod failover;
mod full_disk;
mod hammer;
mod history;
mod kills;
mod load;
mod outage;
mod pauses;
mod proxy;
mod slow;
mod users;
mod wires;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use proctor_test_postgres::{Cluster, Database};
use proctor_test_upstream::{Options, Upstream};
use serde_json::Value;

use crate::world::{Folder, PUBLIC_URL, Server, environment};
use balancer::Balancer;
use history::Journal;
use load::{Load, Seen};

const REPLICAS: usize = 3;
/// How long replicas may take to say the same.
const AGREE_WAIT: Duration = Duration::from_secs(20);

/// A process with a data folder of its own.
pub struct Replica {
    // Before the folder, so that it stops before that is removed.
    pub server: Server,
    folder: Folder,
    environment: BTreeMap<String, String>,
    starts: AtomicU32,
}

impl Replica {
    fn start(environment: BTreeMap<String, String>) -> Self {
        let (folder, starts) = (Folder::new(), AtomicU32::new(0));
        let server = Server::start(folder.path(), &environment, &starts);
        Self { server, folder, environment, starts }
    }

    /// Starts it where another of the same folder has ended.
    pub fn start_again(&mut self) {
        self.launch_again();
        self.server.wait_until_ready();
    }

    /// The same, without waiting until it is ready.
    pub fn launch_again(&mut self) {
        self.server = Server::launch(self.folder.path(), &self.environment, &self.starts);
    }
}

/// All of them, behind one address.
pub struct Replicas {
    pub all: Vec<Replica>,
    pub balancer: Balancer,
}

impl Replicas {
    /// `database` is how they reach it.
    pub fn start(database: &str, settings: &[(&str, &str)]) -> Self {
        let usual = [
            ("DATABASE_URL", database),
            ("PROCTOR_PUBLIC_URL", PUBLIC_URL),
            ("PROCTOR_LEASE_SECONDS", "2"),
            ("PROCTOR_LOG", "info"),
        ];
        let environment = environment(&[&usual, settings].concat());
        let all: Vec<_> = (0..REPLICAS).map(|_| Replica::start(environment.clone())).collect();
        let balancer = Balancer::start(all.iter().map(|replica| replica.server.address).collect());
        Self { all, balancer }
    }

    pub fn server(&self, at: usize) -> &Server {
        &self.all[at].server
    }

    /// What the audit trail of one of them says, once it has seen what was written so far.
    fn trail_of(server: &Server) -> Vec<Value> {
        // What everybody says is compared, not when: the disk of a busy machine may stand still for
        // seconds, and who is told to ask again later does.
        let page = |path: &str| {
            let mut answer = server.get(path);
            happens_within(AGREE_WAIT, || {
                if doors::is_refused(&answer) {
                    answer = server.get(path);
                }
                !doors::is_refused(&answer)
            });
            answer.expect(200)
        };
        let mut rows = Server::pages_by("/api/v1/audit/tool-calls?limit=500", page);
        rows.extend(Server::pages_by("/api/v1/sessions?limit=500", page));
        rows
    }

    /// All that happened is in order: the journal explains what arrived and what everybody was told, and
    /// all replicas say the same of it. Answers what is left to be looked at.
    pub fn end_well(self, load: Load, upstream: &Upstream, sql: impl Fn(&str) -> String) -> (Journal, Seen) {
        let journal = Journal::settled(&sql);
        let seen = load.seen.into_inner().unwrap();
        println!("{journal}; of {seen}");
        journal.explains_arrivals(upstream);
        journal.explains_answers(&seen);
        self.agree_also_when_computed_again(sql);
        (journal, seen)
    }

    /// Every replica says the same, and so does one that computes everything again.
    pub fn agree_also_when_computed_again(mut self, sql: impl Fn(&str) -> String) {
        let trails =
            || -> Vec<_> { self.all.iter().map(|replica| Self::trail_of(&replica.server)).collect() };
        // Counts of repeated refusals are written down now and then, so also while it is looked.
        let mut seen = trails();
        let agree = |trails: &[Vec<Value>]| trails.iter().all(|trail| *trail == trails[0]);
        happens_within(AGREE_WAIT, || {
            let agreed = agree(&seen);
            if !agreed {
                seen = trails();
            }
            agreed
        });
        let trails = seen;
        assert!(!trails[0].is_empty(), "there is no audit trail");
        trails[1..].iter().for_each(|trail| same(&trails[0], trail, "another replica"));
        // What is counted is written down by those that end in order.
        for replica in &mut self.all {
            assert!(replica.server.terminate().success());
        }
        self.all[0].start_again();
        let before = Self::trail_of(self.server(0));
        assert!(self.all[0].server.terminate().success());
        let schemas = sql("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'proctor_views_%'");
        assert!(schemas.lines().count() > 0, "no views to compute again");
        for schema in schemas.lines() {
            sql(&format!("DROP SCHEMA {schema} CASCADE"));
        }
        self.all[0].start_again();
        same(&before, &Self::trail_of(self.server(0)), "a rebuild from zero");
    }
}

/// Says which row differs, and not all of them.
#[track_caller]
fn same(one: &[Value], other: &[Value], whose: &str) {
    for (at, (left, right)) in one.iter().zip(other).enumerate() {
        assert_eq!(left, right, "row {at} is another one for {whose}");
    }
    assert_eq!(one.len(), other.len(), "{whose} has another number of rows");
}

/// A database, an upstream, and what the replicas need of both.
fn desk(replicas: &Replicas) -> Upstream {
    let upstream = Upstream::start(Options::default());
    replicas.server(0).desk(&upstream);
    upstream
}

fn database() -> (Cluster, Database) {
    let cluster = Cluster::start(&[("max_connections", "200"), ("shared_buffers", "64MB")]);
    let database = Database::inside(&cluster);
    (cluster, database)
}

/// Asks until the answer is yes, or it is too late.
fn happens_within(wait: Duration, mut happened: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + wait;
    while !happened() {
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}
