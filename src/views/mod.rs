//! The store of the projections: runs row changes and answers questions from the rows, which stand in
//! SQLite or PostgreSQL.
//!
//! The views follow from the journal alone. They have a file or a schema of their own, which may be
//! deleted: it is filled anew from the journal's beginning.
//!
//! **Invariants.** No permission is decided here. An event is never left out: one that cannot be read
//! stops the views where they are, and says so.

mod acts;
mod batch;
mod error;
mod form;
mod inbox;
mod manifests;
mod memory;
mod postgres;
mod projector;
mod read;
mod record;
mod select;
mod sessions;
mod shape;
mod source;
mod sqlite;
mod tool_calls;
mod write;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use proctor_domain::{Position, Recorded};
use sqlx::PgPool;
use tokio::sync::watch;

pub use acts::{ActFilter, ActRow};
pub use error::{NotCaughtUp, ViewsError};
pub use manifests::{ManifestFilter, ManifestRow};
pub use proctor_projections::CallOutcome;
pub use select::PAGE_ROWS_MAX;
pub use sessions::{SessionCut, SessionFilter, SessionRow, SessionState, SessionsOf};
pub use source::JournalSource;
pub use tool_calls::{ToolCallFilter, ToolCallRow};

use inbox::Inbox;
use projector::{Part, Projector};
use read::Pool;

/// How long a list waits for the views to reach the journal's head.
pub const WAIT_MAX: Duration = Duration::from_secs(2);

/// Where the rows stand.
#[derive(Clone, Debug)]
pub enum ViewsPlace {
    /// In this file, which every process of this machine that uses it may write.
    Sqlite(PathBuf),
    /// In the database of the journal, where one process at a time writes them and all read them:
    /// through the pool, and through one connection more that is made with the pool's options, anew
    /// when those lead elsewhere. Its lock is its session's: a pooler between must not share it.
    Postgres(PgPool),
}

/// How the views are doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// They read the journal, up to this position at least.
    CatchingUp {
        /// The journal's head when reading began.
        head: Position,
    },
    /// They take in what is recorded as it is recorded.
    Following,
    /// They stand still and try again.
    Failing {
        /// Why.
        because: Arc<str>,
    },
    /// They were stopped.
    Stopped,
}

#[derive(Clone, Debug)]
struct State {
    position: Position,
    health: Health,
}

/// What the projector's thread shares with everybody else.
struct Shared {
    state: watch::Sender<State>,
    /// A reader waits for this position.
    wanted: AtomicU64,
    inbox: Inbox,
    /// Batches up to this position did not fit and must be read from the journal.
    dropped: AtomicU64,
    stop: watch::Sender<bool>,
}

impl Shared {
    fn new(position: Position) -> Arc<Self> {
        let state = State { position, health: Health::CatchingUp { head: position } };
        Arc::new(Self {
            state: watch::Sender::new(state),
            wanted: AtomicU64::new(0),
            inbox: Inbox::default(),
            dropped: AtomicU64::new(0),
            stop: watch::Sender::new(false),
        })
    }
}

/// The views of one journal. Dropping it stops them.
pub struct Views {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    pool: Pool,
}

impl Views {
    /// Starts the thread that keeps the rows up to date, wherever they stand. `runtime` drives what
    /// `source` awaits, and the pool.
    ///
    /// # Errors
    /// When the file cannot be opened or made. A PostgreSQL that does not answer is tried again and
    /// again; [`Self::health`] says so meanwhile.
    pub fn open(
        place: ViewsPlace,
        source: impl JournalSource,
        runtime: tokio::runtime::Handle,
    ) -> Result<Self, ViewsError> {
        match place {
            ViewsPlace::Sqlite(path) => {
                let mut writer = sqlite::open(&path)?;
                let shared = Shared::new(writer.checkpoint()?.position);
                let pool = Pool::Sqlite(sqlite::Pool::new(&path));
                let mut opened = Some(writer);
                let open =
                    move || opened.take().map_or_else(|| sqlite::open_again(&path), Ok).map(Part::Writes);
                Self::start(shared, pool, open, source, runtime)
            }
            ViewsPlace::Postgres(pool) => {
                let shared = Shared::new(Position(0));
                let known = pool.clone();
                let dial = postgres::Dial::new(move || known.connect_options(), shared.stop.subscribe());
                let pool = Pool::Postgres(postgres::Pool::new(pool, runtime.clone()));
                Self::start(shared, pool, move || postgres::open(&dial), source, runtime)
            }
        }
    }

    fn start(
        shared: Arc<Shared>,
        pool: Pool,
        open: impl FnMut() -> Result<Part, ViewsError> + Send + 'static,
        source: impl JournalSource,
        runtime: tokio::runtime::Handle,
    ) -> Result<Self, ViewsError> {
        let projector = Projector::new(Arc::new(source), runtime, Arc::clone(&shared));
        let thread = std::thread::Builder::new()
            .name("views".to_owned())
            .spawn(move || projector.run(open))
            .map_err(ViewsError::Thread)?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)), pool })
    }

    /// Hands over events just recorded, in order. Never waits: what does not fit is read later.
    pub fn feed(&self, batch: &[Arc<Recorded>]) {
        let Some(last) = batch.last().map(|event| event.place.position) else { return };
        if !self.shared.inbox.put(batch) {
            self.shared.dropped.fetch_max(last.0, Ordering::SeqCst);
            self.shared.inbox.ring();
        }
    }

    /// How far the views are, as this process knows.
    #[must_use]
    pub fn position(&self) -> Position {
        self.shared.state.borrow().position
    }

    /// How they are doing.
    #[must_use]
    pub fn health(&self) -> Health {
        self.shared.state.borrow().health.clone()
    }

    /// Waits until the views have reached `position`; the rows are written at once, not with the next
    /// full batch.
    ///
    /// # Errors
    /// When `deadline` passes before, or the views stand still.
    pub async fn wait_for(&self, position: Position, deadline: Duration) -> Result<(), NotCaughtUp> {
        if self.position() >= position {
            return Ok(());
        }
        let mut state = self.shared.state.subscribe();
        self.shared.wanted.fetch_max(position.0, Ordering::SeqCst);
        self.shared.inbox.ring();
        let settled = |state: &State| {
            state.position >= position || matches!(state.health, Health::Failing { .. } | Health::Stopped)
        };
        // Either way the newest state says what came of it.
        let _ = tokio::time::timeout(deadline, state.wait_for(settled)).await;
        let State { position: at, health } = self.shared.state.borrow().clone();
        if at >= position {
            return Ok(());
        }
        let because = match health {
            Health::CatchingUp { head } => {
                Some(format!("catching up with the journal, which ends at {head}"))
            }
            Health::Following => None,
            Health::Failing { because } => Some(because.to_string()),
            Health::Stopped => Some("the server is shutting down".to_owned()),
        };
        Err(NotCaughtUp { at, wanted: position, because })
    }

    /// Writes what was handed over and stops. Blocks until that is done.
    pub fn stop(&self) {
        self.end();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread of the audit views panicked");
        }
    }

    fn end(&self) {
        self.shared.stop.send_replace(true);
        self.shared.inbox.ring();
    }
}

impl Drop for Views {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests;
