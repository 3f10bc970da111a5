//! Takes in events: many of them, one transaction.
//!
//! **Invariants.** Rows and checkpoint move together. An event is taken in once: the checkpoint is
//! read under a lock of the database, and moved only from what was read.

use std::sync::Arc;
use std::time::Duration;

use proctor_domain::{Position, Recorded};
use proctor_projections::{CallFacts, Known, SessionFacts, project};

use super::batch::Batch;
use super::error::ViewsError;
use super::memory::{Grounds, Memory};

/// How far the views are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Checkpoint {
    pub(super) position: Position,
    /// The last event's identifier: tells a journal that was restored to another past.
    pub(super) event_id: String,
}

/// How a store wants to be used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// How long the first event of a batch waits for others.
    pub(super) batch_wait: Duration,
    /// How often it is to be looked at while nothing is written; never, where nothing.
    pub(super) look_every: Option<Duration>,
}

/// A database that holds views and may be written.
pub(super) trait Store: Send {
    fn pace(&self) -> Pace;

    fn checkpoint(&mut self) -> Result<Checkpoint, ViewsError>;

    /// Forgets all rows.
    fn empty(&mut self) -> Result<(), ViewsError>;

    /// Runs `work` in one transaction that no other one runs beside, and commits it.
    fn transaction(&mut self, work: Work<'_>) -> Result<Position, ViewsError>;

    /// Makes sure that it can still be written.
    fn look(&mut self) -> Result<(), ViewsError>;
}

/// What is done in a transaction, which ends with the views at a position.
pub(super) type Work<'w> = &'w mut dyn FnMut(&mut dyn Rows) -> Result<Position, ViewsError>;

/// The rows, within a transaction.
pub(super) trait Rows {
    fn checkpoint(&mut self) -> Result<Checkpoint, ViewsError>;

    /// Facts of those of these sessions that have a row.
    fn sessions(&mut self, ids: &[&str]) -> Result<Vec<(Arc<str>, SessionFacts)>, ViewsError>;

    /// Facts of those of these calls that have a row.
    fn calls(&mut self, ids: &[&str]) -> Result<Vec<(Box<str>, CallFacts)>, ViewsError>;

    fn write(&mut self, batch: &Batch<'_>) -> Result<(), ViewsError>;

    /// Moves the checkpoint, if it is still there, and says whether it was.
    fn move_on(&mut self, from: Position, to: &Recorded) -> Result<bool, ViewsError>;
}

/// The only one in this process that writes the views.
pub(super) struct Writer {
    store: Box<dyn Store>,
    memory: Memory,
}

impl Writer {
    pub(super) fn new(store: impl Store + 'static) -> Self {
        Self { store: Box::new(store), memory: Memory::default() }
    }

    pub(super) fn pace(&self) -> Pace {
        self.store.pace()
    }

    pub(super) fn checkpoint(&mut self) -> Result<Checkpoint, ViewsError> {
        self.store.checkpoint()
    }

    /// Makes sure that the database is there and still ours to write.
    pub(super) fn look(&mut self) -> Result<(), ViewsError> {
        self.store.look()
    }

    /// Forgets all rows.
    pub(super) fn empty(&mut self) -> Result<(), ViewsError> {
        self.memory = Memory::default();
        self.store.empty()
    }

    /// Takes in `events`, which have consecutive positions, and says how far the views are then.
    /// That is less than the last of them when others are missing before them, and more when another
    /// process was faster; events that are in already are left out.
    pub(super) fn apply(&mut self, events: &[Arc<Recorded>]) -> Result<Position, ViewsError> {
        let Self { store, memory } = self;
        let applied = store.transaction(&mut |rows| take_in(rows, memory, events));
        match applied {
            Ok(_) => memory.written(),
            // It has learned from events whose rows do not stand.
            Err(_) => *memory = Memory::default(),
        }
        applied
    }
}

fn take_in(
    rows: &mut dyn Rows,
    memory: &mut Memory,
    events: &[Arc<Recorded>],
) -> Result<Position, ViewsError> {
    let before = rows.checkpoint()?.position;
    let events = &events[events.partition_point(|event| event.place.position <= before)..];
    let Some(last) = events.last() else { return Ok(before) };
    if events[0].place.position.0 != before.0 + 1 {
        return Ok(before);
    }
    let unknown = memory.unknown(events);
    if !unknown.sessions.is_empty() {
        memory.learn_sessions(rows.sessions(&Vec::from_iter(unknown.sessions))?);
    }
    if !unknown.calls.is_empty() {
        memory.learn_calls(rows.calls(&Vec::from_iter(unknown.calls))?);
    }
    let mut batch = Batch::default();
    let mut changes = Vec::new();
    for event in events {
        let Grounds { session, call } = memory.grounds(event);
        project(event, Known { session: session.as_deref(), call }, &mut changes)?;
        changes.drain(..).for_each(|change| batch.take(change));
    }
    rows.write(&batch)?;
    if rows.move_on(before, last)? { Ok(last.place.position) } else { Err(ViewsError::Overtaken(before)) }
}

/// A position as the database holds it.
pub(super) fn number(position: Position) -> i64 {
    i64::try_from(position.0).unwrap_or(i64::MAX)
}
