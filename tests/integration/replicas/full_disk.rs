//! A database whose disk is full for a while.
#![expect(clippy::print_stdout, reason = "what a test measured is read in its output")]

use std::time::Duration;

use proctor_test_postgres::{Cluster, Database, Volume};

use super::load::Load;
use super::{Replicas, database, desk, doors, happens_within};
use crate::dice;
use crate::http::Request;
use crate::world::wait_until;

const AGENTS: u64 = 6;
const TIMES: usize = 2;
const DISK_MEBIBYTES: u32 = 128;
/// How long it may take until nothing fits any more into what tables have left of their last blocks.
const FULL_WAIT: Duration = Duration::from_secs(20);
/// So often in a row everybody is refused then.
const REFUSED_IN_A_ROW: usize = 10;

/// Without a disk that can be filled, the database says what it would say then.
const PRETEND: &str = "
CREATE FUNCTION disk_is_full() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full';
END;
$$;
CREATE TRIGGER disk_is_full BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION disk_is_full()";

#[test]
fn a_full_disk_is_told_with_503_and_named_and_room_is_noticed() {
    let seed = dice::seed();
    // Before the cluster, so that it is still there when that ends.
    let volume = Volume::mount(DISK_MEBIBYTES);
    let (cluster, database) = database();
    let disk = Disk::under(&cluster, &database, volume.as_ref());
    let replicas = Replicas::start(&database.url(), &[]);
    let upstream = desk(&replicas);
    let session = replicas.server(0).mint("desk", doors::USER);
    let load = Load::new(seed);
    load.during(AGENTS, replicas.balancer.address, || {
        for _ in 0..TIMES {
            let arrived = upstream.ledger().calls().len();
            upstream.ledger().wait_until("calls", |record| record.calls().count() > arrived + 50);
            disk.fill();
            let refuses = |at| {
                let server = replicas.server(at);
                doors::is_refused(&doors::call(server, &session)) && doors::is_refused(&doors::mint(server))
            };
            let all_refuse = || (0..replicas.all.len()).all(refuses);
            let is_full = happens_within(FULL_WAIT, || (0..REFUSED_IN_A_ROW).all(|_| all_refuse()));
            assert!(is_full, "what was written still found room");
            replicas.refuse_everything(&upstream, &session);
            for replica in &replicas.all {
                let answer = Request::new("GET", "/readyz").send(replica.server.address);
                assert_eq!(answer.status, 503, "a replica that can write nothing is not ready");
                let told = answer.json()["reasons"].to_string();
                for text in [told, replica.server.log()] {
                    assert!(text.contains("the database's disk is full"), "not said by name: {text}");
                }
            }
            disk.make_room();
            replicas.recover(&session);
        }
    });
    for replica in &replicas.all {
        wait_until("a replica to be ready again", || replica.server.is_ready());
    }
    replicas.end_well(load, &upstream, |sql| database.sql(sql));
}

/// What the database stands on.
enum Disk<'a> {
    Small(&'a Volume),
    Pretended(&'a Database),
}

impl<'a> Disk<'a> {
    fn under(cluster: &Cluster, database: &'a Database, volume: Option<&'a Volume>) -> Self {
        let Some(volume) = volume else {
            println!("this process may not mount a small disk: the database says that its disk is full");
            return Self::Pretended(database);
        };
        println!("the database stands on a disk of {DISK_MEBIBYTES} MiB, which is filled");
        let folder = volume.folder().display();
        cluster.sql("postgres", &format!("CREATE TABLESPACE small LOCATION '{folder}'"));
        cluster.sql("postgres", &format!("ALTER DATABASE {} SET TABLESPACE small", database.name()));
        Self::Small(volume)
    }

    fn fill(&self) {
        match self {
            Self::Small(volume) => volume.fill(),
            Self::Pretended(database) => drop(database.sql(PRETEND)),
        }
    }

    fn make_room(&self) {
        match self {
            Self::Small(volume) => volume.make_room(),
            Self::Pretended(database) => drop(database.sql("DROP FUNCTION disk_is_full CASCADE")),
        }
    }
}
