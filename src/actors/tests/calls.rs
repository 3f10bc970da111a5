//! The table of calls in flight: what cancels which.

use std::time::Duration;

use proctor_domain::connection::ConnectionCommand;
use proctor_domain::session::{Cause, Session, SessionCommand};
use proctor_domain::subject::SubjectCommand;
use proctor_domain::virtual_server::VirtualServerCommand;

use super::world::*;
use crate::actors::Flight;
use crate::journal::tests::{Site, on_both_stores};

const REASON: &str = "it was time";

async fn enter(world: &World, session: &str, call: &str) -> Flight {
    let state = world.directory.state::<Session>(session).await.unwrap();
    let terms = state.terms().unwrap();
    world.calls.enter(
        call.into(),
        session.into(),
        state.opened_at(),
        terms.subject.clone(),
        terms.virtual_server.clone(),
    )
}

async fn fly(world: &World, session: &str, call: &str) -> Flight {
    let flight = enter(world, session, call).await;
    assert_eq!(types(&world.call(session, call, "search").await.unwrap()), ["ToolCallAdmitted"]);
    flight
}

/// Which of three calls something cancels: of session `a` and `b` of `sub_1`, of session `c` of
/// `sub_2`.
async fn cancelled_by(site: &Site, what: impl AsyncFnOnce(&World)) -> Vec<(&'static str, Cause)> {
    let site = site.another();
    let world = World::open(&site, "rep_1").await;
    world.set().await;
    let mut flights = Vec::new();
    for (session, subject) in [("a", "sub_1"), ("b", "sub_1"), ("c", "sub_2")] {
        world.mint(session, subject).await.unwrap();
        flights.push((session, fly(&world, session, &format!("call_{session}")).await));
    }
    assert_eq!(world.calls.len(), 3);
    what(&world).await;
    let cancelled = flights.iter().filter(|(_, flight)| flight.token().is_cancelled());
    let cancelled: Vec<_> = cancelled.map(|(session, flight)| (*session, flight.cause())).collect();
    for (_, flight) in &flights {
        assert_eq!(world.calls.is_alive(flight.call()), !flight.token().is_cancelled());
    }
    drop(flights);
    assert!(world.calls.is_empty());
    cancelled
}

const ALL: [(&str, Cause); 3] =
    [("a", Cause::Revocation), ("b", Cause::Revocation), ("c", Cause::Revocation)];

fn a_revocation_cancels_exactly_what_it_covers(site: Site) {
    play(async {
        let reason = || REASON.to_owned();
        let by_session = cancelled_by(&site, async |world| drop(world.revoke("a").await.unwrap())).await;
        assert_eq!(by_session, ALL[..1]);
        let by_subject =
            cancelled_by(&site, async |world| drop(world.cut_subject("sub_1").await.unwrap())).await;
        assert_eq!(by_subject, ALL[..2]);
        let by_block = cancelled_by(&site, async |world| {
            world.subject("sub_2", SubjectCommand::Block { by: by(), reason: reason() }).await.unwrap();
        });
        assert_eq!(by_block.await, ALL[2..]);
        let by_server = cancelled_by(&site, async |world| {
            world.server(VirtualServerCommand::CutSessions { by: by(), reason: reason() }).await.unwrap();
        });
        assert_eq!(by_server.await, ALL);
        let by_retired_server = cancelled_by(&site, async |world| {
            world.server(VirtualServerCommand::Retire { by: by(), reason: reason() }).await.unwrap();
        });
        assert_eq!(by_retired_server.await, ALL);
        let by_connection = cancelled_by(&site, async |world| {
            world.connection(ConnectionCommand::CutSessions { by: by(), reason: reason() }).await.unwrap();
        });
        assert_eq!(by_connection.await, ALL);
        let by_retired_connection = cancelled_by(&site, async |world| {
            world.connection(ConnectionCommand::Retire { by: by(), reason: reason() }).await.unwrap();
        });
        assert_eq!(by_retired_connection.await, ALL);
    });
}

fn what_revokes_nothing_cancels_nothing(site: Site) {
    play(async {
        let nothing = cancelled_by(&site, async |world| {
            world
                .subject("sub_1", SubjectCommand::Unblock { by: by(), reason: String::new() })
                .await
                .unwrap();
            world.subject("sub_3", SubjectCommand::Register { by: by() }).await.unwrap();
            world.cut_subject("sub_3").await.unwrap();
            world.revise(&["send"]).await.unwrap();
            world.refresh(&["send"]).await.unwrap();
            let settings = settings("https://b.example/");
            let command = ConnectionCommand::Reconfigure { by: by(), settings, new_secrets: false };
            world.connection(command).await.unwrap();
        });
        assert_eq!(nothing.await, []);
    });
}

fn the_agent_cancels_its_own_call(site: Site) {
    play(async {
        let by_request = cancelled_by(&site, async |world| {
            let command = SessionCommand::RequestCancel { request: "request of call_b".to_owned() };
            let events = world.directory.tell::<Session>("b", command).await.unwrap();
            assert_eq!(types(&events), ["ToolCallCancelRequested"]);
        });
        assert_eq!(by_request.await, [("b", Cause::Agent)]);
        let by_shutdown = cancelled_by(&site, async |world| {
            world.calls.cancel(&"call_a".into(), Cause::Agent);
            world.calls.cancel_all(Cause::Shutdown);
        });
        let first_cause_counts = [("a", Cause::Agent), ("b", Cause::Shutdown), ("c", Cause::Shutdown)];
        assert_eq!(by_shutdown.await, first_cause_counts);
    });
}

fn a_revocation_by_another_process_cancels_too(site: Site) {
    play(async {
        let (one, two) = (World::open(&site, "rep_1").await, World::open(&site, "rep_2").await);
        one.set().await;
        one.mint("ses_1", "sub_1").await.unwrap();
        one.mint("ses_2", "sub_2").await.unwrap();
        let here = fly(&two, "ses_1", "call_1").await;
        let other = fly(&two, "ses_2", "call_2").await;
        one.cut_subject("sub_1").await.unwrap();
        tokio::time::timeout(Duration::from_secs(5), here.token().cancelled()).await.unwrap();
        assert_eq!(here.cause(), Cause::Revocation);
        assert!(!other.token().is_cancelled());
        let cancel = SessionCommand::RequestCancel { request: "request of call_2".to_owned() };
        one.directory.tell::<Session>("ses_2", cancel).await.unwrap();
        two.journal.confirm().await.unwrap();
        assert!(other.token().is_cancelled(), "before the head is confirmed");
    });
}

fn a_flight_is_found_before_its_admission_is_there(site: Site) {
    play(async {
        let world = World::open(&site, "rep_1").await;
        world.set().await;
        world.mint("ses_1", "sub_1").await.unwrap();
        let flight = enter(&world, "ses_1", "call_1").await;
        world.revoke("ses_1").await.unwrap();
        assert!(flight.token().is_cancelled());
        assert_eq!(types(&world.call("ses_1", "call_1", "search").await.unwrap()), ["ToolCallRefused"]);
        drop(flight);
        // A connection is known of a call only once it is admitted, which then rests on it.
        world.mint("ses_2", "sub_1").await.unwrap();
        let flight = enter(&world, "ses_2", "call_2").await;
        let cut = ConnectionCommand::CutSessions { by: by(), reason: REASON.to_owned() };
        world.connection(cut).await.unwrap();
        assert!(!flight.token().is_cancelled());
        assert_eq!(types(&world.call("ses_2", "call_2", "search").await.unwrap()), ["ToolCallRefused"]);
    });
}

fn a_session_opened_after_a_cut_flies_on_when_the_cut_is_heard_late(site: Site) {
    play(async {
        let (one, two) = (World::open(&site, "rep_1").await, World::open(&site, "rep_2").await);
        one.set().await;
        one.mint("old", "sub_1").await.unwrap();
        let old = fly(&two, "old", "call_1").await;
        one.cut_subject("sub_1").await.unwrap();
        let new = one.mint("new", "sub_1").await.unwrap()[0].place.position;
        // Entered before this process has heard of the cut.
        let entered = two.calls.enter("call_2".into(), "new".into(), new, "sub_1".into(), name("support"));
        two.journal.confirm().await.unwrap();
        assert!(old.token().is_cancelled());
        assert!(!entered.token().is_cancelled());
    });
}

on_both_stores!(
    the_agent_cancels_its_own_call,
    what_revokes_nothing_cancels_nothing,
    a_revocation_cancels_exactly_what_it_covers,
    a_revocation_by_another_process_cancels_too,
    a_flight_is_found_before_its_admission_is_there,
    a_session_opened_after_a_cut_flies_on_when_the_cut_is_heard_late,
);
