//! What a webhook tells of: which events of the journal, and by which names.

use std::fmt;

use crate::Event;
use crate::connection::ConnectionEvent;
use crate::session::SessionEvent;
use crate::subject::SubjectEvent;
use crate::user_connection::UserConnectionEvent;
use crate::virtual_server::VirtualServerEvent;

/// One kind of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// A user's credential is in force.
    UserConnectionActivated,
    /// A user's credential is not accepted any more.
    UserConnectionExpired,
    /// A user's account was taken back.
    UserConnectionDisconnected,
    /// A session token was minted.
    SessionOpened,
    /// One session was ended before its time.
    SessionRevoked,
    /// Every session opened so far of a user, a virtual server or a connection has ended, by one
    /// event: sessions are not named one by one.
    SessionCut,
    /// An upstream offers something else than what is in force.
    CatalogChanged,
    /// An administrator tries a webhook. It needs no subscription.
    Test,
}

impl Topic {
    /// Those that can be subscribed to.
    pub const SUBSCRIBED: [Self; 7] = [
        Self::UserConnectionActivated,
        Self::UserConnectionExpired,
        Self::UserConnectionDisconnected,
        Self::SessionOpened,
        Self::SessionRevoked,
        Self::SessionCut,
        Self::CatalogChanged,
    ];

    /// The message's type, as receivers read it and as it is stored.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::UserConnectionActivated => "user_connection.activated",
            Self::UserConnectionExpired => "user_connection.expired",
            Self::UserConnectionDisconnected => "user_connection.disconnected",
            Self::SessionOpened => "session.opened",
            Self::SessionRevoked => "session.revoked",
            Self::SessionCut => "session.cut",
            Self::CatalogChanged => "connection.catalog_changed",
            Self::Test => "webhook.test",
        }
    }

    /// What an event is told as, to whoever has subscribed to that.
    #[must_use]
    pub fn of(event: &Event) -> Option<Self> {
        match event {
            Event::UserConnection(event) => match event {
                UserConnectionEvent::UserConnectionActivated { .. } => Some(Self::UserConnectionActivated),
                UserConnectionEvent::UserConnectionExpired { .. } => Some(Self::UserConnectionExpired),
                UserConnectionEvent::UserConnectionDisconnected { .. } => {
                    Some(Self::UserConnectionDisconnected)
                }
                // Steps on the way, and what changes nothing for the product.
                UserConnectionEvent::UserConnectionLinkIssued { .. }
                | UserConnectionEvent::UserConnectionAuthorizationStarted { .. }
                | UserConnectionEvent::UserConnectionCodeTaken { .. }
                | UserConnectionEvent::UserConnectionAuthorized { .. }
                | UserConnectionEvent::UserConnectionAuthorizationFailed { .. }
                | UserConnectionEvent::UserConnectionRefreshClaimed { .. }
                | UserConnectionEvent::UserConnectionRefreshed { .. }
                | UserConnectionEvent::UserConnectionRefreshFailed { .. }
                | UserConnectionEvent::UserConnectionCarriedOver { .. } => None,
            },
            Event::Session(event) => match event {
                SessionEvent::SessionOpened { .. } => Some(Self::SessionOpened),
                SessionEvent::SessionRevoked { .. } => Some(Self::SessionRevoked),
                SessionEvent::ManifestServed { .. }
                | SessionEvent::ToolCallAdmitted { .. }
                | SessionEvent::ToolCallRefused { .. }
                | SessionEvent::ToolCallRefusedAgain { .. }
                | SessionEvent::ToolCallCancelRequested { .. }
                | SessionEvent::InputRequested { .. }
                | SessionEvent::InputGiven { .. }
                | SessionEvent::LogLevelSet { .. }
                | SessionEvent::ToolCallEnded { .. }
                | SessionEvent::ToolCallAbandoned { .. } => None,
            },
            Event::Subject(event) => match event {
                SubjectEvent::SubjectSessionsCut { .. } | SubjectEvent::SubjectBlocked { .. } => {
                    Some(Self::SessionCut)
                }
                SubjectEvent::SubjectRegistered { .. } | SubjectEvent::SubjectUnblocked { .. } => None,
            },
            Event::VirtualServer(event) => match event {
                VirtualServerEvent::VirtualServerSessionsCut { .. }
                | VirtualServerEvent::VirtualServerRetired { .. } => Some(Self::SessionCut),
                VirtualServerEvent::VirtualServerDefined { .. }
                | VirtualServerEvent::VirtualServerRevised { .. } => None,
            },
            Event::Connection(event) => match event {
                ConnectionEvent::ConnectionSessionsCut { .. } | ConnectionEvent::ConnectionRetired { .. } => {
                    Some(Self::SessionCut)
                }
                ConnectionEvent::CatalogObserved { .. } => Some(Self::CatalogChanged),
                ConnectionEvent::ConnectionRegistered { .. }
                | ConnectionEvent::ConnectionReconfigured { .. }
                | ConnectionEvent::CatalogRefreshed { .. }
                | ConnectionEvent::CatalogAccepted { .. }
                | ConnectionEvent::CatalogApproved { .. }
                | ConnectionEvent::ConnectionTested { .. } => None,
            },
            Event::IdentityProvider(_)
            | Event::ApiKey(_)
            | Event::PurposeKeys(_)
            | Event::Watch(_)
            | Event::Webhook(_) => None,
        }
    }

    /// Whether a pattern names it: its own name, or its family as `session.*`.
    #[must_use]
    pub fn is_named_by(self, pattern: &str) -> bool {
        let code = self.code();
        let family = pattern.strip_suffix('*');
        code == pattern || family.is_some_and(|family| family.ends_with('.') && code.starts_with(family))
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
