//! The commands that an entity decided together, on their way through the appender.

use std::sync::Arc;

use actix::Addr;
use proctor_domain::{Micros, Place, Recorded, StreamId};

use super::ask::{Ask, AskError};
use super::directory::Directory;
use super::entity::Entity;
use super::kind::Kind;
use super::settled::Settled;
use crate::journal::{AppendError, Decision, Delivered, Proposal, Stale, StoreError};

pub(super) struct Batch<A: Kind> {
    stream: StreamId,
    entity: Addr<Entity<A>>,
    directory: Arc<Directory>,
    base: Arc<A>,
    asks: Vec<Ask<A>>,
    /// Per ask: how many events it causes, or why none.
    decided: Vec<Result<usize, A::Error>>,
    proposals: Vec<Proposal>,
    grounds: Vec<(StreamId, u64)>,
}

impl<A: Kind> Batch<A> {
    /// Decides `asks` one after the other. Those that change nothing are answered at once; what
    /// rests on another sequence of a stream than one before it is given back as stale.
    pub(super) fn decide(
        stream: StreamId,
        entity: Addr<Entity<A>>,
        directory: Arc<Directory>,
        base: Arc<A>,
        asks: Vec<Ask<A>>,
    ) -> Option<Self> {
        let mut batch = Self {
            stream,
            entity,
            directory,
            base,
            asks: Vec::with_capacity(asks.len()),
            decided: Vec::new(),
            proposals: Vec::new(),
            grounds: Vec::new(),
        };
        for ask in asks {
            match batch.rests_on(&ask.prepared.grounds) {
                Ok(()) => batch.asks.push(ask),
                Err(stale) => ask.answer(Err(AskError::Stale(stale))),
            }
        }
        batch.decide_all(None);
        batch.answer_what_changes_nothing();
        (!batch.asks.is_empty()).then_some(batch)
    }

    fn rests_on(&mut self, grounds: &[(StreamId, u64)]) -> Result<(), Stale> {
        for (stream, sequence) in grounds {
            match self.grounds.iter().find(|(known, _)| known == stream) {
                Some((_, known)) if known == sequence => {}
                Some((_, known)) => return Err(Stale(vec![(stream.clone(), *known.max(sequence))])),
                None => self.grounds.push((stream.clone(), *sequence)),
            }
        }
        Ok(())
    }

    fn decide_all(&mut self, at: Option<Micros>) {
        self.proposals.clear();
        self.decided.clear();
        let mut stepped: Option<A> = None;
        let several = self.asks.len() > 1;
        for ask in &mut self.asks {
            if let Some(at) = at {
                A::set_time(&mut ask.prepared.command, at);
            }
            let state = stepped.as_ref().unwrap_or(&self.base);
            let events = match state.decide(&ask.prepared.command) {
                Ok(events) => events,
                Err(error) => {
                    self.decided.push(Err(error));
                    continue;
                }
            };
            self.decided.push(Ok(events.len()));
            if several && !events.is_empty() {
                let state = stepped.get_or_insert_with(|| A::clone(&self.base));
                let place = Place::to_come(at.unwrap_or_else(super::now));
                for event in &events {
                    state.evolve(event, place);
                }
            }
            for (index, event) in events.into_iter().enumerate() {
                self.proposals.push(proposal(ask, index == 0, event));
            }
        }
    }

    /// Answers at once what changes nothing, unless that follows from events of this very batch,
    /// which are not durable yet.
    fn answer_what_changes_nothing(&mut self) {
        let mut pending = false;
        let asks = std::mem::take(&mut self.asks);
        for (ask, decided) in asks.into_iter().zip(std::mem::take(&mut self.decided)) {
            match decided {
                Ok(0) if !pending => ask.answer(Ok(Vec::new())),
                Err(error) if !pending => ask.answer(Err(AskError::Nonsense(error))),
                decided => {
                    pending |= decided.is_ok();
                    self.asks.push(ask);
                    self.decided.push(decided);
                }
            }
        }
    }

    /// Answers every ask with its share of what was delivered.
    pub(super) fn answer(mut self, delivered: Vec<Delivered>) {
        let mut delivered = delivered.into_iter();
        let decided = std::mem::take(&mut self.decided);
        for (ask, decided) in std::mem::take(&mut self.asks).into_iter().zip(decided) {
            ask.answer(
                decided.map(|events| delivered.by_ref().take(events).collect()).map_err(AskError::Nonsense),
            );
        }
    }

    /// Answers every ask with the same failure.
    pub(super) fn answer_all(mut self, error: impl Fn() -> AskError<A::Error>) {
        std::mem::take(&mut self.asks).into_iter().for_each(|ask| ask.answer(Err(error())));
    }

    /// Hands what was written to whichever entity of the stream is alive.
    pub(super) fn pass_on(&self, events: &[Delivered]) {
        if !events.is_empty() {
            A::room(&self.directory).deliver(&self.stream.id, events.to_vec());
        }
    }
}

impl<A: Kind> Drop for Batch<A> {
    fn drop(&mut self) {
        // Usually everybody was answered. Otherwise the appender has ended in the middle of it.
        if self.asks.is_empty() {
            return;
        }
        self.entity.do_send(Settled::forgotten());
        let cause = StoreError::Database { doing: "append", reason: "the appender has ended".into() };
        let cause = Arc::new(cause);
        for ask in self.asks.drain(..) {
            ask.answer(Err(AskError::Append(AppendError::InDoubt(Arc::clone(&cause)))));
        }
    }
}

fn proposal<A: Kind>(ask: &Ask<A>, first: bool, event: A::Event) -> Proposal {
    let event = A::wrap(event);
    // Event types hold text, numbers and lists only, all of which have a JSON form.
    let payload = event.payload().unwrap_or_else(|error| {
        tracing::error!(%error, "an event has no JSON form");
        String::from("null")
    });
    let sealed = ask.prepared.sealed.as_ref().filter(|_| first);
    Proposal {
        event_id: sealed.map_or_else(|| super::new_id("evt").into(), |sealed| Arc::clone(&sealed.event_id)),
        payload: payload.into(),
        metadata: sealed.map_or_else(|| "{}".into(), super::ask::Sealed::metadata),
        sealed: sealed.map(|sealed| sealed.bytes.clone()),
        side_writes: if first { ask.prepared.side_writes.clone() } else { Vec::new() },
        event,
    }
}

impl<A: Kind> Decision for Batch<A> {
    fn stream(&self) -> &StreamId {
        &self.stream
    }

    fn version(&self) -> u64 {
        self.base.version()
    }

    fn grounds(&self) -> &[(StreamId, u64)] {
        &self.grounds
    }

    fn valid_until(&self) -> Option<Micros> {
        // Of the state that all of them began with: what the others add to it has no time yet.
        let asks = self.asks.iter().enumerate();
        asks.filter_map(|(ahead, ask)| self.base.valid_until(&ask.prepared.command, ahead)).min()
    }

    fn proposals(&mut self) -> &mut Vec<Proposal> {
        &mut self.proposals
    }

    fn decide_again(&mut self, newer: &[Arc<Recorded>], at: Micros) {
        let mut base = A::clone(&self.base);
        for recorded in newer {
            if let Some(event) = A::unwrap(&recorded.event) {
                base.evolve(event, recorded.place);
            }
        }
        self.base = Arc::new(base);
        self.decide_all(Some(at));
    }

    fn committed(self: Box<Self>, delivered: Vec<Delivered>) {
        let entity = self.entity.clone();
        entity.do_send(Settled::committed(self, delivered));
    }

    fn stale(self: Box<Self>, stale: Stale) {
        let entity = self.entity.clone();
        entity.do_send(Settled::stale(self, stale));
    }

    fn failed(self: Box<Self>, error: AppendError) {
        let entity = self.entity.clone();
        entity.do_send(Settled::failed(self, error));
    }
}
