//! What other tests rely on: databases apart from each other, clusters that end with their owner.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use proctor_test_postgres::{Cluster, Database};

fn gone_soon(folder: &std::path::Path) {
    let started = Instant::now();
    while folder.exists() {
        assert!(started.elapsed() < Duration::from_secs(20), "{} is still there", folder.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn databases_are_fresh_and_apart() {
    let (one, two) = (Database::new(), Database::new());
    one.sql("CREATE TABLE t (n INT); INSERT INTO t VALUES (1), (2)");
    assert_eq!(one.sql("SELECT n FROM t ORDER BY n"), "1\n2");
    assert!(two.try_sql("SELECT n FROM t").unwrap_err().contains("does not exist"));
}

#[test]
fn a_cluster_is_gone_with_its_owner() {
    let cluster = Cluster::start(&[]);
    let folder = cluster.folder().to_owned();
    cluster.pause();
    drop(cluster);
    assert!(!folder.exists());
}

#[test]
fn a_cluster_is_gone_when_its_owner_was_killed() {
    let mut owner = Command::new(env!("CARGO_BIN_EXE_test-postgres"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut url = String::new();
    BufReader::new(owner.stdout.take().unwrap()).read_line(&mut url).unwrap();
    assert!(url.starts_with("postgres://"), "{url}");
    let folder = std::env::temp_dir().join(format!("proctor-test-postgres-{}-0", owner.id()));
    assert!(folder.exists());
    owner.kill().unwrap();
    owner.wait().unwrap();
    gone_soon(&folder);
}

#[test]
fn a_crash_keeps_what_was_committed_and_a_standby_takes_over() {
    let cluster = Cluster::start(&[]);
    cluster.sql("postgres", "CREATE TABLE t (n INT); INSERT INTO t VALUES (1)");
    cluster.crash();
    cluster.start_again();
    let standby = cluster.standby();
    assert_eq!(standby.sql("postgres", "SELECT pg_is_in_recovery(), n FROM t"), "t|1");
    cluster.stop();
    standby.promote();
    standby.sql("postgres", "INSERT INTO t VALUES (2)");
    assert_eq!(standby.sql("postgres", "SELECT pg_is_in_recovery(), count(*) FROM t"), "f|2");
}
