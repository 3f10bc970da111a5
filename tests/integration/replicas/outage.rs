//! A database that is gone for a while.

use super::load::Load;
use super::{Replicas, database, desk, doors};
use crate::dice;
use crate::world::wait_until;

const OUTAGES: usize = 2;
const AGENTS: u64 = 6;

#[test]
fn a_database_that_goes_away_is_told_with_503_and_its_return_is_noticed() {
    let seed = dice::seed();
    let (cluster, database) = database();
    let replicas = Replicas::start(&database.url(), &[]);
    let upstream = desk(&replicas);
    let session = replicas.server(0).mint("desk", doors::USER);
    let load = Load::new(seed);
    load.during(AGENTS, replicas.balancer.address, || {
        for _ in 0..OUTAGES {
            let arrived = upstream.ledger().calls().len();
            upstream.ledger().wait_until("calls", |record| record.calls().count() > arrived + 50);
            cluster.crash();
            for replica in &replicas.all {
                wait_until("a replica to say that it is not ready", || !replica.server.is_ready());
            }
            replicas.wait_until_refusing(&session);
            replicas.refuse_everything(&upstream, &session);
            assert!(replicas.all.iter().all(|replica| !replica.server.is_ready()));
            cluster.start_again();
            replicas.recover(&session);
        }
    });
    replicas.end_well(load, &upstream, |sql| database.sql(sql));
}
