//! Upstreams that are child processes: started when needed, restarted with back-off.
//!
//! **Invariants.** A child's environment holds nothing of Proctor's own except `PATH`, `HOME` and
//! `LANG`. A call is written to one child once; when the child dies, the call has failed.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde_json::value::RawValue;
use tokio::{
    runtime::Handle,
    time::{sleep, timeout},
};
use zeroize::Zeroizing;

use super::{
    Call, Era, FailureKind, Limits,
    envelope::{self, Answer},
    failure::Failure,
    hears::Hears,
    line::{Asked, Line, Outgoing, Pass, Ready, greet},
    told::Teller,
};

mod child;
mod pending;
mod places;
mod stderr;

use child::Child;
pub(super) use places::Places;

/// The first restart waits this long; each further one twice as long as the one before.
const BACK_OFF_MS_MIN: u64 = 200;
const BACK_OFF_MS_MAX: u64 = 60_000;
/// A call waits for a restart that is due within this time, and otherwise fails at once.
const RESTART_WAIT_MS_MAX: u64 = 2_000;
/// A child that lived so long has not failed to start.
const STABLE_AFTER: Duration = Duration::from_secs(60);

/// How to start a child.
#[derive(Clone)]
pub(super) struct Program {
    pub connection: String,
    pub command: String,
    pub args: Vec<String>,
    pub env: Vec<(String, Zeroizing<String>)>,
    /// What the user brought; no other's child gets it.
    pub of_user: Vec<(String, Zeroizing<String>)>,
    /// Where it is to be heard that the child's tools have changed; nowhere for one that is only looked
    /// at, which would be looked at for ever.
    pub teller: Option<Teller>,
}

/// One upstream as a child process, for one isolation key.
pub(super) struct StdioUpstream {
    program: Program,
    /// Where children have to find one; a probe's is looked at by an administrator who waits.
    places: Option<Arc<Places>>,
    limits: Arc<Limits>,
    runtime: Handle,
    state: tokio::sync::Mutex<State>,
}

#[derive(Default)]
struct State {
    running: Option<(Arc<Child>, Arc<Ready>)>,
    failures: u32,
    not_before: Option<Instant>,
}

impl StdioUpstream {
    pub fn new(program: Program, places: Option<Arc<Places>>, limits: Arc<Limits>, runtime: Handle) -> Self {
        Self { program, places, limits, runtime, state: tokio::sync::Mutex::default() }
    }

    /// Makes a call.
    pub async fn call<H: Hears>(
        &self,
        era: Option<Era>,
        call: &Call<'_>,
        pass: Pass,
        hears: &mut H,
    ) -> Result<Answer, Failure> {
        let (child, ready) = self.establish(era).await?;
        let id = pass.flight.id;
        let body = envelope::call(id, call, ready.is_modern());
        child.ask(id, body, Some(pass), &mut |notification: &RawValue| hears.notification(notification)).await
    }

    /// Asks something that is no call.
    pub async fn ask(&self, era: Option<Era>, outgoing: Outgoing<'_>) -> Result<Answer, Failure> {
        let (child, _) = self.establish(era).await?;
        child.ask(outgoing.id, outgoing.body, None, &mut |_: &RawValue| ()).await
    }

    /// Makes sure that the child runs and has been greeted.
    pub async fn establish(&self, era: Option<Era>) -> Result<(Arc<Child>, Arc<Ready>), Failure> {
        let mut state = self.state.lock().await;
        if let Some((child, ready)) = &state.running {
            if !child.has_ended() {
                return Ok((child.clone(), ready.clone()));
            }
            let lived = child.started.elapsed();
            state.running = None;
            state.failed(lived);
        }
        if let Some(due) = state.not_before {
            let wait = due.saturating_duration_since(Instant::now());
            if wait > Duration::from_millis(RESTART_WAIT_MS_MAX) {
                return Err(Failure::unsent(
                    FailureKind::Unreachable,
                    format!(
                        "is not running: its process ended {} times in a row; the next start is \
                         due in {} s; look into the log for what it wrote to stderr",
                        state.failures,
                        wait.as_secs() + 1
                    ),
                ));
            }
            sleep(wait).await;
        }
        let started = Instant::now();
        // A greeting that is abandoned or fails leaves no child behind: dropping the last
        // reference to it stops it.
        match timeout(self.limits.handshake_wait, self.start(era)).await {
            Ok(Ok(running)) => {
                state.running = Some(running.clone());
                Ok(running)
            }
            Ok(Err(failure)) => {
                state.failed(started.elapsed());
                Err(failure)
            }
            Err(_) => {
                state.failed(Duration::ZERO);
                Err(Failure::unsent(
                    FailureKind::Timeout,
                    format!("did not answer its greeting within {} s", self.limits.handshake_wait.as_secs()),
                ))
            }
        }
    }

    /// The child, where it runs.
    pub async fn running(&self) -> Option<(Arc<Child>, Arc<Ready>)> {
        let state = self.state.lock().await;
        let (child, ready) = state.running.as_ref()?;
        (!child.has_ended()).then(|| (child.clone(), ready.clone()))
    }

    async fn start(&self, era: Option<Era>) -> Result<(Arc<Child>, Arc<Ready>), Failure> {
        let starting = Starting { upstream: self, child: Mutex::new(self.spawn().await?) };
        let (ready, _) = greet(&starting, era).await.map_err(|failure| Failure {
            // What left was the greeting, not the call.
            sent: false,
            ..failure
        })?;
        Ok((starting.child(), Arc::new(ready)))
    }

    async fn spawn(&self) -> Result<Arc<Child>, Failure> {
        let place = match &self.places {
            Some(places) => Some(places.take(&self.program.connection).await),
            None => None,
        };
        Child::spawn(&self.program, place, self.limits.answer_bytes_max, &self.runtime).map(Arc::new)
    }

    /// A line to greet a new child on; for probes.
    pub async fn starting(&self) -> Result<Starting<'_>, Failure> {
        Ok(Starting { upstream: self, child: Mutex::new(self.spawn().await?) })
    }

    /// Keeps the child of a probe, to be asked further.
    pub async fn adopt(&self, starting: &Starting<'_>, ready: Ready) {
        self.state.lock().await.running = Some((starting.child(), Arc::new(ready)));
    }

    /// Tells the child that a call is not wanted any more.
    pub async fn cancel(&self, id: u64) {
        if let Some((child, _)) = &self.state.lock().await.running {
            child.tell(envelope::cancelled(id)).await;
        }
    }

    /// Stops the child: closes its input, waits, kills.
    pub async fn close(&self) {
        let running = self.state.lock().await.running.take();
        if let Some((child, _)) = running {
            child.stop().await;
        }
    }
}

impl State {
    fn failed(&mut self, lived: Duration) {
        self.failures = if lived >= STABLE_AFTER { 1 } else { self.failures.saturating_add(1) };
        let doublings = (self.failures - 1).min(16);
        let wait = (BACK_OFF_MS_MIN << doublings).min(BACK_OFF_MS_MAX);
        self.not_before = Some(Instant::now() + Duration::from_millis(wait));
    }
}

/// A child that is being greeted.
pub(super) struct Starting<'a> {
    upstream: &'a StdioUpstream,
    child: Mutex<Arc<Child>>,
}

impl Starting<'_> {
    fn child(&self) -> Arc<Child> {
        let child = self.child.lock();
        child.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Line for Starting<'_> {
    async fn ask(&self, _: &Ready, outgoing: Outgoing<'_>) -> Result<Asked, Failure> {
        let answer = self.child().ask(outgoing.id, outgoing.body, None, &mut |_: &RawValue| ()).await?;
        Ok(Asked { answer, session: None })
    }

    async fn tell(&self, _: &Ready, _: &'static str, body: String) -> Result<(), Failure> {
        self.child().tell(body).await;
        Ok(())
    }

    async fn mend(&self) -> Result<(), Failure> {
        let child = self.child();
        if child.has_ended() {
            let fresh = self.upstream.spawn().await?;
            *self.child.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
        }
        Ok(())
    }
}
