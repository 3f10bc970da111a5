//! Whose turn it is to take SQLite's one write lock.
//!
//! SQLite knows no queue: whoever looks in the right instant has the lock, and a busy process that
//! takes it again at once leaves others none. So whoever wants it locks a file of its own first and
//! gives that back as soon as it has the write lock: the process that had the write lock before then
//! waits behind it.
//!
//! **Invariants.** A process that ends, however it ends, keeps nobody waiting: the kernel gives its
//! file locks back.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::journal::store::StoreError;

/// How long a turn is waited for.
const WAIT: Duration = Duration::from_secs(2);
/// How long between two looks.
const PAUSE: Duration = Duration::from_micros(100);

/// See the module.
pub(super) struct Turns(File);

impl Turns {
    /// Takes turns with everybody who has opened the journal in `path`.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let mut beside = path.as_os_str().to_owned();
        beside.push("-turn");
        let file = OpenOptions::new().create(true).append(true).open(beside);
        file.map(Self).map_err(|error| failed(&error.to_string()))
    }

    /// Waits for a turn, which lasts until it is dropped.
    pub(super) fn wait(&self) -> Result<Turn<'_>, StoreError> {
        let until = Instant::now() + WAIT;
        loop {
            match self.0.try_lock() {
                Ok(()) => return Ok(Turn(&self.0)),
                Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(PAUSE),
                Err(TryLockError::WouldBlock) => return Err(failed("another process keeps it locked")),
                Err(TryLockError::Error(error)) => return Err(failed(&error.to_string())),
            }
        }
    }
}

fn failed(reason: &str) -> StoreError {
    StoreError::Database { doing: "take turns at the append lock", reason: reason.to_owned() }
}

/// See [`Turns::wait`].
pub(super) struct Turn<'a>(&'a File);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // It cannot fail for a file that is open and locked; the kernel gives it back at the latest
        // when the process ends.
        let _ = self.0.unlock();
    }
}
