//! One transaction: what is waiting is checked, decided again where it must be, and written.
//!
//! **Invariants.** Nobody is told that something was written, or that it was not, before that is
//! certain. What one append does wrong fails that append alone.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proctor_domain::{Micros, Place, Position, Recorded, StreamId};

use super::{Appender, CATCH_UP_EVENTS};
use crate::journal::append::{AppendError, Decision, Proposal, Stale};
use crate::journal::delivery::Delivered;
use crate::journal::store::{Store, StoreError, Tip};

/// Events of other processes that are read while everybody waits for the lock. More are read
/// without it first.
pub(super) const CATCH_UP_LOCKED_EVENTS_MAX: u64 = 1_000;
/// How often more of them are read without the lock before it is kept all the same.
const CATCH_UP_UNLOCKED_TIMES_MAX: u32 = 3;
/// After so many failures of the store in one batch, the rest of it fails without being tried.
const STORE_FAILURES_MAX: u32 = 3;
/// How often it is looked whether a transaction whose answer was lost took place.
const IN_DOUBT_LOOKS_MAX: u32 = 4;
/// After so long it is not looked again: somebody waits for an answer.
const IN_DOUBT_WAIT: Duration = Duration::from_secs(2);
/// How long between two looks.
const IN_DOUBT_PAUSE: Duration = Duration::from_millis(250);

pub(super) type Appends = Vec<Box<dyn Decision>>;

/// What became of one append while its transaction was open.
pub(super) enum Planned {
    Written(Range<usize>),
    Stale(Stale),
}

pub(super) struct Placed {
    pub place: Place,
    pub sequence: u64,
}

/// Why one append could not be written into the open transaction.
enum Trouble {
    /// A row that it brings exists already.
    Exists,
    Store(StoreError),
    /// The journal contradicts what was read from it before.
    Damaged(String),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Exists { .. } => Self::Exists,
            error @ (StoreError::Database { .. }
            | StoreError::Full { .. }
            | StoreError::Moved(_)
            | StoreError::Unreadable { .. }) => Self::Store(error),
        }
    }
}

/// What is still to be done after a transaction.
enum Then {
    Done,
    /// Nothing was written, because of the append at this place among several.
    Without(usize, Appends, Trouble),
    /// Nothing was written, because of one of these that nobody can name.
    OneByOne(Appends),
}

/// Whether a transaction took place.
pub(super) enum Fate {
    /// Its events are the next ones, and have this time.
    Committed(Micros),
    NotCommitted,
    Unknown,
}

impl<S: Store> Appender<S> {
    /// Writes what is waiting, and tells everybody what became of it.
    pub(super) async fn append_all(&mut self, appends: Appends) {
        let mut waiting = vec![appends];
        let mut failures = 0;
        while let Some(batch) = waiting.pop() {
            if let Err(error) = self.refuse_when_halted() {
                fail(batch, &error);
                continue;
            }
            let (at, mut rest, trouble) = match self.append_batch(batch).await {
                Then::Done => continue,
                Then::Without(at, rest, trouble) => (at, rest, trouble),
                Then::OneByOne(appends) => {
                    waiting.extend(appends.into_iter().rev().map(|append| vec![append]));
                    continue;
                }
            };
            let culprit = rest.remove(at);
            match trouble {
                Trouble::Exists if rest.is_empty() => {
                    let stream = culprit.stream().clone();
                    culprit.failed(AppendError::SideWriteExists { stream });
                }
                // The row may be that of another in the same transaction, which nobody can see yet:
                // whoever is told that it exists must find it. So it is tried again after the others.
                Trouble::Exists => waiting.insert(0, vec![culprit]),
                // Whoever asks, and whatever for: nothing more is written here.
                Trouble::Store(error @ StoreError::Moved(_)) => {
                    let error = self.unavailable(error);
                    fail(vec![culprit], &error);
                }
                // Nobody's fault, and it was alone already. Others may need less room: a revocation does.
                Trouble::Store(error @ StoreError::Full { .. }) if rest.is_empty() => {
                    failures += 1;
                    let error = self.unavailable(error);
                    fail(vec![culprit], &error);
                    if failures >= STORE_FAILURES_MAX {
                        waiting.drain(..).for_each(|batch| fail(batch, &error));
                        return;
                    }
                }
                // It may be this one's fault: it is tried again alone, after the others.
                Trouble::Store(error) => {
                    failures += 1;
                    waiting.insert(0, vec![culprit]);
                    if failures >= STORE_FAILURES_MAX {
                        let error = self.unavailable(error);
                        fail(rest, &error);
                        waiting.drain(..).for_each(|batch| fail(batch, &error));
                        return;
                    }
                }
                Trouble::Damaged(reason) => {
                    let error = self.halt(reason);
                    fail(vec![culprit], &error);
                }
            }
            if !rest.is_empty() {
                waiting.push(rest);
            }
        }
    }

    /// Writes a batch in one transaction.
    async fn append_batch(&mut self, batch: Appends) -> Then {
        let mut batch = match self.append_at_once(batch).await {
            Ok(()) => return Then::Done,
            Err(batch) => batch,
        };
        let now = match self.lock().await {
            Ok(now) => now,
            Err(error) => {
                fail(batch, &error);
                return Then::Done;
            }
        };
        self.look_up_tips(&batch).await;
        let mut placed = Vec::with_capacity(batch.len());
        let mut planned = Vec::with_capacity(batch.len());
        for (at, decision) in batch.iter_mut().enumerate() {
            match self.write(decision.as_mut(), now, &mut placed).await {
                Ok(plan) => planned.push(plan),
                Err(trouble) => {
                    self.store.rollback().await;
                    self.tips.clear();
                    return Then::Without(at, batch, trouble);
                }
            }
        }
        if placed.is_empty() {
            self.store.rollback().await;
            self.settle(batch, planned, placed);
            return Then::Done;
        }
        if let Err(error) = self.store.flush().await {
            self.store.rollback().await;
            self.tips.clear();
            if batch.len() > 1 {
                if !self.notes_full(&error) {
                    tracing::error!(%error, "failed to write several appends together; each is tried alone");
                }
                return Then::OneByOne(batch);
            }
            return Then::Without(0, batch, error.into());
        }
        // With the events, so that it costs no transaction of its own, and so that no admission
        // stands that no sweeper would find because its process has no lease.
        let lease = if self.lease_is_due() { Some(self.write_lease().await) } else { None };
        if let Some(Err(error)) = lease {
            self.store.rollback().await;
            let error = self.unavailable(error);
            fail(batch, &error);
            return Then::Done;
        }
        // Nobody else writes as long as this holds the lock.
        let alone_ms = self.head.now_ms();
        if let Err(error) = self.store.commit().await {
            let fate = self.fate(&mut batch, &planned).await;
            if !matches!(fate, Fate::Committed(_)) {
                if !self.notes_full(&error) {
                    tracing::error!(%error, "failed to commit to the journal");
                }
                let error = Arc::new(error);
                let error = match fate {
                    Fate::Unknown => AppendError::InDoubt(error),
                    Fate::Committed(_) | Fate::NotCommitted => AppendError::Store(error),
                };
                fail(batch, &error);
                return Then::Done;
            }
        }
        if let Some(Ok(asked_ms)) = lease {
            self.lease_stands(asked_ms);
        }
        self.head.confirmed(alone_ms);
        self.settle(batch, planned, placed);
        Then::Done
    }

    /// Takes the append lock, with everything delivered that others have written. Answers the
    /// database's time.
    async fn lock(&mut self) -> Result<Micros, AppendError> {
        let mut unlocked = 0;
        loop {
            let asked_ms = self.head.now_ms();
            let (there, now) = match self.store.begin().await {
                Ok(locked) => locked,
                Err(error) => return Err(self.unavailable(error)),
            };
            let behind = there.0.saturating_sub(self.position.0);
            let keep = behind <= CATCH_UP_LOCKED_EVENTS_MAX || unlocked >= CATCH_UP_UNLOCKED_TIMES_MAX;
            if !keep {
                unlocked += 1;
                self.store.rollback().await;
            }
            if let Err(error) = self.catch_up_to(there).await {
                self.store.rollback().await;
                return Err(error);
            }
            if keep {
                self.confirmed(asked_ms);
                return Ok(now);
            }
        }
    }

    /// Looks up in one go where the streams of a batch end, which may be a journey for each otherwise.
    pub(super) async fn look_up_tips(&mut self, batch: &Appends) {
        let mut unknown = HashSet::new();
        for decision in batch.iter() {
            let grounds = decision.grounds().iter().map(|(stream, _)| stream);
            unknown
                .extend(grounds.chain([decision.stream()]).filter(|stream| !self.tips.contains_key(*stream)));
        }
        let unknown: Vec<StreamId> = unknown.into_iter().cloned().collect();
        if unknown.is_empty() {
            return;
        }
        // Should it fail, each is looked up when it is needed, and fails that append alone.
        let Ok(tips) = self.store.tips(&unknown).await else { return };
        for (stream, tip) in unknown.iter().zip(tips) {
            self.note_tip(stream, tip);
        }
    }

    /// Checks one decision and writes its events into the open transaction.
    async fn write(
        &mut self,
        decision: &mut dyn Decision,
        now: Micros,
        placed: &mut Vec<Placed>,
    ) -> Result<Planned, Trouble> {
        let mut moved = Vec::new();
        for (stream, seen) in decision.grounds() {
            let Tip { sequence, .. } = self.tip(stream).await?;
            if sequence != *seen {
                moved.push((stream.clone(), sequence));
            }
        }
        if !moved.is_empty() {
            return Ok(Planned::Stale(Stale(moved)));
        }
        let stream = decision.stream().clone();
        let mut tip = self.tip(&stream).await?;
        let head = tip.sequence;
        let version = decision.version();
        if head < version {
            return Err(Trouble::Damaged(format!(
                "{stream} ends at its event {head}, but {version} of its events were read before"
            )));
        }
        if head > version {
            let newer = self.store.stream(&stream, version).await?;
            decision.decide_again(&newer, now);
            self.measures.decided_again.inc();
        } else if decision.valid_until().is_some_and(|end| end <= now) {
            decision.decide_again(&[], now);
        }
        let first = placed.len();
        for proposal in decision.proposals().iter() {
            let position = Position(self.position.0 + placed.len() as u64 + 1);
            let sequence = tip.sequence + 1;
            let place = Place { position, recorded_at: now };
            let row = proposal.row(&stream, place, sequence, tip.position);
            self.store.insert(&row).await.map_err(Trouble::Store)?;
            for write in &proposal.side_writes {
                self.store.side_write(write).await?;
            }
            placed.push(Placed { place, sequence });
            tip = Tip { sequence, position };
        }
        self.note_tip(&stream, tip);
        Ok(Planned::Written(first..placed.len()))
    }

    /// Tells everybody about a transaction that is durable.
    pub(super) fn settle(&mut self, mut batch: Appends, planned: Vec<Planned>, placed: Vec<Placed>) {
        let mut delivered = Vec::with_capacity(placed.len());
        let mut placed = placed.into_iter();
        for (decision, plan) in batch.iter_mut().zip(&planned) {
            if let Planned::Written(_) = plan {
                let stream = decision.stream().clone();
                let proposals = std::mem::take(decision.proposals());
                delivered.extend(proposals.into_iter().zip(placed.by_ref()).map(|(proposal, placed)| {
                    Delivered::new(Arc::new(record(stream.clone(), proposal, &placed)))
                }));
            }
        }
        self.measures.batch_appends.observe(batch.len() as f64);
        self.measures.events.inc_by(delivered.len() as u64);
        self.deliver(&delivered, false);
        if !delivered.is_empty() {
            self.notes_room();
        }
        for (decision, plan) in batch.into_iter().zip(planned) {
            match plan {
                Planned::Written(range) => decision.committed(delivered[range].to_vec()),
                Planned::Stale(stale) => {
                    self.measures.stale.inc();
                    decision.stale(stale);
                }
            }
        }
    }

    /// After a commit whose answer was an error: whether it took place all the same. What is found
    /// in the database under the lock is believed, nothing else. What others wrote before it is
    /// delivered.
    pub(super) async fn fate(&mut self, batch: &mut Appends, planned: &[Planned]) -> Fate {
        self.tips.clear();
        let written = batch.iter_mut().zip(planned).find_map(|(decision, plan)| match plan {
            Planned::Written(range) if !range.is_empty() => decision.proposals().first(),
            Planned::Written(_) | Planned::Stale(_) => None,
        });
        let Some(first) = written.map(|proposal| Arc::clone(&proposal.event_id)) else {
            return Fate::NotCommitted;
        };
        let began = Instant::now();
        for look in 0..IN_DOUBT_LOOKS_MAX {
            if look > 0 {
                if began.elapsed() >= IN_DOUBT_WAIT {
                    break;
                }
                tokio::time::sleep(IN_DOUBT_PAUSE).await;
            }
            match self.find(&first).await {
                Ok(Some(recorded_at)) => return Fate::Committed(recorded_at),
                Ok(None) => return Fate::NotCommitted,
                Err(error) => tracing::error!(%error, "failed to look whether a transaction took place"),
            }
        }
        Fate::Unknown
    }

    /// The time of the event of this identifier, if it stands after all that was delivered here.
    /// Whatever stands before it, or instead of it, is delivered.
    async fn find(&mut self, event_id: &str) -> Result<Option<Micros>, AppendError> {
        let unusable = |error| AppendError::Store(Arc::new(error));
        self.store.reopen().await.map_err(unusable)?;
        self.store.harden().await.map_err(unusable)?;
        self.store.begin().await.map_err(unusable)?;
        let found = self.find_locked(event_id).await;
        self.store.rollback().await;
        found
    }

    async fn find_locked(&mut self, event_id: &str) -> Result<Option<Micros>, AppendError> {
        loop {
            let next = self.store.read(self.position, CATCH_UP_EVENTS).await;
            let mut events = next.map_err(|error| AppendError::Store(Arc::new(error)))?;
            let found = events.iter().position(|event| &*event.event_id == event_id);
            let recorded_at = found.map(|at| events[at].place.recorded_at);
            if events.is_empty() {
                return Ok(None);
            }
            events.truncate(found.unwrap_or(events.len()));
            self.take_in(events)?;
            if recorded_at.is_some() {
                return Ok(recorded_at);
            }
        }
    }
}

pub(super) fn fail(batch: Appends, error: &AppendError) {
    batch.into_iter().for_each(|decision| decision.failed(error.clone()));
}

fn record(stream: StreamId, proposal: Proposal, placed: &Placed) -> Recorded {
    Recorded {
        place: placed.place,
        event_id: proposal.event_id,
        stream,
        sequence: placed.sequence,
        event: proposal.event,
        payload: proposal.payload,
        metadata: proposal.metadata,
    }
}
