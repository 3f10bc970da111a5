//! The task that looks and listens, for as long as the process runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use proctor_domain::{Name, ReplicaId};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::News;
use super::look::{LookError, Looked, look};
use super::pace::{Ended, Pace};
use crate::journal::{Lease, StoreError};
use crate::proctor::Proctor;
use crate::upstream::{FailureKind, Told};

/// From which form of events on a replica can read what is observed.
const FORM: u32 = 2;
/// Looks at a time.
const LOOKS_MAX: usize = 4;
/// Upstreams that one process listens to.
const LISTENED_MAX: usize = 256;
/// Ways of one connection that told of a change and are remembered.
const TOLD_MAX: usize = 8;
/// How often it is counted who else is there, and whether anything is due, at least.
const TICK: Duration = Duration::from_secs(5);
/// Between two attempts to listen; each further one waits twice as long.
const LISTEN_AGAIN_MIN: Duration = Duration::from_secs(1);
const LISTEN_AGAIN_MAX: Duration = Duration::from_secs(300);
/// A stream that lasted so long was no failure.
const LISTENED_WELL: Duration = Duration::from_secs(60);

/// What is known of one connection.
struct Watched {
    pace: Pace,
    is_looked_at: bool,
    told: Vec<Told>,
    speaks: Option<(u32, bool)>,
    /// Ends the task that listens, when dropped.
    listening: Option<(u32, tokio_util::sync::DropGuard)>,
}

struct Watcher {
    proctor: Arc<Proctor>,
    /// How often each connection is looked at; never where it is nothing.
    every: Option<Duration>,
    watched: BTreeMap<String, Watched>,
    replicas: BTreeSet<ReplicaId>,
    /// Whether all of them can read what is observed: one that cannot would halt at it.
    all_can_read: bool,
    counted_at: Option<Instant>,
    looks: JoinSet<(String, Result<Looked, LookError>)>,
    listeners: JoinSet<()>,
}

/// Watches for as long as it is polled.
pub async fn run(proctor: Arc<Proctor>) {
    let Some(mut told) = proctor.upstreams.told() else { return };
    let mut watcher = Watcher {
        every: proctor.config.catalog_every,
        watched: BTreeMap::new(),
        replicas: BTreeSet::new(),
        all_can_read: false,
        counted_at: None,
        looks: JoinSet::new(),
        listeners: JoinSet::new(),
        proctor,
    };
    watcher.count_replicas().await;
    watcher.begin().await;
    loop {
        watcher.wait(&mut told).await;
        watcher.take_news();
        watcher.count_replicas().await;
        watcher.look_at_what_is_due();
        watcher.listen();
    }
}

impl Watcher {
    /// Takes in the connections that are there.
    async fn begin(&mut self) {
        loop {
            match self.proctor.journal.reader().stream_ids("connection").await {
                Ok(names) => {
                    for name in names {
                        self.watched(&name);
                    }
                    return;
                }
                Err(error) => {
                    tracing::warn!(%error, "failed to list the connections to watch; it is tried again");
                    tokio::time::sleep(TICK).await;
                }
            }
        }
    }

    fn watched(&mut self, name: &str) -> &mut Watched {
        let every = self.every;
        self.watched.entry(name.to_owned()).or_insert_with(|| Watched {
            pace: Pace::new(Instant::now(), every, rand::random()),
            is_looked_at: false,
            told: Vec::new(),
            speaks: None,
            listening: None,
        })
    }

    /// Until something happened or is due.
    async fn wait(&mut self, told: &mut mpsc::Receiver<Told>) {
        let may_look = self.may_look();
        let free = self.watched.values().filter(|watched| may_look && !watched.is_looked_at);
        let due = free.filter_map(|watched| watched.pace.due());
        let tick = Instant::now() + TICK;
        let until = due.min().map_or(tick, |due| due.min(tick));
        tokio::select! {
            () = self.proctor.drifts.bell.notified() => {}
            Some(told) = told.recv() => self.take_hint(told),
            Some(looked) = self.looks.join_next() => self.looked(looked),
            Some(_) = self.listeners.join_next() => {}
            () = tokio::time::sleep_until(until.into()) => {}
        }
    }

    /// Whether there is room for another look, and somewhere to write down what is seen, for all to read.
    fn may_look(&self) -> bool {
        self.all_can_read
            && self.looks.len() < LOOKS_MAX
            && !self.proctor.is_stopping()
            && self.proctor.journal.head().is_fresh()
    }

    fn take_hint(&mut self, told: Told) {
        let watched = self.watched(&told.connection.clone());
        if watched.told.len() < TOLD_MAX && !watched.told.contains(&told) {
            watched.told.push(told);
        }
        watched.pace.hint(Instant::now());
    }

    fn take_news(&mut self) {
        for (name, News { is_other, hinted, speaks }) in self.proctor.drifts.take() {
            let every = self.every;
            let watched = self.watched(&name);
            if is_other {
                watched.pace = Pace::new(Instant::now(), every, rand::random());
                watched.listening = None;
            }
            if let Some((generation, _)) = speaks
                && watched.speaks.is_none_or(|(known, _)| known <= generation)
            {
                watched.speaks = speaks;
            }
            if hinted {
                watched.pace.hint(Instant::now());
            }
        }
    }

    fn looked(&mut self, looked: Result<(String, Result<Looked, LookError>), tokio::task::JoinError>) {
        let (name, looked) = match looked {
            Ok(looked) => looked,
            Err(error) => {
                // Whose it was is not said: those that are not looked at any more are due again.
                tracing::error!(%error, "a look at an upstream broke off");
                self.looks.abort_all();
                for watched in self.watched.values_mut().filter(|watched| watched.is_looked_at) {
                    watched.is_looked_at = false;
                    watched.pace.end(Instant::now(), Ended::Failed, self.every, rand::random());
                }
                return;
            }
        };
        let Some(watched) = self.watched.get_mut(&name) else { return };
        watched.is_looked_at = false;
        let ended = match &looked {
            Ok(looked) => looked.ended(),
            Err(error) => {
                tracing::warn!(connection = name, %error, "failed to look at what an upstream offers");
                Ended::Failed
            }
        };
        watched.pace.end(Instant::now(), ended, self.every, rand::random());
        match looked {
            Ok(Looked::NotThere) => drop(self.watched.remove(&name)),
            Ok(Looked::At { generation, speaks: Some(speaks), .. }) => {
                watched.speaks = Some((generation, speaks));
            }
            Ok(Looked::At { .. } | Looked::NotByItself) | Err(_) => {}
        }
    }

    /// Who else is there; as it was where that cannot be known now.
    async fn count_replicas(&mut self) {
        if self.counted_at.is_some_and(|at| at.elapsed() < TICK) {
            return;
        }
        match self.alive().await {
            Ok(leases) => {
                let least = leases.iter().map(|lease| lease.reads).min().unwrap_or_default();
                self.proctor.drifts.form_read_by_all.store(least, Ordering::Relaxed);
                self.all_can_read = least >= FORM;
                self.replicas = leases.into_iter().map(|lease| lease.replica).collect();
            }
            Err(error) => tracing::debug!(%error, "failed to count the replicas"),
        }
        self.counted_at = Some(Instant::now());
    }

    async fn alive(&self) -> Result<Vec<Lease>, StoreError> {
        let reader = self.proctor.journal.reader();
        let (leases, now) = (reader.leases().await?, reader.now().await?);
        Ok(leases.into_iter().filter(|lease| lease.ends_at > now).collect())
    }

    fn look_at_what_is_due(&mut self) {
        let now = Instant::now();
        let due: Vec<String> = self
            .watched
            .iter()
            .filter(|(_, watched)| !watched.is_looked_at && watched.pace.due().is_some_and(|due| due <= now))
            .map(|(name, _)| name.clone())
            .collect();
        for text in due {
            let is_ours = is_ours(&text, &self.proctor.replica, &self.replicas);
            let every = self.every;
            if !self.may_look() {
                return;
            }
            let Some(watched) = self.watched.get_mut(&text) else { continue };
            let Ok(name) = Name::new(&text) else { continue };
            if !is_ours && !watched.pace.is_hinted() {
                // Another replica keeps this schedule.
                watched.pace.begin();
                watched.pace.end(now, Ended::Same, every, rand::random());
                continue;
            }
            watched.is_looked_at = true;
            watched.pace.begin();
            let told = std::mem::take(&mut watched.told);
            let proctor = Arc::clone(&self.proctor);
            self.looks.spawn_local(async move {
                let looked = look(&proctor, &name, &told).await;
                (text, looked)
            });
        }
    }

    /// Listens to those upstreams that say when their tools change and are this replica's.
    fn listen(&mut self) {
        if self.every.is_none() || self.proctor.is_stopping() {
            return;
        }
        for (text, watched) in &mut self.watched {
            let wanted = watched.speaks.filter(|(_, speaks)| *speaks).map(|(generation, _)| generation);
            let wanted = wanted.filter(|_| is_ours(text, &self.proctor.replica, &self.replicas));
            if watched.listening.as_ref().map(|(generation, _)| *generation) == wanted {
                continue;
            }
            watched.listening = None;
            let Some((generation, name)) = wanted.zip(Name::new(text).ok()) else { continue };
            if self.listeners.len() >= LISTENED_MAX {
                continue;
            }
            let stop = CancellationToken::new();
            watched.listening = Some((generation, stop.clone().drop_guard()));
            self.listeners.spawn_local(listen(Arc::clone(&self.proctor), name, generation, stop));
        }
    }
}

/// Listens to one upstream until it is to stop, or the upstream has nothing to say.
async fn listen(proctor: Arc<Proctor>, name: Name, generation: u32, stop: CancellationToken) {
    let mut wait = LISTEN_AGAIN_MIN;
    while !stop.is_cancelled() {
        let began = Instant::now();
        match listen_once(&proctor, &name, generation, &stop).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                tracing::debug!(connection = %name, %error, "an upstream cannot be listened to now");
            }
        }
        if began.elapsed() > LISTENED_WELL {
            wait = LISTEN_AGAIN_MIN;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(wait) => {}
        }
        wait = (wait * 2).min(LISTEN_AGAIN_MAX);
    }
}

/// Answers whether it is worth while to do so again.
async fn listen_once(
    proctor: &Arc<Proctor>,
    name: &Name,
    generation: u32,
    stop: &CancellationToken,
) -> Result<bool, LookError> {
    let connection = proctor.directory.state(name.as_str()).await?;
    let target = proctor.targets.of(name, &connection).await?;
    if connection.generation() != generation || connection.takes().is_some() {
        return Ok(false);
    }
    // Also when it has just begun: something may have changed before that.
    let heard = |_| proctor.drifts.hint(name.as_str());
    match proctor.upstreams.listen(&target, stop, heard).await {
        Ok(speaks) => Ok(speaks),
        // It offers no such stream after all.
        Err(error) if matches!(error.kind, FailureKind::Http(404 | 405)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether this replica is the one that looks at a connection by itself: of those that live, the one that
/// comes first in an order that each connection has of its own. So they share them out, and when one is
/// gone, its part only goes to others.
fn is_ours(connection: &str, replica: &ReplicaId, replicas: &BTreeSet<ReplicaId>) -> bool {
    let rank = |replica: &ReplicaId| {
        let hash = Sha256::new().chain_update(connection).chain_update([0]).chain_update(replica.as_str());
        <[u8; 32]>::from(hash.finalize())
    };
    let ours = rank(replica);
    replicas.iter().all(|other| other == replica || rank(other) > ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connection_is_one_replicas_and_stays_its_while_others_come_and_go() {
        let replicas: BTreeSet<ReplicaId> = ["rep_1", "rep_2", "rep_3"].map(ReplicaId::from).into();
        let mut counts = BTreeMap::new();
        for number in 0..300 {
            let connection = format!("connection-{number}");
            let owners: Vec<_> =
                replicas.iter().filter(|replica| is_ours(&connection, replica, &replicas)).collect();
            assert_eq!(owners.len(), 1, "{connection}");
            *counts.entry(owners[0].clone()).or_insert(0) += 1;
            let without: BTreeSet<_> = replicas.iter().filter(|other| *other == owners[0]).cloned().collect();
            assert!(is_ours(&connection, owners[0], &without));
        }
        assert!(counts.len() == 3 && counts.values().all(|count| *count > 50), "{counts:?}");
        assert!(is_ours("c", &"rep_1".into(), &BTreeSet::new()), "whoever knows of no other is alone");
    }
}
