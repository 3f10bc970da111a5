//! A folder of a test's own, with the journal in it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use proctor_domain::{Position, Recorded};

use super::{Faulty, Script};
use crate::journal::{Journal, JournalConfig, Reader, sqlite};

/// Long enough for every test.
const LEASE_MS: u64 = 30_000;

/// Removed with everything in it at the end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("proctor-test-{}-{next}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn journal_file(&self) -> PathBuf {
        self.0.join("journal.db")
    }

    pub(crate) fn config(&self, replica: &str) -> JournalConfig {
        JournalConfig { replica: replica.into(), lease_ms: LEASE_MS, data_dir: None }
    }

    /// A process of this name on the journal.
    pub(crate) async fn open(&self, replica: &str) -> Journal {
        self.open_with(self.config(replica)).await
    }

    pub(crate) async fn open_with(&self, config: JournalConfig) -> Journal {
        let (store, reader) = sqlite::open(&self.journal_file()).unwrap();
        Journal::open(store, reader, config).await.unwrap()
    }

    /// A process whose store fails as the script says.
    pub(crate) async fn open_faulty(&self, replica: &str) -> (Journal, Arc<Script>) {
        let (store, reader) = sqlite::open(&self.journal_file()).unwrap();
        let script = Arc::new(Script::default());
        let faulty = Faulty { store, script: Arc::clone(&script) };
        (Journal::open(faulty, reader, self.config(replica)).await.unwrap(), script)
    }

    pub(crate) async fn reader(&self) -> Arc<dyn Reader> {
        sqlite::open(&self.journal_file()).unwrap().1
    }

    /// Everything in the journal.
    pub(crate) async fn history(&self) -> Vec<Arc<Recorded>> {
        self.reader().await.read(Position(0), usize::MAX).await.unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left behind is in the folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
