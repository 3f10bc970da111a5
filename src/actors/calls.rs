//! The calls of this process that are on their way, and how a revocation reaches them.
//!
//! **Invariants.** A call is entered before its admission is asked for, so that no revocation that
//! is delivered later can miss it. Only delivered events and the agent cancel a call. Whoever holds
//! a [`Flight`] keeps it until the outcome is recorded: one that is dropped before says that nobody
//! else will record it, and the sweeper does.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use proctor_domain::connection::ConnectionEvent;
use proctor_domain::session::{Cause, Outcome, SessionEvent};
use proctor_domain::subject::SubjectEvent;
use proctor_domain::user_connection::{UserConnection, UserConnectionEvent};
use proctor_domain::virtual_server::VirtualServerEvent;
use proctor_domain::{CallId, Event, Name, Position, ReplicaId, SessionId, SubjectId};
use tokio_util::sync::CancellationToken;

use super::inputs::Inputs;
use crate::journal::{Delivered, Listener};

/// How long the outcome of a call that nobody holds any more may still come by itself.
const ORPHANED_FOR: Duration = Duration::from_secs(10);

/// One call on its way. Dropping it takes it off the table.
pub struct Flight {
    call: CallId,
    calls: Arc<Calls>,
    token: CancellationToken,
    cause: Arc<OnceLock<Cause>>,
}

impl Flight {
    /// The call.
    #[must_use]
    pub fn call(&self) -> &CallId {
        &self.call
    }

    /// Cancelled when the call has to stop.
    #[must_use]
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Why it was cancelled, once it is.
    #[must_use]
    pub fn cause(&self) -> Cause {
        self.cause.get().copied().unwrap_or(Cause::Agent)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let Some((call, entry)) = self.calls.table.remove(&self.call) else { return };
        if entry.is_open() {
            // It may have left. Whoever had it on its way was stopped before the outcome was there.
            self.calls.orphan(call, entry.session, Outcome::Cancelled(self.cause()));
        }
    }
}

struct Entry {
    session: SessionId,
    subject: SubjectId,
    server: Name,
    opened_at: Position,
    /// Known once it is admitted.
    connection: Option<Name>,
    ended: bool,
    token: CancellationToken,
    cause: Arc<OnceLock<Cause>>,
}

impl Entry {
    fn is_open(&self) -> bool {
        self.connection.is_some() && !self.ended
    }

    fn cancel(&self, cause: Cause) {
        // The first cause is the one that counts.
        let _ = self.cause.set(cause);
        self.token.cancel();
    }
}

/// An admitted call that nobody holds.
struct Orphan {
    session: SessionId,
    outcome: Outcome,
    since: Instant,
}

/// See the module.
pub struct Calls {
    replica: ReplicaId,
    table: DashMap<CallId, Entry>,
    orphans: Mutex<HashMap<CallId, Orphan>>,
    inputs: Arc<Inputs>,
}

impl Calls {
    /// An empty table.
    #[must_use]
    pub fn new(replica: ReplicaId) -> Arc<Self> {
        Arc::new(Self { replica, table: DashMap::new(), orphans: Mutex::default(), inputs: Arc::default() })
    }

    /// Enters a call that is about to ask for its admission.
    #[must_use]
    pub fn enter(
        self: &Arc<Self>,
        call: CallId,
        session: SessionId,
        opened_at: Position,
        subject: SubjectId,
        server: Name,
    ) -> Flight {
        let token = CancellationToken::new();
        let cause = Arc::new(OnceLock::new());
        let entry = Entry {
            session,
            subject,
            server,
            opened_at,
            connection: None,
            ended: false,
            token: token.clone(),
            cause: Arc::clone(&cause),
        };
        self.table.insert(call.clone(), entry);
        Flight { call, calls: Arc::clone(self), token, cause }
    }

    /// The wishes for input that calls of this process wait for.
    #[must_use]
    pub fn inputs(&self) -> &Arc<Inputs> {
        &self.inputs
    }

    /// Cancels one call, if it is of this process and still on its way.
    pub fn cancel(&self, call: &CallId, cause: Cause) {
        if let Some(entry) = self.table.get(call) {
            entry.cancel(cause);
        }
    }

    /// Cancels everything.
    pub fn cancel_all(&self, cause: Cause) {
        self.cancel_where(cause, |_| true);
    }

    /// How many are on their way.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether none is on its way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Whether nothing has cancelled this call.
    #[must_use]
    pub fn is_alive(&self, call: &CallId) -> bool {
        self.table.get(call).is_some_and(|entry| !entry.token.is_cancelled())
    }

    /// Calls of this process whose outcome nobody will record, each with what it is: their
    /// admission never reached whoever had asked for it, or they were dropped on their way.
    pub(super) fn take_orphans(&self) -> Vec<(SessionId, CallId, Outcome)> {
        let mut orphans = self.orphans.lock().unwrap_or_else(PoisonError::into_inner);
        let ripe = orphans.extract_if(|_, orphan| orphan.since.elapsed() >= ORPHANED_FOR);
        ripe.map(|(call, orphan)| (orphan.session, call, orphan.outcome)).collect()
    }

    /// Keeps an orphan for the next sweep.
    pub(super) fn orphan(&self, call: CallId, session: SessionId, outcome: Outcome) {
        let orphan = Orphan { session, outcome, since: Instant::now() };
        self.orphans.lock().unwrap_or_else(PoisonError::into_inner).insert(call, orphan);
    }

    /// Lets orphans be old enough to be swept.
    #[cfg(test)]
    pub(super) fn age_orphans(&self) {
        for orphan in self.orphans.lock().unwrap().values_mut() {
            orphan.since -= ORPHANED_FOR;
        }
    }

    fn ended(&self, call: &CallId) {
        if let Some(mut entry) = self.table.get_mut(call) {
            entry.ended = true;
        } else {
            self.orphans.lock().unwrap_or_else(PoisonError::into_inner).remove(call);
        }
    }

    fn cancel_where(&self, cause: Cause, covered: impl Fn(&Entry) -> bool) {
        self.table.iter().filter(|entry| covered(entry)).for_each(|entry| entry.cancel(cause));
    }

    fn deliver_session(&self, id: &str, at: Position, event: &SessionEvent) {
        match event {
            SessionEvent::ToolCallAdmitted { call, route, replica, .. } if *replica == self.replica => {
                match self.table.get_mut(call) {
                    Some(mut entry) => entry.connection = Some(route.connection.clone()),
                    None => {
                        let never_left = Outcome::Failed("not_sent".to_owned());
                        self.orphan(call.clone(), id.into(), never_left);
                    }
                }
            }
            SessionEvent::ToolCallEnded { call, .. } | SessionEvent::ToolCallAbandoned { call } => {
                self.ended(call);
            }
            SessionEvent::SessionRevoked { .. } => {
                self.cancel_where(Cause::Revocation, |entry| entry.session.as_str() == id);
            }
            SessionEvent::ToolCallCancelRequested { call } => self.cancel(call, Cause::Agent),
            SessionEvent::InputGiven { input, .. } => self.inputs.given(input, at),
            SessionEvent::SessionOpened { .. }
            | SessionEvent::ManifestServed { .. }
            | SessionEvent::ToolCallAdmitted { .. }
            | SessionEvent::ToolCallRefused { .. }
            | SessionEvent::ToolCallRefusedAgain { .. }
            | SessionEvent::InputRequested { .. }
            | SessionEvent::LogLevelSet { .. } => {}
        }
    }
}

impl Listener for Calls {
    fn deliver(&self, events: &[Delivered], _: bool) {
        for recorded in events {
            let id = &*recorded.stream.id;
            let at = recorded.place.position;
            match &recorded.event {
                Event::Session(event) => self.deliver_session(id, at, event),
                Event::Subject(
                    SubjectEvent::SubjectSessionsCut { .. } | SubjectEvent::SubjectBlocked { .. },
                ) => self.cancel_where(Cause::Revocation, |entry| {
                    entry.subject.as_str() == id && entry.opened_at <= at
                }),
                Event::VirtualServer(
                    VirtualServerEvent::VirtualServerSessionsCut { .. }
                    | VirtualServerEvent::VirtualServerRetired { .. },
                ) => self.cancel_where(Cause::Revocation, |entry| {
                    entry.server.as_str() == id && entry.opened_at <= at
                }),
                Event::Connection(
                    ConnectionEvent::ConnectionSessionsCut { .. } | ConnectionEvent::ConnectionRetired { .. },
                ) => self.cancel_where(Cause::Revocation, |entry| {
                    entry.connection.as_ref().is_some_and(|name| name.as_str() == id) && entry.opened_at <= at
                }),
                // Also those of an older credential: the account is what was taken back.
                Event::UserConnection(UserConnectionEvent::UserConnectionDisconnected { .. }) => {
                    self.cancel_where(Cause::Revocation, |entry| {
                        let account = |name: &Name| UserConnection::id(&entry.subject, name);
                        entry.connection.as_ref().is_some_and(|name| account(name) == id)
                    });
                }
                Event::UserConnection(
                    UserConnectionEvent::UserConnectionActivated { .. }
                    | UserConnectionEvent::UserConnectionLinkIssued { .. }
                    | UserConnectionEvent::UserConnectionAuthorizationStarted { .. }
                    | UserConnectionEvent::UserConnectionCodeTaken { .. }
                    | UserConnectionEvent::UserConnectionAuthorized { .. }
                    | UserConnectionEvent::UserConnectionAuthorizationFailed { .. }
                    | UserConnectionEvent::UserConnectionRefreshClaimed { .. }
                    | UserConnectionEvent::UserConnectionRefreshed { .. }
                    | UserConnectionEvent::UserConnectionRefreshFailed { .. }
                    | UserConnectionEvent::UserConnectionCarriedOver { .. }
                    | UserConnectionEvent::UserConnectionExpired { .. },
                )
                | Event::Subject(
                    SubjectEvent::SubjectRegistered { .. } | SubjectEvent::SubjectUnblocked { .. },
                )
                | Event::VirtualServer(
                    VirtualServerEvent::VirtualServerDefined { .. }
                    | VirtualServerEvent::VirtualServerRevised { .. },
                )
                | Event::Connection(
                    ConnectionEvent::ConnectionRegistered { .. }
                    | ConnectionEvent::ConnectionReconfigured { .. }
                    | ConnectionEvent::CatalogRefreshed { .. }
                    | ConnectionEvent::CatalogObserved { .. }
                    | ConnectionEvent::CatalogAccepted { .. }
                    | ConnectionEvent::CatalogApproved { .. }
                    | ConnectionEvent::ConnectionTested { .. },
                )
                | Event::IdentityProvider(_)
                | Event::ApiKey(_)
                | Event::PurposeKeys(_)
                | Event::Watch(_)
                | Event::Webhook(_) => {}
            }
        }
    }
}
