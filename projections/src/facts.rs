//! What must be known of earlier events to project a later one.
//!
//! A call's admission does not repeat its session's terms, nor its end its route. Whoever runs the
//! projections keeps these facts at hand, or reads them from the rows: they never change.

use std::sync::Arc;

use proctor_domain::session::{Route, SessionEvent};
use proctor_domain::virtual_server::Method;
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
    /// The connection, and under which name the call is counted; nothing where there was no route.
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
        | SessionEvent::InputRequested { .. }
        | SessionEvent::InputGiven { .. }
        | SessionEvent::LogLevelSet { .. }
        | SessionEvent::SessionRevoked { .. } => None,
    };
    Needs { session: Some(&recorded.stream.id), call }
}

impl SessionFacts {
    /// Whether `recorded` opens a session, of which [`Self::of`] then knows the facts.
    #[must_use]
    pub fn begins(recorded: &Recorded) -> bool {
        matches!(recorded.event, Event::Session(SessionEvent::SessionOpened { .. }))
    }

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
    /// Under which name a call is counted: its tool's, or its method's with what it was for.
    #[must_use]
    pub fn counted_as(method: &str, tool: &str) -> Arc<str> {
        match Method::named(method) {
            Some(Method::ToolsCall) | None => tool.into(),
            Some(method) => format!("{} {tool}", method.name()).trim_end().into(),
        }
    }

    /// The call that `recorded` begins, if it does, of which [`Self::of`] then knows the facts.
    #[must_use]
    pub fn begun_by(recorded: &Recorded) -> Option<&str> {
        begun_by(recorded).map(|begun| begun.call)
    }

    /// What `recorded` says about the call that it begins, if it does.
    #[must_use]
    pub fn of(recorded: &Recorded) -> Option<(&str, Self)> {
        let begun = begun_by(recorded)?;
        let facts = Self {
            position: position(recorded),
            started_at_us: recorded.place.recorded_at.0,
            route: begun.route.map(|route| {
                (route.connection.as_str().into(), Self::counted_as(begun.method.name(), begun.tool))
            }),
            arguments_bytes: i64::try_from(begun.arguments_bytes).unwrap_or(i64::MAX),
        };
        Some((begun.call, facts))
    }
}

struct Begun<'a> {
    call: &'a str,
    method: Method,
    tool: &'a str,
    route: Option<&'a Route>,
    arguments_bytes: u64,
}

fn begun_by(recorded: &Recorded) -> Option<Begun<'_>> {
    let Event::Session(event) = &recorded.event else { return None };
    match event {
        SessionEvent::ToolCallAdmitted { call, method, tool, route, arguments_bytes, .. } => {
            let (call, arguments_bytes) = (call.as_str(), *arguments_bytes);
            Some(Begun { call, method: *method, tool, route: Some(route), arguments_bytes })
        }
        SessionEvent::ToolCallRefused { call, method, tool, route, arguments_bytes, .. } => {
            let (call, arguments_bytes) = (call.as_str(), *arguments_bytes);
            Some(Begun { call, method: *method, tool, route: route.as_ref(), arguments_bytes })
        }
        SessionEvent::SessionOpened { .. }
        | SessionEvent::ManifestServed { .. }
        | SessionEvent::ToolCallRefusedAgain { .. }
        | SessionEvent::ToolCallCancelRequested { .. }
        | SessionEvent::InputRequested { .. }
        | SessionEvent::InputGiven { .. }
        | SessionEvent::LogLevelSet { .. }
        | SessionEvent::ToolCallEnded { .. }
        | SessionEvent::ToolCallAbandoned { .. }
        | SessionEvent::SessionRevoked { .. } => None,
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
