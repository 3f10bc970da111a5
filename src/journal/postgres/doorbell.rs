//! Tells other processes that something was appended, and hears it from them, so that they need
//! not wait until they look by themselves.
//!
//! **Invariants.** Nothing depends on it: what is not heard is found by the next look. A ring is no
//! part of a transaction of the journal, which it would slow down fivefold.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgListener, PgPoolOptions};
use sqlx::{Executor as _, Row as _};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::primary::Primary;
use super::{ANSWER_WAIT, CONNECT_WAIT};

const CHANNEL: &str = "proctor_journal";
/// After a ring, those that follow within this time are one.
const RING_PAUSE: Duration = Duration::from_millis(5);
/// How often it is looked whether the primary is elsewhere by now.
const MOVE_LOOK_PAUSE: Duration = Duration::from_secs(1);
/// How long until it is tried again to listen.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// See the module.
#[derive(Default)]
pub(super) struct Doorbell {
    ring: Arc<Notify>,
    heard: Arc<Notify>,
    /// Runs where the appender runs.
    task: Option<JoinHandle<()>>,
}

impl Doorbell {
    /// Something was appended.
    pub(super) fn ring(&self) {
        self.ring.notify_one();
    }

    /// Another process has appended something, perhaps.
    pub(super) async fn heard(&mut self, primary: &Arc<Primary>) {
        let _task = self.task.get_or_insert_with(|| {
            let (ring, heard, primary) =
                (Arc::clone(&self.ring), Arc::clone(&self.heard), Arc::clone(primary));
            tokio::spawn(async move { answer(&primary, &ring, &heard).await })
        });
        self.heard.notified().await;
    }
}

impl Drop for Doorbell {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

async fn answer(primary: &Primary, ring: &Notify, heard: &Notify) {
    loop {
        if let Err(error) = listen(primary, ring, heard).await {
            // The appender says loudly enough when the database is gone.
            tracing::debug!(%error, "not listening for other processes' events; they are looked for instead");
            sleep(RETRY_PAUSE).await;
        }
    }
}

/// Ends when the connection does, or when the primary is elsewhere.
async fn listen(primary: &Primary, ring: &Notify, heard: &Notify) -> Result<(), sqlx::Error> {
    let began = Instant::now();
    // A pool of one is what a listener asks for. It follows the primary because it is made anew.
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(CONNECT_WAIT)
        .connect_lazy_with(primary.options());
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.eager_reconnect(false);
    let own: i32 = listener.fetch_one("SELECT pg_backend_pid()").await?.try_get(0)?;
    // Rings carry nothing that must not be lost.
    listener.execute("SET synchronous_commit = off").await?;
    listener.listen(CHANNEL).await?;
    // What was appended while nobody listened.
    heard.notify_one();
    while primary.is_of_now(began.elapsed()) {
        tokio::select! {
            notification = listener.try_recv() => {
                let notification = notification?.ok_or(sqlx::Error::WorkerCrashed)?;
                if notification.process_id() != own.cast_unsigned() {
                    heard.notify_one();
                }
            }
            // A host that was the primary may answer, and nobody else rings there.
            () = sleep(MOVE_LOOK_PAUSE) => {}
            () = ring.notified() => {
                let rung = listener.execute("NOTIFY proctor_journal");
                timeout(ANSWER_WAIT, rung).await.map_err(|_| sqlx::Error::PoolTimedOut)??;
                sleep(RING_PAUSE).await;
            }
        }
    }
    Ok(())
}
