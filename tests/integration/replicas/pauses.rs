//! A replica that is stopped and goes on later, when the world is another one.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use proctor_test_upstream::{Eras, Options, Upstream};

use super::history::Journal;
use super::load::{Load, Told};
use super::proxy::Proxy;
use super::{Replicas, database, desk, happens_within};
use crate::dice::{self, Dice};
use crate::rest::ALL_TOOLS;
use crate::world::{Server, wait_until};

/// Rounds in which calls were admitted and have not left.
const ARRANGED: usize = 6;
const CALLS: usize = 4;
/// Rounds that stop it at any moment.
const RANDOM: usize = 25;
const BEFORE_STOP_MS_MAX: usize = 40;
/// Longer than a head counts as confirmed (500 ms): what it saw before is stale by then.
const STALE: Duration = Duration::from_millis(700);
const REVOKE_WAIT: Duration = Duration::from_secs(15);

#[test]
fn a_replica_that_was_paused_sends_nothing_for_a_session_that_was_revoked_meanwhile() {
    let seed = dice::seed();
    let (_cluster, database) = database();
    let replicas = Replicas::start(&database.url(), &[]);
    // Of this era each user's first call has to wait for a greeting, which the proxy keeps back.
    let upstream = Upstream::start(Options { eras: Eras::Legacy, ..Options::default() });
    let proxy = Proxy::start(upstream.address(), seed);
    let (here, paused) = (replicas.server(0), replicas.server(1));
    here.connect("fixture", &format!("http://{}/mcp", proxy.address));
    here.define("desk", "fixture", &ALL_TOOLS);
    let load = Load::new(seed);
    let sql = |sql: &str| database.sql(sql);
    for round in 0..ARRANGED {
        let session = here.mint("desk", &format!("user-{round}"));
        proxy.faults.hold(true);
        let resumed = std::thread::scope(|scope| {
            for _ in 0..CALLS {
                scope.spawn(|| load.call(paused.address, &session, "echo", "{}"));
            }
            let admitted = format!(
                "SELECT count(*) FROM events WHERE event_type = 'ToolCallAdmitted' AND aggregate_id = '{}'",
                session.id
            );
            wait_until("the calls to be admitted", || sql(&admitted).trim() == CALLS.to_string());
            wait_until("the greeting to leave", || proxy.faults.waiting.load(Ordering::SeqCst) > 0);
            paused.signal("STOP");
            let wait = if round % 2 == 0 { "?wait=true" } else { "" };
            let revoked = revoke(&load, here, &session.id, wait);
            proxy.faults.hold(false);
            std::thread::sleep(STALE);
            let resumed = Instant::now();
            paused.signal("CONT");
            assert!(revoked, "round {round}: the others did not acknowledge the revocation");
            resumed
        });
        let told = load
            .seen
            .lock()
            .unwrap()
            .calls
            .iter()
            .rev()
            .take(CALLS)
            .map(|call| call.told)
            .collect::<Vec<_>>();
        assert!(!told.contains(&Told::Succeeded), "round {round}: {told:?}");
        let arrived = Journal::settled(sql).arrived_after(&upstream, &session.id, resumed);
        assert!(arrived.is_empty(), "round {round}: sent after it was revoked: {arrived:#?}");
    }
    replicas.end_well(load, &upstream, sql);
}

#[test]
fn a_replica_that_is_paused_at_any_moment_sends_nothing_stale() {
    let seed = dice::seed();
    let mut dice = Dice::new(seed);
    let (_cluster, database) = database();
    let replicas = Replicas::start(&database.url(), &[]);
    let upstream = desk(&replicas);
    let (here, paused) = (replicas.server(0), replicas.server(1));
    let load = Load::new(seed);
    let mut resumptions = Vec::new();
    for round in 0..RANDOM {
        let session = here.mint("desk", "ada");
        let before = upstream.ledger().calls().len();
        std::thread::scope(|scope| {
            let _stops = load.stops_when_this_panics();
            for _ in 0..CALLS {
                scope.spawn(|| {
                    let mut told = Told::Nothing;
                    while told != Told::Refused(401) && !load.stop.load(Ordering::Relaxed) {
                        told = load.call(paused.address, &session, "echo", "{}");
                    }
                });
            }
            upstream.ledger().wait_until("calls", |record| record.calls().count() > before);
            std::thread::sleep(Duration::from_millis(dice.roll(BEFORE_STOP_MS_MAX) as u64));
            paused.signal("STOP");
            let wait = if round % 5 == 0 { "?wait=true" } else { "" };
            let revoked = revoke(&load, here, &session.id, wait);
            std::thread::sleep(STALE);
            resumptions.push((session.id.clone(), Instant::now()));
            paused.signal("CONT");
            assert!(revoked, "round {round}: the others did not acknowledge the revocation");
        });
    }
    let (journal, _) = replicas.end_well(load, &upstream, |sql| database.sql(sql));
    let late =
        |(session, resumed): &(String, Instant)| journal.arrived_after(&upstream, session, *resumed).len();
    let late: usize = resumptions.iter().map(late).sum();
    println!("{RANDOM} pauses, {late} calls sent after one");
    // A process can be stopped between its last look and the system call that sends: once in so many
    // rounds that may happen, and nothing that the process does can exclude it.
    assert!(late <= 1, "{late} calls were sent by a replica that had not heard of their revocation");
}

/// Whether it was acknowledged, sooner or later: a process that is stopped while it writes holds the
/// append lock until the database ends its transaction.
fn revoke(load: &Load, server: &Server, session: &str, wait: &str) -> bool {
    happens_within(REVOKE_WAIT, || load.revoke(server.address, session, wait).is_some())
}
