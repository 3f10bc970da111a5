//! What a copy promises, between all stores.

mod altering;
mod moving;
mod repeating;

use sha2::{Digest as _, Sha256};

use super::*;
use crate::journal::tests::{Site, note};
use crate::journal::{postgres, sqlite};
use altering::Altering;

async fn source(site: &Site) -> Box<dyn End> {
    match site.is_file() {
        true => sqlite::source(&site.journal_file()).unwrap(),
        false => postgres::source(&site.postgres_config()).await.unwrap(),
    }
}

async fn destination(site: &Site) -> Box<dyn End> {
    match site.is_file() {
        true => sqlite::destination(&site.journal_file()).unwrap(),
        false => postgres::destination(&site.postgres_config()).await.unwrap(),
    }
}

/// A copy, where it is not asked what becomes of the source.
async fn copy_between(from: &Site, to: &Site) -> Result<Copied, CopyError> {
    through(&mut *source(from).await, &mut *destination(to).await).await
}

async fn through(source: &mut dyn End, destination: &mut dyn End) -> Result<Copied, CopyError> {
    match copy(source, destination, Then::LeaveOpen, &mut |_| ()).await?.outcome {
        Outcome::Copied(copied) => Ok(copied),
        other => panic!("nothing was copied: {other:?}"),
    }
}

/// A row with something in every column.
fn row(table: &Table, number: i64) -> Cells {
    let cell = |(name, kind): &(&str, Kind)| match kind {
        Kind::Integer => Cell::Integer(number),
        Kind::Text | Kind::Json => Cell::Text(format!("{name} ü {number}")),
        Kind::Bytes => Cell::Bytes(vec![0, 255, u8::try_from(number).unwrap()]),
    };
    table.columns.iter().map(cell).collect()
}

/// A site with rows in every table: events of two streams, every second with something sealed.
async fn furnished(site: Site) -> Site {
    let journal = site.open("rep_1").await;
    for number in 0..6_u8 {
        let mut note = note(["s", "t"][usize::from(number % 2)], u64::from(number / 2), u64::from(number));
        if number % 2 == 0 {
            let sealed = vec![number; 20];
            let metadata = format!(r#"{{ "sealed":  "{}" }}"#, hex::encode(Sha256::digest(&sealed)));
            note.proposals[0].metadata = metadata.into();
            note.proposals[0].sealed = Some(sealed.into());
        }
        note.append(&journal).await.committed();
    }
    journal.stop().await;
    let mut end = destination(&site).await;
    end.begin().await.unwrap();
    for table in &table::OTHERS {
        let numbers = if table.name == "leases" { 0..=0 } else { 1..=3 };
        let rows: Vec<_> = numbers.map(|number| row(table, number)).collect();
        end.insert(table, &rows).await.unwrap();
    }
    end.commit().await.unwrap();
    end.rollback().await;
    site
}

async fn rows(site: &Site) -> u64 {
    rows_of(&mut *destination(site).await).await.unwrap()
}

#[tokio::test]
async fn a_journal_goes_from_every_store_to_every_other_and_back_unchanged() {
    let first = furnished(Site::sqlite()).await;
    let (second, third, fourth) = (Site::postgres(), Site::postgres(), Site::sqlite());
    let copied = copy_between(&first, &second).await.unwrap();
    assert_eq!((copied.head, copied.sealed), (Position(6), 3));
    let counts: Vec<_> = copied.tables.iter().map(|table| table.rows).collect();
    assert_eq!(counts, [6, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 2]);
    assert_eq!(copy_between(&second, &third).await.unwrap(), copied);
    assert_eq!(copy_between(&third, &fourth).await.unwrap(), copied);
    let fifth = fourth.another();
    assert_eq!(copy_between(&fourth, &fifth).await.unwrap(), copied);
    let whole = first.history().await;
    for site in [second, fifth] {
        assert_eq!(site.history().await, whole);
        // The streams are whole: they go on where they ended.
        let journal = site.open("rep_2").await;
        note("s", 3, 9).append(&journal).await.committed();
        let sequences: Vec<_> =
            journal.reader().stream(&crate::journal::tests::stream("s"), 0).await.unwrap();
        assert_eq!(sequences.iter().map(|event| event.sequence).collect::<Vec<_>>(), [1, 2, 3, 4]);
    }
}

#[tokio::test]
async fn a_byte_that_changes_on_the_way_is_found_whichever_it_is_and_nothing_is_left() {
    let from = furnished(Site::sqlite()).await;
    for to in [Site::sqlite(), Site::postgres()] {
        for table in tables() {
            for column in (0..table.columns.len()).map(Some).chain([None]) {
                let end = destination(&to).await;
                let mut altering = Altering::cell(end, table.name, column);
                let copied = through(&mut *source(&from).await, &mut altering).await;
                let error = copied.map(drop).unwrap_err();
                let what = format!("{}/{column:?}: {error}", table.name);
                // A sequence that is none, SQLite refuses at once.
                assert!(matches!(error, CopyError::Differs(_) | CopyError::Destination(_)), "{what}");
                assert_eq!(rows(&to).await, 0, "{what}");
            }
        }
        copy_between(&from, &to).await.expect("what was given up is in nobody's way");
    }
}

#[tokio::test]
async fn an_event_that_differs_is_named_by_its_position() {
    let (from, to) = (furnished(Site::sqlite()).await, Site::postgres());
    let mut altering = Altering::cell(destination(&to).await, "events", Some(9));
    let error = through(&mut *source(&from).await, &mut altering).await.map(drop).unwrap_err();
    assert!(error.to_string().contains("event at position 6 has another leaf hash"), "{error}");
    assert!(error.to_string().contains("left empty"), "{error}");
}

#[tokio::test]
async fn sealed_bytes_that_are_not_those_of_the_metadata_are_not_passed_on() {
    for (sql, found) in [
        ("UPDATE payloads SET sealed = 'ab' WHERE position = 3", "event at position 3"),
        (
            "INSERT INTO payloads (position, sealed) VALUES (99, 'ab')",
            "99 of payloads stands beside no event",
        ),
        ("INSERT INTO payloads (position, sealed) VALUES (2, 'ab')", "event at position 2"),
    ] {
        let (from, to) = (furnished(Site::postgres()).await, Site::sqlite());
        from.sql(sql);
        let error = copy_between(&from, &to).await.map(drop).unwrap_err().to_string();
        assert!(error.contains("the source is damaged") && error.contains(found), "{error}");
        assert_eq!(rows(&to).await, 0);
    }
}

#[tokio::test]
async fn what_retention_has_deleted_is_not_missed() {
    let (from, to) = (furnished(Site::postgres()).await, Site::sqlite());
    from.sql("DELETE FROM payloads WHERE position = 3");
    assert_eq!(copy_between(&from, &to).await.unwrap().sealed, 2);
}

#[tokio::test]
async fn a_gap_in_the_source_is_found() {
    for missing in ["position = 1", "position = 4", "position = 5"] {
        let (from, to) = (furnished(Site::postgres()).await, Site::postgres());
        from.sql(&format!("ALTER TABLE events DISABLE TRIGGER ALL; DELETE FROM events WHERE {missing}"));
        let error = copy_between(&from, &to).await.map(drop).unwrap_err().to_string();
        assert!(error.contains("the source is damaged: after position"), "{missing}: {error}");
        assert_eq!(rows(&to).await, 0);
    }
}

#[tokio::test]
async fn an_empty_source_is_no_installation() {
    let (from, to) = (Site::sqlite(), Site::sqlite());
    drop(destination(&from).await);
    assert!(matches!(copy_between(&from, &to).await, Err(CopyError::NothingThere)));
    let Err(error) = sqlite::source(&from.path().join("nothing.db")) else { panic!("it was opened") };
    assert!(error.to_string().contains("there is no file"), "{error}");
}

#[tokio::test]
async fn nobody_appends_while_it_is_copied() {
    let from = furnished(Site::sqlite()).await;
    let to = Site::sqlite();
    let (mut one, mut other) = (source(&from).await, destination(&to).await);
    let mut refused = 0;
    let path = from.journal_file();
    let mut watch = |_| {
        let late = rusqlite::Connection::open(&path).unwrap();
        late.busy_timeout(std::time::Duration::ZERO).unwrap();
        refused += usize::from(late.execute_batch("BEGIN IMMEDIATE").is_err());
    };
    copy(&mut *one, &mut *other, Then::LeaveOpen, &mut watch).await.unwrap();
    assert!(refused > 10, "{refused}");
}

#[tokio::test]
async fn long_rows_come_a_few_at_a_time_and_all_of_them() {
    let (site, other) = (furnished(Site::sqlite()).await, Site::postgres());
    let (mut first, mut second) = (destination(&site).await, destination(&other).await);
    for end in [&mut first, &mut second] {
        end.begin().await.unwrap();
        let rows: Vec<_> =
            (100..112).map(|at| vec![Cell::Integer(at), Cell::Bytes(vec![7; 3 * 1024 * 1024])]).collect();
        end.insert(&PAYLOADS, &rows).await.unwrap();
        let mut after = vec![Cell::Integer(99)];
        let mut pages = Vec::new();
        loop {
            let page = end.rows(&PAYLOADS, Some(&after)).await.unwrap();
            let Some(last) = page.last() else { break };
            after = last[..1].to_vec();
            pages.push(page.len());
        }
        assert_eq!(pages, [3, 3, 3, 3]);
        end.rollback().await;
    }
}

#[tokio::test]
async fn a_member_of_the_writers_may_copy_in_both_directions() {
    let (from, to, back) = (furnished(Site::sqlite()).await, Site::postgres(), Site::sqlite());
    let role = format!("copies_{}", to.database().name());
    drop(destination(&to).await);
    to.sql(&format!("CREATE ROLE {role} LOGIN; GRANT proctor_writer TO {role}"));
    let config = postgres::PostgresConfig::new(to.database().url_as(&role));
    let mut there = postgres::destination(&config).await.unwrap();
    let copied = through(&mut *source(&from).await, &mut *there).await.unwrap();
    let mut there = postgres::source(&config).await.unwrap();
    let moved =
        copy(&mut *there, &mut *destination(&back).await, Then::MarkMoved, &mut |_| ()).await.unwrap();
    assert_eq!(moved.outcome, Outcome::Copied(copied));
    let mut there = postgres::source(&config).await.unwrap();
    assert_eq!(reopen(&mut *there).await.unwrap(), moved.moved, "and take a move back");
    to.sql(&format!("DROP ROLE {role}"));
}
