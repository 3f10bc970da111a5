//! One session at all replicas at once, and how soon a revocation at one is felt at another.

use std::time::{Duration, Instant};

use super::history::Journal;
use super::load::{Load, Told};
use super::{Replicas, database, desk};
use crate::dice;

const AGENTS_EACH: usize = 3;
const HAMMER: Duration = Duration::from_secs(8);
/// No call of the session may wait longer, wherever it is asked for.
const CALL_WAIT_MAX: Duration = Duration::from_secs(10);
const REVOCATIONS: usize = 30;
/// 100 ms are promised of 99 in 100; a busy machine may need longer.
const CANCEL_WAIT_MAX: Duration = Duration::from_secs(5);

#[test]
fn one_session_at_three_replicas_starves_on_none() {
    let (_cluster, database) = database();
    let replicas = Replicas::start(&database.url(), &[]);
    let upstream = desk(&replicas);
    let session = replicas.server(0).mint("desk", "ada");
    let load = Load::new(dice::seed());
    let end = Instant::now() + HAMMER;
    let hammer = |at: usize| {
        let mut done = 0_usize;
        while Instant::now() < end {
            let told = load.call(replicas.server(at).address, &session, "echo", "{}");
            assert_eq!(told, Told::Succeeded, "at replica {at}");
            done += 1;
        }
        done
    };
    let done: Vec<usize> = std::thread::scope(|scope| {
        let hammer = &hammer;
        let agents = |at| (0..AGENTS_EACH).map(move |_| scope.spawn(move || hammer(at))).collect::<Vec<_>>();
        let all: Vec<_> = (0..replicas.all.len()).map(agents).collect();
        all.into_iter().map(|agents| agents.into_iter().map(|agent| agent.join().unwrap()).sum()).collect()
    });
    let seen = load.seen.into_inner().unwrap();
    let longest = seen.calls.iter().map(|call| call.ended - call.began).max().unwrap();
    println!("calls of one session at each replica: {done:?}; the longest took {longest:?}");
    assert!(longest < CALL_WAIT_MAX, "{longest:?}");
    let (least, most) = (done.iter().min().unwrap(), done.iter().max().unwrap());
    assert!(least * 5 > *most, "one starves: {done:?}");
    let sql = |sql: &str| database.sql(sql);
    let journal = Journal::settled(sql);
    journal.explains_arrivals(&upstream);
    journal.explains_answers(&seen);
    replicas.agree_also_when_computed_again(sql);
}

#[test]
fn a_revocation_at_one_replica_cancels_a_call_in_flight_at_another() {
    let (_cluster, database) = database();
    let replicas = Replicas::start(&database.url(), &[]);
    let upstream = desk(&replicas);
    let load = Load::new(dice::seed());
    let mut waits = Vec::new();
    for round in 0..REVOCATIONS {
        let (here, there) = (replicas.server(round % 3), replicas.server((round + 1) % 3));
        let session = here.mint("desk", "ada");
        let before = upstream.ledger().read();
        let (calls, cancelled) = (before.calls().count(), before.cancelled.len());
        std::thread::scope(|scope| {
            scope.spawn(|| load.call(there.address, &session, "slow", r#"{"milliseconds":60000}"#));
            upstream.ledger().wait_until("the call", |record| record.calls().count() > calls);
            let acknowledged = load.revoke(here.address, &session.id, "").expect("it is acknowledged");
            upstream.ledger().wait_until("its end", |record| record.cancelled.len() > cancelled);
            waits.push(acknowledged.elapsed());
        });
    }
    waits.sort_unstable();
    let (half, most) = (waits[REVOCATIONS / 2], waits[(REVOCATIONS * 99 / 100).min(REVOCATIONS - 1)]);
    println!("acknowledged revocation to cancellation elsewhere: p50 {half:?}, p99 {most:?}");
    assert!(most < CANCEL_WAIT_MAX, "{waits:?}");
    let journal = Journal::settled(|sql| database.sql(sql));
    journal.explains_arrivals(&upstream);
    journal.explains_answers(&load.seen.into_inner().unwrap());
}
