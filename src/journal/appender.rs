//! The one place where events get their positions: group commit over whatever is waiting.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use proctor_domain::{Micros, Place, Position, Recorded, ReplicaId, StreamId};
use tokio::sync::{mpsc, oneshot};

use super::append::{AppendError, Decision, Proposal, Stale};
use super::delivery::{Delivered, Listener};
use super::head::Head;
use super::store::{Reader, Row, Store, StoreError};

/// Most appends in one transaction.
pub const BATCH_APPENDS_MAX: usize = 512;
/// How long the appender waits for work before it looks for other processes' events.
const POLL_MS: u64 = 250;
/// Events read at once while catching up.
const CATCH_UP_EVENTS: usize = 1_000;
/// Streams whose sequence is remembered; all are forgotten together when there are more.
const SEQUENCES_REMEMBERED_MAX: usize = 200_000;
/// The newest form of events that this program reads, as its lease says.
const READS_FORMS: u32 = 1;

/// How the journal is run.
#[derive(Clone, Debug)]
pub struct JournalConfig {
    /// This process.
    pub replica: ReplicaId,
    /// How long its lease lasts, in milliseconds.
    pub lease_ms: u64,
}

enum Job {
    Append(Box<dyn Decision>),
    Confirm(oneshot::Sender<Result<Position, AppendError>>),
    Listen(Arc<dyn Listener>, oneshot::Sender<Position>),
    ForgetLease(ReplicaId, oneshot::Sender<Result<(), AppendError>>),
    Stop(oneshot::Sender<()>),
}

/// The journal, as everybody but the appender knows it.
#[derive(Clone)]
pub struct Journal {
    jobs: mpsc::UnboundedSender<Job>,
    head: Arc<Head>,
    reader: Arc<dyn Reader>,
    replica: ReplicaId,
}

impl Journal {
    /// Starts the appender on a thread of its own, with its lease written.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub async fn open<S: Store>(
        store: S,
        reader: Arc<dyn Reader>,
        config: JournalConfig,
    ) -> Result<Self, StoreError> {
        let position = reader.head().await?;
        let head = Arc::new(Head::new(position));
        let (jobs, inbox) = mpsc::unbounded_channel();
        let (ready, opened) = oneshot::channel();
        let replica = config.replica.clone();
        let appender = Appender {
            store,
            head: Arc::clone(&head),
            position,
            sequences: HashMap::new(),
            listeners: Vec::new(),
            config,
            lease_due_ms: 0,
            halted: None,
        };
        std::thread::Builder::new()
            .name("appender".into())
            .spawn(move || appender.run(inbox, ready))
            .map_err(|error| StoreError::Database {
                doing: "start the appender's thread",
                reason: error.to_string(),
            })?;
        opened.await.unwrap_or_else(|_| {
            Err(StoreError::Database { doing: "start the appender", reason: "it ended at once".into() })
        })?;
        Ok(Self { jobs, head, reader, replica })
    }

    /// Hands a decision to the appender; it is told what becomes of it.
    pub fn append(&self, decision: Box<dyn Decision>) {
        if let Err(mpsc::error::SendError(Job::Append(decision))) = self.jobs.send(Job::Append(decision)) {
            decision.failed(AppendError::Stopping);
        }
    }

    /// Makes sure of the journal's head: everything up to the position that it answers has been
    /// delivered to the listeners.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn confirm(&self) -> Result<Position, AppendError> {
        let (answer, confirmed) = oneshot::channel();
        self.jobs.send(Job::Confirm(answer)).map_err(|_| AppendError::Stopping)?;
        confirmed.await.map_err(|_| AppendError::Stopping)?
    }

    /// Delivers everything after the answered position to `listener` from now on.
    ///
    /// # Errors
    /// When the journal is stopping.
    pub async fn listen(&self, listener: Arc<dyn Listener>) -> Result<Position, AppendError> {
        let (answer, listening) = oneshot::channel();
        self.jobs.send(Job::Listen(listener, answer)).map_err(|_| AppendError::Stopping)?;
        listening.await.map_err(|_| AppendError::Stopping)
    }

    /// Removes the lease of a replica that is gone and has left nothing undone.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn forget_lease(&self, replica: &ReplicaId) -> Result<(), AppendError> {
        let (answer, forgotten) = oneshot::channel();
        self.jobs.send(Job::ForgetLease(replica.clone(), answer)).map_err(|_| AppendError::Stopping)?;
        forgotten.await.map_err(|_| AppendError::Stopping)?
    }

    /// Writes what is waiting, gives the lease back and ends the appender.
    pub async fn stop(&self) {
        let (answer, stopped) = oneshot::channel();
        if self.jobs.send(Job::Stop(answer)).is_ok() {
            // An error means that it has ended already, which is what was asked for.
            let _ = stopped.await;
        }
    }

    /// How far this process has seen the journal.
    #[must_use]
    pub fn head(&self) -> &Arc<Head> {
        &self.head
    }

    /// The read side of the store.
    #[must_use]
    pub fn reader(&self) -> &Arc<dyn Reader> {
        &self.reader
    }

    /// This process.
    #[must_use]
    pub fn replica(&self) -> &ReplicaId {
        &self.replica
    }
}

struct Appender<S> {
    store: S,
    head: Arc<Head>,
    position: Position,
    sequences: HashMap<StreamId, u64>,
    listeners: Vec<Arc<dyn Listener>>,
    config: JournalConfig,
    lease_due_ms: u64,
    halted: Option<Arc<str>>,
}

/// What became of one append while its transaction was open.
enum Planned {
    Written(Range<usize>),
    Stale(Stale),
}

struct Placed {
    place: Place,
    sequence: u64,
}

impl<S: Store> Appender<S> {
    fn run(
        mut self,
        mut inbox: mpsc::UnboundedReceiver<Job>,
        ready: oneshot::Sender<Result<(), StoreError>>,
    ) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                let failure = StoreError::Database { doing: "start the appender", reason: error.to_string() };
                // Whoever opened the journal has gone: there is nobody to tell.
                let _ = ready.send(Err(failure));
                return;
            }
        };
        runtime.block_on(async {
            let opened = self.renew_lease().await;
            let failed = opened.is_err();
            let _ = ready.send(opened);
            if !failed {
                self.serve(&mut inbox).await;
            }
        });
    }

    async fn serve(&mut self, inbox: &mut mpsc::UnboundedReceiver<Job>) {
        let mut jobs = Vec::with_capacity(BATCH_APPENDS_MAX);
        let mut appends: Vec<Box<dyn Decision>> = Vec::with_capacity(BATCH_APPENDS_MAX);
        let mut confirms = Vec::new();
        loop {
            let wait = Duration::from_millis(POLL_MS);
            let received = tokio::time::timeout(wait, inbox.recv_many(&mut jobs, BATCH_APPENDS_MAX)).await;
            if received == Ok(0) {
                return;
            }
            let mut stop = None;
            for job in jobs.drain(..) {
                match job {
                    Job::Append(decision) => appends.push(decision),
                    Job::Confirm(answer) => confirms.push(answer),
                    Job::Listen(listener, answer) => {
                        self.listeners.push(listener);
                        let _ = answer.send(self.position);
                    }
                    Job::ForgetLease(replica, answer) => {
                        let ended = self.store.end_lease(&replica).await;
                        let _ = answer.send(ended.map_err(|error| AppendError::Store(Arc::new(error))));
                    }
                    Job::Stop(answer) => stop = Some(answer),
                }
            }
            if !appends.is_empty() {
                self.append_all(std::mem::take(&mut appends)).await;
            }
            if received.is_err() || !confirms.is_empty() {
                let caught_up = self.catch_up().await;
                for answer in confirms.drain(..) {
                    // Whoever asked may have given up.
                    let _ = answer.send(caught_up.clone().map(|()| self.position));
                }
            }
            if self.head.now_ms() >= self.lease_due_ms
                && let Err(error) = self.renew_lease().await
            {
                tracing::error!(%error, "failed to renew this replica's lease; it sends nothing once it ends");
            }
            if let Some(answer) = stop {
                if let Err(error) = self.store.end_lease(&self.config.replica).await {
                    tracing::warn!(%error, "failed to give the lease back; it will end by itself");
                }
                let _ = answer.send(());
                return;
            }
        }
    }

    async fn renew_lease(&mut self) -> Result<(), StoreError> {
        let asked_ms = self.head.now_ms();
        // Tried again soon when it fails, and well before it ends when it does not.
        self.lease_due_ms = asked_ms + self.config.lease_ms / 10;
        self.store
            .renew_lease(&self.config.replica, self.config.lease_ms, self.position, READS_FORMS)
            .await?;
        self.head.lease_holds_until(asked_ms + self.config.lease_ms);
        self.lease_due_ms = asked_ms + self.config.lease_ms / 3;
        Ok(())
    }

    /// Reads and delivers what other processes wrote.
    async fn catch_up(&mut self) -> Result<(), AppendError> {
        self.refuse_when_halted()?;
        let asked_ms = self.head.now_ms();
        let there = match self.store.head().await {
            Ok(position) => position,
            Err(error) => return Err(self.unavailable(error).await),
        };
        self.catch_up_to(there).await?;
        self.head.confirmed(asked_ms);
        Ok(())
    }

    async fn catch_up_to(&mut self, there: Position) -> Result<(), AppendError> {
        if there < self.position {
            return Err(self.halt(format!(
                "its last position is {there}, but this process has seen {}: an old copy was put in its \
                 place, or its end was lost; nothing is admitted until Proctor is started again on a \
                 complete journal",
                self.position
            )));
        }
        let mut foreign = false;
        while self.position < there {
            let events = match self.store.read(self.position, CATCH_UP_EVENTS).await {
                Ok(events) => events,
                Err(error @ StoreError::Unreadable { .. }) => return Err(self.halt(describe(&error))),
                Err(error) => return Err(AppendError::Store(Arc::new(error))),
            };
            let consecutive = events
                .iter()
                .zip(self.position.0 + 1..)
                .all(|(event, position)| event.place.position.0 == position);
            if events.is_empty() || !consecutive {
                return Err(self.halt(format!("events are missing after position {}", self.position)));
            }
            for event in &events {
                self.remember(event.stream.clone(), event.sequence);
            }
            self.deliver(&events.into_iter().map(Delivered::new).collect::<Vec<_>>(), true);
            foreign = true;
        }
        if foreign {
            // Others may wait for this replica to have seen a revocation.
            self.lease_due_ms = self.lease_due_ms.min(self.head.now_ms());
        }
        Ok(())
    }

    async fn append_all(&mut self, batch: Vec<Box<dyn Decision>>) {
        let mut waiting = vec![batch];
        while let Some(batch) = waiting.pop() {
            if let Some(reason) = &self.halted {
                batch
                    .into_iter()
                    .for_each(|decision| decision.failed(AppendError::Halted(Arc::clone(reason))));
                continue;
            }
            if let Err(singles) = self.append_batch(batch).await {
                // One of them cannot be written; alone, only that one fails.
                waiting.extend(singles.into_iter().rev().map(|decision| vec![decision]));
            }
        }
    }

    /// Writes a batch in one transaction. Gives it back when it failed for one append of several.
    async fn append_batch(
        &mut self,
        mut batch: Vec<Box<dyn Decision>>,
    ) -> Result<(), Vec<Box<dyn Decision>>> {
        let asked_ms = self.head.now_ms();
        let (there, now) = match self.store.begin().await {
            Ok(locked) => locked,
            Err(error) => {
                let error = self.unavailable(error).await;
                batch.into_iter().for_each(|decision| decision.failed(error.clone()));
                return Ok(());
            }
        };
        if let Err(error) = self.catch_up_to(there).await {
            self.store.rollback().await;
            batch.into_iter().for_each(|decision| decision.failed(error.clone()));
            return Ok(());
        }
        self.head.confirmed(asked_ms);
        let mut placed = Vec::with_capacity(batch.len());
        let mut planned = Vec::with_capacity(batch.len());
        for decision in &mut batch {
            match self.write(decision.as_mut(), now, &mut placed).await {
                Ok(plan) => planned.push(plan),
                Err(error) => {
                    self.store.rollback().await;
                    self.sequences.clear();
                    if batch.len() > 1 {
                        return Err(batch);
                    }
                    let error = match error {
                        StoreError::Exists { .. } => {
                            AppendError::SideWriteExists { stream: batch[0].stream().clone() }
                        }
                        error => self.unavailable(error).await,
                    };
                    batch.into_iter().for_each(|decision| decision.failed(error.clone()));
                    return Ok(());
                }
            }
        }
        let committed = if placed.is_empty() {
            self.store.rollback().await;
            Ok(())
        } else {
            self.store.commit().await
        };
        if let Err(error) = committed
            && !self.was_committed(&mut batch).await
        {
            let error = self.unavailable(error).await;
            batch.into_iter().for_each(|decision| decision.failed(error.clone()));
            return Ok(());
        }
        self.settle(batch, planned, placed);
        Ok(())
    }

    /// Checks one decision and writes its events into the open transaction.
    async fn write(
        &mut self,
        decision: &mut dyn Decision,
        now: Micros,
        placed: &mut Vec<Placed>,
    ) -> Result<Planned, StoreError> {
        let mut moved = Vec::new();
        for (stream, seen) in decision.grounds() {
            let sequence = self.sequence(stream).await?;
            if sequence != *seen {
                moved.push((stream.clone(), sequence));
            }
        }
        if !moved.is_empty() {
            return Ok(Planned::Stale(Stale(moved)));
        }
        let stream = decision.stream().clone();
        let head = self.sequence(&stream).await?;
        if head != decision.version() {
            let newer = self.store.stream(&stream, decision.version()).await?;
            decision.decide_again(&newer, now);
        } else if decision.valid_until().is_some_and(|end| end <= now) {
            decision.decide_again(&[], now);
        }
        let first = placed.len();
        let mut sequence = head;
        for proposal in decision.proposals().iter() {
            sequence += 1;
            let position = Position(self.position.0 + placed.len() as u64 + 1);
            let row = Row {
                position,
                recorded_at: now,
                stream: &stream,
                sequence,
                event_id: &proposal.event_id,
                event_type: proposal.event.type_name(),
                event_version: proposal.event.version_name(),
                payload: &proposal.payload,
                metadata: &proposal.metadata,
                sealed: proposal.sealed.as_deref(),
            };
            self.store.insert(&row).await?;
            for write in &proposal.side_writes {
                self.store.side_write(write).await?;
            }
            placed.push(Placed { place: Place { position, recorded_at: now }, sequence });
        }
        self.remember(stream, sequence);
        Ok(Planned::Written(first..placed.len()))
    }

    /// Tells everybody about a transaction that is durable.
    fn settle(&mut self, mut batch: Vec<Box<dyn Decision>>, planned: Vec<Planned>, placed: Vec<Placed>) {
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
        self.deliver(&delivered, false);
        for (decision, plan) in batch.into_iter().zip(planned) {
            match plan {
                Planned::Written(range) => decision.committed(delivered[range].to_vec()),
                Planned::Stale(stale) => decision.stale(stale),
            }
        }
    }

    /// After a commit whose answer was an error: whether it took place all the same. What is found
    /// in the database is believed, nothing else.
    async fn was_committed(&mut self, batch: &mut [Box<dyn Decision>]) -> bool {
        self.sequences.clear();
        let Some(event_id) =
            batch.iter_mut().find_map(|d| d.proposals().first().map(|p| Arc::clone(&p.event_id)))
        else {
            return false;
        };
        if self.store.reopen().await.is_err() {
            return false;
        }
        match self.store.read(self.position, BATCH_APPENDS_MAX * 4).await {
            Ok(events) => events.iter().any(|event| event.event_id == event_id),
            Err(_) => false,
        }
    }

    fn deliver(&mut self, events: &[Delivered], foreign: bool) {
        let Some(last) = events.last() else { return };
        self.position = last.place.position;
        self.head.moved_to(self.position);
        for listener in &self.listeners {
            listener.deliver(events, foreign);
        }
    }

    async fn sequence(&mut self, stream: &StreamId) -> Result<u64, StoreError> {
        if let Some(sequence) = self.sequences.get(stream) {
            return Ok(*sequence);
        }
        let sequence = self.store.sequence(stream).await?;
        self.remember(stream.clone(), sequence);
        Ok(sequence)
    }

    fn remember(&mut self, stream: StreamId, sequence: u64) {
        if self.sequences.len() >= SEQUENCES_REMEMBERED_MAX {
            self.sequences.clear();
        }
        self.sequences.insert(stream, sequence);
    }

    fn refuse_when_halted(&self) -> Result<(), AppendError> {
        self.halted.as_ref().map_or(Ok(()), |reason| Err(AppendError::Halted(Arc::clone(reason))))
    }

    fn halt(&mut self, reason: String) -> AppendError {
        tracing::error!(reason, "the journal is halted: nothing is admitted any more");
        self.head.halt();
        let reason: Arc<str> = reason.into();
        self.halted = Some(Arc::clone(&reason));
        AppendError::Halted(reason)
    }

    /// A store that failed is opened anew, so that the next append finds it working again.
    async fn unavailable(&mut self, error: StoreError) -> AppendError {
        tracing::error!(%error, "the journal cannot be used now");
        self.sequences.clear();
        if let Err(error) = self.store.reopen().await {
            tracing::error!(%error, "failed to open the journal again; it is tried with the next append");
        }
        AppendError::Store(Arc::new(error))
    }
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

fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
