//! By what other processes know that one is alive.

use std::sync::atomic::Ordering;
use std::time::Duration;

use proctor_domain::{Micros, Position};

use super::*;
use crate::journal::{Journal, Lease};

async fn lease_of(journal: &Journal, replica: &str) -> Option<Lease> {
    journal.reader().leases().await.unwrap().into_iter().find(|lease| lease.replica.as_str() == replica)
}

async fn eventually(what: &str, mut there: impl AsyncFnMut() -> bool) {
    for _ in 0..500 {
        if there().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

async fn a_process_has_a_lease_from_its_start_to_its_end(site: Site) {
    let journal = site.open("rep_1").await;
    let lease = lease_of(&journal, "rep_1").await.unwrap();
    assert!(lease.ends_at > journal.reader().now().await.unwrap());
    assert_eq!(lease.confirmed, Position(0));
    journal.stop().await;
    let lease = lease_of(&journal, "rep_1").await.expect("it stays until a sweeper has looked");
    assert!(lease.ends_at <= journal.reader().now().await.unwrap());
}

async fn a_lease_is_renewed_in_time_idle_or_under_load(site: Site) {
    let mut config = site.config("rep_1");
    config.lease_ms = 900;
    let journal = site.open_with(config).await;
    for idle in [true, false] {
        let first = lease_of(&journal, "rep_1").await.unwrap().ends_at;
        let mut n = journal.head().position().0;
        eventually("the lease was renewed three times", async || {
            if !idle {
                note("s", n, n).append(&journal).await.committed();
                n += 1;
            }
            assert!(journal.head().is_fresh());
            lease_of(&journal, "rep_1").await.unwrap().ends_at > Micros(first.0 + 900_000)
        })
        .await;
    }
}

async fn a_lease_soon_says_what_was_seen_of_others(site: Site) {
    let (one, two) = (site.open("rep_1").await, site.open("rep_2").await);
    note("s", 0, 1).append(&one).await.committed();
    eventually("rep_2 confirmed", async || lease_of(&two, "rep_2").await.unwrap().confirmed == Position(1))
        .await;
}

async fn leases_are_renewed_with_the_events_and_not_with_each(site: Site) {
    let (one, script) = site.open_faulty("rep_1").await;
    let two = site.open("rep_2").await;
    let started = std::time::Instant::now();
    for n in 0..100 {
        note("s1", n, n).append(&one).await.committed();
        note("s2", n, n).append(&two).await.committed();
    }
    let due = started.elapsed().as_millis() / 50 + 2;
    assert!(u128::from(script.leases.load(Ordering::Relaxed)) <= due);
}

async fn a_lease_that_holds_is_not_forgotten(site: Site) {
    let (one, two) = (site.open("rep_1").await, site.open("rep_2").await);
    one.forget_lease(two.replica()).await.unwrap();
    assert!(lease_of(&one, "rep_2").await.is_some());
    site.sql("UPDATE leases SET ends_at = 1 WHERE replica = 'rep_2'");
    one.forget_lease(two.replica()).await.unwrap();
    assert!(lease_of(&one, "rep_2").await.is_none());
}

on_both_stores!(
    async:
    a_process_has_a_lease_from_its_start_to_its_end,
    a_lease_is_renewed_in_time_idle_or_under_load,
    a_lease_soon_says_what_was_seen_of_others,
    leases_are_renewed_with_the_events_and_not_with_each,
    a_lease_that_holds_is_not_forgotten,
);
