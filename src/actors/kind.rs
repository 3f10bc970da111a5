//! Which aggregates there are, for code that serves them all.

use std::sync::Arc;

use cqrs_es::Aggregate as _;
use proctor_domain::api_key::ApiKey;
use proctor_domain::connection::Connection;
use proctor_domain::identity_provider::IdentityProvider;
use proctor_domain::purpose_keys::PurposeKeys;
use proctor_domain::session::Session;
use proctor_domain::subject::Subject;
use proctor_domain::user_connection::UserConnection;
use proctor_domain::virtual_server::VirtualServer;
use proctor_domain::watch::Watch;
use proctor_domain::webhook::Webhook;
use proctor_domain::{Decider, Event, StreamId};

use super::directory::{Directory, Room};

/// An aggregate that has a room in the [`Directory`].
pub trait Kind: Decider<Command: Send + Unpin, Event: Unpin, Error: Send + Unpin> + Unpin {
    /// Its event as any event.
    fn wrap(event: Self::Event) -> Event;
    /// The event, if it is one of this aggregate's.
    fn unwrap(event: &Event) -> Option<&Self::Event>;
    /// Where its entities live.
    fn room(directory: &Directory) -> &Room<Self>;
}

macro_rules! kinds {
    ($($aggregate:ident in $room:ident),+ $(,)?) => {
        $(
            impl Kind for $aggregate {
                fn wrap(event: Self::Event) -> Event {
                    Event::$aggregate(event)
                }

                fn unwrap(event: &Event) -> Option<&Self::Event> {
                    event.try_into().ok()
                }

                fn room(directory: &Directory) -> &Room<Self> {
                    &directory.rooms.$room
                }
            }
        )+

        /// One room per aggregate.
        #[derive(Default)]
        pub(super) struct Rooms {
            $(pub(super) $room: Room<$aggregate>,)+
        }

        impl Rooms {
            /// How many entities are alive.
            pub(super) fn alive(&self) -> usize {
                [$(self.$room.alive()),+].into_iter().sum()
            }
        }

        impl Directory {
            /// Waits until a stream's entity has taken in this many events; `None` when it does not.
            pub(super) async fn reach(self: &Arc<Self>, stream: &StreamId, version: u64) -> Option<()> {
                $(
                    if stream.kind == $aggregate::TYPE {
                        return self.state_at_least::<$aggregate>(&stream.id, version).await.ok().map(drop);
                    }
                )+
                None
            }
        }
    };
}

kinds!(
    Connection in connections,
    VirtualServer in virtual_servers,
    IdentityProvider in identity_providers,
    Subject in subjects,
    UserConnection in user_connections,
    Session in sessions,
    ApiKey in api_keys,
    PurposeKeys in purpose_keys,
    Watch in watches,
    Webhook in webhooks,
);
