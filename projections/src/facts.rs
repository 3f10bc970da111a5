//! What must be known of earlier events to project a later one.
//!
//! A call's admission does not repeat its session's terms, nor its end its route. Whoever runs the
//! projections keeps these facts at hand, or reads them from the rows: they never change.

use std::sync::Arc;

use proctor_domain::session::SessionEvent;
use proctor_domain::{Event, Recorded};

/// What a session was opened with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionFacts {
    /// The position of its opening.
    pub position: i64,
    /// The user's reference.
    pub subject: Arc<str>,
    /// The virtual server.
    pub virtual_server: Arc<str>,
    /// Blind indexes of its labels, each once.
    pub label_indexes: Box<[Arc<str>]>,
}

/// What stands fixed of a call from its first event on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallFacts {
    /// The position of its admission or refusal.
    pub position: i64,
    /// When that was recorded.
    pub started_at_us: i64,
    /// The connection and the tool as the agent named it; nothing where there was no route.
    pub route: Option<(Arc<str>, Arc<str>)>,
    /// Size of the arguments, in bytes.
    pub arguments_bytes: i64,
}

/// The facts at hand for one event.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'k> {
    /// Of the event's session.
    pub session: Option<&'k SessionFacts>,
    /// Of the event's call.
    pub call: Option<&'k CallFacts>,
}

/// What an event rests on, by identifier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs<'a> {
    /// The session that the event belongs to, opened before.
    pub session: Option<&'a str>,
    /// The call that the event goes on with.
    pub call: Option<&'a str>,
}

/// What must be known to project `recorded`.
#[must_use]
pub fn needs(recorded: &Recorded) -> Needs<'_> {
    let Event::Session(event) = &recorded.event else { return Needs::default() };
    let call = match event {
        SessionEvent::SessionOpened { .. } => return Needs::default(),
        SessionEvent::ToolCallRefusedAgain { call, .. }
        | SessionEvent::ToolCallEnded { call, .. }
        | SessionEvent::ToolCallAbandoned { call } => Some(call.as_str()),
        SessionEvent::ManifestServed { .. }
        | SessionEvent::ToolCallAdmitted { .. }
        | SessionEvent::ToolCallRefused { .. }
        | SessionEvent::ToolCallCancelRequested { .. }
        | SessionEvent::SessionRevoked { .. } => None,
    };
    Needs { session: Some(&recorded.stream.id), call }
}

impl SessionFacts {
    /// What `recorded` says about the session that it opens, if it does.
    #[must_use]
    pub fn of(recorded: &Recorded) -> Option<Self> {
        let Event::Session(SessionEvent::SessionOpened { terms, .. }) = &recorded.event else { return None };
        Some(Self {
            position: position(recorded),
            subject: terms.subject.as_str().into(),
            virtual_server: terms.virtual_server.as_str().into(),
            label_indexes: terms
                .label_indexes
                .iter()
                .enumerate()
                .filter(|(i, label)| !terms.label_indexes[..*i].contains(label))
                .map(|(_, label)| label.as_str().into())
                .collect(),
        })
    }
}

impl CallFacts {
    /// What `recorded` says about the call that it begins, if it does.
    #[must_use]
    pub fn of(recorded: &Recorded) -> Option<(&str, Self)> {
        let Event::Session(event) = &recorded.event else { return None };
        let (call, tool, route, bytes) = match event {
            SessionEvent::ToolCallAdmitted { call, tool, route, arguments_bytes, .. } => {
                (call, tool, Some(route), arguments_bytes)
            }
            SessionEvent::ToolCallRefused { call, tool, route, arguments_bytes, .. } => {
                (call, tool, route.as_ref(), arguments_bytes)
            }
            SessionEvent::SessionOpened { .. }
            | SessionEvent::ManifestServed { .. }
            | SessionEvent::ToolCallRefusedAgain { .. }
            | SessionEvent::ToolCallCancelRequested { .. }
            | SessionEvent::ToolCallEnded { .. }
            | SessionEvent::ToolCallAbandoned { .. }
            | SessionEvent::SessionRevoked { .. } => return None,
        };
        let facts = Self {
            position: position(recorded),
            started_at_us: recorded.place.recorded_at.0,
            route: route.map(|route| (route.connection.as_str().into(), tool.as_str().into())),
            arguments_bytes: i64::try_from(*bytes).unwrap_or(i64::MAX),
        };
        Some((call.as_str(), facts))
    }
}

impl<'k> Known<'k> {
    pub(crate) fn session_of(self, recorded: &Recorded) -> Result<&'k SessionFacts, crate::Unfounded> {
        self.session.ok_or_else(|| crate::Unfounded {
            position: recorded.place.position,
            what: "session",
            id: recorded.stream.id.to_string(),
        })
    }

    pub(crate) fn call_of(self, recorded: &Recorded) -> Result<&'k CallFacts, crate::Unfounded> {
        self.call.ok_or_else(|| crate::Unfounded {
            position: recorded.place.position,
            what: "tool call",
            id: needs(recorded).call.unwrap_or_default().to_owned(),
        })
    }
}

/// An event's position as a column's value.
pub(crate) fn position(recorded: &Recorded) -> i64 {
    i64::try_from(recorded.place.position.0).unwrap_or(i64::MAX)
}
