//! Folds the write-ahead log into the journal's file beside the writer, so that no commit waits for it.
//!
//! A thread copies what stands in the log while the writer goes on; the writer copies the little that
//! was written meanwhile, and then the log begins anew.
//!
//! **Invariants.** One thread of this process folds at a time. Nothing depends on folding but the log's
//! length: a fold that fails is tried again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use rusqlite::{Connection, OpenFlags};

use super::{connect, database};
use crate::journal::store::StoreError;

/// Pages in the log from which on it is folded: about 64 MB. The longer it is, the more of the pages
/// that are written again and again are copied only once.
const FOLD_FROM_PAGES: i64 = 16_000;
/// Commits between two looks at the log's length.
const LOOK_EVERY_COMMITS: u32 = 64;

/// Nothing is to be done.
const RESTING: u8 = 0;
/// A thread copies.
const COPYING: u8 = 1;
/// It has copied; the writer takes care of the rest.
const COPIED: u8 = 2;

/// See the module.
#[derive(Default)]
pub(super) struct Fold {
    state: Arc<AtomicU8>,
    commits: u32,
}

impl Fold {
    /// To be called after each commit, on the writer's thread.
    pub(super) fn committed(&mut self, connection: &Connection, path: &Path) {
        match self.state.load(Ordering::Acquire) {
            COPIED => {
                self.state.store(RESTING, Ordering::Release);
                if let Err(error) = checkpoint(connection, "PASSIVE") {
                    tracing::warn!(%error, "the write-ahead log stays as it is; it is folded later");
                }
            }
            COPYING => {}
            _ => {
                self.commits = (self.commits + 1) % LOOK_EVERY_COMMITS;
                // An error here would be the next transaction's, too.
                let is_long = || checkpoint(connection, "NOOP").is_ok_and(|pages| pages >= FOLD_FROM_PAGES);
                if self.commits == 0 && is_long() {
                    self.begin(path.to_owned());
                }
            }
        }
    }

    fn begin(&self, path: PathBuf) {
        self.state.store(COPYING, Ordering::Release);
        let state = Arc::clone(&self.state);
        let copy = move || {
            let copied = connect(&path, OpenFlags::empty())
                .and_then(|(connection, _)| checkpoint(&connection, "PASSIVE"));
            if let Err(error) = &copied {
                tracing::warn!(%error, "failed to fold the write-ahead log into the journal; it is tried again");
            }
            state.store(if copied.is_ok() { COPIED } else { RESTING }, Ordering::Release);
        };
        if std::thread::Builder::new().name("fold".into()).spawn(copy).is_err() {
            self.state.store(RESTING, Ordering::Release);
        }
    }
}

/// Copies as much of the log as can be without waiting for anybody, or nothing; answers how many
/// pages the log has.
fn checkpoint(connection: &Connection, how: &str) -> Result<i64, StoreError> {
    connection
        .query_row(&format!("PRAGMA wal_checkpoint({how})"), (), |row| row.get(1))
        .map_err(|error| database("fold the write-ahead log into the journal", error))
}
