//! May this call leave? The one function that says so, live and in a what-if.

use super::{Access, CallGrounds, CallRequest, HeldBack, Refusal, Route, Session, Terms};
use crate::connection::{Connection, Pinned, Standing};
use crate::user_connection::Status;
use crate::virtual_server::{VirtualServer, Wanted, scheme};
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
        let Some(target) =
            grounds.server.target(&request.wanted).filter(|_| is_chosen(terms, &request.wanted))
        else {
            return Err(Denial::of(Refusal::NotInScope, None));
        };
        let Some(connection) = grounds.connection.as_deref() else {
            return Err(Denial::of(Refusal::ConnectionRetired, None));
        };
        let standing = target.feature.as_ref().map(|feature| connection.standing(feature));
        let pinned = match standing {
            None => None,
            Some(standing) => match in_force(standing) {
                Some(pinned) => Some(pinned),
                None => return Err(Denial::of(self.without_definition(terms, connection, standing), None)),
            },
        };
        let Some(catalog) = connection.catalog() else {
            return Err(Denial::of(Refusal::NotInCatalog, None));
        };
        let route = Route {
            version: grounds.server.revision(),
            connection: target.connection.clone(),
            tool: target.exposed_by.to_owned(),
            definition: pinned.map(|pinned| pinned.digest.clone()),
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
        } else if terms.access == Access::ReadOnly && pinned.is_some_and(|pinned| !pinned.read_only) {
            Err(Denial::of(Refusal::NotReadOnly, Some(route)))
        } else if matches!(standing, Some(Standing::Held { .. })) {
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
    fn without_definition(&self, terms: &Terms, connection: &Connection, standing: Standing<'_>) -> Refusal {
        match standing {
            _ if !connection.is_usable() => Refusal::ConnectionRetired,
            Standing::Held { .. } if connection.cut_at().is_some_and(|cut| self.opened_at <= cut) => {
                Refusal::ConnectionCut
            }
            Standing::Held { offered, .. } if terms.access == Access::ReadOnly && !offered.read_only => {
                Refusal::NotReadOnly
            }
            Standing::Held { .. } => Refusal::ToolHeld,
            Standing::InForce(_) | Standing::Gone(_) | Standing::Unknown => Refusal::NotInCatalog,
        }
    }

    /// From when on another call may be admitted, where too many were in the last minute.
    fn free_at(&self, terms: &Terms, at: Micros) -> Option<Micros> {
        self.pace.free_at(at, terms.calls_per_minute_max?)
    }
}

/// The definition that a call would rest on.
fn in_force(standing: Standing<'_>) -> Option<&Pinned> {
    match standing {
        Standing::InForce(tool) => Some(tool),
        Standing::Held { in_force, .. } => in_force,
        Standing::Gone(_) | Standing::Unknown => None,
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

/// Whether a session on these terms is for it: the tools that it was opened for bind no other method.
fn is_chosen(terms: &Terms, wanted: &Wanted) -> bool {
    match (wanted, &terms.tools) {
        (Wanted::Tool(name), Some(tools)) => tools.contains(name),
        _ => true,
    }
}

/// What stands in the journal for what an agent asked for: escaped and bounded. A URI may say something of
/// a person: what exposes it stands for it, and where nothing does, its scheme.
pub(super) fn for_the_record(wanted: &Wanted, server: &VirtualServer) -> String {
    let name = match wanted {
        Wanted::Tool(name)
        | Wanted::Prompt(name)
        | Wanted::PromptCompletion(name)
        | Wanted::TemplateCompletion(name) => name.as_str(),
        Wanted::ResourceList(_) => "",
        Wanted::Resource(uri) => match server.target(wanted) {
            Some(target) => return escaped(target.exposed_by),
            None => scheme(uri).map_or("", |scheme| &uri[..=scheme.len()]),
        },
    };
    escaped(name)
}

fn escaped(name: &str) -> String {
    name.escape_debug().take(REFUSED_TOOL_CHARS_MAX).collect()
}
