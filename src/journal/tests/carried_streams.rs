//! A stream that carries its state over is read from there on, and nothing before it is looked at.

use proctor_domain::connection::CredentialKind;
use proctor_domain::user_connection::{UserConnection, UserConnectionEvent};
use proctor_domain::{By, Decider as _, Event, Micros, Name, Place, Position, StreamId};

use super::*;
use crate::journal::Proposal;
use crate::journal::postgres::newest_sql;

const RENEWALS: u32 = 20_000;
/// Events that are written by one append.
const TOGETHER: usize = 2_000;

fn account() -> StreamId {
    StreamId::of::<UserConnection>("sub_1.notes")
}

fn carried_by() -> &'static str {
    UserConnection::CARRIED_BY.unwrap()
}

fn activated() -> UserConnectionEvent {
    UserConnectionEvent::UserConnectionActivated {
        variables: Vec::new(),
        by: By::Key("key_1".into()),
        subject: "sub_1".into(),
        connection: Name::new("notes").unwrap(),
        kind: CredentialKind::Oauth2,
        generation: 1,
        link: None,
        scopes: Vec::new(),
        expires_at: Some(Micros(1)),
    }
}

fn refreshed(generation: u32) -> UserConnectionEvent {
    UserConnectionEvent::UserConnectionRefreshed { generation, scopes: Vec::new(), expires_at: None }
}

/// An account that was renewed for years, whose state was carried over before its last few renewals.
async fn written(site: &Site) -> usize {
    let journal = site.open("rep_1").await;
    let mut events = vec![activated()];
    events.extend((2..=RENEWALS).map(refreshed));
    let mut state = UserConnection::default();
    for event in &events {
        state.evolve(event, Place { position: Position(1), recorded_at: Micros(1) });
    }
    events.push(UserConnectionEvent::UserConnectionCarriedOver { state: Box::new(state) });
    events.extend((RENEWALS + 1..RENEWALS + 10).map(refreshed));
    let written = events.len();
    let mut version = 0;
    for some in events.chunks(TOGETHER) {
        let mut decision = note("unused", version, 0);
        decision.stream = account();
        decision.proposals = some.iter().cloned().map(written_as).collect();
        version += decision.append(&journal).await.committed().len() as u64;
        // Others have their streams in between.
        note("other", version / TOGETHER as u64 - 1, 1).append(&journal).await;
    }
    journal.stop().await;
    written
}

fn written_as(event: UserConnectionEvent) -> Proposal {
    let event = Event::from(event);
    Proposal { payload: event.payload().unwrap().into(), event, ..proposal(0) }
}

async fn it_is_read_from_where_it_was_carried_over(site: Site) {
    let written = written(&site).await;
    let reader = site.reader().await;
    let all = reader.stream(&account(), 0).await.unwrap();
    assert_eq!(all.len(), written);
    let carried = reader.carried_stream(&account(), carried_by()).await.unwrap();
    let sequences = |events: &[std::sync::Arc<proctor_domain::Recorded>]| {
        events.iter().map(|event| (event.sequence, event.place.position)).collect::<Vec<_>>()
    };
    assert_eq!(sequences(&carried), sequences(&all[written - 10..]));
    // Of a type that is not there, it is all of it; of no stream, nothing.
    let whole = reader.carried_stream(&account(), "UserConnectionLinkIssued").await.unwrap();
    assert_eq!(whole.len(), written);
    let nobody = StreamId::of::<UserConnection>("sub_2.notes");
    assert!(reader.carried_stream(&nobody, carried_by()).await.unwrap().is_empty());
}

on_both_stores!(async: it_is_read_from_where_it_was_carried_over);

#[tokio::test]
async fn sqlite_reads_no_event_before_it() {
    let site = Site::sqlite();
    let written = written(&site).await;
    let reader = site.reader().await;
    let before = reader.stream(&account(), 0).await.unwrap()[written - 11].place.position;
    // Whoever looked further back would find a gap.
    site.sql(&format!(
        "DROP TRIGGER events_are_never_deleted; DELETE FROM events WHERE position <= {before}"
    ));
    assert_eq!(reader.carried_stream(&account(), carried_by()).await.unwrap().len(), 10);
    let gap = reader.stream(&account(), 0).await.unwrap_err();
    assert!(gap.to_string().contains("is not at position"), "{gap}");
}

#[tokio::test]
async fn postgresql_looks_at_a_few_rows_only() {
    let site = Site::postgres();
    written(&site).await;
    site.sql("ANALYZE events");
    let stream = account();
    let sql = newest_sql()
        .replace("$1", &format!("'{}'", stream.kind))
        .replace("$2", &format!("'{}'", stream.id))
        .replace("$3", "128");
    let plan = site.database().sql(&format!("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) {sql}"));
    let numbers = |before: &str| -> Vec<f64> {
        let parts = plan.split(before).skip(1);
        let number = |part: &str| {
            let end = part.find(|char: char| !char.is_ascii_digit() && char != '.').unwrap_or(part.len());
            part[..end].parse().unwrap()
        };
        parts.map(number).collect()
    };
    let rows = [numbers("actual rows="), numbers("Rows Removed by Filter: ")].concat();
    assert!(!rows.is_empty() && rows.iter().all(|rows| *rows <= 128.0), "{plan}");
    assert!(!plan.contains("Seq Scan") && !plan.contains("Sort"), "{plan}");
}
