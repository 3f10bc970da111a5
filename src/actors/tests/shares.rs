//! What calls take of shared limits, and that it is given back.

use std::collections::VecDeque;

use proctor_domain::Name;
use proctor_domain::limits::Limits;
use proctor_domain::session::Refusal;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::world::name;
use crate::actors::shares::Minute;
use crate::actors::{Limited, Share, Shares, now};

const NONE: Limits = Limits {
    calls_in_flight_max: None,
    calls_per_minute_max: None,
    result_bytes_max: None,
    deadline_ms: None,
};

fn in_flight(most: u32) -> Limits {
    Limits { calls_in_flight_max: Some(most), ..NONE }
}

fn per_minute(most: u32) -> Limits {
    Limits { calls_per_minute_max: Some(most), ..NONE }
}

fn take(shares: &Shares, server: Limits, connection: Limits) -> Result<Option<Share>, Refusal> {
    let names: [Name; 2] = [name("support"), name("gmail")];
    let used = [(Limited::VirtualServer, &names[0], server), (Limited::Connection, &names[1], connection)];
    shares.take(used).map_err(|held_back| held_back.reason)
}

#[test]
fn nothing_is_counted_where_nothing_is_limited() {
    let shares = Shares::default();
    let other = Limits { result_bytes_max: Some(2_000), deadline_ms: Some(5), ..NONE };
    assert!(take(&shares, NONE, other).unwrap().is_none());
}

#[test]
fn a_place_among_those_in_flight_is_free_again_once_the_call_is_over() {
    let shares = Shares::default();
    let first = take(&shares, in_flight(2), NONE).unwrap();
    let mut second = take(&shares, in_flight(2), NONE).unwrap().unwrap();
    second.spend();
    assert_eq!(take(&shares, in_flight(2), NONE).unwrap_err(), Refusal::VirtualServerBusy);
    drop(first);
    let third = take(&shares, in_flight(2), NONE).unwrap();
    assert_eq!(take(&shares, in_flight(2), NONE).unwrap_err(), Refusal::VirtualServerBusy);
    drop((second, third));
    assert!(take(&shares, in_flight(1), NONE).is_ok());
}

#[test]
fn a_call_that_was_not_admitted_does_not_count_for_its_minute() {
    let shares = Shares::default();
    for _ in 0..10 {
        drop(take(&shares, per_minute(2), per_minute(2)).unwrap());
    }
    for _ in 0..2 {
        take(&shares, per_minute(2), NONE).unwrap().unwrap().spend();
    }
    assert_eq!(take(&shares, per_minute(2), NONE).unwrap_err(), Refusal::VirtualServerRateReached);
}

#[test]
fn what_one_limit_refuses_takes_nothing_of_the_other() {
    let shares = Shares::default();
    let busy = take(&shares, NONE, in_flight(1)).unwrap();
    for _ in 0..10 {
        let refused = take(&shares, Limits { calls_per_minute_max: Some(1), ..in_flight(1) }, in_flight(1));
        assert_eq!(refused.unwrap_err(), Refusal::ConnectionBusy);
    }
    drop(busy);
    take(&shares, Limits { calls_per_minute_max: Some(1), ..in_flight(1) }, in_flight(1)).unwrap().unwrap();
}

#[test]
fn each_replica_takes_an_equal_part_and_at_least_one_call() {
    let shares = Shares::default();
    let room = |limits: Limits| {
        let mut taken = Vec::new();
        while let Ok(share) = take(&shares, limits, NONE) {
            taken.push(share);
        }
        taken.len()
    };
    for (replicas, most, part) in [(1, 7, 7), (3, 7, 2), (3, 2, 1), (0, 7, 7)] {
        shares.share_among(replicas);
        assert_eq!(room(in_flight(most)), part, "{most} among {replicas}");
        assert_eq!(room(per_minute(most)), part, "{most} among {replicas}");
    }
}

#[test]
fn a_server_and_a_connection_of_one_name_are_not_the_same() {
    let (shares, same) = (Shares::default(), name("gmail"));
    let of = |limited| shares.take([(limited, &same, in_flight(1))]);
    let _server = of(Limited::VirtualServer).unwrap();
    let _connection = of(Limited::Connection).unwrap();
    assert_eq!(of(Limited::Connection).unwrap_err().reason, Refusal::ConnectionBusy);
}

#[test]
fn a_refusal_says_from_when_on_it_may_be_tried_again() {
    let shares = Shares::default();
    take(&shares, per_minute(1), NONE).unwrap().unwrap().spend();
    let support = name("support");
    let held_back = shares.take([(Limited::VirtualServer, &support, per_minute(1))]).unwrap_err();
    let wait_ms = (held_back.retry_at.0 - now().0) / 1_000;
    assert!((58_000..=61_000).contains(&wait_ms), "{wait_ms}");
    let busy = in_flight(1);
    let _one = shares.take([(Limited::Connection, &support, busy)]).unwrap();
    let held_back = shares.take([(Limited::Connection, &support, busy)]).unwrap_err();
    let wait_ms = (held_back.retry_at.0 - now().0) / 1_000;
    assert!((500..=1_000).contains(&wait_ms), "{wait_ms}");
}

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Call,
    GiveBack(prop::sample::Index),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..5_u64).prop_map(Step::Wait),
        1 => (0..130_u64).prop_map(Step::Wait),
        8 => Just(Step::Call),
        1 => any::<prop::sample::Index>().prop_map(Step::GiveBack),
    ];
    prop::collection::vec(step, 1..200)
}

/// The same, counted by a list of all calls.
fn minute(most: u32, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let (mut minute, mut second, mut calls) = (Minute::default(), 1_000_u64, VecDeque::<u64>::new());
    for step in steps {
        match step {
            Step::Wait(seconds) => second += seconds,
            Step::GiveBack(which) => {
                if !calls.is_empty() {
                    let given_back = calls.remove(which.index(calls.len())).unwrap();
                    minute.uncount(given_back);
                }
            }
            Step::Call => {
                let counted = |at: u64| calls.iter().filter(|call| **call + 61 > at).count();
                let has_room = |at: u64| counted(at) < usize::try_from(most).unwrap();
                let free_at = minute.free_at(second, most);
                let expected = (second..).find(|at| has_room(*at)).unwrap();
                prop_assert_eq!(free_at, expected, "at {} with {:?}", second, calls);
                if free_at == second {
                    minute.count(second);
                    calls.push_back(second);
                }
            }
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_minute_holds_no_more_calls_than_may_be_and_says_when_there_is_room(most in 1..9_u32, steps in steps()) {
        minute(most, steps)?;
    }
}
