//! No admitted call stays without an outcome.

use std::sync::atomic::Ordering;
use std::time::Duration;

use proctor_domain::session::Session;

use super::world::*;
use crate::actors::sweep;
use crate::journal::tests::{Site, on_both_stores};

fn end_lease(site: &Site, replica: &str) {
    site.sql(&format!("UPDATE leases SET ends_at = 1 WHERE replica = '{replica}'"));
}

async fn sweep_once(world: &World) -> usize {
    sweep(&world.directory, &world.calls, |_| async { Some(vec!["ses_1".into()]) }).await
}

async fn last(site: &Site) -> String {
    let history = site.history().await;
    let last = history.last().unwrap();
    format!("{} {}", last.event.type_name(), last.payload)
}

fn enter(world: &World, call: &str) -> crate::actors::Flight {
    world.calls.enter(
        call.into(),
        "ses_1".into(),
        proctor_domain::Position(6),
        "sub_1".into(),
        name("support"),
    )
}

async fn set(site: &Site) -> World {
    let world = World::open(site, "rep_1").await;
    world.set().await;
    world.mint("ses_1", "sub_1").await.unwrap();
    world
}

fn calls_of_a_process_that_is_gone_are_given_up(site: Site) {
    play(async {
        let one = set(&site).await;
        let (journal, script) = site.open_faulty("rep_2").await;
        let two = World::on(journal, Duration::from_secs(3_600)).await;
        let flight = enter(&two, "call_1");
        two.call("ses_1", "call_1", "search").await.unwrap();
        let here = enter(&one, "call_2");
        one.call("ses_1", "call_2", "search").await.unwrap();
        assert_eq!(sweep_once(&one).await, 0, "its lease holds");
        script.lets_lease_end.store(true, Ordering::Release);
        end_lease(&site, "rep_2");
        assert_eq!(sweep_once(&one).await, 1);
        assert!(last(&site).await.contains("call_1"));
        let leases = one.journal.reader().leases().await.unwrap();
        assert!(leases.iter().all(|lease| lease.replica.as_str() != "rep_2"), "it is forgotten");
        assert_eq!(sweep_once(&one).await, 0);
        assert_eq!(one.directory.state::<Session>("ses_1").await.unwrap().in_flight().len(), 1);
        // It was only slow: what it knows is recorded all the same.
        assert_eq!(types(&two.end("ses_1", "call_1").await.unwrap()), ["ToolCallEnded"]);
        assert!(last(&site).await.contains("\"late\":true"));
        drop((flight, here));
    });
}

fn what_a_process_leaves_undone_when_it_stops_is_given_up(site: Site) {
    play(async {
        let (one, two) = (set(&site).await, World::open(&site, "rep_2").await);
        let flight = enter(&two, "call_1");
        two.call("ses_1", "call_1", "search").await.unwrap();
        two.journal.stop().await;
        drop(flight);
        assert_eq!(sweep_once(&one).await, 1);
        assert!(last(&site).await.starts_with("ToolCallAbandoned"));
    });
}

fn a_lease_is_kept_until_everything_is_given_up(site: Site) {
    play(async {
        let (one, two) = (set(&site).await, World::open(&site, "rep_2").await);
        two.journal.stop().await;
        let lagging = sweep(&one.directory, &one.calls, |_| async { None }).await;
        assert_eq!(lagging, 0);
        let leases = one.journal.reader().leases().await.unwrap();
        assert!(leases.iter().any(|lease| lease.replica.as_str() == "rep_2"));
    });
}

fn an_admission_that_nobody_waits_for_is_recorded_as_not_sent(site: Site) {
    play(async {
        let world = set(&site).await;
        let flight = enter(&world, "call_1");
        drop(flight);
        world.call("ses_1", "call_1", "search").await.unwrap();
        sweep_once(&world).await;
        assert!(last(&site).await.starts_with("ToolCallAdmitted"), "its outcome may be on its way");
        world.calls.age_orphans();
        sweep_once(&world).await;
        assert!(last(&site).await.contains("not_sent"), "{}", last(&site).await);
    });
}

fn a_flight_dropped_before_its_outcome_is_recorded_as_cancelled(site: Site) {
    play(async {
        let world = set(&site).await;
        let flight = enter(&world, "call_1");
        world.call("ses_1", "call_1", "search").await.unwrap();
        drop(flight);
        world.calls.age_orphans();
        sweep_once(&world).await;
        assert!(last(&site).await.contains("cancelled"), "{}", last(&site).await);
        let events = site.history().await.len();
        world.calls.age_orphans();
        sweep_once(&world).await;
        assert_eq!(site.history().await.len(), events, "once");
    });
}

fn a_flight_whose_outcome_is_recorded_leaves_nothing_to_sweep(site: Site) {
    play(async {
        let world = set(&site).await;
        let before = enter(&world, "call_1");
        let after = enter(&world, "call_2");
        let refused = enter(&world, "call_3");
        for (call, tool) in [("call_1", "search"), ("call_2", "search"), ("call_3", "unknown")] {
            world.call("ses_1", call, tool).await.unwrap();
        }
        world.end("ses_1", "call_1").await.unwrap();
        drop((before, refused, after));
        world.end("ses_1", "call_2").await.unwrap();
        let events = site.history().await.len();
        world.calls.age_orphans();
        sweep_once(&world).await;
        assert_eq!(site.history().await.len(), events);
    });
}

on_both_stores!(
    calls_of_a_process_that_is_gone_are_given_up,
    what_a_process_leaves_undone_when_it_stops_is_given_up,
    a_lease_is_kept_until_everything_is_given_up,
    an_admission_that_nobody_waits_for_is_recorded_as_not_sent,
    a_flight_dropped_before_its_outcome_is_recorded_as_cancelled,
    a_flight_whose_outcome_is_recorded_leaves_nothing_to_sweep,
);
