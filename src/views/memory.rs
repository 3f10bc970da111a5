//! Facts of sessions and calls that later events rest on: kept at hand, otherwise read from the rows.
//!
//! **Invariants.** Facts never change, so it does not matter which of the two ways they come. What a
//! batch has learned is not forgotten before its rows are written.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use proctor_domain::Recorded;
use proctor_domain::session::SessionEvent;
use proctor_projections::{CallFacts, SessionFacts, needs};

use super::record::{Broken, Record};

/// Sessions of each of the two generations: about 5 MB altogether.
const SESSIONS_PER_GENERATION: usize = 10_000;
/// Calls in flight.
const CALLS_MAX: usize = 50_000;

/// What [`session_facts`] reads, of the sessions with these identifiers.
pub(super) const SESSION_SQL: &str =
    "SELECT id, position, subject, virtual_server, label_indexes FROM sessions WHERE id = ";
/// What [`call_facts`] reads, of the calls with these identifiers.
pub(super) const CALL_SQL: &str = "SELECT call_id, position, started_at_us, connection, tool, arguments_bytes, method FROM tool_calls \
     WHERE call_id = ";

/// What one event rests on.
#[derive(Default)]
pub(super) struct Grounds<'m> {
    pub(super) session: Option<Arc<SessionFacts>>,
    pub(super) call: Option<&'m CallFacts>,
}

/// Identifiers of which the rows must be asked.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Unknown<'e> {
    pub(super) sessions: HashSet<&'e str>,
    pub(super) calls: HashSet<&'e str>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Memory {
    recent: HashMap<Arc<str>, Arc<SessionFacts>>,
    older: HashMap<Arc<str>, Arc<SessionFacts>>,
    calls: HashMap<Box<str>, CallFacts>,
    /// Calls that are over, except that an event of the same batch may speak of them.
    over: Vec<Box<str>>,
}

impl Memory {
    /// What `events` rest on, was recorded before them and is not at hand.
    pub(super) fn unknown<'e>(&self, events: &'e [Arc<Recorded>]) -> Unknown<'e> {
        let mut unknown = Unknown::default();
        let (mut opened, mut begun) = (HashSet::new(), HashSet::new());
        for event in events {
            if SessionFacts::begins(event) {
                opened.insert(&*event.stream.id);
            }
            if let Some(call) = CallFacts::begun_by(event) {
                begun.insert(call);
            }
            let needs = needs(event);
            let at_hand = |id: &str| self.recent.contains_key(id) || self.older.contains_key(id);
            if let Some(id) = needs.session.filter(|id| !at_hand(id) && !opened.contains(id)) {
                unknown.sessions.insert(id);
            }
            if let Some(id) = needs.call.filter(|id| !self.calls.contains_key(*id) && !begun.contains(id)) {
                unknown.calls.insert(id);
            }
        }
        unknown
    }

    /// Learns what the rows say of sessions.
    pub(super) fn learn_sessions(&mut self, found: Vec<(Arc<str>, SessionFacts)>) {
        self.recent.extend(found.into_iter().map(|(id, facts)| (id, Arc::new(facts))));
    }

    /// Learns what the rows say of calls. Such a call began long ago; once is enough.
    pub(super) fn learn_calls(&mut self, found: Vec<(Box<str>, CallFacts)>) {
        self.over.extend(found.iter().map(|(id, _)| id.clone()));
        self.calls.extend(found);
    }

    /// Learns from `recorded`, and says what it rests on.
    pub(super) fn grounds(&mut self, recorded: &Recorded) -> Grounds<'_> {
        if let Some(facts) = SessionFacts::of(recorded) {
            self.recent.insert(Arc::clone(&recorded.stream.id), Arc::new(facts));
            return Grounds::default();
        }
        if let Some((id, facts)) = CallFacts::of(recorded) {
            self.calls.insert(id.into(), facts);
        }
        if let Ok(
            SessionEvent::ToolCallRefused { call, .. }
            | SessionEvent::ToolCallAbandoned { call }
            | SessionEvent::ToolCallEnded { call, .. },
        ) = <&SessionEvent>::try_from(&recorded.event)
        {
            self.over.push(call.as_str().into());
        }
        let needs = needs(recorded);
        let session = needs.session.and_then(|id| self.session(id));
        Grounds { session, call: needs.call.and_then(|id| self.calls.get(id)) }
    }

    /// Forgets what is over and what is too much. The rows of the batch stand.
    pub(super) fn written(&mut self) {
        for call in self.over.drain(..) {
            self.calls.remove(&call);
        }
        if self.calls.len() > CALLS_MAX {
            self.calls.clear();
        }
        if self.recent.len() > SESSIONS_PER_GENERATION {
            self.older = std::mem::take(&mut self.recent);
        }
    }

    fn session(&mut self, id: &str) -> Option<Arc<SessionFacts>> {
        if let Some(facts) = self.recent.get(id) {
            return Some(Arc::clone(facts));
        }
        let (id, facts) = self.older.remove_entry(id)?;
        self.recent.insert(id, Arc::clone(&facts));
        Some(facts)
    }
}

pub(super) fn session_facts(row: &Record<'_>) -> Result<(Arc<str>, SessionFacts), Broken> {
    let facts = SessionFacts {
        position: row.integer(1)?,
        subject: row.text(2)?.into(),
        virtual_server: row.text(3)?.into(),
        label_indexes: row.text(4)?.split_whitespace().map(Arc::from).collect(),
    };
    Ok((row.text(0)?.into(), facts))
}

pub(super) fn call_facts(row: &Record<'_>) -> Result<(Box<str>, CallFacts), Broken> {
    let counted_as = CallFacts::counted_as(&row.text(6)?, &row.text(4)?);
    let facts = CallFacts {
        position: row.integer(1)?,
        started_at_us: row.integer(2)?,
        route: row.maybe_text(3)?.map(|connection| (connection.into(), counted_as)),
        arguments_bytes: row.integer(5)?,
    };
    Ok((row.text(0)?.into(), facts))
}
