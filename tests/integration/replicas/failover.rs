//! A primary that is lost, and a standby that takes its place.

use std::time::{Duration, Instant};

use proctor_test_postgres::{Cluster, Database};

use super::load::Load;
use super::{Replicas, desk, happens_within};
use crate::dice;
use crate::world::wait_until;

const AGENTS: u64 = 6;
/// Agents whose calls succeed within it after the promotion are back to work.
const RECOVERY_MAX: Duration = Duration::from_secs(30);

#[test]
fn a_failover_to_a_synchronous_standby_loses_nothing_acknowledged() {
    let seed = dice::seed();
    let primary = Cluster::start(&[("max_connections", "200"), ("shared_buffers", "64MB")]);
    let database = Database::inside(&primary);
    let standby = primary.standby();
    // Only now: before there was a standby, everything would have waited for it.
    primary.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'");
    primary.sql("postgres", "SELECT pg_reload_conf()");
    wait_until("the standby to be synchronous", || {
        primary.sql("postgres", "SELECT sync_state FROM pg_stat_replication").trim() == "sync"
    });
    let hosts = format!("{},{}", primary.host(), standby.host());
    let replicas = Replicas::start(&database.url(), &[("PROCTOR_DATABASE_HOSTS", &hosts)]);
    let upstream = desk(&replicas);
    let load = Load::new(seed);
    load.during(AGENTS, replicas.balancer.address, || {
        upstream.ledger().wait_until("calls", |record| record.calls().count() > 200);
        primary.crash();
        standby.promote();
        let promoted = Instant::now();
        let before = load.seen.lock().unwrap().succeeded();
        let recovered = happens_within(RECOVERY_MAX, || {
            replicas.all.iter().all(|replica| replica.server.is_ready())
                && load.seen.lock().unwrap().succeeded() > before + 100
        });
        assert!(recovered, "the replicas did not follow");
        println!("all replicas serve again {:?} after the promotion", promoted.elapsed());
    });
    replicas.end_well(load, &upstream, |sql| standby.sql(database.name(), sql));
}
