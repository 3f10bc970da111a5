//! What a session may use: its own limits, and those of what it shares with others.

use std::collections::VecDeque;

use proctor_domain::limits::{Limits, SessionLimits};
use proctor_domain::session::{
    CALLS_MAX_DEFAULT, CallRequest, HeldBack, Opening, OpeningGrounds, Refusal, Session, SessionCommand,
    SessionEvent, Terms,
};
use proctor_domain::virtual_server::{Definition, VirtualServerEvent};
use proctor_domain::{Decider, Micros, Place, Position};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use crate::scene::{
    NOW, SECOND, by, call, call_grounds, definition, given, opened, opening, opening_grounds, server, state,
    terms,
};

const LIMITS: SessionLimits = SessionLimits { calls_max: Some(5), calls_per_minute_max: Some(2) };

fn request(id: &str, at: Micros) -> SessionCommand {
    SessionCommand::RequestToolCall { at, request: call(id, "search"), grounds: call_grounds() }
}

/// The session of these terms after it was asked for a call at each of these seconds.
fn asked_at(terms: Terms, seconds: &[i64]) -> Vec<(Session, Vec<SessionEvent>)> {
    let mut session = state::<Session>([(1, opened(terms))]).as_ref().clone();
    let mut asked = Vec::new();
    for (position, second) in (2..).zip(seconds) {
        let at = Micros(second * SECOND);
        let events = session.decide(&request(&format!("call_{position}"), at)).unwrap();
        for event in &events {
            session.evolve(event, Place { position: Position(position), recorded_at: at });
        }
        asked.push((session.clone(), events));
    }
    asked
}

fn paced(calls_per_minute_max: u32) -> Terms {
    Terms { calls_per_minute_max: Some(calls_per_minute_max), ..terms() }
}

#[test]
fn calls_are_let_through_again_when_the_first_of_them_is_a_minute_ago() {
    let asked = asked_at(paced(2), &[100, 130, 159, 160, 189, 190]);
    let admitted: Vec<_> = asked
        .iter()
        .map(|(_, events)| matches!(events[..], [SessionEvent::ToolCallAdmitted { .. }]))
        .collect();
    assert_eq!(admitted, [true, true, false, true, false, true]);
}

#[test]
fn a_refusal_says_from_when_on_the_next_call_may_be_made() {
    let asked = asked_at(paced(2), &[100, 130, 131]);
    let [SessionEvent::ToolCallRefused { reason, retry_at, route, .. }] = &asked[2].1[..] else {
        panic!("{asked:?}")
    };
    assert_eq!(*reason, Refusal::CallsPerMinuteMaxReached);
    assert_eq!(*retry_at, Some(Micros(160 * SECOND)));
    assert_eq!(route.as_ref().unwrap().tool, "search");
    assert!(!reason.ends_session());
}

#[test]
fn what_is_refused_for_another_reason_does_not_count() {
    let unknown = SessionCommand::RequestToolCall {
        at: NOW,
        request: call("call_x", "delete"),
        grounds: call_grounds(),
    };
    let (session, _) = asked_at(paced(2), &[100]).remove(0);
    let events = session.decide(&unknown).unwrap();
    assert!(matches!(events[..], [SessionEvent::ToolCallRefused { reason: Refusal::NotInScope, .. }]));
    let asked = asked_at(paced(1), &[100]).remove(0).0.decide(&unknown).unwrap();
    assert!(matches!(asked[..], [SessionEvent::ToolCallRefused { reason: Refusal::NotInScope, .. }]));
}

#[test]
fn a_session_without_the_limit_remembers_no_times() {
    let many: Vec<i64> = vec![100; 8];
    let asked = asked_at(terms(), &many);
    assert!(asked.iter().all(|(_, events)| matches!(events[..], [SessionEvent::ToolCallAdmitted { .. }])));
    let shown = serde_json::to_value(&asked[7].0).unwrap();
    assert_eq!(shown["pace"], serde_json::json!([]));
}

#[test]
fn a_shared_limit_that_was_found_to_be_reached_refuses_what_else_would_be_let_through() {
    let retry_at = Micros(NOW.0 + SECOND);
    for reason in [
        Refusal::VirtualServerBusy,
        Refusal::VirtualServerRateReached,
        Refusal::ConnectionBusy,
        Refusal::ConnectionRateReached,
    ] {
        assert!(!reason.ends_session());
        let held_back = Some(HeldBack { reason, retry_at });
        let asked = |tool: &str| {
            let request = CallRequest { held_back, ..call("call_1", tool) };
            let command = SessionCommand::RequestToolCall { at: NOW, request, grounds: call_grounds() };
            state::<Session>([(1, opened(terms()))]).decide(&command).unwrap().remove(0)
        };
        let SessionEvent::ToolCallRefused { reason: refused, retry_at: told, .. } = asked("search") else {
            panic!("let through")
        };
        assert_eq!((refused, told), (reason, Some(retry_at)));
        // Nobody learns from a limit that there is a tool.
        let SessionEvent::ToolCallRefused { reason: refused, retry_at: told, .. } = asked("delete") else {
            panic!("let through")
        };
        assert_eq!((refused, told), (Refusal::NotInScope, None));
    }
}

fn opened_with(limits: SessionLimits, session_limits: SessionLimits) -> (u32, Option<u32>) {
    let revised = VirtualServerEvent::VirtualServerRevised {
        by: by(),
        definition: Definition { session_limits, ..definition() },
    };
    let grounds = OpeningGrounds { server: server([(5, revised)]), ..opening_grounds() };
    let opening = Opening { limits, ..opening() };
    let events = given::<Session>(vec![])
        .when(SessionCommand::Open { at: NOW, opening, grounds })
        .inspect_result()
        .unwrap();
    let [SessionEvent::SessionOpened { terms, .. }] = &events[..] else { panic!("{events:?}") };
    (terms.calls_max, terms.calls_per_minute_max)
}

#[test]
fn a_session_takes_its_limits_from_the_mint_then_from_the_virtual_server() {
    let none = SessionLimits::default();
    let own = SessionLimits { calls_max: Some(9), calls_per_minute_max: Some(7) };
    assert_eq!(opened_with(none, none), (CALLS_MAX_DEFAULT, None));
    assert_eq!(opened_with(none, LIMITS), (5, Some(2)));
    assert_eq!(opened_with(own, LIMITS), (9, Some(7)));
    let half = SessionLimits { calls_max: Some(9), calls_per_minute_max: None };
    assert_eq!(opened_with(half, LIMITS), (9, Some(2)));
}

#[test]
fn a_limit_that_nothing_can_have_is_refused_with_what_it_can_be() {
    let wrong = |limits: SessionLimits| limits.check("session_limits").unwrap_err().to_string();
    let said = wrong(SessionLimits { calls_per_minute_max: Some(0), ..LIMITS });
    assert_eq!(said, "session_limits.calls_per_minute_max is 0: choose 1 to 6000, or leave it out");
    assert!(wrong(SessionLimits { calls_max: Some(100_001), ..LIMITS }).contains("1 to 100000"));
    LIMITS.check("session_limits").unwrap();
    let none = Limits::default();
    for (limits, said) in [
        (Limits { calls_in_flight_max: Some(0), ..none }, "limits.calls_in_flight_max is 0"),
        (Limits { calls_per_minute_max: Some(0), ..none }, "limits.calls_per_minute_max is 0"),
        (Limits { result_bytes_max: Some(1_023), ..none }, "choose 1024 to 268435456"),
        (Limits { deadline_ms: Some(600_001), ..none }, "choose 1 to 600000"),
    ] {
        assert!(limits.check().unwrap_err().to_string().contains(said));
        let invalid = Definition { limits, ..definition() }.check().unwrap_err();
        assert!(invalid.to_string().contains(said));
    }
    let invalid = SessionLimits { calls_max: Some(0), calls_per_minute_max: None };
    assert!(Definition { session_limits: invalid, ..definition() }.check().is_err());
    assert!(none.is_empty() && !none.counts_calls() && none.check().is_ok());
}

/// What happens to some calls that are decided together: by a process whose clock is off by so much,
/// so long after the ones before, at the journal's time.
#[derive(Clone, Debug)]
struct Together {
    after_ms: i64,
    clock_off_ms: i64,
    calls: usize,
}

fn together() -> impl Strategy<Value = Together> {
    let off = prop_oneof![3 => Just(0), 1 => -90_000..90_000_i64];
    let after =
        prop_oneof![4 => 0..3_000_i64, 2 => 0..70_000_i64, 1 => Just(60_000_i64), 1 => Just(59_999_i64)];
    (after, off, 1..5_usize).prop_map(|(after_ms, clock_off_ms, calls)| Together {
        after_ms,
        clock_off_ms,
        calls,
    })
}

/// Decides calls one after the other, as if what each adds were recorded at this time.
fn decided(session: &Session, at: Micros, ids: &[String]) -> Vec<Vec<SessionEvent>> {
    let mut stepped = session.clone();
    let mut all = Vec::new();
    for id in ids {
        let events = stepped.decide(&request(id, at)).unwrap();
        let place = Place { position: Position(u64::MAX), recorded_at: at };
        events.iter().for_each(|event| stepped.evolve(event, place));
        all.push(events);
    }
    all
}

/// What the journal comes to hold when each group is decided by its process's clock, and again by the
/// journal's where the session says that only that can tell.
fn record(calls_per_minute_max: u32, groups: &[Together]) -> Result<(), TestCaseError> {
    let most = usize::try_from(calls_per_minute_max).unwrap();
    let long = Terms { expires_at: Micros(i64::MAX), calls_max: u32::MAX, ..paced(calls_per_minute_max) };
    let mut session = state::<Session>([(1, opened(long))]).as_ref().clone();
    let (mut now, mut position) = (Micros(1_000_000 * SECOND), 1);
    let mut admitted: VecDeque<Micros> = VecDeque::new();
    for (number, group) in groups.iter().enumerate() {
        now.0 += group.after_ms * 1_000;
        let ids: Vec<_> = (0..group.calls).map(|call| format!("call_{number}_{call}")).collect();
        let at = Micros(now.0 + group.clock_off_ms * 1_000);
        let mut events = decided(&session, at, &ids);
        let holds = |(ahead, id): (usize, &String)| session.valid_until(&request(id, at), ahead);
        let holds_until = ids.iter().enumerate().filter_map(holds).min().unwrap();
        let by_its_own_clock = holds_until > now;
        if !by_its_own_clock {
            events = decided(&session, now, &ids);
        }
        for event in events.iter().flatten() {
            position += 1;
            session.evolve(event, Place { position: Position(position), recorded_at: now });
            let in_a_minute = admitted.iter().filter(|at| at.0 > now.0 - 60 * SECOND).count();
            match event {
                SessionEvent::ToolCallAdmitted { .. } => {
                    prop_assert!(in_a_minute < most, "{} of {most} at {now:?}", in_a_minute + 1);
                    admitted.push_back(now);
                }
                SessionEvent::ToolCallRefused { reason, retry_at, .. } => {
                    prop_assert_eq!(*reason, Refusal::CallsPerMinuteMaxReached);
                    prop_assert_eq!(in_a_minute, most, "refused at {:?} without need", now);
                    let first = admitted[admitted.len() - most];
                    prop_assert_eq!(*retry_at, Some(first.plus_seconds(60)));
                    prop_assert!(!by_its_own_clock, "refused by a process's own clock");
                }
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn no_minute_holds_more_calls_than_the_limit_and_what_is_refused_would_have_been_one_too_many(
        calls_per_minute_max in 1..7_u32,
        groups in prop::collection::vec(together(), 1..60),
    ) {
        record(calls_per_minute_max, &groups)?;
    }
}
