//! The simplest decision there is: something that was noticed.

use std::sync::Arc;
use std::time::Duration;

use proctor_domain::watch::{Door, WatchEvent};
use proctor_domain::{Event, Micros, Recorded, StreamId};
use tokio::sync::oneshot;

use crate::journal::{AppendError, Decision, Delivered, Journal, Proposal, SideWrite, Stale};

/// What became of a decision.
#[derive(Debug)]
pub(crate) enum Became {
    Committed(Vec<Delivered>),
    Stale(Stale),
    Failed(AppendError),
}

impl Became {
    pub(crate) fn committed(self) -> Vec<Delivered> {
        let Self::Committed(events) = self else { panic!("not committed: {self:?}") };
        events
    }

    pub(crate) fn failed(self) -> AppendError {
        let Self::Failed(error) = self else { panic!("did not fail: {self:?}") };
        error
    }

    pub(crate) fn stale(self) -> Stale {
        let Self::Stale(stale) = self else { panic!("not stale: {self:?}") };
        stale
    }
}

type Again = Box<dyn FnMut(&[Arc<Recorded>], Micros) -> Vec<Proposal> + Send>;

pub(crate) struct Note {
    pub(crate) stream: StreamId,
    pub(crate) version: u64,
    pub(crate) grounds: Vec<(StreamId, u64)>,
    pub(crate) valid_until: Option<Micros>,
    pub(crate) proposals: Vec<Proposal>,
    pub(crate) again: Again,
    reply: Option<oneshot::Sender<Became>>,
}

pub(crate) fn stream(id: &str) -> StreamId {
    StreamId::of::<proctor_domain::watch::Watch>(id)
}

/// Something that was noticed this often.
pub(crate) fn proposal(count: u64) -> Proposal {
    let event = WatchEvent::AuthenticationsFailed {
        door: Door::Api,
        reason: "unknown_key".to_owned(),
        minute: 1,
        count,
    };
    let event = Event::Watch(event);
    Proposal {
        event_id: format!("evt_{}", uuid::Uuid::now_v7().simple()).into(),
        payload: event.payload().unwrap().into(),
        metadata: "{}".into(),
        sealed: None,
        side_writes: Vec::new(),
        event,
    }
}

/// A decision to note `count` on a stream after so many events. Decided again, it notes `count`
/// and 1,000 for each newer event.
pub(crate) fn note(id: &str, version: u64, count: u64) -> Note {
    Note {
        stream: stream(id),
        version,
        grounds: Vec::new(),
        valid_until: None,
        proposals: vec![proposal(count)],
        again: Box::new(move |newer, _| vec![proposal(count + 1_000 * newer.len() as u64)]),
        reply: None,
    }
}

impl Note {
    pub(crate) fn resting_on(mut self, id: &str, version: u64) -> Self {
        self.grounds.push((stream(id), version));
        self
    }

    pub(crate) fn with(mut self, write: SideWrite) -> Self {
        self.proposals[0].side_writes.push(write);
        self
    }

    /// Hands it in, without waiting.
    pub(crate) fn hand_in(mut self, journal: &Journal) -> oneshot::Receiver<Became> {
        let (reply, became) = oneshot::channel();
        self.reply = Some(reply);
        journal.append(Box::new(self));
        became
    }

    /// Hands it in and waits for what becomes of it.
    pub(crate) async fn append(self, journal: &Journal) -> Became {
        let became = self.hand_in(journal);
        tokio::time::timeout(Duration::from_secs(20), became).await.expect("no answer").expect("forgotten")
    }

    fn answer(&mut self, became: Became) {
        // A test that does not wait does not want to know.
        let _ = self.reply.take().unwrap().send(became);
    }
}

/// The number that was noted.
pub(crate) fn count(event: &Recorded) -> u64 {
    let Event::Watch(WatchEvent::AuthenticationsFailed { count, .. }) = &event.event else {
        panic!("not a note: {event:?}")
    };
    *count
}

impl Decision for Note {
    fn stream(&self) -> &StreamId {
        &self.stream
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn grounds(&self) -> &[(StreamId, u64)] {
        &self.grounds
    }

    fn valid_until(&self) -> Option<Micros> {
        self.valid_until
    }

    fn proposals(&mut self) -> &mut Vec<Proposal> {
        &mut self.proposals
    }

    fn decide_again(&mut self, newer: &[Arc<Recorded>], at: Micros) {
        self.proposals = (self.again)(newer, at);
    }

    fn committed(mut self: Box<Self>, delivered: Vec<Delivered>) {
        self.answer(Became::Committed(delivered));
    }

    fn stale(mut self: Box<Self>, stale: Stale) {
        self.answer(Became::Stale(stale));
    }

    fn failed(mut self: Box<Self>, error: AppendError) {
        self.answer(Became::Failed(error));
    }
}
