//! The one place where events get their positions: group commit over whatever is waiting.
//!
//! **Invariants.** Whoever confirms or waits for a lease is served whatever the load: every round
//! takes a bounded number of appends. A journal that was found to be damaged takes nothing more.

mod at_once;
mod transaction;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use proctor_domain::{Position, Recorded, StreamId};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::append::{AppendError, Decision};
use super::delivery::{Delivered, Listener};
use super::handle::{Job, JournalConfig};
use super::head::Head;
use super::head_file::HeadFile;
use super::measures::Measures;
use super::store::{Store, StoreError, Tip};

/// Most appends in one transaction.
pub const BATCH_APPENDS_MAX: usize = 512;
/// How long the appender waits for work before it looks for other processes' events.
const POLL_MS: u64 = 250;
/// Events read at once while catching up.
const CATCH_UP_EVENTS: usize = 1_000;
/// Streams whose tip is remembered; all are forgotten together when there are more.
const TIPS_REMEMBERED_MAX: usize = 200_000;
/// The newest form of events that this program reads, as its lease says: 2 has what is observed of
/// catalogs, which processes write by themselves; 3 has calls that end with an upstream's wish for input.
const READS_FORMS: u32 = 3;
/// How often a lease is renewed at most, only to say what this process has seen.
const LEASE_NEWS_MS: u64 = 50;
/// How often the head is remembered in the data folder.
const HEAD_FILE_MS: u64 = 1_000;

/// See the module.
pub(super) struct Appender<S> {
    store: S,
    head: Arc<Head>,
    measures: Measures,
    /// The last event that was delivered here.
    position: Position,
    tips: HashMap<StreamId, Tip>,
    listeners: Vec<Arc<dyn Listener>>,
    config: JournalConfig,
    lease_renewed_ms: u64,
    lease_due_ms: u64,
    halted: Option<Arc<str>>,
    /// Since when the disk is full.
    full_since_ms: Option<u64>,
    /// How often the head was confirmed.
    confirmations: u64,
    head_file: Option<HeadFile>,
    newest: Option<Arc<Recorded>>,
    remembering: Option<JoinHandle<()>>,
    remember_due_ms: u64,
}

impl<S: Store> Appender<S> {
    pub(super) fn new(
        store: S,
        head: Arc<Head>,
        measures: Measures,
        config: JournalConfig,
        head_file: Option<HeadFile>,
    ) -> Self {
        Self {
            store,
            position: head.position(),
            head,
            measures,
            tips: HashMap::new(),
            listeners: Vec::new(),
            config,
            lease_renewed_ms: 0,
            lease_due_ms: 0,
            halted: None,
            full_since_ms: None,
            confirmations: 0,
            head_file,
            newest: None,
            remembering: None,
            remember_due_ms: 0,
        }
    }

    pub(super) fn run(
        mut self,
        mut inbox: mpsc::UnboundedReceiver<Job>,
        ready: oneshot::Sender<Result<(), StoreError>>,
    ) {
        let _guard = HaltOnPanic(Arc::clone(&self.head));
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
            let opened = if self.halted.is_some() { Ok(()) } else { self.renew_lease().await };
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
        let mut arrivals = Vec::with_capacity(BATCH_APPENDS_MAX);
        let mut confirms = Vec::new();
        loop {
            let wait = Duration::from_millis(POLL_MS);
            let rung = tokio::select! {
                received = inbox.recv_many(&mut jobs, BATCH_APPENDS_MAX) => {
                    if received == 0 {
                        return;
                    }
                    false
                }
                () = self.store.changed() => true,
                () = tokio::time::sleep(wait) => false,
            };
            self.measures.waiting.set(i64::try_from(inbox.len()).unwrap_or(i64::MAX));
            let mut stop = None;
            for job in jobs.drain(..) {
                match job {
                    Job::Append(decision, at) => {
                        appends.push(decision);
                        arrivals.push(at);
                    }
                    Job::Confirm(answer) => confirms.push(answer),
                    Job::Listen(listener, answer) => {
                        self.listeners.push(listener);
                        let _ = answer.send(self.position);
                    }
                    Job::ForgetLease(replica, answer) => {
                        let forgotten = self.store.forget_lease(&replica).await;
                        let _ = answer.send(forgotten.map_err(|error| AppendError::Store(Arc::new(error))));
                    }
                    Job::Stop(answer) => stop = Some(answer),
                }
            }
            let confirmations = self.confirmations;
            if !appends.is_empty() {
                self.append_all(std::mem::take(&mut appends)).await;
                for at in arrivals.drain(..) {
                    self.measures.append_seconds.observe(at.elapsed().as_secs_f64());
                }
            }
            // Whoever asked before the lock was taken is answered by what was found under it.
            let mut confirmed = Ok(());
            if self.confirmations == confirmations
                && (rung || !confirms.is_empty() || self.head.age() >= Duration::from_millis(POLL_MS))
            {
                confirmed = self.catch_up().await;
            }
            for answer in confirms.drain(..) {
                // Whoever asked may have given up.
                let _ = answer.send(confirmed.clone().map(|()| self.position));
            }
            if self.lease_is_due() {
                match self.renew_lease().await {
                    Ok(()) => {}
                    Err(error @ StoreError::Moved(_)) => drop(self.halt(error.to_string())),
                    Err(error) if self.notes_full(&error) => {}
                    Err(error) => {
                        tracing::error!(%error, "failed to renew this replica's lease; it sends nothing once it ends");
                    }
                }
            }
            if self.head.now_ms() >= self.remember_due_ms {
                self.remember_head().await;
            }
            if let Some(answer) = stop {
                self.stop(inbox).await;
                let _ = answer.send(());
                return;
            }
        }
    }

    async fn stop(&mut self, inbox: &mut mpsc::UnboundedReceiver<Job>) {
        inbox.close();
        while let Ok(job) = inbox.try_recv() {
            // Of everybody else, the end of the channel is the answer.
            if let Job::Append(decision, _) = job {
                decision.failed(AppendError::Stopping);
            }
        }
        // One that is still being written down is of an older head. What fails is logged there.
        self.remembered().await;
        self.remember_head().await;
        self.remembered().await;
        if self.halted.is_some() {
            return;
        }
        if let Err(error) = self.store.end_lease(&self.config.replica).await {
            tracing::warn!(%error, "failed to give the lease back; it will end by itself");
        }
    }

    async fn remembered(&mut self) {
        if let Some(remembering) = self.remembering.take() {
            let _ = remembering.await;
        }
    }

    fn lease_is_due(&self) -> bool {
        // A replica that has seen nothing since must not look as if it confirmed revocations.
        self.halted.is_none() && self.head.now_ms() >= self.lease_due_ms
    }

    async fn renew_lease(&mut self) -> Result<(), StoreError> {
        let asked_ms = self.write_lease().await?;
        self.lease_stands(asked_ms);
        Ok(())
    }

    /// Writes the lease, also into an open transaction. Answers when that was.
    async fn write_lease(&mut self) -> Result<u64, StoreError> {
        let asked_ms = self.head.now_ms();
        // Tried again soon when it fails, and well before it ends when it does not.
        self.lease_due_ms = asked_ms + self.config.lease_ms / 10;
        let JournalConfig { replica, lease_ms, master_keys, .. } = &self.config;
        self.store.renew_lease(replica, *lease_ms, self.position, READS_FORMS, master_keys).await?;
        Ok(asked_ms)
    }

    fn lease_stands(&mut self, asked_ms: u64) {
        self.head.lease_holds_until(asked_ms + self.config.lease_ms);
        self.lease_renewed_ms = asked_ms;
        self.lease_due_ms = asked_ms + self.config.lease_ms / 3;
    }

    /// Keeps the newest event that was delivered in the data folder, on another thread.
    async fn remember_head(&mut self) {
        let Some(head_file) = &self.head_file else { return };
        if self.remembering.as_ref().is_some_and(|remembering| !remembering.is_finished()) {
            return;
        }
        let Some(newest) = self.newest.take().filter(|_| self.halted.is_none()) else { return };
        self.remember_due_ms = self.head.now_ms() + HEAD_FILE_MS;
        let head_file = head_file.clone();
        self.remembering = Some(tokio::task::spawn_blocking(move || {
            if let Err(error) = head_file.remember(&newest) {
                tracing::error!(%error, "failed to remember the journal's head in the data folder");
            }
        }));
    }

    /// Reads and delivers what other processes wrote.
    async fn catch_up(&mut self) -> Result<(), AppendError> {
        self.refuse_when_halted()?;
        let asked_ms = self.head.now_ms();
        let there = match self.store.head().await {
            Ok(position) => position,
            Err(error) => return Err(self.unavailable(error)),
        };
        self.catch_up_to(there).await?;
        self.confirmed(asked_ms);
        Ok(())
    }

    fn confirmed(&mut self, asked_ms: u64) {
        self.confirmations += 1;
        self.head.confirmed(asked_ms);
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
        while self.position < there {
            let events = match self.store.read(self.position, CATCH_UP_EVENTS).await {
                Ok(events) => events,
                Err(error @ StoreError::Unreadable { .. }) => return Err(self.halt(describe(&error))),
                Err(error) => return Err(self.unavailable(error)),
            };
            if events.is_empty() {
                return Err(self.events_are_missing());
            }
            self.take_in(events)?;
        }
        Ok(())
    }

    /// Delivers what other processes wrote next.
    fn take_in(&mut self, foreign: Vec<Arc<Recorded>>) -> Result<(), AppendError> {
        if foreign.is_empty() {
            return Ok(());
        }
        let consecutive = foreign
            .iter()
            .zip(self.position.0 + 1..)
            .all(|(event, position)| event.place.position.0 == position);
        if !consecutive {
            return Err(self.events_are_missing());
        }
        for event in &foreign {
            let tip = Tip { sequence: event.sequence, position: event.place.position };
            self.note_tip(&event.stream, tip);
        }
        self.deliver(&foreign.into_iter().map(Delivered::new).collect::<Vec<_>>(), true);
        // Others may wait for this replica to have seen a revocation.
        self.lease_due_ms = self.lease_due_ms.min(self.lease_renewed_ms + LEASE_NEWS_MS);
        Ok(())
    }

    fn events_are_missing(&mut self) -> AppendError {
        self.halt(format!("events are missing after position {}", self.position))
    }

    fn deliver(&mut self, events: &[Delivered], foreign: bool) {
        let Some(last) = events.last() else { return };
        for listener in &self.listeners {
            listener.deliver(events, foreign);
        }
        self.position = last.place.position;
        self.head.moved_to(self.position, foreign);
        self.newest = Some(Arc::clone(last.recorded()));
    }

    async fn tip(&mut self, stream: &StreamId) -> Result<Tip, StoreError> {
        if let Some(tip) = self.tips.get(stream) {
            return Ok(*tip);
        }
        let read = self.store.tips(std::slice::from_ref(stream)).await?;
        let tip = read.first().copied().unwrap_or_default();
        self.note_tip(stream, tip);
        Ok(tip)
    }

    fn note_tip(&mut self, stream: &StreamId, tip: Tip) {
        if let Some(known) = self.tips.get_mut(stream) {
            *known = tip;
            return;
        }
        if self.tips.len() >= TIPS_REMEMBERED_MAX {
            self.tips.clear();
        }
        self.tips.insert(stream.clone(), tip);
    }

    fn refuse_when_halted(&self) -> Result<(), AppendError> {
        self.halted.as_ref().map_or(Ok(()), |reason| Err(AppendError::Halted(Arc::clone(reason))))
    }

    /// Takes nothing more, for this reason.
    pub(super) fn halt(&mut self, reason: String) -> AppendError {
        tracing::error!(reason, "the journal is halted: nothing is admitted any more");
        self.head.halt();
        let reason: Arc<str> = reason.into();
        self.halted = Some(Arc::clone(&reason));
        AppendError::Halted(reason)
    }

    /// Counts a failure of the store. Answers whether the disk is full, which is said once and not for
    /// every append.
    fn notes_full(&mut self, error: &StoreError) -> bool {
        self.measures.store_errors.inc();
        let is_full = matches!(error, StoreError::Full { .. });
        if is_full {
            self.head.found_full();
            if self.full_since_ms.is_none() {
                self.full_since_ms = Some(self.head.now_ms());
                tracing::error!(%error, "the journal takes nothing, so that nothing is admitted");
            }
        }
        is_full
    }

    /// Something was written. While the disk is full, only what is small is.
    fn notes_room(&mut self) {
        if self.full_since_ms.is_some()
            && !self.head.is_full()
            && let Some(since_ms) = self.full_since_ms.take()
        {
            let seconds = (self.head.now_ms() - since_ms) / 1_000;
            tracing::warn!(seconds, "the journal takes events again: its disk was full");
        }
    }

    /// A store that failed is opened anew by the next append, and not while somebody waits to be
    /// told of the failure.
    fn unavailable(&mut self, error: StoreError) -> AppendError {
        if let StoreError::Moved(_) = &error {
            // This one slept through it, and there is nothing here to wait for.
            return self.halt(error.to_string());
        }
        if !self.notes_full(&error) {
            tracing::error!(%error, "the journal cannot be used now");
        }
        self.tips.clear();
        self.store.abandon();
        AppendError::Store(Arc::new(error))
    }
}

/// An appender that ends in a panic leaves nothing behind that could be mistaken for health.
struct HaltOnPanic(Arc<Head>);

impl Drop for HaltOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.halt();
        }
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
