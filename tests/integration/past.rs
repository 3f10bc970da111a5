//! Lets time pass for what people have begun: what stands in the journal is said once more, as of a day
//! earlier. Nobody waits.

use std::sync::Arc;

use proctor::actors::new_id;
use proctor::journal::postgres::{self, PostgresConfig};
use proctor::journal::{
    AppendError, Decision, Delivered, Journal, JournalConfig, Proposal, Stale, Store, sqlite,
};
use proctor_domain::user_connection::{UserConnection, UserConnectionEvent};
use proctor_domain::{Event, Micros, Recorded, StreamId};
use tokio::sync::oneshot;

use crate::world::World;

const DAY: i64 = 86_400_000_000;

/// The world's only account has come no further for a day: its link, or what that brought, is a day older.
#[track_caller]
pub fn a_day_passes(world: &World) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        match world.database() {
            None => {
                let (store, reader) = sqlite::open(&world.data_dir().join("journal.sqlite")).unwrap();
                say_again(store, reader).await;
            }
            Some(database) => {
                let (store, reader) = postgres::open(&PostgresConfig::new(database.url())).await.unwrap();
                say_again(store, reader).await;
            }
        }
    });
}

async fn say_again<S: Store>(store: S, reader: Arc<dyn proctor::journal::Reader>) {
    let config = JournalConfig {
        replica: new_id("rep").into(),
        lease_ms: 10_000,
        data_dir: None,
        master_keys: String::new(),
    };
    let journal = Journal::open(store, Arc::clone(&reader), config).await.unwrap();
    let ids = reader.stream_ids("user_connection").await.unwrap();
    let [id] = &ids[..] else { panic!("one account was expected: {ids:?}") };
    let stream = StreamId::of::<UserConnection>(id);
    let history = reader.stream(&stream, 0).await.unwrap();
    let newest = history.last().unwrap();
    let Event::UserConnection(event) = &newest.event else { panic!("{newest:?}") };
    let (reply, written) = oneshot::channel();
    let proposals = vec![proposal(earlier(event).into())];
    let version = newest.sequence;
    journal.append(Box::new(Again { stream, version, proposals, reply: Some(reply) }));
    written.await.unwrap().unwrap();
    journal.stop().await;
}

fn earlier(event: &UserConnectionEvent) -> UserConnectionEvent {
    let mut event = event.clone();
    match &mut event {
        UserConnectionEvent::UserConnectionLinkIssued { expires_at, .. } => expires_at.0 -= DAY,
        UserConnectionEvent::UserConnectionAuthorized { confirm_by, .. } => confirm_by.0 -= DAY,
        other => panic!("no time is running: {other:?}"),
    }
    event
}

fn proposal(event: Event) -> Proposal {
    Proposal {
        event_id: new_id("evt").into(),
        payload: event.payload().unwrap().into(),
        metadata: "{}".into(),
        sealed: None,
        side_writes: Vec::new(),
        event,
    }
}

/// The event that is said again.
struct Again {
    stream: StreamId,
    version: u64,
    proposals: Vec<Proposal>,
    reply: Option<oneshot::Sender<Result<(), String>>>,
}

impl Again {
    fn answer(mut self, became: Result<(), String>) {
        self.reply.take().unwrap().send(became).unwrap();
    }
}

impl Decision for Again {
    fn stream(&self) -> &StreamId {
        &self.stream
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn grounds(&self) -> &[(StreamId, u64)] {
        &[]
    }

    fn valid_until(&self) -> Option<Micros> {
        None
    }

    fn proposals(&mut self) -> &mut Vec<Proposal> {
        &mut self.proposals
    }

    fn decide_again(&mut self, newer: &[Arc<Recorded>], _: Micros) {
        panic!("something has happened meanwhile: {newer:?}");
    }

    fn committed(self: Box<Self>, _: Vec<Delivered>) {
        (*self).answer(Ok(()));
    }

    fn stale(self: Box<Self>, stale: Stale) {
        (*self).answer(Err(format!("{stale:?}")));
    }

    fn failed(self: Box<Self>, error: AppendError) {
        (*self).answer(Err(format!("{error:?}")));
    }
}
