//! All upstreams of this process: who may share what, what is kept open and what is closed.
//!
//! **Invariants.** Connections, MCP sessions and child processes are kept per isolation key:
//! connection, configuration, credential and subject, the last only where the connection is not
//! shared. Nothing in use is closed to make room. A child that has a replaced credential of its user
//! gets no new call and ends with its last one.

mod looking;

use std::{
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use ::http::StatusCode;
use bytes::Bytes;
use dashmap::DashMap;
use futures_util::future::join_all;
use serde_json::value::RawValue;
use tokio::{
    runtime::Handle,
    sync::mpsc,
    time::{sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Admission, Call, Dialer, DocumentError, Era, FailureKind, Fetch, FetchError, Fetched, Limits, Outcome,
    Pause, RpcError, Target, Told, Transport, UpstreamError,
    document::document,
    envelope::{self, Answer},
    failure::{Failure, Shown},
    hears::Hears,
    http::{fetch, tell},
    line::{Flight, Pass},
    stdio::Places,
    told::{self, Teller},
    way::Way,
};
pub use looking::Heard;

/// Telling an upstream that a call was cancelled may take so long.
const CANCEL_WAIT: Duration = Duration::from_secs(5);
/// While an agent is waited for, it is looked this often whether that is over.
const PAUSED_LOOK_EVERY: Duration = Duration::from_millis(500);
/// Old connections and unused upstreams are looked for at least this often.
const SWEEP_EVERY_MAX: Duration = Duration::from_secs(15);

/// All upstreams of this process. Clones are the same.
#[derive(Clone)]
pub struct Upstreams(Arc<Inner>);

struct Inner {
    limits: Arc<Limits>,
    dialer: Dialer,
    runtime: Handle,
    open: DashMap<Key, Arc<Slot>>,
    places: Arc<Places>,
    /// Held while an upstream is added, so that the limits are kept exactly.
    opening: Mutex<()>,
    /// Who said that tools have changed, and where that is taken.
    hints: mpsc::Sender<Told>,
    hints_out: Mutex<Option<mpsc::Receiver<Told>>>,
    epoch: Instant,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    connection: String,
    generation: u64,
    credential_generation: u64,
    /// Absent where all subjects share.
    subject: Option<String>,
    /// What a legacy session declares its callers to be able to do, where that is anything.
    declares: Option<Box<str>>,
}

impl Key {
    /// Whether the other is of the same user and connection, with an older credential.
    fn replaces(&self, other: &Self) -> bool {
        self.connection == other.connection
            && self.subject == other.subject
            && (self.generation, self.credential_generation) > (other.generation, other.credential_generation)
    }
}

struct Slot {
    way: Way,
    users: AtomicUsize,
    used_at_us: AtomicU64,
}

/// A slot that is not closed while this exists.
struct InUse<'a> {
    slot: Arc<Slot>,
    inner: &'a Inner,
}

impl<'a> InUse<'a> {
    fn new(slot: &Arc<Slot>, inner: &'a Inner) -> Self {
        slot.users.fetch_add(1, Ordering::AcqRel);
        Self { slot: slot.clone(), inner }
    }
}

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        self.slot.used_at_us.store(self.inner.now_us(), Ordering::Relaxed);
        self.slot.users.fetch_sub(1, Ordering::AcqRel);
    }
}

/// How the work of a call ended.
enum End {
    Done(Result<Answer, Failure>),
    Cancelled,
    TimedOut,
}

impl Upstreams {
    /// Makes the process's way out. Children and upkeep live on the current runtime.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new(limits: Limits) -> Self {
        let runtime = Handle::current();
        let (hints, hints_out) = mpsc::channel(told::KEPT_MAX);
        let inner = Arc::new(Inner {
            dialer: Dialer::new(limits.connect_wait),
            places: Places::new(limits.children_max, limits.children_of_connection_max),
            limits: Arc::new(limits),
            runtime: runtime.clone(),
            open: DashMap::new(),
            opening: Mutex::new(()),
            hints,
            hints_out: Mutex::new(Some(hints_out)),
            epoch: Instant::now(),
        });
        runtime.spawn(sweep(Arc::downgrade(&inner)));
        Self(inner)
    }

    /// Sends one request that is no part of the protocol.
    ///
    /// # Errors
    /// When it may not be sent, or no answer comes back in time and within the limit.
    pub async fn fetch(&self, request: Fetch<'_>) -> Result<Fetched, FetchError> {
        fetch(&self.0.dialer, request).await
    }

    /// Sends one request of which only the answer's status matters.
    ///
    /// # Errors
    /// When it may not be sent, or no answer comes back in time.
    pub async fn tell(&self, request: Fetch<'_>) -> Result<StatusCode, FetchError> {
        tell(&self.0.dialer, request).await
    }

    /// Fetches a small JSON document that is no part of MCP; see [`DocumentError`]. Without encryption
    /// only where a private network is allowed.
    ///
    /// # Errors
    /// When it cannot be had whole.
    pub async fn document(&self, url: &str, private_network: bool) -> Result<Bytes, DocumentError> {
        document(&self.0.dialer, url, private_network).await
    }

    /// Makes a call for `subject`.
    ///
    /// Notifications that belong to the call are handed to `notifications` as they came, with
    /// Proctor's own progress token in them. At `deadline`, or when `cancel` fires, the upstream is
    /// told in its era's way that the call is not wanted any more.
    #[expect(clippy::too_many_arguments, reason = "each is a different thing that only the caller knows")]
    pub async fn call(
        &self,
        admission: Admission,
        target: &Target,
        subject: &str,
        call: Call<'_>,
        deadline: Instant,
        cancel: CancellationToken,
        hears: impl Hears,
    ) -> Outcome {
        let flight = Arc::new(Flight::new());
        let declares = call.client_capabilities.map(RawValue::get).filter(|_| {
            let is_http = matches!(target.transport, Transport::Http { .. });
            call.answers_requests && is_http && target.era == Some(Era::Legacy)
        });
        let declares = declares.filter(|declared| *declared != "{}");
        let in_use = match self.0.slot(target, subject, declares) {
            Ok(in_use) => in_use,
            Err(failure) => return failed(target, failure),
        };
        let teller = || self.0.teller(target, subject, declares);
        let mut hears = Tapped { hears, teller };
        let work = in_use.slot.way.call(
            target.era,
            &call,
            Pass { admission, cancel: cancel.clone(), flight: flight.clone() },
            &mut hears,
        );
        // In the modern era over HTTP, dropping `work` closes the connection, which cancels.
        let end = tokio::select! {
            biased;
            () = cancel.cancelled() => End::Cancelled,
            done = work => End::Done(done),
            () = over(deadline, call.pause) => End::TimedOut,
        };
        if flight.sent() && matches!(end, End::Cancelled | End::TimedOut) {
            tell_cancelled(in_use.slot.clone(), flight.id);
        }
        match end {
            End::Done(Ok(answer)) if size(&answer) > call.answer_bytes_max => {
                failed(target, too_large(&call))
            }
            End::Done(Ok(Answer::Result(result))) => match envelope::is_error(&result) {
                Ok(is_error) => Outcome::Succeeded { result, is_error },
                Err(detail) => failed(target, Failure::protocol(detail)),
            },
            End::Done(Ok(Answer::Error(err))) => Outcome::RpcError(err),
            End::Done(Err(failure)) if cancel.is_cancelled() && !failure.sent => {
                Outcome::Cancelled { sent: false }
            }
            End::Done(Err(failure)) => failed(target, failure),
            End::Cancelled => Outcome::Cancelled { sent: flight.sent() },
            End::TimedOut => failed(
                target,
                Failure {
                    kind: FailureKind::Timeout,
                    detail: format!("did not answer {} in time", call.ask.method()),
                    sent: flight.sent(),
                },
            ),
        }
    }

    /// Closes everything that belongs to a connection. Child processes end with the calls that they
    /// are answering; HTTP calls on their way are the caller's to cancel.
    pub fn retire(&self, connection: &str) {
        let mut closing = Vec::new();
        self.0.open.retain(|key, slot| {
            let keep = key.connection != connection;
            if !keep {
                closing.push(slot.clone());
            }
            keep
        });
        self.0.runtime.spawn(close_all(closing));
    }

    /// Ends the children of this connection, of one subject or of all. At once, or where they may
    /// finish, with the calls that they are answering; either way nobody else gets one.
    pub fn end_children(&self, connection: &str, subject: Option<&str>, may_finish: bool) {
        let mut ended = Vec::new();
        self.0.open.retain(|key, slot| {
            let is_theirs = key.connection == connection
                && subject.is_none_or(|subject| key.subject.as_deref() == Some(subject));
            let keep = !is_theirs || !slot.is_child();
            if !keep {
                ended.push(slot.clone());
            }
            keep
        });
        // A child ends when nobody holds its slot any more.
        if !may_finish {
            self.0.runtime.spawn(close_all(ended));
        }
    }

    /// Closes everything, and returns when child processes have ended.
    pub async fn shutdown(&self) {
        let mut closing = Vec::new();
        self.0.open.retain(|_, slot| {
            closing.push(slot.clone());
            false
        });
        close_all(closing).await;
    }
}

impl Inner {
    fn now_us(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// A way that is only looked at: its processes need no place, and nobody hears of it.
    fn way(&self, target: &Target) -> Result<Way, Failure> {
        Way::new(target, &self.dialer, &self.limits, None, None, None, &self.runtime)
    }

    /// The same, but its processes take a place.
    fn way_in_place(&self, target: &Target) -> Result<Way, Failure> {
        Way::new(target, &self.dialer, &self.limits, Some(&self.places), None, None, &self.runtime)
    }

    fn key(target: &Target, subject: &str, declares: Option<&str>) -> Key {
        Key {
            connection: target.connection.clone(),
            generation: target.generation,
            credential_generation: target.credential_generation,
            subject: (!target.shared).then(|| subject.to_owned()),
            declares: declares.map(Box::from),
        }
    }

    fn teller(&self, target: &Target, subject: &str, declares: Option<&str>) -> Teller {
        let Key { connection, generation, credential_generation, subject, declares } =
            Self::key(target, subject, declares);
        let told = Told { connection, generation, credential_generation, subject, declares };
        Teller { told, hints: self.hints.clone() }
    }

    /// The slot of an isolation key, opened where it is not.
    fn slot(&self, target: &Target, subject: &str, declares: Option<&str>) -> Result<InUse<'_>, Failure> {
        let key = Self::key(target, subject, declares);
        if let Some(slot) = self.open.get(&key) {
            return Ok(InUse::new(&slot, self));
        }
        let _one_at_a_time = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = self.open.get(&key) {
            return Ok(InUse::new(&slot, self));
        }
        let (places, teller) = (Some(&self.places), Some(self.teller(target, subject, declares)));
        let way = Way::new(target, &self.dialer, &self.limits, places, teller, declares, &self.runtime)?;
        let is_child = way.is_child();
        let slot =
            Arc::new(Slot { way, users: AtomicUsize::new(0), used_at_us: AtomicU64::new(self.now_us()) });
        let in_use = InUse::new(&slot, self);
        if is_child {
            self.open.retain(|known, slot| !(slot.is_child() && key.replaces(known)));
            if self.open.iter().any(|slot| slot.is_child() && slot.key().replaces(&key)) {
                // A call from before the credential was replaced has a child for itself.
                return Ok(in_use);
            }
        }
        self.make_room(&key, is_child)?;
        self.open.insert(key, slot);
        Ok(in_use)
    }

    /// Closes the upstream that was idle for longest, if the limits are reached.
    fn make_room(&self, key: &Key, is_child: bool) -> Result<(), Failure> {
        let of_connection = |known: &Key| known.connection == key.connection;
        let children = |counts: &dyn Fn(&Key) -> bool| {
            self.open.iter().filter(|slot| slot.is_child() && counts(slot.key())).count()
        };
        let too_many_of_connection =
            is_child && children(&of_connection) >= self.limits.children_of_connection_max;
        let too_many_children = is_child && children(&|_| true) >= self.limits.children_max;
        if !too_many_of_connection && !too_many_children && self.open.len() < self.limits.open_max {
            return Ok(());
        }
        let makes_room = |slot: &Slot, known: &Key| {
            if too_many_of_connection {
                slot.is_child() && of_connection(known)
            } else {
                slot.is_child() || !too_many_children
            }
        };
        let oldest = self
            .open
            .iter()
            .filter(|slot| slot.is_idle() && makes_room(slot, slot.key()))
            .min_by_key(|slot| slot.used_at_us.load(Ordering::Relaxed))
            .map(|slot| slot.key().clone());
        // Asked again under the map's own lock: somebody may have started to use it.
        let removed = oldest.and_then(|key| self.open.remove_if(&key, |_, slot| slot.is_idle()));
        match removed {
            Some((_, slot)) => {
                self.runtime.spawn(close_all(vec![slot]));
                Ok(())
            }
            None if too_many_of_connection => Err(Failure::unsent(
                FailureKind::Busy,
                "was not called: as many of its processes as allowed are in use; try again later",
            )),
            None => Err(Failure::unsent(
                FailureKind::Busy,
                "was not called: as many upstreams as allowed are in use; try again later",
            )),
        }
    }
}

impl Slot {
    fn is_idle(&self) -> bool {
        self.users.load(Ordering::Acquire) == 0
    }

    fn is_child(&self) -> bool {
        self.way.is_child()
    }
}

async fn close_all(slots: Vec<Arc<Slot>>) {
    join_all(slots.iter().map(|slot| slot.way.close())).await;
}

/// Closes what nobody used for long, for as long as the pool exists.
async fn sweep(inner: Weak<Inner>) {
    loop {
        let Some(pool) = inner.upgrade() else { return };
        let idle_max = pool.limits.idle_max;
        let now_us = pool.now_us();
        let mut closing = Vec::new();
        pool.open.retain(|_, slot| {
            let idle_us = now_us.saturating_sub(slot.used_at_us.load(Ordering::Relaxed));
            let keep = !slot.is_idle() || u128::from(idle_us) < idle_max.as_micros();
            match keep {
                true => slot.way.prune(),
                false => closing.push(slot.clone()),
            }
            keep
        });
        drop(pool);
        close_all(closing).await;
        sleep((idle_max / 4).clamp(Duration::from_millis(10), SWEEP_EVERY_MAX)).await;
    }
}

/// Whoever hears, with an ear for changes of what is defined.
struct Tapped<H, T> {
    hears: H,
    teller: T,
}

impl<H: Hears, T: Fn() -> Teller> Hears for Tapped<H, T> {
    fn notification(&mut self, notification: &RawValue) {
        if told::is_list_changed(notification) {
            (self.teller)().tell();
        }
        self.hears.notification(notification);
    }

    async fn request(&mut self, method: &str, params: Option<&RawValue>) -> Option<String> {
        self.hears.request(method, params).await
    }
}

/// Until the deadline, and as much longer as the agent was waited for.
async fn over(deadline: Instant, pause: &Pause) {
    let mut until = deadline;
    loop {
        sleep_until(until.into()).await;
        until = match pause.over() {
            None => Instant::now() + PAUSED_LOOK_EVERY,
            Some(paused) if deadline + paused > until => deadline + paused,
            Some(_) => return,
        };
    }
}

fn tell_cancelled(slot: Arc<Slot>, id: u64) {
    tokio::spawn(async move {
        let _abandoned = timeout(CANCEL_WAIT, slot.way.cancel(id)).await;
    });
}

fn error(target: &Target, failure: Failure) -> UpstreamError {
    UpstreamError { connection: target.connection.clone(), kind: failure.kind, detail: failure.detail }
}

/// What of an answer goes on to the agent.
fn size(answer: &Answer) -> usize {
    match answer {
        Answer::Result(result) => result.get().len(),
        Answer::Error(RpcError { message, data, .. }) => {
            message.len() + data.as_ref().map_or(0, |data| data.get().len())
        }
    }
}

fn too_large(call: &Call<'_>) -> Failure {
    let (method, bytes_max) = (call.ask.method(), call.answer_bytes_max);
    Failure::sent(FailureKind::TooLarge, format!("answered {method} with more than {bytes_max} bytes"))
}

fn failed(target: &Target, failure: Failure) -> Outcome {
    Outcome::Failed {
        kind: failure.kind,
        detail: format!("connection {} {}", Shown(&target.connection), failure.detail),
        sent: failure.sent,
    }
}
