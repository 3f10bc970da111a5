//! The thread that keeps the views up to date.
//!
//! It takes in what is handed to it, in memory, a thousand events or fifty milliseconds at a time, and
//! at once when a reader waits. What was not handed over, or did not fit, it reads from the journal.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use proctor_domain::{Position, Recorded};
use tokio::runtime::Handle;

use super::error::ViewsError;
use super::source::JournalSource;
use super::write::Writer;
use super::{Health, Shared};

/// Events that are written without waiting for more.
const BATCH_EVENTS: usize = 4_096;
/// How long the first event of a batch waits for others.
const BATCH_WAIT: Duration = Duration::from_millis(200);
/// Events read from the journal, and written, at a time.
const READ_EVENTS: usize = 4_096;
/// How long the views stand still after a failure before they try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How often reading the journal says how far it is.
const PROGRESS_EVERY: Duration = Duration::from_secs(2);

/// What the thread is told.
pub(super) enum Message {
    /// Events were recorded.
    Recorded(Arc<[Arc<Recorded>]>),
    /// Look again at what is wanted.
    Wake,
}

enum Turn {
    /// Events are missing that only the journal has.
    Behind,
    Stop,
}

/// See the module.
pub(super) struct Projector<S> {
    path: PathBuf,
    source: Arc<S>,
    runtime: Handle,
    inbox: Receiver<Message>,
    shared: Arc<Shared>,
}

impl<S: JournalSource> Projector<S> {
    pub(super) fn new(
        path: PathBuf,
        source: Arc<S>,
        runtime: Handle,
        inbox: Receiver<Message>,
        shared: Arc<Shared>,
    ) -> Self {
        Self { path, source, runtime, inbox, shared }
    }

    /// Runs until it is stopped.
    pub(super) fn run(self, writer: Writer) {
        let mut writer = Some(writer);
        while !self.is_stopped() {
            let opened = writer.take().map_or_else(|| Writer::open_again(&self.path), Ok);
            match opened.and_then(|mut writer| self.follow(&mut writer)) {
                Ok(()) => break,
                Err(_) if self.is_stopped() => break,
                Err(error) => self.fail(&error),
            }
        }
        self.shared.state.send_modify(|state| state.health = Health::Stopped);
    }

    fn follow(&self, writer: &mut Writer) -> Result<(), ViewsError> {
        self.check_journal(writer)?;
        let mut at = writer.checkpoint()?.position;
        self.publish(at);
        loop {
            self.catch_up(writer, &mut at)?;
            self.shared.state.send_modify(|state| state.health = Health::Following);
            match self.live(writer, &mut at)? {
                Turn::Behind => {}
                Turn::Stop => return Ok(()),
            }
        }
    }

    /// Views of another journal, or of a past that a restored backup has undone, are made anew.
    fn check_journal(&self, writer: &mut Writer) -> Result<(), ViewsError> {
        let checkpoint = writer.checkpoint()?;
        let Some(before) = checkpoint.position.0.checked_sub(1) else { return Ok(()) };
        let found = self.read(Position(before), 1)?;
        if found.first().is_none_or(|event| *event.event_id != *checkpoint.event_id) {
            tracing::warn!(
                position = checkpoint.position.0,
                "the audit views belong to another journal, or to a past that was undone; building them anew"
            );
            writer.empty()?;
        }
        Ok(())
    }

    /// Reads the journal to where its head was when this began.
    fn catch_up(&self, writer: &mut Writer, at: &mut Position) -> Result<(), ViewsError> {
        let wanted = self.shared.wanted.load(Ordering::SeqCst);
        let head = self.wait(self.source.head())?.map_err(|error| journal(*at, error))?;
        self.shared.state.send_modify(|state| state.health = Health::CatchingUp { head });
        let mut progress = Progress::new(*at, head);
        let mut next = (*at < head).then(|| self.begin_read(*at));
        while let Some(reading) = next.take() {
            let events = self.finish_read(reading, *at)?;
            let Some(last) = events.last().map(|event| event.place.position) else { break };
            // The next events are read while these are written.
            next = (last < head).then(|| self.begin_read(last));
            let first = events[0].place.position;
            *at = writer.apply(&events)?;
            if *at < last {
                return Err(ViewsError::Gap { after: *at, found: first });
            }
            if *at > last {
                // Another process was faster; what is being read is old.
                next = (*at < head).then(|| self.begin_read(*at));
            }
            self.publish(*at);
            progress.report(*at);
        }
        progress.done(*at);
        if wanted > at.0 {
            // Nobody has recorded that position yet: it is not worth reading for, again and again.
            let _ = self.shared.wanted.compare_exchange(wanted, at.0, Ordering::SeqCst, Ordering::SeqCst);
        }
        Ok(())
    }

    fn live(&self, writer: &mut Writer, at: &mut Position) -> Result<Turn, ViewsError> {
        let mut pending: Vec<Arc<Recorded>> = Vec::with_capacity(BATCH_EVENTS);
        let mut due: Option<Instant> = None;
        loop {
            let mut message = match due {
                None => self.inbox.recv().ok(),
                Some(due) => self.inbox.recv_timeout(due.saturating_duration_since(Instant::now())).ok(),
            };
            let mut gap = false;
            while let Some(told) = message.take() {
                match told {
                    Message::Recorded(batch) => gap |= !take(&batch, *at, &mut pending),
                    Message::Wake => {}
                }
                if pending.len() < BATCH_EVENTS {
                    message = self.inbox.try_recv().ok();
                }
            }
            let emptied = pending.len() < BATCH_EVENTS;
            let now = Instant::now();
            if pending.is_empty() {
                due = None;
            } else {
                due = due.or(Some(now + BATCH_WAIT));
            }
            let stop = self.is_stopped();
            let waited_for = self.shared.wanted.load(Ordering::SeqCst) > at.0;
            let full = pending.len() >= BATCH_EVENTS || due.is_some_and(|due| due <= now);
            if !pending.is_empty() && (full || waited_for || gap || stop) {
                let last = pending.last().map_or(*at, |event| event.place.position);
                *at = writer.apply(&pending)?;
                self.publish(*at);
                gap |= *at < last;
                pending.clear();
                due = None;
            }
            if stop {
                return Ok(Turn::Stop);
            }
            let reached = pending.last().map_or(*at, |event| event.place.position);
            let missing = self.shared.dropped.load(Ordering::SeqCst) > reached.0
                || self.shared.wanted.load(Ordering::SeqCst) > reached.0;
            if gap || (missing && emptied && pending.is_empty()) {
                return Ok(Turn::Behind);
            }
        }
    }

    fn begin_read(&self, after: Position) -> Reading<S> {
        let source = Arc::clone(&self.source);
        self.runtime.spawn(async move { source.read(after, READ_EVENTS).await })
    }

    fn finish_read(&self, reading: Reading<S>, at: Position) -> Result<Vec<Arc<Recorded>>, ViewsError> {
        match self.wait(reading)? {
            Ok(events) => events.map_err(|error| journal(at, error)),
            Err(error) => Err(journal(at, error)),
        }
    }

    fn read(&self, after: Position, limit: usize) -> Result<Vec<Arc<Recorded>>, ViewsError> {
        self.wait(self.source.read(after, limit))?.map_err(|error| journal(after, error))
    }

    /// Waits for the journal, unless stopped meanwhile: whoever stops the views may be the one thread
    /// that the journal's answer would need.
    fn wait<T>(&self, answer: impl Future<Output = T>) -> Result<T, ViewsError> {
        let mut stop = self.shared.stop.subscribe();
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => Err(ViewsError::Stopped),
                answer = answer => Ok(answer),
            }
        })
    }

    fn publish(&self, at: Position) {
        self.shared.state.send_modify(|state| state.position = at);
    }

    fn is_stopped(&self) -> bool {
        *self.shared.stop.borrow()
    }

    /// Says what is wrong and waits a while. What is handed over meanwhile is read later.
    fn fail(&self, error: &ViewsError) {
        let because: Arc<str> = error.to_string().into();
        let failing = Health::Failing { because: Arc::clone(&because) };
        if self.shared.state.borrow().health != failing {
            tracing::error!(%because, "the audit views stand still");
        }
        self.shared.state.send_modify(|state| state.health = failing);
        let until = Instant::now() + RETRY_AFTER;
        while !self.is_stopped() {
            match self.inbox.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Message::Recorded(_) | Message::Wake) => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
    }
}

type Reading<S> = tokio::task::JoinHandle<Result<Vec<Arc<Recorded>>, <S as JournalSource>::Error>>;

fn journal(after: Position, source: impl std::error::Error + Send + Sync + 'static) -> ViewsError {
    ViewsError::Journal { after, source: Box::new(source) }
}

/// Adds what follows on from `pending`, and says whether nothing is missing before it.
fn take(batch: &[Arc<Recorded>], at: Position, pending: &mut Vec<Arc<Recorded>>) -> bool {
    for event in batch {
        let reached = pending.last().map_or(at, |event| event.place.position);
        match event.place.position.0.cmp(&(reached.0 + 1)) {
            std::cmp::Ordering::Less => {}
            std::cmp::Ordering::Equal => pending.push(Arc::clone(event)),
            std::cmp::Ordering::Greater => return false,
        }
    }
    true
}

/// Says now and then how far reading the journal is, when it takes long.
struct Progress {
    began: Instant,
    from: Position,
    head: Position,
    reported: Option<Instant>,
}

impl Progress {
    fn new(from: Position, head: Position) -> Self {
        Self { began: Instant::now(), from, head, reported: None }
    }

    fn report(&mut self, at: Position) {
        let since = self.reported.unwrap_or(self.began).elapsed();
        if since < PROGRESS_EVERY {
            return;
        }
        self.reported = Some(Instant::now());
        let percent = at.0 * 100 / self.head.0.max(1);
        tracing::info!(
            position = at.0,
            head = self.head.0,
            percent,
            events_per_second = self.pace(at),
            "building the audit views"
        );
    }

    fn done(&self, at: Position) {
        if self.reported.is_some() {
            let events_per_second = self.pace(at);
            tracing::info!(position = at.0, events_per_second, "the audit views are up to date");
        }
    }

    fn pace(&self, at: Position) -> u64 {
        let microseconds = self.began.elapsed().as_micros().max(1);
        let events = u128::from(at.0.saturating_sub(self.from.0));
        u64::try_from(events * 1_000_000 / microseconds).unwrap_or(u64::MAX)
    }
}
