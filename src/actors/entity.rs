//! One actor for every aggregate type.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use actix::{
    Actor, ActorContext as _, ActorFutureExt as _, AsyncContext as _, Context, Handler, Message,
    WrapFuture as _,
};
use proctor_domain::{Recorded, StreamId};
use tokio::sync::{oneshot, watch};

use super::ask::{Ask, AskError};
use super::batch::Batch;
use super::directory::Directory;
use super::kind::Kind;
use super::settled::Settled;
use crate::journal::{Delivered, Journal, StoreError};

/// Most commands that wait for one entity; more are turned away.
pub(super) const WAITING_MAX: usize = 1_024;
/// Most commands that are decided together, so that one entity does not fill a transaction.
pub(super) const DECIDED_TOGETHER_MAX: usize = 256;
/// How often an entity that could not be loaded looks whether it can go.
const BROKEN_LINGER: Duration = Duration::from_millis(100);

/// What an entity shows to everybody, without a message.
pub(super) struct Published<A> {
    /// `None` until it is loaded.
    pub(super) state: watch::Sender<Option<Arc<A>>>,
    /// Set by whoever looks; an entity that nobody looks at stops.
    pub(super) used: AtomicBool,
    /// It could not be loaded and will show nothing more.
    pub(super) broken: AtomicBool,
    /// The sequence of the newest event by another process that is on its way to it.
    pub(super) sent: AtomicU64,
}

impl<A> Published<A> {
    pub(super) fn new() -> Self {
        Self {
            state: watch::Sender::new(None),
            used: AtomicBool::new(true),
            broken: AtomicBool::new(false),
            sent: AtomicU64::new(0),
        }
    }
}

/// An aggregate in memory. It stops when nobody has used it for a while.
pub struct Entity<A: Kind> {
    stream: StreamId,
    journal: Journal,
    directory: Arc<Directory>,
    published: Arc<Published<A>>,
    state: Arc<A>,
    waiting: Vec<Ask<A>>,
    outstanding: bool,
    /// Answered when what stands before their events has been loaded.
    ahead: Vec<Settled<A>>,
    idle: Duration,
}

impl<A: Kind> Entity<A> {
    pub(super) fn new(
        stream: StreamId,
        journal: Journal,
        directory: Arc<Directory>,
        published: Arc<Published<A>>,
        idle: Duration,
    ) -> Self {
        Self {
            stream,
            journal,
            directory,
            published,
            state: Arc::default(),
            waiting: Vec::new(),
            outstanding: false,
            ahead: Vec::new(),
            idle,
        }
    }

    /// Reads what is missing. No message is handled meanwhile.
    fn load(&mut self, ctx: &mut Context<Self>) {
        let journal = self.journal.clone();
        let stream = self.stream.clone();
        let after = self.state.version();
        let read = async move {
            match A::CARRIED_BY.filter(|_| after == 0) {
                Some(carried_by) => journal.reader().carried_stream(&stream, carried_by).await,
                None => journal.reader().stream(&stream, after).await,
            }
        };
        ctx.wait(read.into_actor(self).map(|read: Result<Vec<Arc<Recorded>>, StoreError>, entity, ctx| {
            let whole = match read {
                Ok(events) => !entity.take_in(events.iter()),
                Err(error) => {
                    tracing::error!(stream = %entity.stream, %error, "failed to load an entity");
                    false
                }
            };
            entity.ahead.drain(..).for_each(Settled::answer);
            if whole {
                entity.decide_waiting(ctx);
            } else {
                entity.break_off(ctx);
            }
        }));
    }

    /// Leaves its place to another, which may have more luck; turns away whoever still comes.
    fn break_off(&mut self, ctx: &mut Context<Self>) {
        A::room(&self.directory).forget(&self.stream.id, &self.published);
        self.published.broken.store(true, Ordering::Release);
        self.published.state.send_modify(|_| {});
        for ask in self.waiting.drain(..) {
            ask.answer(Err(AskError::Unavailable(self.stream.clone())));
        }
        ctx.run_interval(BROKEN_LINGER, |entity, ctx| {
            if !entity.outstanding {
                ctx.stop();
            }
        });
    }

    /// Takes in events of its stream that it does not have yet. Answers whether some are missing.
    fn take_in<'a>(&mut self, events: impl Iterator<Item = &'a Arc<Recorded>>) -> bool {
        let mut state = None;
        for recorded in events {
            let version = state.as_ref().unwrap_or(&*self.state).version();
            if recorded.sequence <= version {
                continue;
            }
            // What is said again at once needs nothing that was before it.
            let is_whole = A::CARRIED_BY == Some(recorded.event.type_name());
            if recorded.sequence > version + 1 && !is_whole {
                return true;
            }
            if let Some(event) = A::unwrap(&recorded.event) {
                state.get_or_insert_with(|| A::clone(&self.state)).evolve(event, recorded.place);
            }
        }
        if let Some(state) = state {
            self.state = Arc::new(state);
        }
        self.published.state.send_replace(Some(Arc::clone(&self.state)));
        false
    }

    fn decide_waiting(&mut self, ctx: &mut Context<Self>) {
        if self.outstanding {
            return;
        }
        // Nothing is done for who has given up: it would delay those who still wait.
        self.waiting.retain(Ask::is_awaited);
        while !self.outstanding && !self.waiting.is_empty() {
            let together = self.waiting.len().min(DECIDED_TOGETHER_MAX);
            let asks = self.waiting.drain(..together).collect();
            let state = Arc::clone(&self.state);
            let stream = self.stream.clone();
            let batch = Batch::decide(stream, ctx.address(), Arc::clone(&self.directory), state, asks);
            if let Some(batch) = batch {
                self.outstanding = true;
                self.journal.append(Box::new(batch));
            }
        }
    }

    fn stop_when_idle(&mut self, ctx: &mut Context<Self>) {
        let used = self.published.used.swap(false, Ordering::Relaxed);
        if !used && !self.outstanding && self.waiting.is_empty() {
            A::room(&self.directory).forget(&self.stream.id, &self.published);
            ctx.stop();
        }
    }
}

impl<A: Kind> Actor for Entity<A> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(self.idle, Self::stop_when_idle);
        self.load(ctx);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        A::room(&self.directory).forget(&self.stream.id, &self.published);
    }
}

impl<A: Kind> Handler<Ask<A>> for Entity<A> {
    type Result = ();

    fn handle(&mut self, ask: Ask<A>, ctx: &mut Self::Context) {
        if self.published.broken.load(Ordering::Relaxed) || self.waiting.len() >= WAITING_MAX {
            ask.answer(Err(AskError::Unavailable(self.stream.clone())));
            return;
        }
        self.waiting.push(ask);
        self.decide_waiting(ctx);
    }
}

/// Events of its stream that did not come as the answer to its own append.
pub(super) struct Foreign(pub(super) Vec<Delivered>);

impl Message for Foreign {
    type Result = ();
}

impl<A: Kind> Handler<Foreign> for Entity<A> {
    type Result = ();

    fn handle(&mut self, Foreign(events): Foreign, ctx: &mut Self::Context) {
        if self.take_in(events.iter().map(Delivered::recorded)) {
            self.load(ctx);
        }
    }
}

/// Asks for the state after everything delivered so far.
pub(super) struct Show<A>(pub(super) oneshot::Sender<Arc<A>>);

impl<A: Kind> Message for Show<A> {
    type Result = ();
}

impl<A: Kind> Handler<Show<A>> for Entity<A> {
    type Result = ();

    fn handle(&mut self, Show(reply): Show<A>, _: &mut Self::Context) {
        if !self.published.broken.load(Ordering::Relaxed) {
            // Whoever asked may have gone.
            let _ = reply.send(Arc::clone(&self.state));
        }
    }
}

impl<A: Kind> Handler<Settled<A>> for Entity<A> {
    type Result = ();

    fn handle(&mut self, settled: Settled<A>, ctx: &mut Self::Context) {
        self.outstanding = false;
        if self.take_in(settled.events().iter().map(Delivered::recorded)) {
            self.ahead.push(settled);
            self.load(ctx);
            return;
        }
        settled.answer();
        self.decide_waiting(ctx);
    }
}
