//! Where the views of one test stand: a file or a database of its own, gone at the end.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use proctor_domain::Recorded;
use proctor_projections::Table;
use proctor_test_postgres::Database;
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;

use crate::views::postgres::Schema;
use crate::views::projector::Part;
use crate::views::write::Writer;
use crate::views::{JournalSource, Views, ViewsPlace, postgres, sqlite};

/// How long a writer may hold its lock after it has ended.
const LOCK_WAIT: Duration = Duration::from_secs(10);

pub(super) enum Home {
    Sqlite(Folder),
    Postgres(Database),
}

impl Home {
    pub(super) fn sqlite() -> Self {
        Self::Sqlite(Folder::new())
    }

    pub(super) fn postgres() -> Self {
        Self::Postgres(Database::new())
    }

    pub(super) fn views(&self, source: impl JournalSource) -> Views {
        let place = match self {
            Self::Sqlite(folder) => ViewsPlace::Sqlite(folder.file()),
            Self::Postgres(_) => return Self::views_through(self.pool(), source),
        };
        Views::open(place, source, tokio::runtime::Handle::current()).unwrap()
    }

    pub(super) fn views_through(pool: PgPool, source: impl JournalSource) -> Views {
        let runtime = tokio::runtime::Handle::current();
        Views::open(ViewsPlace::Postgres(pool), source, runtime).unwrap()
    }

    pub(super) fn options(&self) -> PgConnectOptions {
        let Self::Postgres(database) = self else { panic!("SQLite is not connected to") };
        database.url().parse().unwrap()
    }

    pub(super) fn pool(&self) -> PgPool {
        PgPool::connect_lazy_with(self.options())
    }

    fn dial(&self) -> postgres::Dial {
        let options = Arc::new(self.options());
        postgres::Dial::new(move || Arc::clone(&options), tokio::sync::watch::channel(false).1)
    }

    /// One that writes, once nobody else does. Not for where futures run.
    pub(super) fn writer(&self) -> Writer {
        let Self::Sqlite(folder) = self else { return self.leader() };
        sqlite::open(&folder.file()).unwrap()
    }

    fn leader(&self) -> Writer {
        let until = Instant::now() + LOCK_WAIT;
        loop {
            if let Part::Writes(writer) = postgres::open(&self.dial()).unwrap() {
                return writer;
            }
            assert!(Instant::now() < until, "somebody else writes");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// One more that writes, though somebody else does.
    pub(super) fn usurper(&self) -> Writer {
        match self {
            Self::Sqlite(folder) => sqlite::open(&folder.file()).unwrap(),
            Self::Postgres(_) => postgres::usurp(&self.dial()).unwrap(),
        }
    }

    /// Takes in events at once, on a thread of its own.
    pub(super) fn apply(&self, events: &[Arc<Recorded>]) {
        std::thread::scope(|scope| {
            scope.spawn(|| self.writer().apply(events).unwrap()).join().unwrap();
        });
    }

    /// The rows of a question, their columns between bars.
    pub(super) fn rows(&self, sql: &str) -> Vec<String> {
        match self {
            Self::Sqlite(folder) => {
                let connection = rusqlite::Connection::open(folder.file()).unwrap();
                let mut statement = connection.prepare(sql).unwrap();
                let columns = statement.column_count();
                let rows = statement.query_map((), |row| {
                    let texts: Vec<String> = (0..columns).map(|i| row.get(i)).collect::<Result<_, _>>()?;
                    Ok(texts.join("|"))
                });
                rows.unwrap().collect::<Result<_, _>>().unwrap()
            }
            Self::Postgres(database) => {
                let schema = Schema::own().name;
                let text = database.sql(&format!("SET search_path TO {schema}; {sql}"));
                text.lines().map(str::to_owned).collect()
            }
        }
    }

    /// Every row of every table, in the order of the keys. The same rows are the same texts, whichever
    /// database they stand in.
    pub(super) fn dump(&self) -> Vec<String> {
        let all = Table::ALL.iter().flat_map(|table| {
            let columns = table.columns().iter();
            let columns: Vec<String> =
                columns.map(|column| format!("COALESCE(CAST({column} AS TEXT), 'nothing')")).collect();
            let key = table.key().join(", ");
            let sql = format!("SELECT {} FROM {} ORDER BY {key}", columns.join(", "), table.name());
            self.rows(&sql).into_iter().map(|row| format!("{}: {row}", table.name()))
        });
        all.collect()
    }
}

/// Deleted at the end.
pub(super) struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("proctor-views-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(super) fn file(&self) -> PathBuf {
        self.0.join("views.db")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
