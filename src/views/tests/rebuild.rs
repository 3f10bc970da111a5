//! The same journal gives the same rows, whatever the batches and interruptions.

use proptest::prelude::*;

use super::history::History;
use super::{Folder, dump};
use crate::views::batch::Batch;
use crate::views::write::Writer;

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn rebuilding_from_zero_gives_the_same_rows_as_running_along(
        choices in prop::collection::vec(any::<(u8, u16)>(), 1..400),
        splits in prop::collection::vec((1_usize..60, any::<bool>()), 1..40),
    ) {
        let events = History::of(&choices).events;
        let (along, rebuilt, singly) = (Folder::new(), Folder::new(), Folder::new());

        let mut writer = Writer::open(&along.views()).unwrap();
        let mut rest = &events[..];
        for (length, restart) in splits.iter().cycle() {
            let (batch, later) = rest.split_at((*length).min(rest.len()));
            writer.apply(batch).unwrap();
            rest = later;
            if *restart {
                // What it remembered is gone and must come from the rows.
                writer = Writer::open(&along.views()).unwrap();
            }
            if rest.is_empty() {
                break;
            }
        }
        Writer::open(&rebuilt.views()).unwrap().apply(&events).unwrap();
        let mut writer = Writer::open(&singly.views()).unwrap();
        for event in &events {
            writer.apply(std::slice::from_ref(event)).unwrap();
        }

        let expected = dump(&singly.views());
        prop_assert!(!expected.is_empty());
        prop_assert_eq!(&dump(&along.views()), &expected);
        prop_assert_eq!(&dump(&rebuilt.views()), &expected);

        let rows = rusqlite::Connection::open(rebuilt.views()).unwrap();
        prop_assert_eq!(pairs(&rows, USAGE_BY_OUTCOME), pairs(&rows, CALLS_BY_OUTCOME));
        prop_assert_eq!(pairs(&rows, SESSIONS_COUNTED), pairs(&rows, SESSIONS_RECOUNTED));
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

fn pairs(rows: &rusqlite::Connection, sql: &str) -> Vec<(String, String)> {
    let mut statement = rows.prepare(sql).unwrap();
    let pairs = statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    pairs.collect::<Result<_, _>>().unwrap()
}

#[test]
fn events_that_are_in_already_are_left_out_and_missing_ones_are_noticed() {
    let events = History::of(&[(0, 1), (2, 3), (8, 0), (2, 5), (8, 1)]).events;
    let folder = Folder::new();
    let (mut one, mut two) = (Writer::open(&folder.views()).unwrap(), Writer::open(&folder.views()).unwrap());
    assert_eq!(one.apply(&events[..3]).unwrap().0, 3);
    assert_eq!(two.apply(&events[..4]).unwrap().0, 4, "takes in only what the other has not");
    assert_eq!(one.apply(&events[2..4]).unwrap().0, 4);
    let before = dump(&folder.views());
    assert_eq!(one.apply(&events[4..5]).unwrap().0, 5);
    assert_ne!(dump(&folder.views()), before);

    let other = Folder::new();
    let mut late = Writer::open(&other.views()).unwrap();
    assert_eq!(late.apply(&events[1..]).unwrap().0, 0, "nothing is written over a gap");
    assert!(dump(&other.views()).is_empty());
}

#[test]
fn an_event_about_an_unknown_call_stops_the_views_and_writes_nothing() {
    let mut history = History::default();
    let session = history.open("sub_1", "srv0", &[]);
    history.end(session, &"call_ghost".into(), proctor_domain::session::Outcome::Succeeded, false);
    let folder = Folder::new();
    let mut writer = Writer::open(&folder.views()).unwrap();
    let error = writer.apply(&history.events).unwrap_err().to_string();
    assert!(error.contains("call_ghost"), "{error}");
    assert_eq!(writer.checkpoint().unwrap().position.0, 0);
    assert!(dump(&folder.views()).is_empty());
}

#[test]
fn a_call_that_ends_within_its_batch_is_written_once() {
    let mut history = History::default();
    let session = history.open("sub_1", "srv0", &[]);
    for number in 0..100 {
        let call = history.admit(session, number);
        history.end(session, &call, proctor_domain::session::Outcome::Succeeded, false);
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
