//! The same journal gives the same rows, whatever the batches and interruptions.

use std::sync::Arc;

use proctor_domain::Recorded;
use proctor_domain::session::{Outcome, SessionEvent};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::Home;
use super::history::{History, by};
use crate::views::batch::Batch;
use crate::views::write::Writer;

type Choices = Vec<(u8, u16)>;
type Splits = Vec<(usize, bool)>;

fn choices() -> impl Strategy<Value = Choices> {
    prop::collection::vec(any::<(u8, u16)>(), 1..400)
}

fn splits() -> impl Strategy<Value = Splits> {
    prop::collection::vec((1_usize..60, any::<bool>()), 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn sqlite_rebuilding_from_zero_gives_the_same_rows_as_running_along(
        choices in choices(), splits in splits(),
    ) {
        rebuilding_gives_the_same_rows(Home::sqlite, &choices, &splits)?;
    }
}

proptest! {
    // Each makes three databases.
    #![proptest_config(ProptestConfig { cases: 4, ..ProptestConfig::default() })]

    #[test]
    fn postgres_rebuilding_from_zero_gives_the_same_rows_as_running_along(
        choices in choices(), splits in splits(),
    ) {
        rebuilding_gives_the_same_rows(Home::postgres, &choices, &splits)?;
    }
}

fn rebuilding_gives_the_same_rows(
    home: fn() -> Home,
    choices: &[(u8, u16)],
    splits: &[(usize, bool)],
) -> Result<(), TestCaseError> {
    let events = History::of(choices).events;
    let (along, rebuilt, singly) = (home(), home(), home());

    let mut writer = Some(along.writer());
    let mut rest = &events[..];
    for (length, restart) in splits.iter().cycle() {
        let (batch, later) = rest.split_at((*length).min(rest.len()));
        writer.get_or_insert_with(|| along.writer()).apply(batch).unwrap();
        rest = later;
        if *restart {
            // What it remembered is gone and must come from the rows.
            writer = None;
        }
        if rest.is_empty() {
            break;
        }
    }
    rebuilt.writer().apply(&events).unwrap();
    apply_singly(&mut singly.writer(), &events);

    let expected = singly.dump();
    prop_assert!(!expected.is_empty());
    prop_assert_eq!(&along.dump(), &expected);
    prop_assert_eq!(&rebuilt.dump(), &expected);
    let sqlite = Home::sqlite();
    sqlite.writer().apply(&events).unwrap();
    prop_assert_eq!(&sqlite.dump(), &expected);

    prop_assert_eq!(rebuilt.rows(USAGE_BY_OUTCOME), rebuilt.rows(CALLS_BY_OUTCOME));
    prop_assert_eq!(rebuilt.rows(SESSIONS_COUNTED), rebuilt.rows(SESSIONS_RECOUNTED));
    Ok(())
}

fn apply_singly(writer: &mut Writer, events: &[Arc<Recorded>]) {
    for event in events {
        writer.apply(std::slice::from_ref(event)).unwrap();
    }
}

/// A late end takes back what was counted as abandoned, and leaves a row of nothing.
const USAGE_BY_OUTCOME: &str = "SELECT hour || outcome, SUM(calls) || ',' || SUM(duration_us) || ',' ||
     SUM(arguments_bytes) || ',' || SUM(result_bytes) FROM usage GROUP BY 1 HAVING SUM(calls) > 0 ORDER BY 1";
const CALLS_BY_OUTCOME: &str =
    "SELECT (started_at_us / 3600000000) || outcome, (COUNT(*) + SUM(repeats)) || ',' ||
     COALESCE(SUM(duration_us), 0) || ',' || SUM(arguments_bytes) || ',' || COALESCE(SUM(result_bytes), 0)
     FROM tool_calls WHERE outcome <> 'in_flight' GROUP BY 1 ORDER BY 1";
const SESSIONS_COUNTED: &str = "SELECT id, calls_admitted || ',' || calls_refused FROM sessions ORDER BY id";
const SESSIONS_RECOUNTED: &str = "SELECT s.id, COUNT(*) FILTER (WHERE c.outcome <> 'refused') || ',' ||
     COALESCE(SUM(1 + c.repeats) FILTER (WHERE c.outcome = 'refused'), 0)
     FROM sessions s LEFT JOIN tool_calls c ON c.session = s.id GROUP BY s.id ORDER BY s.id";

/// Makes tests of functions that take a [`Home`], where no future may run.
macro_rules! on_both_stores {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[test]
            fn $name() {
                super::$name(&super::Home::sqlite(), &super::Home::sqlite());
            })+
        }

        mod postgres {
            $(#[test]
            fn $name() {
                super::$name(&super::Home::postgres(), &super::Home::postgres());
            })+
        }
    };
}

on_both_stores!(
    of_two_that_write_neither_takes_in_what_the_other_has,
    two_that_write_at_the_same_time_take_in_every_event_once,
    nothing_is_written_over_a_gap,
    an_event_about_an_unknown_call_stops_the_views_and_writes_nothing,
    what_was_recorded_long_ago_is_found_in_the_rows,
    what_a_database_cannot_store_is_shown_as_that,
);

fn of_two_that_write_neither_takes_in_what_the_other_has(home: &Home, other: &Home) {
    let events = History::of(&[(0, 1), (2, 3), (8, 0), (2, 5), (8, 1)]).events;
    let (mut one, mut two) = (home.writer(), home.usurper());
    assert_eq!(one.apply(&events[..3]).unwrap().0, 3);
    assert_eq!(two.apply(&events[..4]).unwrap().0, 4, "takes in only what the other has not");
    assert_eq!(one.apply(&events[2..4]).unwrap().0, 4);
    let before = home.dump();
    assert_eq!(one.apply(&events[4..5]).unwrap().0, 5);
    assert_ne!(home.dump(), before);
    other.writer().apply(&events).unwrap();
    assert_eq!(home.dump(), other.dump());
}

fn two_that_write_at_the_same_time_take_in_every_event_once(home: &Home, other: &Home) {
    let choices: Vec<(u8, u16)> = (0..600_u16).map(|n| ((n % 251) as u8, n.wrapping_mul(7_919))).collect();
    let events = History::of(&choices).events;
    let mut writers = [home.writer(), home.usurper()];
    std::thread::scope(|scope| {
        for writer in &mut writers {
            scope.spawn(|| {
                for batch in events.chunks(7) {
                    writer.apply(batch).unwrap();
                }
            });
        }
    });
    assert_eq!(writers[0].checkpoint().unwrap().position.0, events.len() as u64);
    other.writer().apply(&events).unwrap();
    assert_eq!(home.dump(), other.dump());
}

fn nothing_is_written_over_a_gap(home: &Home, _: &Home) {
    let events = History::of(&[(0, 1), (2, 3), (8, 0)]).events;
    assert_eq!(home.writer().apply(&events[1..]).unwrap().0, 0);
    assert!(home.dump().is_empty());
}

fn an_event_about_an_unknown_call_stops_the_views_and_writes_nothing(home: &Home, _: &Home) {
    let mut history = History::default();
    let session = history.open("sub_1", "srv0", &[]);
    history.end(session, &"call_ghost".into(), Outcome::Succeeded, false);
    let mut writer = home.writer();
    let error = writer.apply(&history.events).unwrap_err().to_string();
    assert!(error.contains("call_ghost"), "{error}");
    assert_eq!(writer.checkpoint().unwrap().position.0, 0);
    assert!(home.dump().is_empty());
}

fn what_was_recorded_long_ago_is_found_in_the_rows(home: &Home, other: &Home) {
    let mut history = History::default();
    let sessions: Vec<usize> = (0..40).map(|_| history.open("sub_1", "srv0", &["l1", "l2"])).collect();
    let calls: Vec<_> = sessions.iter().map(|session| history.admit(*session, *session)).collect();
    let begun = history.events.len();
    for (session, call) in sessions.iter().zip(&calls) {
        history.end(*session, call, Outcome::Succeeded, false);
        history.admit(*session, 3);
    }
    home.writer().apply(&history.events[..begun]).unwrap();
    home.writer().apply(&history.events[begun..]).unwrap();
    other.writer().apply(&history.events).unwrap();
    assert_eq!(home.dump(), other.dump());
}

fn what_a_database_cannot_store_is_shown_as_that(home: &Home, _: &Home) {
    let mut history = History::default();
    let session = history.open("sub_1", "srv0", &[]);
    let revoked = SessionEvent::SessionRevoked { by: by(), reason: "nothing\0more".into() };
    history.record("session", &format!("ses_{session}"), revoked);
    home.writer().apply(&history.events).unwrap();
    let reasons = home.rows("SELECT revoked_reason FROM sessions");
    assert!(matches!(&*reasons[0], "nothing\0more" | "nothing\u{fffd}more"), "{reasons:?}");
}

#[test]
fn a_call_that_ends_within_its_batch_is_written_once() {
    let mut history = History::default();
    let session = history.open("sub_1", "srv0", &[]);
    for number in 0..100 {
        let call = history.admit(session, number);
        history.end(session, &call, Outcome::Succeeded, false);
    }
    let session = proctor_projections::SessionFacts::of(&history.events[0]).unwrap();
    let mut batch = Batch::default();
    let mut calls = std::collections::HashMap::new();
    for event in &history.events {
        if let Some((call, facts)) = proctor_projections::CallFacts::of(event) {
            calls.insert(call.to_owned(), facts);
        }
        let call = proctor_projections::needs(event).call.map(|call| calls[call].clone());
        let mut changes = Vec::new();
        let known = proctor_projections::Known { session: Some(&session), call: call.as_ref() };
        proctor_projections::project(event, known, &mut changes).unwrap();
        changes.into_iter().for_each(|change| batch.take(change));
    }
    let rows_of = |table| batch.rows().iter().filter(|(of, _)| *of == table).count();
    assert_eq!(rows_of(proctor_projections::Table::ToolCalls), 100);
    assert_eq!(rows_of(proctor_projections::Table::Sessions), 1);
    assert_eq!(rows_of(proctor_projections::Table::Usage), 15, "one row per connection and tool");
}
