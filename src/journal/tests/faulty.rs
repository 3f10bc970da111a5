//! A store that fails where a test wants it to.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use proctor_domain::{Micros, Position, Recorded, ReplicaId, StreamId};

use crate::journal::{AppendFailure, Appended, Batch, Row, SideWrite, Store, StoreError, Tip};
use crate::vault::PurposeKeyRow;

/// What goes wrong, each once.
pub(crate) enum Fault {
    /// The lock cannot be taken.
    Begin,
    /// An event cannot be written.
    Insert,
    /// There is no room for an event.
    Full,
    /// The commit fails and does not take place.
    Commit,
    /// The commit takes place, but its answer is an error.
    CommitAnswerLost,
    /// The commit waits until the test lets go.
    CommitHeld(mpsc::Receiver<()>),
    /// The connection cannot be made anew.
    Reopen,
    /// The head cannot be read.
    Head,
    /// The appender's thread panics.
    Panic,
}

#[derive(Default)]
pub(crate) struct Script {
    pub(crate) commits: AtomicU64,
    pub(crate) inserts: AtomicU64,
    pub(crate) leases: AtomicU64,
    faults: Mutex<Vec<Fault>>,
    unwritable: Mutex<Option<Arc<str>>>,
    /// Its lease is not renewed any more, as if the process stood still.
    pub(crate) lets_lease_end: AtomicBool,
}

impl Script {
    pub(crate) fn will(&self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.lock().unwrap().extend(faults);
    }

    /// The event of this identifier can never be written.
    pub(crate) fn forbid(&self, event_id: &Arc<str>) {
        *self.unwritable.lock().unwrap() = Some(Arc::clone(event_id));
    }

    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Whether everything that was to go wrong has.
    pub(crate) fn is_over(&self) -> bool {
        self.faults.lock().unwrap().is_empty()
    }

    /// Waits until no more than this many faults are still to come.
    pub(crate) async fn comes_down_to(&self, faults: usize) {
        while self.faults.lock().unwrap().len() > faults {
            tokio::task::yield_now().await;
        }
    }

    fn take(&self, wanted: impl Fn(&Fault) -> bool) -> Option<Fault> {
        let mut faults = self.faults.lock().unwrap();
        let at = faults.iter().position(wanted)?;
        Some(faults.remove(at))
    }

    fn has(&self, wanted: impl Fn(&Fault) -> bool) -> bool {
        self.faults.lock().unwrap().iter().any(wanted)
    }

    fn forbids(&self, event_id: &str) -> bool {
        self.unwritable.lock().unwrap().as_deref() == Some(event_id)
    }

    fn hold_commit(&self) {
        if let Some(Fault::CommitHeld(gate)) = self.take(|fault| matches!(fault, Fault::CommitHeld(_))) {
            gate.recv().unwrap();
        }
    }

    fn fail(&self, wanted: impl Fn(&Fault) -> bool) -> Result<(), StoreError> {
        self.take(wanted).map_or(Ok(()), |_| Err(broken()))
    }
}

fn broken() -> StoreError {
    StoreError::Database { doing: "do what the test forbids", reason: "the test forbids it".into() }
}

pub(crate) struct Faulty<S> {
    pub(crate) store: S,
    pub(crate) script: Arc<Script>,
}

impl<S: Store> Store for Faulty<S> {
    fn appends_at_once(&self) -> bool {
        self.store.appends_at_once()
    }

    async fn append(&mut self, batch: &Batch<'_>) -> Result<Option<Appended>, AppendFailure> {
        let script = Arc::clone(&self.script);
        assert!(script.take(|fault| matches!(fault, Fault::Panic)).is_none(), "the test wants a panic");
        // What can be said of one step alone is left to the steps.
        let begins =
            |fault: &Fault| matches!(fault, Fault::Begin | Fault::Insert | Fault::Full | Fault::Commit);
        if script.has(begins) || batch.rows.iter().any(|row| script.forbids(row.event_id)) {
            return Ok(None);
        }
        script.hold_commit();
        script.fail(|fault| matches!(fault, Fault::Commit)).map_err(AppendFailure::Unknown)?;
        let appended = self.store.append(batch).await?;
        if appended.as_ref().is_some_and(|appended| appended.written) {
            script.inserts.fetch_add(batch.rows.len() as u64, Ordering::Relaxed);
            script.commits.fetch_add(1, Ordering::Relaxed);
            script.fail(|fault| matches!(fault, Fault::CommitAnswerLost)).map_err(AppendFailure::Unknown)?;
        }
        Ok(appended)
    }

    async fn begin(&mut self) -> Result<(Position, Micros), StoreError> {
        assert!(self.script.take(|fault| matches!(fault, Fault::Panic)).is_none(), "the test wants a panic");
        self.script.fail(|fault| matches!(fault, Fault::Begin))?;
        self.store.begin().await
    }

    async fn head(&mut self) -> Result<Position, StoreError> {
        self.script.fail(|fault| matches!(fault, Fault::Head))?;
        self.store.head().await
    }

    async fn read(&mut self, after: Position, limit: usize) -> Result<Vec<Arc<Recorded>>, StoreError> {
        self.store.read(after, limit).await
    }

    async fn changed(&mut self) {
        self.store.changed().await;
    }

    async fn tips(&mut self, streams: &[StreamId]) -> Result<Vec<Tip>, StoreError> {
        self.store.tips(streams).await
    }

    async fn stream(&mut self, stream: &StreamId, after: u64) -> Result<Vec<Arc<Recorded>>, StoreError> {
        self.store.stream(stream, after).await
    }

    async fn insert(&mut self, row: &Row<'_>) -> Result<(), StoreError> {
        self.script.fail(|fault| matches!(fault, Fault::Insert))?;
        if self.script.take(|fault| matches!(fault, Fault::Full)).is_some() {
            return Err(StoreError::Full { doing: "write an event", reason: "the test forbids it".into() });
        }
        if self.script.forbids(row.event_id) {
            return Err(broken());
        }
        self.script.inserts.fetch_add(1, Ordering::Relaxed);
        self.store.insert(row).await
    }

    async fn side_write(&mut self, write: &SideWrite) -> Result<(), StoreError> {
        self.store.side_write(write).await
    }

    async fn flush(&mut self) -> Result<(), StoreError> {
        self.store.flush().await
    }

    async fn commit(&mut self) -> Result<(), StoreError> {
        self.script.hold_commit();
        if self.script.take(|fault| matches!(fault, Fault::Commit)).is_some() {
            self.store.rollback().await;
            return Err(broken());
        }
        self.store.commit().await?;
        self.script.commits.fetch_add(1, Ordering::Relaxed);
        self.script.fail(|fault| matches!(fault, Fault::CommitAnswerLost))
    }

    async fn rollback(&mut self) {
        self.store.rollback().await;
    }

    fn abandon(&mut self) {
        self.store.abandon();
    }

    async fn reopen(&mut self) -> Result<(), StoreError> {
        self.script.fail(|fault| matches!(fault, Fault::Reopen))?;
        self.store.reopen().await
    }

    async fn harden(&mut self) -> Result<(), StoreError> {
        self.store.harden().await
    }

    async fn renew_lease(
        &mut self,
        replica: &ReplicaId,
        lasts_ms: u64,
        confirmed: Position,
        reads: u32,
        master_keys: &str,
    ) -> Result<(), StoreError> {
        self.script.leases.fetch_add(1, Ordering::Relaxed);
        if self.script.lets_lease_end.load(Ordering::Acquire) {
            return Ok(());
        }
        self.store.renew_lease(replica, lasts_ms, confirmed, reads, master_keys).await
    }

    async fn end_lease(&mut self, replica: &ReplicaId) -> Result<(), StoreError> {
        self.store.end_lease(replica).await
    }

    async fn forget_lease(&mut self, replica: &ReplicaId) -> Result<(), StoreError> {
        self.store.forget_lease(replica).await
    }

    async fn add_purpose_keys(&mut self, keys: &[PurposeKeyRow]) -> Result<(), StoreError> {
        self.store.add_purpose_keys(keys).await
    }
}
