//! Connections to the database that are cut at any moment, also between a `COMMIT` and its answer.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::load::Load;
use super::proxy::Proxy;
use super::{Replicas, database, desk};
use crate::dice;
use crate::world::wait_until;

const AGENTS: u64 = 6;
const COMMITS_CUT: usize = 40;
/// In either direction.
const PIECES_CUT: usize = 40;

#[test]
fn connections_cut_at_random_also_after_a_commit_lose_nothing_and_write_nothing_twice() {
    let seed = dice::seed();
    let (cluster, database) = database();
    let proxy = Proxy::start(cluster.host().parse().unwrap(), seed);
    let url = format!("postgres://postgres@{}/{}", proxy.address, database.name());
    let replicas = Replicas::start(&url, &[]);
    let upstream = desk(&replicas);
    let load = Load::new(seed);
    let faults = &proxy.faults;
    load.during(AGENTS, replicas.balancer.address, || {
        faults.commits_cut_one_in.store(15, Ordering::Relaxed);
        faults.cut_one_in(150);
        let enough = super::happens_within(Duration::from_secs(90), || {
            let (pieces, answers) = faults.cut();
            faults.commits_cut.load(Ordering::Relaxed) >= COMMITS_CUT && pieces.min(answers) >= PIECES_CUT
        });
        faults.commits_cut_one_in.store(0, Ordering::Relaxed);
        faults.cut_one_in(0);
        assert!(enough, "too little was cut");
    });
    for replica in &replicas.all {
        wait_until("a replica to be ready again", || replica.server.is_ready());
    }
    println!("{} commits and {:?} others cut", faults.commits_cut.load(Ordering::Relaxed), faults.cut());
    let (_, seen) = replicas.end_well(load, &upstream, |sql| database.sql(sql));
    assert!(seen.succeeded() > COMMITS_CUT, "there was too little load to show anything");
}
