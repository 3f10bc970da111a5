//! Whoever delivers: follows the journal, sends what is due, a few at a time for each webhook.
//!
//! **Invariants.** Only a process whose own lease holds delivers: one that was cut off, or whose
//! journal has gone elsewhere, sends nothing. A receiver that is slow keeps up its own messages only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use proctor_domain::{Micros, Position};
use tokio::task::JoinSet;

use super::attempt::attempt;
use super::backoff::plus;
use super::follower::Follower;
use super::quiet::Quiet;
use crate::actors::now;
use crate::journal::{NEXT_OF_MAX, StoreError, Waiting};
use crate::proctor::Proctor;

/// Messages on their way to one webhook.
const SENDS_EACH_MAX: usize = 4;
/// How often it is looked for what is due, at least.
const TICK: Duration = Duration::from_secs(1);
/// For how long nothing is looked for where nothing happens, at most: another process may have been late.
const QUIET_MAX: Duration = Duration::from_secs(5);
/// Between two looks when much happens.
const PAUSE: Duration = Duration::from_millis(10);
/// For how long whoever delivers has said so.
const LEAD_LASTS: Duration = Duration::from_secs(10);
/// How often that is said again.
const LEAD_SAID_EVERY: Duration = Duration::from_secs(3);
/// After the database has failed, or what a message needs was not there.
const REST: Duration = Duration::from_secs(2);
/// Events that are read at once.
const PAGE_EVENTS: usize = 512;
/// How often the cursors are written where nothing is to be told.
const REACH_EVERY: Duration = Duration::from_secs(5);
/// How often it is counted what waits.
const COUNT_EVERY: Duration = Duration::from_secs(5);
/// How often old deliveries are removed.
const PRUNE_EVERY: Duration = Duration::from_secs(60);
/// For how long a delivery is kept that was taken.
const DELIVERED_KEPT: Duration = Duration::from_secs(7 * 86_400);
/// For how long one is kept that was given up.
const DEAD_KEPT: Duration = Duration::from_secs(30 * 86_400);

/// A delivery on its way or at rest.
type Key = (String, Position);

struct Courier {
    proctor: Arc<Proctor>,
    lead: Option<Lead>,
    sends: JoinSet<(Key, bool)>,
    on_their_way: BTreeSet<Key>,
    resting: BTreeMap<Key, Instant>,
}

/// What whoever delivers keeps in mind.
struct Lead {
    /// Until then nobody else delivers.
    until: Instant,
    said_at: Instant,
    follower: Follower,
    quiet: Quiet,
    reached_at: Instant,
    counted_at: Option<Instant>,
    pruned_at: Option<Instant>,
}

/// Delivers for as long as it is polled, whenever this process is the one that does.
pub async fn run(proctor: Arc<Proctor>) {
    let mut courier = Courier {
        lead: None,
        sends: JoinSet::new(),
        on_their_way: BTreeSet::new(),
        resting: BTreeMap::new(),
        proctor,
    };
    courier.look_for_webhooks().await;
    loop {
        if let Err(error) = courier.round().await {
            tracing::warn!(%error, "webhooks cannot go on; it is tried again");
            courier.lead = None;
            tokio::time::sleep(REST).await;
        }
        courier.wait().await;
    }
}

impl Courier {
    /// Whether there are any, from before this process heard of events.
    async fn look_for_webhooks(&self) {
        loop {
            match self.proctor.journal.reader().stream_ids("webhook").await {
                Ok(ids) if ids.is_empty() => return,
                Ok(_) => return self.proctor.webhooks.there_are_some.store(true, Ordering::Release),
                Err(error) => {
                    tracing::warn!(%error, "failed to look for webhooks; it is tried again");
                    tokio::time::sleep(REST).await;
                }
            }
        }
    }

    /// Until something happened or a while has passed.
    async fn wait(&mut self) {
        tokio::time::sleep(PAUSE).await;
        let bell = self.proctor.webhooks.bell.notified();
        tokio::select! {
            () = bell => {}
            Some(sent) = self.sends.join_next() => self.sent(sent),
            () = tokio::time::sleep(TICK) => {}
        }
        while let Some(sent) = self.sends.try_join_next() {
            self.sent(sent);
        }
    }

    fn sent(&mut self, sent: Result<(Key, bool), tokio::task::JoinError>) {
        match sent {
            Ok((key, settled)) => {
                self.on_their_way.remove(&key);
                self.disturb(&key.0);
                if !settled {
                    self.resting.insert(key, Instant::now() + REST);
                }
            }
            Err(error) => {
                // Which one it was is not said: what is on its way is sent again where it was not settled.
                tracing::error!(%error, "a delivery broke off");
                self.sends.abort_all();
                self.on_their_way.clear();
                if let Some(lead) = &mut self.lead {
                    lead.quiet.disturb_all();
                }
            }
        }
    }

    fn disturb(&mut self, webhook: &str) {
        if let Some(lead) = &mut self.lead {
            lead.quiet.disturb(webhook);
        }
    }

    async fn round(&mut self) -> Result<(), StoreError> {
        let Proctor { journal, webhooks, .. } = &*self.proctor;
        let idle = !webhooks.there_are_some.load(Ordering::Acquire) || self.proctor.is_stopping();
        if idle || !journal.head().is_fresh() {
            return Ok(());
        }
        if !self.leads().await? {
            self.lead = None;
            self.proctor.webhooks.measures.set_waiting(&Waiting::default());
            return Ok(());
        }
        self.follow().await?;
        self.dispatch().await?;
        self.keep_house().await
    }

    async fn leads(&mut self) -> Result<bool, StoreError> {
        let Proctor { journal, webhooks, replica, .. } = &*self.proctor;
        let asked_at = Instant::now();
        // Somebody else may have gone on where this one stopped.
        self.lead.take_if(|lead| lead.until <= asked_at);
        if let Some(lead) = &self.lead
            && lead.said_at + LEAD_SAID_EVERY > asked_at
        {
            return Ok(true);
        }
        let database = journal.reader().now().await?;
        if !webhooks.deliveries.lead(replica, database, plus(database, LEAD_LASTS)).await? {
            return Ok(false);
        }
        match &mut self.lead {
            Some(lead) => (lead.until, lead.said_at) = (asked_at + LEAD_LASTS, asked_at),
            None => {
                let follower = Follower::load(&**journal.reader(), &webhooks.deliveries).await?;
                tracing::info!("this process delivers to webhooks");
                self.lead = Some(Lead {
                    until: asked_at + LEAD_LASTS,
                    said_at: asked_at,
                    follower,
                    quiet: Quiet::default(),
                    reached_at: asked_at,
                    counted_at: None,
                    pruned_at: None,
                });
            }
        }
        Ok(true)
    }

    /// Enqueues whatever has happened since.
    async fn follow(&mut self) -> Result<(), StoreError> {
        let Proctor { journal, webhooks, .. } = &*self.proctor;
        let Some(lead) = &mut self.lead else { return Ok(()) };
        loop {
            let before = lead.follower.position();
            let (events, to) = match webhooks.inbox.take(before) {
                Some(kept) => kept,
                None => {
                    let page = journal.reader().read(before, PAGE_EVENTS).await?;
                    let to = page.last().map_or(before, |event| event.place.position);
                    (page, to)
                }
            };
            if to <= before {
                return Ok(());
            }
            let mut steps = lead.follower.follow(&events, to);
            if !steps.is_empty() || lead.reached_at.elapsed() > REACH_EVERY {
                steps.extend(lead.follower.reach());
                webhooks.deliveries.take(&steps, now()).await?;
                lead.quiet.disturb_by(&steps);
                lead.reached_at = Instant::now();
            }
        }
    }

    /// Sends what is due.
    async fn dispatch(&mut self) -> Result<(), StoreError> {
        let rested = self.resting.iter().filter(|(_, until)| **until <= Instant::now());
        for key in rested.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            self.resting.remove(&key);
            self.disturb(&key.0);
        }
        let Some(lead) = &mut self.lead else { return Ok(()) };
        let at = now();
        let mut asked = Vec::new();
        for webhook in lead.follower.active().filter(|webhook| !lead.quiet.is_quiet(webhook, at)) {
            let busy = self.on_their_way.iter().filter(|(of, _)| of == webhook).count();
            let room = SENDS_EACH_MAX.saturating_sub(busy);
            let resting = self.resting.keys().filter(|(of, _)| of == webhook).count();
            if room > 0 {
                // And one more, which says when to look next.
                asked.push((webhook, room, room + busy + resting + 1));
            }
        }
        if asked.is_empty() {
            return Ok(());
        }
        let webhooks = &self.proctor.webhooks;
        let question: Vec<_> = asked.iter().map(|(webhook, _, most)| (*webhook, *most)).collect();
        let next = webhooks.deliveries.next_of(&question).await?;
        webhooks.measures.has_looked(question.len().div_ceil(NEXT_OF_MAX));
        let mut starting = Vec::new();
        for (webhook, room, _) in asked {
            let (due, later): (Vec<_>, Vec<_>) = next
                .iter()
                .filter(|delivery| delivery.webhook == webhook)
                .partition(|next| next.due_at <= at);
            let mut free = due.into_iter().filter(|delivery| {
                let key = (delivery.webhook.clone(), delivery.position);
                !self.on_their_way.contains(&key) && !self.resting.contains_key(&key)
            });
            starting.extend(free.by_ref().take(room).cloned());
            if free.next().is_none() {
                let until = later.first().map_or(Micros(i64::MAX), |next| next.due_at);
                lead.quiet.settle(webhook, until.min(plus(at, QUIET_MAX)));
            }
        }
        for delivery in starting {
            let key = (delivery.webhook.clone(), delivery.position);
            self.on_their_way.insert(key.clone());
            let proctor = Arc::clone(&self.proctor);
            self.sends.spawn_local(async move {
                let attempted = attempt(&proctor, &delivery).await;
                if let Err(error) = &attempted {
                    tracing::warn!(webhook = delivery.webhook, id = delivery.id, %error, "a delivery has to wait");
                }
                (key, attempted.is_ok())
            });
        }
        Ok(())
    }

    async fn keep_house(&mut self) -> Result<(), StoreError> {
        let Some(lead) = &mut self.lead else { return Ok(()) };
        let webhooks = &self.proctor.webhooks;
        if lead.counted_at.is_none_or(|at| at.elapsed() > COUNT_EVERY) {
            let waiting = webhooks.deliveries.waiting().await?;
            webhooks.measures.set_waiting(&waiting);
            lead.follower.set_waiting(&waiting);
            lead.counted_at = Some(Instant::now());
        }
        if lead.pruned_at.is_none_or(|at| at.elapsed() > PRUNE_EVERY) {
            let before = |kept: Duration| {
                let kept = i64::try_from(kept.as_micros()).unwrap_or(i64::MAX);
                Micros(now().0.saturating_sub(kept))
            };
            webhooks.deliveries.prune(before(DELIVERED_KEPT), before(DEAD_KEPT)).await?;
            lead.pruned_at = Some(Instant::now());
        }
        Ok(())
    }
}
