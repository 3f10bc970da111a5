//! What an entity loads where its state is carried over.

use proctor_domain::connection::CredentialKind;
use proctor_domain::user_connection::{
    CARRIED_EVERY_EVENTS, UserConnection, UserConnectionCommand, UserConnectionEvent,
};
use proctor_domain::{Decider as _, Event, StreamId};

use super::world::*;
use crate::actors::now;
use crate::journal::Proposal;
use crate::journal::tests::{Site, note, on_both_stores};

const ACCOUNT: &str = "sub_1.gmail";

/// Writes events as they are.
async fn write(world: &World, events: Vec<UserConnectionEvent>) {
    let proposal = |event: UserConnectionEvent| {
        let event = Event::from(event);
        Proposal {
            event_id: crate::actors::new_id("evt").into(),
            payload: event.payload().unwrap().into(),
            metadata: "{}".into(),
            sealed: None,
            side_writes: Vec::new(),
            event,
        }
    };
    let mut decision = note("unused", 0, 0);
    decision.stream = StreamId::of::<UserConnection>(ACCOUNT);
    decision.proposals = events.into_iter().map(proposal).collect();
    decision.append(&world.journal).await.committed();
}

fn activated() -> UserConnectionEvent {
    UserConnectionEvent::UserConnectionActivated {
        variables: Vec::new(),
        by: by(),
        subject: "sub_1".into(),
        connection: name("gmail"),
        kind: CredentialKind::Oauth2,
        generation: 1,
        link: None,
        scopes: Vec::new(),
        expires_at: Some(now()),
    }
}

fn refreshed(generation: u32) -> UserConnectionEvent {
    UserConnectionEvent::UserConnectionRefreshed { generation, scopes: Vec::new(), expires_at: Some(now()) }
}

async fn renew(world: &World, times: u32) {
    for _ in 0..times {
        let account = world.directory.fresh::<UserConnection>(ACCOUNT).await.unwrap();
        let generation = account.generation();
        let replica = world.journal.replica().clone();
        let claim = UserConnectionCommand::ClaimRefresh { at: now(), generation, replica, refused: true };
        world.directory.tell::<UserConnection>(ACCOUNT, claim).await.unwrap();
        let expires_at = Some(now());
        let complete = UserConnectionCommand::CompleteRefresh { generation, scopes: Vec::new(), expires_at };
        world.directory.tell::<UserConnection>(ACCOUNT, complete).await.unwrap();
    }
}

/// How many events are read to load the account.
async fn read_to_load(world: &World) -> usize {
    let stream = StreamId::of::<UserConnection>(ACCOUNT);
    let carried_by = UserConnection::CARRIED_BY.unwrap();
    world.journal.reader().carried_stream(&stream, carried_by).await.unwrap().len()
}

fn an_account_that_was_renewed_often_is_loaded_from_few_events(site: Site) {
    play(async {
        let (one, two) = (World::open(&site, "rep_1").await, World::open(&site, "rep_2").await);
        write(&one, vec![activated()]).await;
        // Taken in from the start here, from what was carried over below.
        let first = two.directory.state::<UserConnection>(ACCOUNT).await.unwrap();
        assert_eq!(first.version(), 1);
        for round in 1..=10_u32 {
            renew(&one, 20).await;
            let read = read_to_load(&one).await as u64;
            assert!(read <= 2 + CARRIED_EVERY_EVENTS, "{read} events were read in round {round}");
            let account = one.directory.fresh::<UserConnection>(ACCOUNT).await.unwrap();
            assert_eq!(account.generation(), round * 22 - 1);
            assert!(account.version() > u64::from(round) * 40, "everything is still there");
            let starting = World::open(&site, &format!("rep_{}", round + 2)).await;
            for world in [&two, &starting] {
                let loaded = world.directory.fresh::<UserConnection>(ACCOUNT).await.unwrap();
                assert_eq!(*loaded, *account);
            }
            // Decided from what was loaded, it is the next in the stream.
            renew(&starting, 1).await;
            renew(&two, 1).await;
            let stream = StreamId::of::<UserConnection>(ACCOUNT);
            let all = one.journal.reader().stream(&stream, 0).await.unwrap();
            assert!(all.iter().zip(1..).all(|(event, sequence)| event.sequence == sequence));
            let mut whole = UserConnection::default();
            for event in &all {
                let Event::UserConnection(of_account) = &event.event else { panic!("{event:?}") };
                whole.evolve(of_account, event.place);
            }
            let account = one.directory.fresh::<UserConnection>(ACCOUNT).await.unwrap();
            assert_eq!(*account, whole, "as it follows from all events");
        }
    });
}

fn an_account_from_before_there_was_any_carrying_is_loaded_whole_and_carried_over_next(site: Site) {
    play(async {
        let one = World::open(&site, "rep_1").await;
        let renewed = (2..=500).map(refreshed);
        write(&one, [activated()].into_iter().chain(renewed).collect()).await;
        assert_eq!(read_to_load(&one).await, 500);
        assert_eq!(one.directory.state::<UserConnection>(ACCOUNT).await.unwrap().generation(), 500);
        renew(&one, 1).await;
        assert_eq!(read_to_load(&one).await, 3, "what carries it, the claim and the renewal");
        let two = World::open(&site, "rep_2").await;
        let loaded = two.directory.state::<UserConnection>(ACCOUNT).await.unwrap();
        assert_eq!(*loaded, *one.directory.state::<UserConnection>(ACCOUNT).await.unwrap());
        assert_eq!((loaded.generation(), loaded.version()), (501, 503));
    });
}

on_both_stores! {
    an_account_that_was_renewed_often_is_loaded_from_few_events,
    an_account_from_before_there_was_any_carrying_is_loaded_whole_and_carried_over_next,
}
