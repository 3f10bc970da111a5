//! A few read-only connections, used on blocking threads.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;

use super::error::ViewsError;
use super::schema;

/// Connections kept open between uses.
const IDLE_CONNECTIONS_MAX: usize = 4;
/// Reads at a time; others wait.
const READS_MAX: usize = 4;

/// See the module.
pub(super) struct Pool {
    path: Arc<Path>,
    idle: Arc<Mutex<Vec<Connection>>>,
    turns: Arc<tokio::sync::Semaphore>,
}

impl Pool {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: PathBuf::from(path).into(),
            idle: Arc::default(),
            turns: Arc::new(tokio::sync::Semaphore::new(READS_MAX)),
        }
    }

    /// Runs `read` in one read transaction, so that all its statements see the same rows.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, ViewsError> {
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| ViewsError::Stopped)?;
        let idle = Arc::clone(&self.idle);
        let path = Arc::clone(&self.path);
        let run = move || {
            let _turn = turn;
            let kept = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = kept.map_or_else(|| schema::open_read_only(&path), Ok)?;
            let answer = connection
                .unchecked_transaction()
                .and_then(|transaction| read(&transaction))
                .map_err(ViewsError::doing("read the audit views"))?;
            let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < IDLE_CONNECTIONS_MAX {
                idle.push(connection);
            }
            Ok(answer)
        };
        tokio::task::spawn_blocking(run).await.map_err(|_| ViewsError::Stopped)?
    }
}
