//! Finds or starts entities: a concurrent map, not a mailbox that everybody waits in.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::{Actor as _, Addr, Arbiter, ArbiterHandle};
use dashmap::DashMap;
use proctor_domain::{Event, Position, StreamId};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::ask::{Answer, Ask, AskError, Prepared};
use super::entity::{Entity, Foreign, Published, Show};
use super::kind::{Kind, Rooms};
use crate::journal::{AppendError, Delivered, Journal, Listener, Stale, StoreError};

/// How often a command is prepared anew because what it rests on keeps changing.
const PREPARED_ANEW_MAX: usize = 64;
/// How long a command waits for an entity that is being loaded, or for a state it must see.
const STATE_WAIT: Duration = Duration::from_secs(5);
/// How long it is waited for what becomes of a command. A store that is slow at each of its steps
/// would keep everybody waiting for the sum of them otherwise, and for those who came before.
pub(super) const ANSWER_WAIT: Duration = Duration::from_secs(4);
/// How long one entity is waited for before it is looked whether it is still alive.
const ENTITY_LOOK: Duration = Duration::from_millis(250);
/// How often an entity that stops before it can show its state is replaced.
const SHOWN_TIMES_MAX: usize = 16;

struct Handle<A: Kind> {
    address: Addr<Entity<A>>,
    published: Arc<Published<A>>,
}

impl<A: Kind> Clone for Handle<A> {
    fn clone(&self) -> Self {
        Self { address: self.address.clone(), published: Arc::clone(&self.published) }
    }
}

/// The entities of one kind that are alive.
pub struct Room<A: Kind> {
    entities: DashMap<Arc<str>, Handle<A>>,
}

impl<A: Kind> Default for Room<A> {
    fn default() -> Self {
        Self { entities: DashMap::new() }
    }
}

impl<A: Kind> Room<A> {
    /// Forgets an entity that stops, unless another has taken its place.
    pub(super) fn forget(&self, id: &str, published: &Arc<Published<A>>) {
        self.entities.remove_if(id, |_, handle| Arc::ptr_eq(&handle.published, published));
    }

    pub(super) fn alive(&self) -> usize {
        self.entities.len()
    }

    /// Sends events to an entity, if it is alive.
    pub(super) fn deliver(&self, id: &str, events: Vec<Delivered>) {
        if let Some(handle) = self.entities.get(id) {
            let newest = events.last().map_or(0, |event| event.sequence);
            handle.published.sent.fetch_max(newest, Ordering::AcqRel);
            handle.address.do_send(Foreign(events));
        }
    }
}

/// See the module.
pub struct Directory {
    pub(super) rooms: Rooms,
    journal: Journal,
    arbiter: ArbiterHandle,
    idle: Duration,
}

impl Directory {
    /// An empty directory whose entities live on the arbiter that asks for them first, and stop
    /// when nobody has used them for `idle`.
    ///
    /// # Errors
    /// When the journal is stopping.
    pub async fn open(journal: Journal, idle: Duration) -> Result<Arc<Self>, AppendError> {
        let arbiter = Arbiter::current();
        let directory = Arc::new(Self { rooms: Rooms::default(), journal: journal.clone(), arbiter, idle });
        journal.listen(Arc::clone(&directory) as Arc<dyn Listener>).await?;
        Ok(directory)
    }

    /// The journal that it stands on.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// How many entities are alive.
    #[must_use]
    pub fn alive(&self) -> usize {
        self.rooms.alive()
    }

    fn handle<A: Kind>(self: &Arc<Self>, id: &str) -> Handle<A> {
        let room = A::room(self);
        if let Some(handle) = room.entities.get(id)
            && handle.address.connected()
        {
            handle.published.used.store(true, Ordering::Relaxed);
            return handle.clone();
        }
        let mut entry = room.entities.entry(id.into()).or_insert_with(|| self.start(id));
        // An entity ends without a word when its thread does. What may still lie in its mailbox
        // looks into the room when it is dropped, so that must not be locked then.
        let ended = if entry.address.connected() {
            None
        } else {
            Some(std::mem::replace(&mut *entry, self.start(id)))
        };
        let handle = entry.clone();
        drop(entry);
        drop(ended);
        handle
    }

    fn start<A: Kind>(self: &Arc<Self>, id: &str) -> Handle<A> {
        let published = Arc::new(Published::new());
        let entity = Entity::new(
            StreamId::of::<A>(id),
            self.journal.clone(),
            Arc::clone(self),
            Arc::clone(&published),
            self.idle,
        );
        let arbiter = Arbiter::try_current().unwrap_or_else(|| self.arbiter.clone());
        Handle { address: Entity::start_in_arbiter(&arbiter, move |_| entity), published }
    }

    /// The state after everything that was delivered to this process so far.
    ///
    /// # Errors
    /// When the entity cannot be loaded.
    pub async fn state<A: Kind>(self: &Arc<Self>, id: &str) -> Result<Arc<A>, AskError<A::Error>> {
        self.state_at_least(id, 0).await
    }

    /// The state once it has taken in this many events, and everything delivered so far.
    ///
    /// # Errors
    /// When the entity cannot be loaded, or does not get there.
    pub async fn state_at_least<A: Kind>(
        self: &Arc<Self>,
        id: &str,
        version: u64,
    ) -> Result<Arc<A>, AskError<A::Error>> {
        if let Some(handle) = A::room(self).entities.get(id) {
            let published = &handle.published;
            published.used.store(true, Ordering::Relaxed);
            let version = version.max(published.sent.load(Ordering::Acquire));
            if let Some(state) = published.state.borrow().as_ref().filter(|s| s.version() >= version) {
                return Ok(Arc::clone(state));
            }
        }
        // Apart: it is rare, and would make the future of every call larger.
        let waited = tokio::time::timeout(STATE_WAIT, Box::pin(self.wait_for_state(id, version))).await;
        waited.ok().flatten().ok_or_else(|| AskError::Unavailable(StreamId::of::<A>(id)))
    }

    async fn wait_for_state<A: Kind>(self: &Arc<Self>, id: &str, version: u64) -> Option<Arc<A>> {
        loop {
            let Handle { published, address } = self.handle::<A>(id);
            let version = version.max(published.sent.load(Ordering::Acquire));
            let mut states = published.state.subscribe();
            let broken = || published.broken.load(Ordering::Acquire);
            let there = |state: &Option<Arc<A>>| {
                broken() || state.as_ref().is_some_and(|state| state.version() >= version)
            };
            // An entity that stops meanwhile publishes nothing more: there will be another.
            let waited = tokio::time::timeout(ENTITY_LOOK, states.wait_for(there)).await;
            match waited {
                Ok(Ok(_)) if broken() => return None,
                Ok(Ok(state)) => return state.clone(),
                Ok(Err(_)) | Err(_) => drop(address),
            }
        }
    }

    /// The state after everything that any process has written before this was called.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn fresh<A: Kind>(self: &Arc<Self>, id: &str) -> Result<Arc<A>, AskError<A::Error>> {
        self.journal.confirm().await?;
        let unavailable = || AskError::Unavailable(StreamId::of::<A>(id));
        for _ in 0..SHOWN_TIMES_MAX {
            let (reply, shown) = oneshot::channel();
            self.handle::<A>(id).address.do_send(Show(reply));
            match tokio::time::timeout(STATE_WAIT, shown).await {
                Ok(Ok(state)) => return Ok(state),
                // It stopped before it could answer: there will be another.
                Ok(Err(_)) => tokio::task::yield_now().await,
                Err(_) => break,
            }
        }
        Err(unavailable())
    }

    /// Carries out a command. `prepare` gathers what it rests on; it is called again as long as
    /// that changes before the decision is written.
    ///
    /// # Errors
    /// As `prepare` does; or when the command is nonsense or cannot be written. A command that takes
    /// longer than [`ANSWER_WAIT`] is in doubt: it may still be carried out.
    pub async fn ask<A, F>(self: &Arc<Self>, id: &str, mut prepare: impl FnMut() -> F) -> Answer<A>
    where
        A: Kind,
        F: Future<Output = Result<Prepared<A>, AskError<A::Error>>>,
    {
        let until = Instant::now() + ANSWER_WAIT;
        let mut confirmed = false;
        for _ in 0..PREPARED_ANEW_MAX {
            let foreign = self.journal.head().foreign();
            let prepared = prepare().await?;
            let (reply, answer) = oneshot::channel();
            self.handle::<A>(id).address.do_send(Ask { prepared, reply });
            let Ok(answer) = timeout_at(until, answer).await else { return Err(no_answer().into()) };
            let answer = match answer {
                Ok(Err(AskError::Stale(Stale(moved)))) => {
                    self.wait_for(&moved).await?;
                    continue;
                }
                Ok(answer) => answer,
                // The entity stopped before it took the command: there will be another.
                Err(_) => {
                    tokio::task::yield_now().await;
                    continue;
                }
            };
            let written_nothing = match &answer {
                Ok(events) => events.is_empty(),
                Err(error) => matches!(error, AskError::Nonsense(_)),
            };
            // Nothing was written, so nothing has proved yet that the state was the newest.
            if written_nothing && !confirmed {
                self.journal.confirm().await?;
                confirmed = true;
                if self.journal.head().foreign() != foreign {
                    continue;
                }
            }
            return answer;
        }
        Err(AskError::Unavailable(StreamId::of::<A>(id)))
    }

    /// Carries out a command that rests on its own stream alone.
    ///
    /// # Errors
    /// When it is nonsense or cannot be written.
    pub async fn tell<A: Kind<Command: Clone>>(self: &Arc<Self>, id: &str, command: A::Command) -> Answer<A> {
        self.ask(id, || {
            let prepared = Prepared::<A>::alone(command.clone());
            async move { Ok(prepared) }
        })
        .await
    }

    async fn wait_for<E: std::error::Error + 'static>(
        self: &Arc<Self>,
        moved: &[(StreamId, u64)],
    ) -> Result<(), AskError<E>> {
        for (stream, version) in moved {
            self.reach(stream, *version).await.ok_or_else(|| AskError::Unavailable(stream.clone()))?;
        }
        Ok(())
    }

    /// The newest position among what was delivered, or else the head: what a caller may quote to
    /// read its own write.
    #[must_use]
    pub fn position_of(&self, delivered: &[Delivered]) -> Position {
        delivered.last().map_or_else(|| self.journal.head().position(), |event| event.place.position)
    }
}

fn no_answer() -> AppendError {
    let reason = format!("no answer within {} s", ANSWER_WAIT.as_secs());
    AppendError::InDoubt(Arc::new(StoreError::Database { doing: "carry out a command", reason }))
}

impl Listener for Directory {
    fn deliver(&self, events: &[Delivered], foreign: bool) {
        // What this process wrote reaches its entity with the answer to the append.
        if !foreign {
            return;
        }
        let mut by_stream: HashMap<&StreamId, Vec<Delivered>> = HashMap::new();
        for event in events {
            by_stream.entry(&event.stream).or_default().push(event.clone());
        }
        for (stream, events) in by_stream {
            match &events[0].event {
                Event::Connection(_) => self.rooms.connections.deliver(&stream.id, events),
                Event::VirtualServer(_) => self.rooms.virtual_servers.deliver(&stream.id, events),
                Event::Subject(_) => self.rooms.subjects.deliver(&stream.id, events),
                Event::UserConnection(_) => self.rooms.user_connections.deliver(&stream.id, events),
                Event::Session(_) => self.rooms.sessions.deliver(&stream.id, events),
                Event::IdentityProvider(_) => self.rooms.identity_providers.deliver(&stream.id, events),
                Event::ApiKey(_) => self.rooms.api_keys.deliver(&stream.id, events),
                Event::PurposeKeys(_) => self.rooms.purpose_keys.deliver(&stream.id, events),
                Event::Watch(_) => self.rooms.watches.deliver(&stream.id, events),
                Event::Webhook(_) => self.rooms.webhooks.deliver(&stream.id, events),
            }
        }
    }
}
