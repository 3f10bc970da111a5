//! The thread: fed, not fed, fed with gaps, and reading what it cannot read.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proctor_domain::{Position, Recorded, UnreadableEvent};

use super::history::History;
use super::{Home, on_both_stores};
use crate::views::{Health, JournalSource, Views};

on_both_stores!(
    what_is_handed_over_is_taken_in_without_reading_the_journal,
    a_gap_and_a_full_channel_are_made_good_from_the_journal_though_nobody_waits,
    a_reader_that_waits_is_served_from_the_journal_when_nothing_was_handed_over,
    an_unknown_event_stops_the_views_and_says_so_until_it_can_be_read,
    stopping_writes_what_was_handed_over_and_the_next_start_goes_on_from_there,
    views_of_an_undone_past_are_made_anew,
    two_processes_take_in_every_event_once,
    stopping_does_not_wait_for_a_journal_that_does_not_answer,
);

const SOON: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Journal {
    events: Mutex<Vec<Arc<Recorded>>>,
    reads: AtomicUsize,
    unreadable: AtomicBool,
}

#[derive(Clone)]
struct Source(Arc<Journal>);

impl JournalSource for Source {
    type Error = UnreadableEvent;

    async fn read(&self, after: Position, limit: usize) -> Result<Vec<Arc<Recorded>>, UnreadableEvent> {
        self.0.reads.fetch_add(1, Ordering::SeqCst);
        if self.0.unreadable.load(Ordering::SeqCst) {
            return Err(UnreadableEvent::Kind("hologram".into()));
        }
        let after = usize::try_from(after.0).unwrap();
        Ok(self.0.events.lock().unwrap().iter().skip(after).take(limit).cloned().collect())
    }

    async fn head(&self) -> Result<Position, UnreadableEvent> {
        Ok(Position(self.0.events.lock().unwrap().len() as u64))
    }
}

fn events(count: u16) -> Vec<Arc<Recorded>> {
    let choices: Vec<(u8, u16)> = (0..count).map(|n| ((n % 251) as u8, n.wrapping_mul(7_919))).collect();
    History::of(&choices).events
}

/// The rows of these events, taken in at once by SQLite.
fn expected(events: &[Arc<Recorded>]) -> Vec<String> {
    let home = Home::sqlite();
    home.apply(events);
    home.dump()
}

fn open(home: &Home, journal: &Arc<Journal>) -> Views {
    home.views(Source(Arc::clone(journal)))
}

async fn reach(views: &Views, position: u64) {
    let reached = async {
        while views.position() < Position(position) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(SOON, reached).await.unwrap();
}

fn feed(views: &Views, events: &[Arc<Recorded>]) {
    for batch in events.chunks(17) {
        views.feed(batch);
    }
}

async fn what_is_handed_over_is_taken_in_without_reading_the_journal(home: &Home) {
    let journal = Arc::new(Journal::default());
    let events = events(900);
    let views = open(home, &journal);
    while views.health() != Health::Following {
        tokio::task::yield_now().await;
    }
    let reads = journal.reads.load(Ordering::SeqCst);
    feed(&views, &events);
    views.wait_for(Position(events.len() as u64), SOON).await.unwrap();
    assert_eq!(journal.reads.load(Ordering::SeqCst), reads);
    assert_eq!(home.dump(), expected(&events));
    views.stop();
}

async fn a_gap_and_a_full_channel_are_made_good_from_the_journal_though_nobody_waits(home: &Home) {
    let journal = Arc::new(Journal::default());
    let events = events(6_000);
    *journal.events.lock().unwrap() = events[..1_000].to_vec();
    let views = open(home, &journal);
    views.wait_for(Position(1_000), SOON).await.unwrap();
    *journal.events.lock().unwrap() = events[..1_600].to_vec();
    feed(&views, &events[1_500..1_600]);
    reach(&views, 1_600).await;
    *journal.events.lock().unwrap() = events.clone();
    feed(&views, &events[1_600..]);
    reach(&views, 6_000).await;
    assert_eq!(home.dump(), expected(&events));
    views.stop();
}

async fn a_reader_that_waits_is_served_from_the_journal_when_nothing_was_handed_over(home: &Home) {
    let journal = Arc::new(Journal::default());
    let views = open(home, &journal);
    let events = events(50);
    *journal.events.lock().unwrap() = events.clone();
    views.wait_for(Position(50), SOON).await.unwrap();
    assert_eq!(views.position(), Position(50));

    let error = views.wait_for(Position(51), Duration::from_millis(30)).await.unwrap_err();
    assert_eq!((error.at, error.wanted), (Position(50), Position(51)));
    views.stop();
}

async fn an_unknown_event_stops_the_views_and_says_so_until_it_can_be_read(home: &Home) {
    let journal = Arc::new(Journal::default());
    let events = events(20);
    *journal.events.lock().unwrap() = events.clone();
    journal.unreadable.store(true, Ordering::SeqCst);
    let views = open(home, &journal);
    let error = views.wait_for(Position(20), SOON).await.unwrap_err();
    assert_eq!(error.at, Position(0));
    assert!(error.to_string().contains("hologram"), "{error}");
    assert!(matches!(views.health(), Health::Failing { because } if because.contains("hologram")));
    assert!(home.dump().is_empty());

    journal.unreadable.store(false, Ordering::SeqCst);
    while views.position() < Position(20) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(home.dump(), expected(&events));
    views.stop();
}

async fn stopping_writes_what_was_handed_over_and_the_next_start_goes_on_from_there(home: &Home) {
    let journal = Arc::new(Journal::default());
    let events = events(300);
    let views = open(home, &journal);
    while views.health() != Health::Following {
        tokio::task::yield_now().await;
    }
    feed(&views, &events[..200]);
    views.stop();
    assert_eq!(home.dump(), expected(&events[..200]));

    *journal.events.lock().unwrap() = events.clone();
    let views = open(home, &journal);
    reach(&views, 200).await;
    views.wait_for(Position(300), SOON).await.unwrap();
    assert_eq!(home.dump(), expected(&events));
    views.stop();
}

async fn views_of_an_undone_past_are_made_anew(home: &Home) {
    let journal = Arc::new(Journal::default());
    let (mut undone, now) = (events(300), events(120));
    // A backup was restored: the same positions, other events.
    for event in &mut undone {
        let other = Recorded { event_id: format!("{}_undone", event.event_id).into(), ..(**event).clone() };
        *event = Arc::new(other);
    }
    home.apply(&undone);
    *journal.events.lock().unwrap() = now.clone();
    let views = open(home, &journal);
    while views.position() != Position(120) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(home.dump(), expected(&now));
    views.stop();
}

async fn two_processes_take_in_every_event_once(home: &Home) {
    let journal = Arc::new(Journal::default());
    let events = events(3_000);
    let (one, two) = (open(home, &journal), open(home, &journal));
    for (index, batch) in events.chunks(40).enumerate() {
        journal.events.lock().unwrap().extend_from_slice(batch);
        one.feed(batch);
        two.feed(batch);
        if index % 9 == 0 {
            let head = batch.last().unwrap().place.position;
            let (first, second) = tokio::join!(one.wait_for(head, SOON), two.wait_for(head, SOON));
            assert_eq!((first, second), (Ok(()), Ok(())));
        }
    }
    let head = Position(events.len() as u64);
    one.wait_for(head, SOON).await.unwrap();
    two.wait_for(head, SOON).await.unwrap();
    assert_eq!(home.dump(), expected(&events));
    one.stop();
    two.stop();
}

struct Stuck;

impl JournalSource for Stuck {
    type Error = UnreadableEvent;

    async fn read(&self, _: Position, _: usize) -> Result<Vec<Arc<Recorded>>, UnreadableEvent> {
        std::future::pending().await
    }

    async fn head(&self) -> Result<Position, UnreadableEvent> {
        Ok(Position(9))
    }
}

async fn stopping_does_not_wait_for_a_journal_that_does_not_answer(home: &Home) {
    let views = home.views(Stuck);
    let error = views.wait_for(Position(9), Duration::from_millis(20)).await.unwrap_err();
    assert!(error.to_string().contains("catching up"), "{error}");
    // The one thread of this runtime waits here, and can run nothing that the views wait for.
    views.stop();
}

/// Views in a file that only SQLite's rules hold for.
fn file() -> (Home, rusqlite::Connection) {
    let home = Home::sqlite();
    home.apply(&[]);
    let Home::Sqlite(folder) = &home else { unreachable!() };
    let connection = rusqlite::Connection::open(folder.file()).unwrap();
    (home, connection)
}

#[tokio::test]
async fn a_file_of_another_shape_is_made_anew() {
    let (home, connection) = file();
    let journal = Arc::new(Journal::default());
    let now = events(120);
    home.apply(&now);
    *journal.events.lock().unwrap() = now.clone();
    connection
        .execute_batch(
            "UPDATE checkpoints SET shape = 'older'; DROP TABLE usage; CREATE TABLE usage (x);
             CREATE TABLE forgotten (x); DELETE FROM tool_calls;",
        )
        .unwrap();
    let views = open(&home, &journal);
    views.wait_for(Position(120), SOON).await.unwrap();
    assert_eq!(home.dump(), expected(&now));
    let left: u32 = connection
        .query_row("SELECT COUNT(*) FROM sqlite_schema WHERE name = 'forgotten'", (), |row| row.get(0))
        .unwrap();
    assert_eq!(left, 0);
    views.stop();
}

#[tokio::test]
async fn another_version_that_takes_over_the_file_is_not_fought() {
    let (home, connection) = file();
    let journal = Arc::new(Journal::default());
    let events = events(40);
    let views = open(&home, &journal);
    while views.health() != Health::Following {
        tokio::task::yield_now().await;
    }
    connection.execute_batch("UPDATE checkpoints SET shape = 'newer'").unwrap();
    feed(&views, &events);
    let error = views.wait_for(Position(40), SOON).await.unwrap_err();
    assert!(error.to_string().contains("another version"), "{error}");
    assert!(home.dump().is_empty());
    let shape: String = connection.query_row("SELECT shape FROM checkpoints", (), |row| row.get(0)).unwrap();
    assert_eq!(shape, "newer");
    views.stop();
}
