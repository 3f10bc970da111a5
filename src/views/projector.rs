//! The thread that keeps the views up to date.
//!
//! It takes in what is handed to it, in memory, a thousand events or fifty milliseconds at a time, and
//! at once when a reader waits. What was not handed over, or did not fit, it reads from the journal.
//! Where another process writes the rows, it only watches how far they are, until that one is gone.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use proctor_domain::{Position, Recorded};
use tokio::runtime::Handle;

use super::error::ViewsError;
use super::inbox::EVENTS_WAITING_MAX;
use super::source::JournalSource;
use super::write::Writer;
use super::{Health, Shared, WAIT_MAX, postgres};

/// Events that are written without waiting for more.
pub(super) const BATCH_EVENTS: usize = 4_096;
/// Events read from the journal, and written, at a time.
const READ_EVENTS: usize = 4_096;
/// How long the views stand still after a failure before they try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How often a process that does not write looks how far the rows are while somebody waits.
const WATCH_WANTED_EVERY: Duration = Duration::from_millis(20);
/// How often it looks while nobody does, and whether it may write: others may have failed.
const WATCH_EVERY: Duration = Duration::from_millis(500);
/// How often reading the journal says how far it is.
const PROGRESS_EVERY: Duration = Duration::from_secs(2);

enum Turn {
    /// Events are missing that only the journal has.
    Behind,
    Stop,
}

/// What a process has to do with the rows.
pub(super) enum Part {
    /// It writes them.
    Writes(Writer),
    /// Another one does.
    Watches(postgres::Watch),
}

/// See the module.
pub(super) struct Projector<S> {
    source: Arc<S>,
    runtime: Handle,
    shared: Arc<Shared>,
}

impl<S: JournalSource> Projector<S> {
    pub(super) fn new(source: Arc<S>, runtime: Handle, shared: Arc<Shared>) -> Self {
        Self { source, runtime, shared }
    }

    /// Runs until it is stopped. `open` opens the database, again after each failure.
    pub(super) fn run(self, mut open: impl FnMut() -> Result<Part, ViewsError>) {
        while !self.is_stopped() {
            match open().and_then(|part| self.play(part)) {
                Ok(()) => break,
                Err(_) if self.is_stopped() => break,
                Err(error) => self.fail(&error),
            }
        }
        self.shared.state.send_modify(|state| state.health = Health::Stopped);
    }

    fn play(&self, part: Part) -> Result<(), ViewsError> {
        let mut writer = match part {
            Part::Writes(writer) => writer,
            Part::Watches(watch) => match self.watch(watch)? {
                Some(writer) => writer,
                None => return Ok(()),
            },
        };
        self.follow(&mut writer)
    }

    /// Watches until this process may write, or is stopped. What is handed over is let go: the one
    /// that writes has it too.
    fn watch(&self, mut watch: postgres::Watch) -> Result<Option<Writer>, ViewsError> {
        let mut hurried: Option<Instant> = None;
        let mut tried = Instant::now();
        while !self.is_stopped() {
            if tried.elapsed() >= WATCH_EVERY {
                match watch.take_over()? {
                    Part::Writes(writer) => return Ok(Some(writer)),
                    Part::Watches(still) => watch = still,
                }
                tried = Instant::now();
            }
            let at = watch.position()?;
            self.shared.state.send_modify(|state| {
                state.position = at;
                state.health = Health::Following;
            });
            let wanted = self.shared.wanted.load(Ordering::SeqCst);
            if wanted <= at.0 {
                hurried = None;
            } else if hurried.get_or_insert_with(Instant::now).elapsed() > WAIT_MAX {
                // Whoever waited has given up.
                let _ = self.shared.wanted.compare_exchange(wanted, at.0, Ordering::SeqCst, Ordering::SeqCst);
                hurried = None;
            }
            let rest = if hurried.is_some() { WATCH_WANTED_EVERY } else { WATCH_EVERY };
            self.let_go(Instant::now() + rest, at, hurried.is_some());
        }
        Ok(None)
    }

    /// Lets go of what is handed over until then, or until somebody begins to wait.
    fn let_go(&self, until: Instant, at: Position, hurried: bool) {
        while !self.is_stopped() {
            drop(self.shared.inbox.wait(Some(until), false, EVENTS_WAITING_MAX));
            let wanted = !hurried && self.shared.wanted.load(Ordering::SeqCst) > at.0;
            if wanted || Instant::now() >= until {
                break;
            }
        }
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
        let pace = writer.pace();
        let mut pending: Vec<Arc<Recorded>> = Vec::with_capacity(BATCH_EVENTS);
        let mut due: Option<Instant> = None;
        let mut looked = Instant::now();
        loop {
            let look_due = pace.look_every.map(|every| looked + every);
            // Before it is looked what there is: what was handed over before the stop is written.
            let stop = self.is_stopped();
            let until = if stop { Some(Instant::now()) } else { due.or(look_due) };
            let room = BATCH_EVENTS - pending.len();
            let (told, emptied) = self.shared.inbox.wait(until, pending.is_empty(), room);
            let mut gap = !take(&told, *at, &mut pending);
            let now = Instant::now();
            if pending.is_empty() {
                due = None;
            } else {
                due = due.or(Some(now + pace.batch_wait));
            }
            let waited_for = self.shared.wanted.load(Ordering::SeqCst) > at.0;
            let full = pending.len() >= BATCH_EVENTS || due.is_some_and(|due| due <= now);
            if !pending.is_empty() && (full || waited_for || gap || stop) {
                let last = pending.last().map_or(*at, |event| event.place.position);
                *at = writer.apply(&pending)?;
                self.publish(*at);
                gap |= *at < last;
                pending.clear();
                due = None;
                looked = Instant::now();
            } else if look_due.is_some_and(|due| due <= now) {
                writer.look()?;
                looked = Instant::now();
            }
            if stop && emptied {
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
        self.let_go(Instant::now() + RETRY_AFTER, Position(u64::MAX), true);
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
