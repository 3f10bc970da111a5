//! The limits that many sessions share: calls in flight and calls a minute of virtual servers and
//! connections, counted in this process.
//!
//! Each live replica takes an equal share of a limit, rounded down and at least one call. So as long as
//! there are no more replicas than the limit allows calls, all together stay within it; where requests
//! reach them unequally, one refuses what another had room for. They are as many as the leases said
//! when they were last looked at.
//!
//! **Invariants.** What was taken is given back exactly once, on whichever way a call ends: by dropping
//! its [`Share`]. What was not admitted does not count against a minute. Nothing is looked up or
//! counted where nothing is limited.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use proctor_domain::limits::Limits;
use proctor_domain::session::{HeldBack, Refusal};
use proctor_domain::{Micros, Name};

use super::now;
use crate::journal::{Reader, StoreError};

/// Seconds that the calls of a minute are counted over: one more than it has, since the first one has
/// usually begun already.
const SECONDS: u64 = 61;
/// After how long it may be worth while to try again when too many calls are on their way. Nobody knows
/// when one of them ends.
const BUSY_WAIT: Duration = Duration::from_secs(1);

/// What a limit is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limited {
    /// A virtual server.
    VirtualServer,
    /// A connection.
    Connection,
}

impl Limited {
    fn busy(self) -> Refusal {
        match self {
            Self::VirtualServer => Refusal::VirtualServerBusy,
            Self::Connection => Refusal::ConnectionBusy,
        }
    }

    fn rate_reached(self) -> Refusal {
        match self {
            Self::VirtualServer => Refusal::VirtualServerRateReached,
            Self::Connection => Refusal::ConnectionRateReached,
        }
    }
}

/// The calls of one minute, by the second.
#[derive(Clone, Debug)]
pub(super) struct Minute {
    /// The calls of each second, at the second's remainder by [`SECONDS`].
    calls: [u32; SECONDS as usize],
    /// The newest second that was looked at.
    newest: u64,
}

impl Default for Minute {
    fn default() -> Self {
        Self { calls: [0; SECONDS as usize], newest: 0 }
    }
}

impl Minute {
    /// The first second in which another call may be made, `second` itself where it may be now.
    pub(super) fn free_at(&mut self, second: u64, calls_max: u32) -> u64 {
        self.forget_before(second);
        let mut counted: u32 = self.calls.iter().sum();
        let oldest = self.newest.saturating_sub(SECONDS - 1);
        let mut free_at = self.newest;
        for second in oldest..=self.newest {
            if counted < calls_max {
                break;
            }
            counted -= self.calls[place(second)];
            free_at = second + SECONDS;
        }
        free_at
    }

    pub(super) fn count(&mut self, second: u64) {
        self.forget_before(second);
        self.calls[place(second)] += 1;
    }

    /// Takes back one that was counted in this second.
    pub(super) fn uncount(&mut self, second: u64) {
        // Otherwise it does not count any more anyhow.
        if second + SECONDS > self.newest {
            let calls = &mut self.calls[place(second)];
            *calls = calls.saturating_sub(1);
        }
    }

    fn forget_before(&mut self, second: u64) {
        if second >= self.newest + SECONDS {
            self.calls = [0; SECONDS as usize];
        } else {
            (self.newest + 1..=second).for_each(|second| self.calls[place(second)] = 0);
        }
        self.newest = self.newest.max(second);
    }
}

fn place(second: u64) -> usize {
    usize::try_from(second % SECONDS).unwrap_or_default()
}

#[derive(Debug, Default)]
struct Counts {
    in_flight: u32,
    minute: Minute,
}

/// What one call takes of one limited thing.
#[derive(Debug)]
struct Slot {
    counts: Arc<Mutex<Counts>>,
    /// When it was counted; `None` once it is sure to count.
    second: Option<u64>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.in_flight = counts.in_flight.saturating_sub(1);
        if let Some(second) = self.second {
            counts.minute.uncount(second);
        }
    }
}

/// What one call takes of everything that is limited. Dropping it gives back its place among those in
/// flight and, unless it was spent, among those of the minute.
#[derive(Debug)]
pub struct Share(Vec<Slot>);

impl Share {
    /// The call was admitted: it counts for its minute.
    pub fn spend(&mut self) {
        self.0.iter_mut().for_each(|slot| slot.second = None);
    }
}

/// See the module.
pub struct Shares {
    replicas: AtomicU32,
    began: Instant,
    counted: DashMap<(Limited, Name), Arc<Mutex<Counts>>>,
}

impl Default for Shares {
    fn default() -> Self {
        Self { replicas: AtomicU32::new(1), began: Instant::now(), counted: DashMap::new() }
    }
}

impl Shares {
    /// Among how many replicas limits are shared out.
    #[must_use]
    pub fn replicas(&self) -> u32 {
        self.replicas.load(Ordering::Relaxed)
    }

    /// Looks how many replicas are alive.
    ///
    /// # Errors
    /// When the leases cannot be read; then it stays as it was.
    pub async fn count_replicas(&self, reader: &dyn Reader) -> Result<(), StoreError> {
        let (leases, now) = (reader.leases().await?, reader.now().await?);
        let alive = leases.iter().filter(|lease| lease.ends_at > now).count();
        self.share_among(u32::try_from(alive).unwrap_or(u32::MAX));
        Ok(())
    }

    pub(super) fn share_among(&self, replicas: u32) {
        self.replicas.store(replicas.max(1), Ordering::Relaxed);
    }

    /// Takes what a call needs of everything that it uses; `None` where nothing of it is limited.
    ///
    /// # Errors
    /// Which limit is reached. Nothing is taken then.
    pub fn take<'a>(
        &self,
        used: impl IntoIterator<Item = (Limited, &'a Name, Limits)>,
    ) -> Result<Option<Share>, HeldBack> {
        let mut slots = Vec::new();
        for (limited, name, limits) in used {
            if limits.counts_calls() {
                slots.push(self.slot(limited, name, limits)?);
            }
        }
        Ok((!slots.is_empty()).then_some(Share(slots)))
    }

    fn slot(&self, limited: Limited, name: &Name, limits: Limits) -> Result<Slot, HeldBack> {
        let since = self.began.elapsed();
        let known = self.counted.get(&(limited, name.clone())).map(|counts| Arc::clone(&counts));
        let counts =
            known.unwrap_or_else(|| Arc::clone(&self.counted.entry((limited, name.clone())).or_default()));
        let mut locked = counts.lock().unwrap_or_else(PoisonError::into_inner);
        let held_back = |reason, wait: Duration| HeldBack { reason, retry_at: after(wait) };
        if limits.calls_in_flight_max.is_some_and(|most| locked.in_flight >= self.share_of(most)) {
            return Err(held_back(limited.busy(), BUSY_WAIT));
        }
        let second = since.as_secs();
        if let Some(most) = limits.calls_per_minute_max {
            let free_at = locked.minute.free_at(second, self.share_of(most));
            if free_at > second {
                let wait = Duration::from_secs(free_at).saturating_sub(since);
                return Err(held_back(limited.rate_reached(), wait));
            }
        }
        locked.in_flight += 1;
        locked.minute.count(second);
        drop(locked);
        Ok(Slot { counts, second: Some(second) })
    }

    fn share_of(&self, most: u32) -> u32 {
        (most / self.replicas()).max(1)
    }
}

fn after(wait: Duration) -> Micros {
    Micros(now().0.saturating_add(i64::try_from(wait.as_micros()).unwrap_or(i64::MAX)))
}
