//! One actor for every aggregate type.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
use crate::journal::{AppendError, Delivered, Journal, Stale, StoreError};

/// What an entity shows to everybody, without a message.
pub(super) struct Published<A> {
    /// `None` until it is loaded.
    pub(super) state: watch::Sender<Option<Arc<A>>>,
    /// Set by whoever looks; an entity that nobody looks at stops.
    pub(super) used: AtomicBool,
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
            idle,
        }
    }

    fn load(&mut self, ctx: &mut Context<Self>) {
        let journal = self.journal.clone();
        let stream = self.stream.clone();
        let after = self.state.version();
        let read = async move { journal.reader().stream(&stream, after).await };
        ctx.wait(read.into_actor(self).map(|read: Result<Vec<Arc<Recorded>>, StoreError>, entity, ctx| {
            match read {
                Ok(events) => {
                    entity.take_in(events.iter());
                }
                Err(error) => {
                    tracing::error!(stream = %entity.stream, %error, "failed to load an entity");
                    entity.waiting.drain(..).for_each(|ask| {
                        ask.answer(Err(AskError::Unavailable(entity.stream.clone())));
                    });
                    ctx.stop();
                }
            }
        }));
    }

    /// Takes in events of its stream that it does not have yet. Answers whether some are missing.
    fn take_in<'a>(&mut self, events: impl Iterator<Item = &'a Arc<Recorded>>) -> bool {
        let mut state = None;
        for recorded in events {
            let version = state.as_ref().unwrap_or(&*self.state).version();
            if recorded.sequence <= version {
                continue;
            }
            if recorded.sequence > version + 1 {
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
        if self.outstanding || self.waiting.is_empty() {
            return;
        }
        let asks = std::mem::take(&mut self.waiting);
        let batch = Batch::decide(self.stream.clone(), ctx.address(), Arc::clone(&self.state), asks);
        if let Some(batch) = batch {
            self.outstanding = true;
            self.journal.append(Box::new(batch));
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
        self.waiting.push(ask);
        self.decide_waiting(ctx);
    }
}

/// Events of its stream that another process wrote.
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
        // Whoever asked may have gone.
        let _ = reply.send(Arc::clone(&self.state));
    }
}

/// What became of the outstanding append.
pub(super) enum Settled<A: Kind> {
    Committed(Box<Batch<A>>, Vec<Delivered>),
    Stale(Box<Batch<A>>, Stale),
    Failed(Box<Batch<A>>, AppendError),
}

impl<A: Kind> Message for Settled<A> {
    type Result = ();
}

impl<A: Kind> Handler<Settled<A>> for Entity<A> {
    type Result = ();

    fn handle(&mut self, settled: Settled<A>, ctx: &mut Self::Context) {
        self.outstanding = false;
        match settled {
            Settled::Committed(batch, delivered) => {
                if self.take_in(delivered.iter().map(Delivered::recorded)) {
                    self.load(ctx);
                }
                batch.answer(delivered);
            }
            Settled::Stale(batch, stale) => batch.answer_all(|| Err(AskError::Stale(stale.clone()))),
            Settled::Failed(batch, error) => batch.answer_all(|| Err(AskError::Append(error.clone()))),
        }
        self.decide_waiting(ctx);
    }
}
