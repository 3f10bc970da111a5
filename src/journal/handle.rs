//! The journal, as everybody but the appender knows it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proctor_domain::{Position, ReplicaId};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::append::{AppendError, Decision};
use super::appender::Appender;
use super::delivery::Listener;
use super::head::Head;
use super::head_file::HeadFile;
use super::measures::Measures;
use super::store::{Reader, Store, StoreError};

/// How long it is waited until the head is confirmed.
const CONFIRM_WAIT: Duration = Duration::from_secs(2);

/// How the journal is run.
#[derive(Clone, Debug)]
pub struct JournalConfig {
    /// This process.
    pub replica: ReplicaId,
    /// How long its lease lasts, in milliseconds.
    pub lease_ms: u64,
    /// Where this installation remembers how far it has seen the journal (`head.json`).
    pub data_dir: Option<PathBuf>,
    /// Names the master keys that it opens with, as its lease has it.
    pub master_keys: String,
}

/// What is asked of the appender.
pub(super) enum Job {
    Append(Box<dyn Decision>, Instant),
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
    measures: Measures,
    reader: Arc<dyn Reader>,
    replica: ReplicaId,
}

impl Journal {
    /// Starts the appender on a thread of its own, with its lease written. A journal that is not
    /// the one that this installation knows opens as well, but is halted: it can be read, and
    /// nothing is admitted.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub async fn open<S: Store>(
        store: S,
        reader: Arc<dyn Reader>,
        config: JournalConfig,
    ) -> Result<Self, StoreError> {
        let head_file = config.data_dir.as_deref().map(|folder| HeadFile::new(folder, &config.replica));
        let contradiction = match &head_file {
            Some(head_file) => head_file.contradiction(&*reader).await?,
            None => None,
        };
        let head = Arc::new(Head::new(reader.head().await?));
        let (jobs, inbox) = mpsc::unbounded_channel();
        let (ready, opened) = oneshot::channel();
        let replica = config.replica.clone();
        let measures = Measures::default();
        let mut appender = Appender::new(store, Arc::clone(&head), measures.clone(), config, head_file);
        if let Some(reason) = contradiction {
            appender.halt(reason);
        }
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
        Ok(Self { jobs, head, measures, reader, replica })
    }

    /// Hands a decision to the appender; it is told what becomes of it.
    pub fn append(&self, decision: Box<dyn Decision>) {
        let job = Job::Append(decision, Instant::now());
        if let Err(mpsc::error::SendError(Job::Append(decision, _))) = self.jobs.send(job) {
            decision.failed(AppendError::Stopping);
        }
    }

    /// Makes sure of the journal's head: everything up to the position that it answers has been
    /// delivered to the listeners.
    ///
    /// # Errors
    /// When the store cannot be read, or does not answer in time.
    pub async fn confirm(&self) -> Result<Position, AppendError> {
        let (answer, confirmed) = oneshot::channel();
        self.jobs.send(Job::Confirm(answer)).map_err(|_| AppendError::Stopping)?;
        let Ok(confirmed) = timeout(CONFIRM_WAIT, confirmed).await else {
            let reason = format!("no answer within {} s", CONFIRM_WAIT.as_secs());
            let silence = StoreError::Database { doing: "confirm the journal's head", reason };
            return Err(AppendError::Store(Arc::new(silence)));
        };
        confirmed.map_err(|_| AppendError::Stopping)?
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

    /// Removes the lease of a replica that is gone and has left nothing undone, unless it is back.
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

    /// What the appender counts.
    #[must_use]
    pub fn measures(&self) -> &Measures {
        &self.measures
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
