//! Several processes on one PostgreSQL: one writes, all read, and somebody goes on when it is gone.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use proctor_domain::{Position, Recorded, UnreadableEvent};
use proctor_projections::{Kind, Table};
use proctor_test_postgres::{Cluster, Database};

use super::Home;
use super::history::History;
use crate::views::postgres::Schema;
use crate::views::{Health, JournalSource, Views, WAIT_MAX};

const SOON: Duration = Duration::from_secs(20);

#[derive(Clone, Default)]
struct Journal(Arc<Mutex<Vec<Arc<Recorded>>>>);

impl Journal {
    fn record(&self, events: &[Arc<Recorded>]) {
        self.0.lock().unwrap().extend_from_slice(events);
    }
}

impl JournalSource for Journal {
    type Error = UnreadableEvent;

    async fn read(&self, after: Position, limit: usize) -> Result<Vec<Arc<Recorded>>, UnreadableEvent> {
        let after = usize::try_from(after.0).unwrap();
        Ok(self.0.lock().unwrap().iter().skip(after).take(limit).cloned().collect())
    }

    async fn head(&self) -> Result<Position, UnreadableEvent> {
        Ok(Position(self.0.lock().unwrap().len() as u64))
    }
}

fn events(count: u16) -> Vec<Arc<Recorded>> {
    let choices: Vec<(u8, u16)> = (0..count).map(|n| ((n % 251) as u8, n.wrapping_mul(7_919))).collect();
    History::of(&choices).events
}

fn expected(events: &[Arc<Recorded>]) -> Vec<String> {
    let home = Home::sqlite();
    home.apply(events);
    home.dump()
}

fn sql(home: &Home, sql: &str) -> String {
    let Home::Postgres(database) = home else { unreachable!() };
    database.sql(sql)
}

/// Waits, also where the views stand still for a while.
async fn reach(views: &Views, position: usize) {
    let until = Instant::now() + SOON;
    while let Err(error) = views.wait_for(Position(position as u64), WAIT_MAX).await {
        assert!(Instant::now() < until, "{error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn is(views: &Views, health: impl Fn(&Health) -> bool) {
    let until = Instant::now() + SOON;
    while !health(&views.health()) {
        assert!(Instant::now() < until, "{:?}", views.health());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Who holds the lock.
const LEADERS: &str = "SELECT a.pid FROM pg_locks l JOIN pg_stat_activity a USING (pid)
     WHERE l.locktype = 'advisory' AND l.granted AND a.datname = current_database()";

#[tokio::test]
async fn one_writes_and_another_goes_on_when_it_stops_or_its_connection_is_killed() {
    let (home, journal) = (Home::postgres(), Journal::default());
    let all = events(3_000);
    let (begin, rest) = all.split_at(1_000);
    let (middle, end) = rest.split_at(1_000);

    let one = home.views(journal.clone());
    is(&one, |health| *health == Health::Following).await;
    let two = home.views(journal.clone());
    journal.record(begin);
    one.feed(begin);
    two.feed(begin);
    reach(&two, 1_000).await;
    assert_eq!(sql(&home, LEADERS).lines().count(), 1, "one writes");

    one.stop();
    journal.record(middle);
    two.feed(middle);
    reach(&two, 2_000).await;
    assert_eq!(sql(&home, LEADERS).lines().count(), 1, "the other one writes");

    let three = home.views(journal.clone());
    reach(&three, 2_000).await;
    let killed = sql(&home, LEADERS);
    sql(&home, &format!("SELECT pg_terminate_backend({killed})"));
    journal.record(end);
    for batch in end.chunks(50) {
        two.feed(batch);
        three.feed(batch);
    }
    reach(&two, 3_000).await;
    reach(&three, 3_000).await;
    let now = sql(&home, LEADERS);
    assert_eq!(now.lines().count(), 1);
    assert_ne!(now, killed);
    assert_eq!(home.dump(), expected(&all));
    two.stop();
    three.stop();
}

#[tokio::test]
async fn whoever_does_not_write_reads_what_it_wrote_itself() {
    let (home, journal) = (Home::postgres(), Journal::default());
    let writes = home.views(journal.clone());
    is(&writes, |health| *health == Health::Following).await;
    let reads = home.views(journal.clone());
    is(&reads, |health| *health == Health::Following).await;
    let mut history = History::default();
    for number in 0..10_u64 {
        let session = history.open("sub_1", "srv0", &[]);
        let event = history.events.last().unwrap().clone();
        journal.record(std::slice::from_ref(&event));
        // What one process records, the other one's journal delivers.
        writes.feed(&[Arc::clone(&event)]);
        reads.feed(&[event]);
        let began = Instant::now();
        reads.wait_for(Position(number + 1), WAIT_MAX).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        assert!(reads.session(format!("ses_{session}").into()).await.unwrap().is_some());
    }
    let error = reads.wait_for(Position(11), Duration::from_millis(60)).await.unwrap_err();
    assert_eq!((error.at, error.wanted), (Position(10), Position(11)));
    reads.stop();
    writes.stop();
}

#[tokio::test]
async fn a_database_that_goes_away_is_waited_for() {
    let cluster = Cluster::start(&[("fsync", "off")]);
    let home = Home::Postgres(Database::inside(&cluster));
    let (journal, all) = (Journal::default(), events(900));
    let views = home.views(journal.clone());
    journal.record(&all[..300]);
    reach(&views, 300).await;

    cluster.crash();
    journal.record(&all[300..600]);
    for batch in all[300..600].chunks(10) {
        views.feed(batch);
    }
    is(&views, |health| matches!(health, Health::Failing { .. })).await;
    assert!(views.wait_for(Position(600), WAIT_MAX).await.is_err());
    assert!(views.tool_calls(Default::default(), None, 5).await.is_err());

    cluster.start_again();
    let began = Instant::now();
    reach(&views, 600).await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(!views.tool_calls(Default::default(), None, 5).await.unwrap().is_empty());
    journal.record(&all[600..]);
    reach(&views, 900).await;
    assert_eq!(home.dump(), expected(&all));
    views.stop();
}

#[tokio::test]
async fn rows_are_written_where_the_pool_reads_them_also_after_it_has_moved() {
    let (before, after) = (Home::postgres(), Home::postgres());
    let (journal, all) = (Journal::default(), events(200));
    let pool = before.pool();
    journal.record(&all[..100]);
    let writes = Home::views_through(pool.clone(), journal.clone());
    reach(&writes, 100).await;
    let watches = Home::views_through(pool.clone(), journal.clone());
    reach(&watches, 100).await;

    // As after a failover: the old host still answers.
    pool.set_connect_options(after.options());
    journal.record(&all[100..]);
    writes.feed(&all[100..]);
    watches.feed(&all[100..]);
    reach(&writes, 200).await;
    reach(&watches, 200).await;
    assert_eq!(after.dump(), expected(&all));
    assert_eq!(before.dump(), expected(&all[..100]));
    writes.stop();
    watches.stop();
}

#[tokio::test]
async fn a_role_that_may_not_make_the_schema_is_told_so_and_goes_on_once_it_may() {
    let home = Home::postgres();
    let Home::Postgres(database) = &home else { unreachable!() };
    let role = format!("of_{}", database.name());
    database.sql(&format!("CREATE ROLE {role} LOGIN"));
    let journal = Journal::default();
    journal.record(&events(20));
    let pool = sqlx::PgPool::connect_lazy(&database.url_as(&role)).unwrap();
    let views = Home::views_through(pool, journal);
    is(&views, |health| {
        matches!(health, Health::Failing { because } if because.contains("needs CREATE on the database"))
    })
    .await;
    database.sql(&format!("GRANT CREATE ON DATABASE {} TO {role}", database.name()));
    reach(&views, 20).await;
    assert!(!views.tool_calls(Default::default(), None, 5).await.unwrap().is_empty());
    views.stop();
    database.sql(&format!("DROP OWNED BY {role} CASCADE; DROP ROLE {role}"));
}

#[tokio::test]
async fn stopping_does_not_wait_for_a_database_that_does_not_answer() {
    let cluster = Cluster::start(&[("fsync", "off")]);
    let home = Home::Postgres(Database::inside(&cluster));
    let (journal, all) = (Journal::default(), events(40));
    let views = home.views(journal.clone());
    is(&views, |health| *health == Health::Following).await;
    cluster.pause();
    views.feed(&all);
    let began = Instant::now();
    views.stop();
    let took = began.elapsed();
    cluster.resume();
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(views.health(), Health::Stopped);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_falls_silent_no_longer_writes() {
    let (home, journal) = (Home::postgres(), Journal::default());
    let all = events(40);
    journal.record(&all);
    let (took, taken) = std::sync::mpsc::channel();
    let (resume, resumed) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let (home, all) = (&home, &all);
        let silent = scope.spawn(move || {
            let mut writer = home.writer();
            took.send(()).unwrap();
            // As a process that is paused: its connection stands, and it says nothing.
            resumed.recv_timeout(SOON).unwrap();
            writer.apply(all).unwrap_err()
        });
        taken.recv().unwrap();
        let runtime = tokio::runtime::Handle::current();
        let views = home.views(journal);
        scope.spawn(move || {
            runtime.block_on(reach(&views, 40));
            views.stop();
            resume.send(()).unwrap();
        });
        silent.join().unwrap();
    });
    assert_eq!(home.dump(), expected(&all));
}

#[tokio::test]
async fn views_of_other_versions_are_left_alone_until_nobody_has_written_them_for_a_day() {
    let home = Home::postgres();
    for (schema, age) in [
        ("proctor_views_00000000000000aa", "2 days"),
        ("proctor_views_00000000000000bb", "2 hours"),
        ("proctor_views_00000000000000cc", "2 days"),
        ("proctor_views_of_mine", "2 days"),
    ] {
        sql(
            &home,
            &format!(
                "CREATE SCHEMA {schema}; CREATE TABLE {schema}.checkpoints (alive_at TIMESTAMPTZ);
                 INSERT INTO {schema}.checkpoints VALUES (now() - interval '{age}')"
            ),
        );
    }
    // Somebody writes this one, and has only not come to say so.
    let busy = home.pool();
    let mut busy = busy.acquire().await.unwrap();
    sqlx::query("SELECT pg_advisory_lock(x'cc'::bigint)").execute(&mut *busy).await.unwrap();
    let journal = Journal::default();
    journal.record(&events(20));
    let views = home.views(journal);
    reach(&views, 20).await;
    let schemas = "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'proctor%' ORDER BY 1";
    let until = Instant::now() + SOON;
    while sql(&home, schemas).contains("00aa") && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut left = vec!["proctor_views_00000000000000bb", "proctor_views_00000000000000cc"];
    let own = Schema::own().name;
    left.extend([own.as_str(), "proctor_views_of_mine"]);
    left.sort_unstable();
    assert_eq!(sql(&home, schemas).lines().collect::<Vec<_>>(), left);
    views.stop();
}

#[test]
fn the_tables_in_the_schema_are_those_that_the_projections_fill() {
    let home = Home::postgres();
    drop(home.writer());
    let schema = Schema::own().name;
    for table in Table::ALL {
        let name = table.name();
        let columns = sql(
            &home,
            &format!(
                "SELECT column_name, data_type FROM information_schema.columns
                 WHERE table_schema = '{schema}' AND table_name = '{name}' ORDER BY ordinal_position"
            ),
        );
        let expected: Vec<String> = table
            .columns()
            .iter()
            .zip(table.kinds())
            .map(|(column, kind)| match kind {
                Kind::Text => format!("{column}|text"),
                Kind::Integer => format!("{column}|bigint"),
            })
            .collect();
        assert_eq!(columns.lines().collect::<Vec<_>>(), expected, "{name}");
        let key = sql(
            &home,
            &format!(
                "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'p' AND conrelid = '{schema}.{name}'::regclass"
            ),
        );
        assert_eq!(key.replace('"', ""), format!("PRIMARY KEY ({})", table.key().join(", ")), "{name}");
    }
    let count = format!("SELECT COUNT(*) FROM pg_tables WHERE schemaname = '{schema}'");
    assert_eq!(sql(&home, &count), (Table::ALL.len() + 1).to_string(), "and the checkpoint");
}
