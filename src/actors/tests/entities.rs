//! Entities: their state, how they start and stop, what they do with what waits.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use futures_util::future::join_all;
use proctor_domain::api_key::ApiKey;
use proctor_domain::connection::{Connection, ConnectionError};
use proctor_domain::limits::SessionLimits;
use proctor_domain::session::{Session, SessionCommand};
use proctor_domain::subject::{Subject, SubjectCommand};
use proctor_domain::virtual_server::VirtualServer;
use proctor_domain::{Decider, Place, Recorded, StreamId};

use super::world::*;
use crate::actors::entity::{DECIDED_TOGETHER_MAX, WAITING_MAX};
use crate::actors::{AskError, Kind, Prepared};
use crate::journal::tests::{Fault, Site, on_both_stores};

/// The state that follows from the journal alone.
fn rebuilt<A: Kind>(history: &[Arc<Recorded>], id: &str) -> A {
    let mut state = A::default();
    for recorded in history.iter().filter(|recorded| recorded.stream == StreamId::of::<A>(id)) {
        state.evolve(A::unwrap(&recorded.event).unwrap(), recorded.place);
    }
    state
}

fn what_entities_show_follows_from_the_journal(site: Site) {
    play(async {
        let world = World::open(&site, "rep_1").await;
        world.set().await;
        world.mint("ses_1", "sub_1").await.unwrap();
        for n in 0..30 {
            let call = format!("call_{n}");
            world.call("ses_1", &call, if n % 3 == 0 { "unknown" } else { "search" }).await.unwrap();
            if n % 2 == 0 {
                let _ = world.end("ses_1", &call).await;
            }
        }
        world.revise(&["send"]).await.unwrap();
        world.cut_subject("sub_1").await.unwrap();
        let history = site.history().await;
        let directory = &world.directory;
        let session = directory.state::<Session>("ses_1").await.unwrap();
        assert_eq!(*session, rebuilt(&history, "ses_1"));
        assert_eq!(session.calls_admitted(), 20);
        assert_eq!(*directory.state::<Subject>("sub_1").await.unwrap(), rebuilt(&history, "sub_1"));
        let server = directory.state::<VirtualServer>("support").await.unwrap();
        assert_eq!(*server, rebuilt(&history, "support"));
        assert_eq!(*directory.state::<Connection>("gmail").await.unwrap(), rebuilt(&history, "gmail"));
        // A process that starts now comes to the same.
        let other = World::open(&site, "rep_2").await;
        assert_eq!(*other.directory.state::<Session>("ses_1").await.unwrap(), *session);
    });
}

fn an_acknowledged_write_is_seen_at_once(site: Site) {
    play(async {
        let (one, two) = (World::open(&site, "rep_1").await, World::open(&site, "rep_2").await);
        one.set().await;
        one.mint("ses_1", "sub_1").await.unwrap();
        for n in 0..20 {
            let events = one.call("ses_1", &format!("call_{n}"), "search").await.unwrap();
            let state = one.directory.state::<Session>("ses_1").await.unwrap();
            assert_eq!(state.version(), events[0].sequence);
            assert_eq!(one.directory.position_of(&events), events[0].place.position);
            let fresh = two.directory.fresh::<Session>("ses_1").await.unwrap();
            assert_eq!(*fresh, *state, "through another process");
            let at_least = two.directory.state_at_least::<Session>("ses_1", state.version()).await.unwrap();
            assert_eq!(*at_least, *state);
        }
    });
}

fn what_waits_is_decided_together_and_one_append_is_outstanding(site: Site) {
    play(async {
        let (journal, script) = site.open_faulty("rep_1").await;
        let world = World::on(journal, Duration::from_secs(3_600)).await;
        world.set().await;
        world.mint("ses_1", "sub_1").await.unwrap();
        let before = script.commits();
        let (let_go, gate) = mpsc::channel();
        script.will([Fault::CommitHeld(gate)]);
        let calls: Vec<String> = (0..600).map(|n| format!("call_{n}")).collect();
        let waiting = join_all(calls.iter().map(|call| world.call("ses_1", call, "search")));
        let release = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let_go.send(()).unwrap();
        };
        let (answers, ()) = tokio::join!(waiting, release);
        for (call, answer) in calls.iter().zip(answers) {
            let events = answer.unwrap();
            assert_eq!(types(&events), ["ToolCallAdmitted"]);
            assert!(events[0].payload.contains(&format!("\"{call}\"")), "each is told its own");
        }
        let transactions = script.commits() - before;
        let fewest = 600_u64.div_ceil(DECIDED_TOGETHER_MAX as u64);
        assert!((fewest..fewest + 3).contains(&transactions), "{transactions} transactions");
        let state = world.directory.state::<Session>("ses_1").await.unwrap();
        assert_eq!((state.calls_admitted(), state.in_flight().len()), (600, 600));
    });
}

fn more_than_an_entity_takes_is_turned_away(site: Site) {
    play(async {
        let (journal, script) = site.open_faulty("rep_1").await;
        let world = World::on(journal, Duration::from_secs(3_600)).await;
        world.set().await;
        world.mint("ses_1", "sub_1").await.unwrap();
        let (let_go, gate) = mpsc::channel();
        script.will([Fault::CommitHeld(gate)]);
        let many = WAITING_MAX + 200;
        let calls: Vec<String> = (0..many).map(|n| format!("call_{n}")).collect();
        let waiting = join_all(calls.iter().map(|call| world.call("ses_1", call, "search")));
        let release = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let_go.send(()).unwrap();
        };
        let (answers, ()) = tokio::join!(waiting, release);
        let turned_away = answers.iter().filter(|a| matches!(a, Err(AskError::Unavailable(_)))).count();
        assert!((1..=200).contains(&turned_away), "{turned_away}");
        let admitted = answers.into_iter().filter_map(Result::ok).count();
        assert_eq!(admitted + turned_away, many);
        let state = world.directory.state::<Session>("ses_1").await.unwrap();
        assert_eq!(state.in_flight().len(), admitted, "who was turned away is not on the record");
    });
}

fn what_follows_from_events_that_are_not_durable_yet_is_not_answered(site: Site) {
    play(async {
        let (journal, script) = site.open_faulty("rep_1").await;
        let world = World::on(journal, Duration::from_secs(3_600)).await;
        world.set().await;
        world.mint("ses_1", "sub_1").await.unwrap();
        let ((let_go, gate), (let_go_on, next_gate)) = (mpsc::channel(), mpsc::channel());
        script.will([Fault::CommitHeld(gate), Fault::CommitHeld(next_gate)]);
        let first = world.call("ses_1", "call_1", "search");
        let both = join_all([world.revoke("ses_1"), world.revoke("ses_1")]);
        let release = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let_go.send(()).unwrap();
            tokio::time::sleep(Duration::from_millis(200)).await;
            // The second revocation follows from the first, whose transaction fails.
            script.will([Fault::Commit]);
            let_go_on.send(()).unwrap();
        };
        let (first, revoked, ()) = tokio::join!(first, both, release);
        first.unwrap();
        assert!(script.is_over());
        let acknowledged = revoked.iter().filter(|answer| answer.is_ok()).count();
        let written = world.directory.state::<Session>("ses_1").await.unwrap().is_revoked();
        assert_eq!(acknowledged > 0, written, "{revoked:?}");
    });
}

fn idle_entities_stop_and_come_back(site: Site) {
    play(async {
        let journal = site.open("rep_1").await;
        let world = World::on(journal, Duration::from_millis(500)).await;
        world.set().await;
        let sessions: Vec<String> = (0..50).map(|n| format!("ses_{n}")).collect();
        join_all(sessions.iter().map(|session| world.mint(session, "sub_1"))).await;
        assert!(world.directory.alive() >= 50, "{}", world.directory.alive());
        let used = world.directory.state::<Session>("ses_7").await.unwrap();
        for _ in 0..500 {
            world.directory.state::<Session>("ses_7").await.unwrap();
            if world.directory.alive() == 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(world.directory.alive(), 1, "only the one that is looked at");
        assert_eq!(types(&world.call("ses_9", "call_1", "search").await.unwrap()), ["ToolCallAdmitted"]);
        assert_eq!(used.version(), 1);
    });
}

fn an_ask_that_meets_an_entity_stopping_or_loading_is_not_lost(site: Site) {
    play(async {
        let journal = site.open("rep_1").await;
        // They stop all the time.
        let world = World::on(journal, Duration::from_millis(1)).await;
        world.set().await;
        world.mint("ses_1", "sub_1").await.unwrap();
        let mut admitted = 0;
        for round in 0..150_u64 {
            let calls: Vec<String> = (0..3).map(|n| format!("call_{round}_{n}")).collect();
            for answer in join_all(calls.iter().map(|call| world.call("ses_1", call, "search"))).await {
                assert_eq!(types(&answer.unwrap()), ["ToolCallAdmitted"]);
                admitted += 1;
            }
            tokio::time::sleep(Duration::from_micros(round * 20)).await;
        }
        let session: Session = rebuilt(&site.history().await, "ses_1");
        assert_eq!(session.calls_admitted(), admitted, "each once");
    });
}

fn an_entity_that_misses_events_loads_them(site: Site) {
    play(async {
        let (one, two) = (World::open(&site, "rep_1").await, World::open(&site, "rep_2").await);
        one.set().await;
        two.directory.state::<Subject>("sub_1").await.unwrap();
        let mut last = Vec::new();
        for _ in 0..5 {
            last = one.cut_subject("sub_1").await.unwrap();
        }
        // Only the last of them is delivered, as after a delivery that went astray.
        let position = last[0].place.position;
        Subject::room(&two.directory).deliver("sub_1", last);
        let state = two.directory.state::<Subject>("sub_1").await.unwrap();
        assert_eq!(state.version(), 6);
        assert_eq!(state.cut_at(), Some(position));
    });
}

fn an_entity_whose_thread_has_ended_is_replaced(site: Site) {
    play(async {
        let world = World::open(&site, "rep_1").await;
        world.set().await;
        let worker = actix::Arbiter::new();
        let (done, ready) = tokio::sync::oneshot::channel();
        let there = world.clone();
        worker.spawn(async move {
            there.mint("ses_1", "sub_1").await.unwrap();
            done.send(()).unwrap();
        });
        ready.await.unwrap();
        worker.stop();
        worker.join().unwrap();
        assert_eq!(types(&world.call("ses_1", "call_1", "search").await.unwrap()), ["ToolCallAdmitted"]);
        assert_eq!(world.directory.fresh::<Session>("ses_1").await.unwrap().calls_admitted(), 1);
    });
}

fn a_decision_whose_grounds_moved_elsewhere_is_prepared_anew(site: Site) {
    play(async {
        let (one, two) = (World::open(&site, "rep_1").await, World::open(&site, "rep_2").await);
        one.set().await;
        one.mint("ses_1", "sub_1").await.unwrap();
        assert_eq!(types(&two.call("ses_1", "call_1", "search").await.unwrap()), ["ToolCallAdmitted"]);
        for (n, cut) in ["subject", "server", "connection"].into_iter().enumerate() {
            let session = format!("ses_{cut}");
            one.mint(&session, "sub_1").await.unwrap();
            assert_eq!(types(&two.call(&session, "call_1", "search").await.unwrap()), ["ToolCallAdmitted"]);
            let reason = "it was time".to_owned();
            match cut {
                "subject" => drop(one.cut_subject("sub_1").await.unwrap()),
                "server" => {
                    use proctor_domain::virtual_server::VirtualServerCommand::CutSessions;
                    one.server(CutSessions { by: by(), reason }).await.unwrap();
                }
                _ => {
                    use proctor_domain::connection::ConnectionCommand::CutSessions;
                    one.connection(CutSessions { by: by(), reason }).await.unwrap();
                }
            }
            let call = format!("call_after_{n}");
            let mut prepared = 0;
            let answer = two
                .directory
                .ask::<Session, _>(&session, || {
                    prepared += 1;
                    two.prepare_call(&session, &call, "search")
                })
                .await
                .unwrap();
            assert_eq!(types(&answer), ["ToolCallRefused"]);
            assert!(prepared <= 2, "{prepared}");
        }
    });
}

fn an_answer_that_wrote_nothing_rests_on_the_newest_state(site: Site) {
    play(async {
        let (one, two) = (World::open(&site, "rep_1").await, World::open(&site, "rep_2").await);
        one.set().await;
        // It has looked before there was anything, and has not heard of it since.
        two.directory.state::<Subject>("sub_9").await.unwrap();
        two.directory.state::<VirtualServer>("support").await.unwrap();
        one.subject("sub_9", SubjectCommand::Register { by: by() }).await.unwrap();
        let answer = two.cut_subject("sub_9").await;
        assert_eq!(types(&answer.unwrap()), ["SubjectSessionsCut"], "not an unknown user");
        one.revise(&["send"]).await.unwrap();
        let revised = two.revise(&["search", "send"]).await.unwrap();
        assert_eq!(types(&revised), ["VirtualServerRevised"], "not the same as before");
        let nonsense = two.directory.tell::<Connection>("none", {
            proctor_domain::connection::ConnectionCommand::RecordTest { by: by(), failure: None }
        });
        assert!(matches!(nonsense.await, Err(AskError::Nonsense(ConnectionError::Unknown))));
    });
}

fn expiry_is_judged_by_the_recorded_time(site: Site) {
    play(async {
        let world = World::open(&site, "rep_1").await;
        world.set().await;
        world.mint_for("ses_1", "sub_1", 60, SessionLimits::default()).await.unwrap();
        assert_eq!(types(&world.call("ses_1", "call_1", "search").await.unwrap()), ["ToolCallAdmitted"]);
        // The database's time passes; this process still thinks of the time before.
        let after = crate::actors::now().0 + 61_000_000;
        site.sql(&format!(
            "INSERT INTO events (position, aggregate_type, aggregate_id, sequence, event_type, event_version,
                 payload, metadata, event_id, recorded_at) SELECT position + 1, 'watch', 'later', 1, 'ReplicaStarted', '1',
             '{{\"ReplicaStarted\":{{\"by\":{{\"replica\":\"r\"}},\"program\":\"1\"}}}}', '{{}}', 'evt_later', {after}
             FROM events ORDER BY position DESC LIMIT 1"
        ));
        let events = world.call("ses_1", "call_2", "search").await.unwrap();
        assert_eq!(types(&events), ["ToolCallRefused"]);
        assert!(events[0].payload.contains("session_expired"), "{}", events[0].payload);
    });
}

fn keys_that_nobody_made_can_be_looked_at(site: Site) {
    play(async {
        let world = World::open(&site, "rep_1").await;
        let key = world.directory.state::<ApiKey>("nobody").await.unwrap();
        assert_eq!(key.version(), 0);
    });
}

fn grounds_of_different_age_in_one_batch_do_not_mix(site: Site) {
    play(async {
        let (journal, script) = site.open_faulty("rep_1").await;
        let world = World::on(journal, Duration::from_secs(3_600)).await;
        world.set().await;
        world.mint("ses_1", "sub_1").await.unwrap();
        let old = world.prepare_call("ses_1", "call_old", "search").await.unwrap();
        world.cut_subject("sub_1").await.unwrap();
        let (let_go, gate) = mpsc::channel();
        script.will([Fault::CommitHeld(gate)]);
        let held = world.directory.tell::<Session>("ses_1", {
            SessionCommand::RecordRefusedAgain { call: "call_x".into(), times: 1 }
        });
        let mut old = Some(old);
        let both = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let prepared = |again: Option<Prepared<Session>>| async {
                match again {
                    Some(prepared) => Ok(prepared),
                    None => world.prepare_call("ses_1", "call_old", "search").await,
                }
            };
            let one = world.directory.ask::<Session, _>("ses_1", || prepared(old.take()));
            let two = world.call("ses_1", "call_new", "search");
            tokio::join!(one, two)
        };
        let release = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let_go.send(()).unwrap();
        };
        let (held, (one, two), ()) = tokio::join!(held, both, release);
        held.unwrap();
        // Refused once; the same again within a minute adds nothing.
        let refused = one.unwrap().len() + two.unwrap().len();
        assert_eq!(refused, 1);
    });
}

fn places_are_those_of_the_journal(site: Site) {
    play(async {
        let world = World::open(&site, "rep_1").await;
        world.set().await;
        let opened: Place = world.mint("ses_1", "sub_1").await.unwrap()[0].place;
        assert_eq!(world.directory.state::<Session>("ses_1").await.unwrap().opened_at(), opened.position);
    });
}

#[test]
fn identifiers_differ_and_sort_by_time() {
    let ids: Vec<String> = (0..1_000).map(|_| crate::actors::new_id("evt")).collect();
    let different: std::collections::HashSet<&String> = ids.iter().collect();
    assert_eq!(different.len(), ids.len());
    for id in &ids {
        let uuid = uuid::Uuid::try_parse(id.strip_prefix("evt_").unwrap()).unwrap();
        assert_eq!((uuid.get_version_num(), uuid.get_variant()), (7, uuid::Variant::RFC4122));
    }
    std::thread::sleep(Duration::from_millis(1));
    assert!(ids.iter().max().unwrap() < &crate::actors::new_id("evt"));
}

on_both_stores!(
    what_entities_show_follows_from_the_journal,
    an_acknowledged_write_is_seen_at_once,
    what_waits_is_decided_together_and_one_append_is_outstanding,
    more_than_an_entity_takes_is_turned_away,
    what_follows_from_events_that_are_not_durable_yet_is_not_answered,
    idle_entities_stop_and_come_back,
    an_ask_that_meets_an_entity_stopping_or_loading_is_not_lost,
    an_entity_that_misses_events_loads_them,
    an_entity_whose_thread_has_ended_is_replaced,
    a_decision_whose_grounds_moved_elsewhere_is_prepared_anew,
    an_answer_that_wrote_nothing_rests_on_the_newest_state,
    expiry_is_judged_by_the_recorded_time,
    keys_that_nobody_made_can_be_looked_at,
    grounds_of_different_age_in_one_batch_do_not_mix,
    places_are_those_of_the_journal,
);
