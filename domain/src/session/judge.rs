//! May this call leave? The one function that says so, live and in a what-if.

use super::{Access, CallGrounds, CallRequest, HeldBack, Refusal, Route, Session, Terms};
use crate::connection::{CatalogTool, Connection, ToolStanding};
use crate::user_connection::Status;
use crate::{Micros, Position};

/// Longest name of a refused tool in the journal, in characters.
const REFUSED_TOOL_CHARS_MAX: usize = 128;

/// Why a call may not leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The first reason that forbids it.
    pub reason: Refusal,
    /// What it would have rested on, as far as that is known.
    pub route: Option<Box<Route>>,
    /// From when on it may be let through, where a limit stands in its way.
    pub retry_at: Option<Micros>,
}

impl Denial {
    fn of(reason: Refusal, route: Option<Route>) -> Self {
        Self { reason, route: route.map(Box::new), retry_at: None }
    }
}

impl Session {
    /// Whether the session as a whole has ended at this time, and why. Having used up its calls is
    /// not among the reasons: those that were admitted may go on.
    #[must_use]
    pub fn ended(&self, terms: &Terms, at: Micros, grounds: &CallGrounds) -> Option<Refusal> {
        let cut = |cut_at: Option<Position>| cut_at.is_some_and(|cut| self.opened_at <= cut);
        if self.revoked {
            Some(Refusal::SessionRevoked)
        } else if at >= terms.expires_at {
            Some(Refusal::SessionExpired)
        } else if grounds.subject.is_blocked() {
            Some(Refusal::SubjectBlocked)
        } else if cut(grounds.subject.cut_at()) {
            Some(Refusal::SubjectCut)
        } else if !grounds.server.is_usable() {
            Some(Refusal::VirtualServerRetired)
        } else if cut(grounds.server.cut_at()) {
            Some(Refusal::VirtualServerCut)
        } else {
            None
        }
    }

    /// The route of an admitted call, or why it is refused. Pure, and the same for every asker.
    ///
    /// # Errors
    /// The first reason that forbids it, with the route as far as it is known.
    pub fn judge(
        &self,
        terms: &Terms,
        at: Micros,
        request: &CallRequest,
        grounds: &CallGrounds,
    ) -> Result<Route, Denial> {
        if let Some(reason) = self.ended(terms, at, grounds) {
            return Err(Denial::of(reason, None));
        }
        if self.calls_admitted >= terms.calls_max {
            return Err(Denial::of(Refusal::CallsMaxReached, None));
        }
        let chosen = |tools: &Vec<String>| tools.contains(&request.tool);
        let Some(exposed) =
            grounds.server.tool(&request.tool).filter(|_| terms.tools.as_ref().is_none_or(chosen))
        else {
            return Err(Denial::of(Refusal::NotInScope, None));
        };
        let Some(connection) = grounds.connection.as_deref() else {
            return Err(Denial::of(Refusal::ConnectionRetired, None));
        };
        let standing = connection.standing(&exposed.tool);
        let Some((catalog, tool)) = connection.catalog().zip(in_force(standing)) else {
            return Err(Denial::of(self.without_definition(terms, connection, standing), None));
        };
        let route = Route {
            version: grounds.server.revision(),
            connection: exposed.connection.clone(),
            tool: exposed.tool.clone(),
            definition: tool.digest.clone(),
            catalog: catalog.digest.clone(),
            generation: connection.generation(),
            user_generation: None,
        };
        let (status, user_generation) = match (connection.takes(), &grounds.user_connection) {
            (None, _) => (Status::Active, None),
            (Some(takes), Some(account)) => (account.status_for(takes), Some(account.generation())),
            (Some(_), None) => (Status::Missing, None),
        };
        if !connection.is_usable() {
            Err(Denial::of(Refusal::ConnectionRetired, Some(route)))
        } else if connection.cut_at().is_some_and(|cut| self.opened_at <= cut) {
            Err(Denial::of(Refusal::ConnectionCut, Some(route)))
        } else if terms.access == Access::ReadOnly && !tool.read_only {
            Err(Denial::of(Refusal::NotReadOnly, Some(route)))
        } else if matches!(standing, ToolStanding::Held { .. }) {
            Err(Denial::of(Refusal::ToolHeld, Some(route)))
        } else if let Some(reason) = unusable(status) {
            Err(Denial::of(reason, Some(route)))
        } else if !request.arguments_ok {
            Err(Denial::of(Refusal::ArgumentsRefused, Some(route)))
        } else if let Some(retry_at) = self.free_at(terms, at) {
            let reason = Refusal::CallsPerMinuteMaxReached;
            Err(Denial { retry_at: Some(retry_at), ..Denial::of(reason, Some(route)) })
        } else if let Some(HeldBack { reason, retry_at }) = request.held_back {
            Err(Denial { retry_at: Some(retry_at), ..Denial::of(reason, Some(route)) })
        } else {
            Ok(Route { user_generation, ..route })
        }
    }

    /// Why a tool is refused of which no definition is in force that its upstream still offers.
    fn without_definition(
        &self,
        terms: &Terms,
        connection: &Connection,
        standing: ToolStanding<'_>,
    ) -> Refusal {
        match standing {
            _ if !connection.is_usable() => Refusal::ConnectionRetired,
            ToolStanding::Held { .. } if connection.cut_at().is_some_and(|cut| self.opened_at <= cut) => {
                Refusal::ConnectionCut
            }
            ToolStanding::Held { offered, .. } if terms.access == Access::ReadOnly && !offered.read_only => {
                Refusal::NotReadOnly
            }
            ToolStanding::Held { .. } => Refusal::ToolHeld,
            ToolStanding::InForce(_) | ToolStanding::Gone(_) | ToolStanding::Unknown => Refusal::NotInCatalog,
        }
    }

    /// From when on another call may be admitted, where too many were in the last minute.
    fn free_at(&self, terms: &Terms, at: Micros) -> Option<Micros> {
        self.pace.free_at(at, terms.calls_per_minute_max?)
    }
}

/// The definition that a call would rest on.
fn in_force(standing: ToolStanding<'_>) -> Option<&CatalogTool> {
    match standing {
        ToolStanding::InForce(tool) => Some(tool),
        ToolStanding::Held { in_force, .. } => in_force,
        ToolStanding::Gone(_) | ToolStanding::Unknown => None,
    }
}

fn unusable(status: Status) -> Option<Refusal> {
    match status {
        Status::Active => None,
        Status::Missing | Status::Pending => Some(Refusal::UserConnectionMissing),
        Status::Expired => Some(Refusal::UserConnectionExpired),
        Status::Disconnected => Some(Refusal::UserConnectionDisconnected),
    }
}

/// A name that came from outside, as it may stand in the journal: escaped and bounded.
pub(super) fn tool_for_the_record(name: &str) -> String {
    name.escape_debug().take(REFUSED_TOOL_CHARS_MAX).collect()
}
