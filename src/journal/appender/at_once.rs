//! A batch in one journey to the store: written if nothing has moved that it rests on.
//!
//! **Invariants.** Nothing is decided here. Where anything is not as it was when it was decided, or
//! anything else is to be done under the lock, the batch is given back, to be written step by step.

use std::collections::HashMap;
use std::sync::Arc;

use proctor_domain::{Micros, Place, Position, StreamId};

use super::transaction::{Appends, CATCH_UP_LOCKED_EVENTS_MAX, Fate, Placed, Planned, fail};
use super::{Appender, describe};
use crate::journal::append::AppendError;
use crate::journal::store::{AppendFailure, Appended, Batch, Store, StoreError, Tip};

/// The streams of a batch.
#[derive(Default)]
struct Ends {
    /// Where each must end before the batch.
    expected: Vec<(StreamId, u64)>,
    /// Where each ends after what was planned so far.
    sequences: HashMap<StreamId, u64>,
}

/// Where an event stands among those of its batch: its position from 1 on, and its sequence.
struct Offset {
    position: u64,
    sequence: u64,
}

impl<S: Store> Appender<S> {
    /// Tells everybody what became of the batch, or gives it back.
    pub(super) async fn append_at_once(&mut self, mut batch: Appends) -> Result<(), Appends> {
        if !self.store.appends_at_once() || self.lease_is_due() {
            return Err(batch);
        }
        self.look_up_tips(&batch).await;
        let Some((ends, planned, offsets)) = self.plan(&mut batch) else { return Err(batch) };
        let asked_ms = self.head.now_ms();
        let recorded_at = match self.send(&mut batch, &ends, &offsets).await {
            Ok(None) => return Err(batch),
            Ok(Some(Appended { written, head, recorded_at, foreign })) => {
                let taken = self.take_in(foreign);
                if !written {
                    // Should the journal be damaged, that is found again on the way that is left.
                    return Err(batch);
                }
                if let Err(error) = taken.and_then(|()| self.is_at(head)) {
                    fail(batch, &error);
                    return Ok(());
                }
                recorded_at
            }
            Err(AppendFailure::NothingWritten(error)) => {
                fail(batch, &self.unavailable(error));
                return Ok(());
            }
            Err(AppendFailure::Unknown(error @ StoreError::Unreadable { .. })) => {
                // Of others, and nothing is to follow that. What was written is closed by a sweeper.
                fail(batch, &self.halt(describe(&error)));
                return Ok(());
            }
            Err(AppendFailure::Unknown(error)) => match self.fate(&mut batch, &planned).await {
                Fate::Committed(recorded_at) => recorded_at,
                // Step by step it is found whose fault it is.
                Fate::NotCommitted => return Err(batch),
                Fate::Unknown => {
                    tracing::error!(%error, "failed to append to the journal");
                    fail(batch, &AppendError::InDoubt(Arc::new(error)));
                    return Ok(());
                }
            },
        };
        self.confirmed(asked_ms);
        let first = self.position.0;
        let place = |offset: u64| Place { position: Position(first + offset), recorded_at };
        for (decision, plan) in batch.iter().zip(&planned) {
            if let Planned::Written(range) = plan
                && let Some(Offset { position, sequence }) = offsets[range.clone()].last()
            {
                let tip = Tip { sequence: *sequence, position: place(*position).position };
                self.note_tip(decision.stream(), tip);
            }
        }
        let placed = offsets
            .into_iter()
            .map(|Offset { position, sequence }| Placed { place: place(position), sequence });
        self.settle(batch, planned, placed.collect());
        Ok(())
    }

    fn is_at(&mut self, head: Position) -> Result<(), AppendError> {
        if self.position == head { Ok(()) } else { Err(self.events_are_missing()) }
    }

    /// Where everything goes, if all is as it was when it was decided.
    fn plan(&self, batch: &mut Appends) -> Option<(Ends, Vec<Planned>, Vec<Offset>)> {
        let mut ends = Ends::default();
        let (mut planned, mut offsets) = (Vec::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
        for decision in batch {
            for (stream, seen) in decision.grounds() {
                self.expect(&mut ends, stream, *seen)?;
            }
            if decision.valid_until() == Some(Micros::BEFORE_ALL) {
                return None;
            }
            let stream = decision.stream().clone();
            let version = decision.version();
            self.expect(&mut ends, &stream, version)?;
            let first = offsets.len();
            for sequence in (version + 1..).take(decision.proposals().len()) {
                offsets.push(Offset { position: offsets.len() as u64 + 1, sequence });
                ends.sequences.insert(stream.clone(), sequence);
            }
            planned.push(Planned::Written(first..offsets.len()));
        }
        (!offsets.is_empty()).then_some((ends, planned, offsets))
    }

    fn expect(&self, ends: &mut Ends, stream: &StreamId, seen: u64) -> Option<()> {
        let end = if let Some(sequence) = ends.sequences.get(stream) {
            *sequence
        } else {
            let sequence = self.tips.get(stream)?.sequence;
            ends.expected.push((stream.clone(), sequence));
            ends.sequences.insert(stream.clone(), sequence);
            sequence
        };
        (end == seen).then_some(())
    }

    async fn send(
        &mut self,
        batch: &mut Appends,
        ends: &Ends,
        offsets: &[Offset],
    ) -> Result<Option<Appended>, AppendFailure> {
        let valid_until = batch.iter().filter_map(|decision| decision.valid_until()).min();
        let streams: Vec<_> = batch.iter().map(|decision| decision.stream().clone()).collect();
        let (mut rows, mut side_writes) = (Vec::with_capacity(offsets.len()), Vec::new());
        let mut offsets = offsets.iter();
        for (decision, stream) in batch.iter_mut().zip(&streams) {
            for (proposal, offset) in decision.proposals().iter().zip(offsets.by_ref()) {
                let place = Place { position: Position(offset.position), recorded_at: Micros(0) };
                rows.push(proposal.row(stream, place, offset.sequence, Position(0)));
                side_writes.extend(&proposal.side_writes);
            }
        }
        let batch = Batch {
            known: self.position,
            foreign_max: CATCH_UP_LOCKED_EVENTS_MAX,
            expected: &ends.expected,
            valid_until,
            rows: &rows,
            side_writes: &side_writes,
        };
        self.store.append(&batch).await
    }
}
