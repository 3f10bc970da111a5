//! Where a test's journal is: in a SQLite file or in a PostgreSQL database, of its own either way.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use proctor_domain::{Position, Recorded};
use proctor_test_postgres::Database;

use super::{Faulty, Script};
use crate::journal::postgres::{self, PostgresConfig};
use crate::journal::{Deliveries, Journal, JournalConfig, Reader, Rows, Store, sqlite};

/// Long enough for every test.
const LEASE_MS: u64 = 30_000;

/// Makes of each test one on every store: `sqlite::…` and `postgres::…`.
macro_rules! on_both_stores {
    (@ async $store:ident: $($test:ident)*) => {
        mod $store {
            $(#[tokio::test]
            async fn $test() {
                super::$test($crate::journal::tests::Site::$store()).await;
            })*
        }
    };
    (@ $store:ident: $($test:ident)*) => {
        mod $store {
            $(#[test]
            fn $test() {
                super::$test($crate::journal::tests::Site::$store());
            })*
        }
    };
    (async: $($test:ident),* $(,)?) => {
        $crate::journal::tests::on_both_stores!(@ async sqlite: $($test)*);
        $crate::journal::tests::on_both_stores!(@ async postgres: $($test)*);
    };
    ($($test:ident),* $(,)?) => {
        $crate::journal::tests::on_both_stores!(@ sqlite: $($test)*);
        $crate::journal::tests::on_both_stores!(@ postgres: $($test)*);
    };
}
pub(crate) use on_both_stores;

/// Removed with everything in it at the end.
pub(crate) struct Site {
    folder: PathBuf,
    /// `None` when the journal is a file in the folder.
    database: Option<Database>,
}

impl Site {
    pub(crate) fn sqlite() -> Self {
        Self::new(None)
    }

    pub(crate) fn postgres() -> Self {
        Self::new(Some(Database::new()))
    }

    pub(crate) fn new(database: Option<Database>) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("proctor-test-{}-{next}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self { folder, database }
    }

    /// Another of the same kind, with nothing in it.
    pub(crate) fn another(&self) -> Self {
        Self::new(self.database.as_ref().map(|_| Database::new()))
    }

    /// A folder for whatever is not in the journal.
    pub(crate) fn path(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn is_file(&self) -> bool {
        self.database.is_none()
    }

    pub(crate) fn journal_file(&self) -> PathBuf {
        assert!(self.database.is_none(), "this journal is no file");
        self.folder.join("journal.db")
    }

    pub(crate) fn database(&self) -> &Database {
        self.database.as_ref().unwrap()
    }

    pub(crate) fn postgres_config(&self) -> PostgresConfig {
        PostgresConfig::new(self.database().url())
    }

    /// Executes SQL past the journal, as somebody does who may.
    pub(crate) fn sql(&self, sql: &str) {
        match &self.database {
            Some(database) => drop(database.sql(sql)),
            None => rusqlite::Connection::open(self.journal_file()).unwrap().execute_batch(sql).unwrap(),
        }
    }

    pub(crate) fn config(&self, replica: &str) -> JournalConfig {
        JournalConfig {
            replica: replica.into(),
            lease_ms: LEASE_MS,
            data_dir: None,
            master_keys: String::new(),
        }
    }

    /// A process of this name on the journal.
    pub(crate) async fn open(&self, replica: &str) -> Journal {
        self.open_with(self.config(replica)).await
    }

    pub(crate) async fn open_with(&self, config: JournalConfig) -> Journal {
        self.open_reading(config, |reader| reader).await
    }

    /// A process that reads through something.
    pub(crate) async fn open_reading(
        &self,
        config: JournalConfig,
        through: impl FnOnce(Arc<dyn Reader>) -> Arc<dyn Reader>,
    ) -> Journal {
        if self.database.is_some() {
            let (store, reader) = postgres::open(&self.postgres_config()).await.unwrap();
            Journal::open(store, through(reader), config).await.unwrap()
        } else {
            let (store, reader) = sqlite::open(&self.journal_file()).unwrap();
            Journal::open(store, through(reader), config).await.unwrap()
        }
    }

    /// A process whose store fails as the script says.
    pub(crate) async fn open_faulty(&self, replica: &str) -> (Journal, Arc<Script>) {
        if self.database.is_some() {
            let (store, reader) = postgres::open(&self.postgres_config()).await.unwrap();
            self.open_script(replica, store, reader).await
        } else {
            let (store, reader) = sqlite::open(&self.journal_file()).unwrap();
            self.open_script(replica, store, reader).await
        }
    }

    async fn open_script<S: Store>(
        &self,
        replica: &str,
        store: S,
        reader: Arc<dyn Reader>,
    ) -> (Journal, Arc<Script>) {
        let script = Arc::new(Script::default());
        let faulty = Faulty { store, script: Arc::clone(&script) };
        (Journal::open(faulty, reader, self.config(replica)).await.unwrap(), script)
    }

    pub(crate) async fn reader(&self) -> Arc<dyn Reader> {
        if self.database.is_some() {
            postgres::open(&self.postgres_config()).await.unwrap().1
        } else {
            sqlite::open(&self.journal_file()).unwrap().1
        }
    }

    /// The tables of the outbox.
    pub(crate) async fn deliveries(&self) -> Deliveries {
        Deliveries::new(self.rows().await)
    }

    /// Tables beside the journal.
    pub(crate) async fn rows(&self) -> Arc<dyn Rows> {
        if self.database.is_some() {
            postgres::open(&self.postgres_config()).await.unwrap().1
        } else {
            let (_, reader) = sqlite::open(&self.journal_file()).unwrap();
            sqlite::rows(&self.journal_file(), &reader).unwrap()
        }
    }

    /// Everything in the journal.
    pub(crate) async fn history(&self) -> Vec<Arc<Recorded>> {
        self.reader().await.read(Position(0), usize::MAX).await.unwrap()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // What is left behind is in the folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
