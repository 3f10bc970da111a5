//! Any event of any aggregate.

use cqrs_es::{Aggregate, DomainEvent};

use crate::api_key::{ApiKey, ApiKeyEvent};
use crate::connection::{Connection, ConnectionEvent};
use crate::identity_provider::{IdentityProvider, IdentityProviderEvent};
use crate::purpose_keys::{PurposeKeys, PurposeKeysEvent};
use crate::session::{Session, SessionEvent};
use crate::subject::{Subject, SubjectEvent};
use crate::user_connection::{UserConnection, UserConnectionEvent};
use crate::virtual_server::{VirtualServer, VirtualServerEvent};
use crate::watch::{Watch, WatchEvent};
use crate::webhook::{Webhook, WebhookEvent};

/// A stored event that this program cannot read. It stops the reader; it is never skipped.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableEvent {
    /// No aggregate of this kind is known.
    #[error(
        "the journal holds a stream of the unknown kind \"{0}\": a newer version of Proctor wrote it; upgrade this one"
    )]
    Kind(String),
    /// No event of this type and version is known.
    #[error(
        "the journal holds an event {kind}/{event_type} of version {version} that is unknown here: a newer version of Proctor wrote it; upgrade this one"
    )]
    Form {
        /// The aggregate's type.
        kind: &'static str,
        /// The event's type.
        event_type: String,
        /// The event's version.
        version: String,
    },
    /// The payload is not what its type says.
    #[error("failed to read the payload of an event {kind}/{event_type}")]
    Payload {
        /// The aggregate's type.
        kind: &'static str,
        /// The event's type.
        event_type: String,
        /// What was wrong.
        #[source]
        source: serde_json::Error,
    },
}

macro_rules! events {
    ($($aggregate:ident($event:ident)),+ $(,)?) => {
        /// An event of any aggregate.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Event {
            $(
                #[doc = concat!("An event of [`", stringify!($aggregate), "`].")]
                $aggregate($event),
            )+
        }

        $(
            impl From<$event> for Event {
                fn from(event: $event) -> Self {
                    Self::$aggregate(event)
                }
            }

            impl<'a> TryFrom<&'a Event> for &'a $event {
                type Error = ();
                fn try_from(event: &'a Event) -> Result<Self, ()> {
                    match event {
                        Event::$aggregate(event) => Ok(event),
                        _ => Err(()),
                    }
                }
            }
        )+

        impl Event {
            /// Every kind, with every type and version of it that this program reads and writes.
            pub const FORMS: &'static [(&'static str, &'static [(&'static str, &'static str)])] =
                &[$(($aggregate::TYPE, $event::FORMS)),+];

            /// The kind of the aggregate that it belongs to.
            #[must_use]
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$aggregate(_) => $aggregate::TYPE),+ }
            }

            /// The kind of that text, if there is one.
            #[must_use]
            pub fn kind_named(text: &str) -> Option<&'static str> {
                [$($aggregate::TYPE),+].into_iter().find(|kind| *kind == text)
            }

            /// The event's type.
            #[must_use]
            pub fn type_name(&self) -> &'static str {
                match self { $(Self::$aggregate(event) => event.type_name()),+ }
            }

            /// The version of the event's form.
            #[must_use]
            pub fn version_name(&self) -> &'static str {
                match self { $(Self::$aggregate(event) => event.version_name()),+ }
            }

            /// The payload as it is stored.
            ///
            /// # Errors
            /// Only when a value in it has no JSON form, which no event type allows.
            pub fn payload(&self) -> Result<String, serde_json::Error> {
                match self { $(Self::$aggregate(event) => serde_json::to_string(event)),+ }
            }

            /// Reads a stored event.
            ///
            /// # Errors
            /// When it is of no known kind, type and version, or not of that form.
            pub fn read(
                kind: &str,
                event_type: &str,
                version: &str,
                payload: &str,
            ) -> Result<Self, UnreadableEvent> {
                $(
                    if kind == $aggregate::TYPE {
                        return parse::<$event>($aggregate::TYPE, $event::FORMS, event_type, version, payload)
                            .map(Self::$aggregate);
                    }
                )+
                Err(UnreadableEvent::Kind(kind.to_owned()))
            }
        }
    };
}

events!(
    Connection(ConnectionEvent),
    VirtualServer(VirtualServerEvent),
    IdentityProvider(IdentityProviderEvent),
    Subject(SubjectEvent),
    UserConnection(UserConnectionEvent),
    Session(SessionEvent),
    ApiKey(ApiKeyEvent),
    PurposeKeys(PurposeKeysEvent),
    Watch(WatchEvent),
    Webhook(WebhookEvent),
);

fn parse<E: DomainEvent>(
    kind: &'static str,
    forms: &[(&str, &str)],
    event_type: &str,
    version: &str,
    payload: &str,
) -> Result<E, UnreadableEvent> {
    if !forms.contains(&(event_type, version)) {
        return Err(UnreadableEvent::Form {
            kind,
            event_type: event_type.to_owned(),
            version: version.to_owned(),
        });
    }
    let unreadable = |source| UnreadableEvent::Payload { kind, event_type: event_type.to_owned(), source };
    let event: E = serde_json::from_str(payload).map_err(unreadable)?;
    // The leaf is taken over the event's own type: a row that says another is not what was signed.
    if event.event_type() != event_type {
        let inside = format_args!("it holds an event of type {}", event.event_type());
        return Err(unreadable(serde::de::Error::custom(inside)));
    }
    Ok(event)
}
