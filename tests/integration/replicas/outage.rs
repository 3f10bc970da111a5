//! A database that is gone for a while.

use std::time::{Duration, Instant};

use serde_json::json;

use super::history::Journal;
use super::load::{Load, ask};
use super::{Replicas, database, desk, happens_within};
use crate::agent::Agent;
use crate::dice;
use crate::http::{Request, Response};
use crate::rest::Session;
use crate::world::{Server, wait_until};

const OUTAGES: usize = 2;
const AGENTS: u64 = 6;
/// How long the database stays away after all replicas were seen to refuse.
const OUTAGE: Duration = Duration::from_secs(4);
/// 5 s are promised; a busy machine may need longer.
const RECOVERY_MAX: Duration = Duration::from_secs(10);
/// By which a replica may grow while it can write nothing, and everybody asks.
const GROWTH_KIB_MAX: u64 = 64 * 1024;

/// Nobody in the load revokes this user's sessions.
const USER: &str = "hedy";

#[test]
fn a_database_that_goes_away_is_told_with_503_and_its_return_is_noticed() {
    let seed = dice::seed();
    let (cluster, database) = database();
    let replicas = Replicas::start(&database.url(), &[]);
    let upstream = desk(&replicas);
    let session = replicas.server(0).mint("desk", USER);
    let load = Load::new(seed);
    load.during(AGENTS, replicas.balancer.address, || {
        for _ in 0..OUTAGES {
            let arrived = upstream.ledger().calls().len();
            upstream.ledger().wait_until("calls", |record| record.calls().count() > arrived + 50);
            cluster.crash();
            for replica in &replicas.all {
                wait_until("a replica to say that it is not ready", || !replica.server.is_ready());
                wait_until("its agents to be refused", || call(&replica.server, &session).status == 503);
            }
            let arrived = upstream.ledger().calls().len();
            let sizes: Vec<u64> = replicas.all.iter().map(|replica| resident_kib(&replica.server)).collect();
            let end = Instant::now() + OUTAGE;
            while Instant::now() < end {
                for replica in &replicas.all {
                    let server = &replica.server;
                    refused(&call(server, &session));
                    let mint = json!({ "virtual_server": "desk", "user": USER });
                    refused(&ask(server.address, "/api/v1/sessions", &mint).unwrap());
                    assert_eq!(Request::new("GET", "/readyz").send(server.address).status, 503);
                }
            }
            assert_eq!(upstream.ledger().calls().len(), arrived, "a call left without a record");
            let grown: Vec<u64> = replicas
                .all
                .iter()
                .zip(&sizes)
                .map(|(replica, before)| resident_kib(&replica.server).saturating_sub(*before))
                .collect();
            assert!(grown.iter().all(|grown| *grown < GROWTH_KIB_MAX), "grown by {grown:?} KiB");
            cluster.start_again();
            let back = Instant::now();
            for replica in &replicas.all {
                let server = &replica.server;
                let well = happens_within(RECOVERY_MAX, || {
                    server.is_ready() && call(server, &session).status == 200
                });
                let answer = call(server, &session);
                assert!(well, "did not recover by itself: {} {}", answer.status, answer.text());
            }
            println!(
                "recovered {:?} after the database; grown by {grown:?} of {sizes:?} KiB",
                back.elapsed()
            );
            assert!(back.elapsed() <= RECOVERY_MAX, "{:?}", back.elapsed());
        }
    });
    let sql = |sql: &str| database.sql(sql);
    let journal = Journal::settled(sql);
    journal.explains_arrivals(&upstream);
    journal.explains_answers(&load.seen.into_inner().unwrap());
    replicas.agree_also_when_computed_again(sql);
}

/// A call of a session that nobody revokes.
fn call(server: &Server, session: &Session) -> Response {
    static CALLS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    let trace = CALLS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let meta = format!(r#""traceparent":"00-{trace:032x}-b7ad6b7169203331-01""#);
    let agent = Agent::modern(server, session);
    agent.call_request_with_meta("1", "echo", "{}", &meta).send(server.address)
}

#[track_caller]
fn refused(answer: &Response) {
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.header("retry-after").is_some(), "{:?}", answer.headers);
}

/// Memory that it uses, as Linux tells it.
fn resident_kib(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
