//! Facts of sessions and calls that later events rest on: kept at hand, otherwise read from the rows.
//!
//! **Invariants.** Facts never change, so it does not matter which of the two ways they come. What a
//! batch has learned is not forgotten before its rows are written.

use std::collections::HashMap;
use std::sync::Arc;

use proctor_domain::Recorded;
use proctor_domain::session::SessionEvent;
use proctor_projections::{CallFacts, SessionFacts, needs};
use rusqlite::{Connection, OptionalExtension as _};

use super::error::ViewsError;

/// Sessions of each of the two generations: about 5 MB altogether.
const SESSIONS_PER_GENERATION: usize = 10_000;
/// Calls in flight.
const CALLS_MAX: usize = 50_000;

const SESSION_SQL: &str =
    "SELECT position, subject, virtual_server, label_indexes FROM sessions WHERE id = $1";
const CALL_SQL: &str =
    "SELECT position, started_at_us, connection, tool, arguments_bytes FROM tool_calls WHERE call_id = $1";

/// What one event rests on.
#[derive(Default)]
pub(super) struct Grounds {
    pub(super) session: Option<Arc<SessionFacts>>,
    pub(super) call: Option<CallFacts>,
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
    /// Learns from `recorded`, and says what it rests on.
    pub(super) fn grounds(&mut self, rows: &Connection, recorded: &Recorded) -> Result<Grounds, ViewsError> {
        if let Some(facts) = SessionFacts::of(recorded) {
            self.recent.insert(Arc::clone(&recorded.stream.id), Arc::new(facts));
            return Ok(Grounds::default());
        }
        let needs = needs(recorded);
        let session = needs.session.map(|id| self.session(rows, id)).transpose()?.flatten();
        let call = match (needs.call, &recorded.event) {
            (None, _) => None,
            (Some(id), event) => {
                let known = match <&SessionEvent>::try_from(event) {
                    // Nothing more will be said of it.
                    Ok(SessionEvent::ToolCallEnded { .. }) => self.calls.remove(id),
                    _ => self.calls.get(id).cloned(),
                };
                match known {
                    Some(facts) => Some(facts),
                    None => read_call(rows, id)?,
                }
            }
        };
        if let Some((id, facts)) = CallFacts::of(recorded) {
            self.calls.insert(id.into(), facts);
        }
        if let Ok(SessionEvent::ToolCallRefused { call, .. } | SessionEvent::ToolCallAbandoned { call }) =
            <&SessionEvent>::try_from(&recorded.event)
        {
            self.over.push(call.as_str().into());
        }
        Ok(Grounds { session, call })
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

    fn session(&mut self, rows: &Connection, id: &str) -> Result<Option<Arc<SessionFacts>>, ViewsError> {
        if let Some(facts) = self.recent.get(id) {
            return Ok(Some(Arc::clone(facts)));
        }
        let found = match self.older.remove_entry(id) {
            Some(found) => Some(found),
            None => read_session(rows, id)?.map(|facts| (id.into(), Arc::new(facts))),
        };
        Ok(found.map(|(id, facts)| {
            self.recent.insert(id, Arc::clone(&facts));
            facts
        }))
    }
}

fn read_session(rows: &Connection, id: &str) -> Result<Option<SessionFacts>, ViewsError> {
    let read = |row: &rusqlite::Row<'_>| {
        Ok(SessionFacts {
            position: row.get(0)?,
            subject: row.get(1)?,
            virtual_server: row.get(2)?,
            label_indexes: row.get::<_, String>(3)?.split_whitespace().map(Arc::from).collect(),
        })
    };
    rows.prepare_cached(SESSION_SQL)
        .and_then(|mut statement| statement.query_row([id], read).optional())
        .map_err(ViewsError::doing("look up a session in the audit views"))
}

fn read_call(rows: &Connection, id: &str) -> Result<Option<CallFacts>, ViewsError> {
    let read = |row: &rusqlite::Row<'_>| {
        let tool: Arc<str> = row.get(3)?;
        Ok(CallFacts {
            position: row.get(0)?,
            started_at_us: row.get(1)?,
            route: row.get::<_, Option<Arc<str>>>(2)?.map(|connection| (connection, tool)),
            arguments_bytes: row.get(4)?,
        })
    };
    rows.prepare_cached(CALL_SQL)
        .and_then(|mut statement| statement.query_row([id], read).optional())
        .map_err(ViewsError::doing("look up a tool call in the audit views"))
}
