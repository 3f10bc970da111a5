//! Open streams of notifications: how many a session has, and what they tell.
//!
//! **Invariants.** A stream ends with its session. It tells that a list has changed only after
//! this process shows the change, so that whoever asks then is not answered with the old list.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use bytes::Bytes;
use dashmap::DashMap;
use futures_util::stream::unfold;
use proctor_domain::connection::{Connection, ConnectionEvent, Feature};
use proctor_domain::session::SessionEvent;
use proctor_domain::subject::SubjectEvent;
use proctor_domain::virtual_server::{VirtualServer, VirtualServerEvent};
use proctor_domain::{Event, SessionId};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};

use super::answer::{Fault, codes};
use super::auth::Caller;
use super::sse;
use crate::actors::now;
use crate::journal::Delivered;
use crate::proctor::Proctor;

/// Streams that one session may have open at a time.
const STREAMS_PER_SESSION_MAX: usize = 8;

/// How many streams each session has open.
#[derive(Default)]
pub(super) struct Streams(Arc<DashMap<SessionId, usize>>);

/// A stream's place among those of its session; given back when dropped.
pub(super) struct Place {
    session: SessionId,
    streams: Arc<DashMap<SessionId, usize>>,
}

impl Streams {
    /// Takes a place, if the session has one left.
    ///
    /// # Errors
    /// 429 when it has none.
    pub fn take(&self, session: &SessionId) -> Result<Place, Fault> {
        let mut open = self.0.entry(session.clone()).or_default();
        if *open >= STREAMS_PER_SESSION_MAX {
            let message = format!("this session has {STREAMS_PER_SESSION_MAX} streams open: close one first");
            return Err(Fault::new(codes::REFUSED, message)
                .with_status(StatusCode::TOO_MANY_REQUESTS)
                .with_code("too_many_streams", None));
        }
        *open += 1;
        Ok(Place { session: session.clone(), streams: Arc::clone(&self.0) })
    }

    /// How many are open, of all sessions.
    pub fn open(&self) -> usize {
        self.0.iter().map(|open| *open).sum()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(mut open) = self.streams.get_mut(&self.session) {
            *open = open.saturating_sub(1);
        }
        self.streams.remove_if(&self.session, |_, open| *open == 0);
    }
}

/// The lists that can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Listed {
    Tools,
    Prompts,
    /// With their templates.
    Resources,
}

impl Listed {
    pub const ALL: [Self; 3] = [Self::Tools, Self::Prompts, Self::Resources];

    /// The notification that says that it has changed.
    pub fn method(self) -> &'static str {
        match self {
            Self::Tools => "notifications/tools/list_changed",
            Self::Prompts => "notifications/prompts/list_changed",
            Self::Resources => "notifications/resources/list_changed",
        }
    }

    fn of(feature: &Feature) -> Self {
        match feature {
            Feature::Tool(_) => Self::Tools,
            Feature::Prompt(_) => Self::Prompts,
            Feature::ResourceTemplate(_) => Self::Resources,
        }
    }
}

/// What a stream says.
pub(super) struct Words {
    /// At its beginning.
    pub first: Option<Bytes>,
    /// When a list has changed that is listened to.
    pub changed: BTreeMap<Listed, Bytes>,
    /// At its end.
    pub last: Option<Bytes>,
}

struct Subscription {
    proctor: web::Data<Proctor>,
    caller: Caller,
    changes: broadcast::Receiver<Delivered>,
    waiting: VecDeque<Bytes>,
    words: Words,
    expires: Instant,
    keep_alive: Interval,
    over: bool,
    _place: Place,
}

/// Opens a stream for `caller`, whose session was found alive after `changes` began to be kept.
pub(super) fn open(
    proctor: web::Data<Proctor>,
    caller: Caller,
    changes: broadcast::Receiver<Delivered>,
    place: Place,
    mut words: Words,
) -> HttpResponse {
    let left_us = u64::try_from(caller.terms.expires_at.0 - now().0).unwrap_or(0);
    let mut keep_alive = interval(sse::KEEP_ALIVE_EVERY);
    keep_alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    keep_alive.reset();
    let subscription = Subscription {
        // At once, so that the client learns that the stream stands.
        waiting: VecDeque::from([words.first.take().unwrap_or(sse::KEEP_ALIVE)]),
        proctor,
        caller,
        changes,
        words,
        expires: Instant::now() + Duration::from_micros(left_us),
        keep_alive,
        over: false,
        _place: place,
    };
    sse::response(unfold(subscription, |mut subscription| async move {
        let event = subscription.next().await?;
        Some((Ok::<_, Infallible>(event), subscription))
    }))
}

impl Subscription {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            if self.over {
                return None;
            }
            let closing = self.proctor.door.closing.clone();
            tokio::select! {
                change = self.changes.recv() => self.take(change).await,
                () = sleep_until(self.expires) => self.end(),
                () = closing.cancelled() => self.end(),
                _ = self.keep_alive.tick() => return Some(sse::KEEP_ALIVE),
            }
        }
    }

    async fn take(&mut self, change: Result<Delivered, RecvError>) {
        match change {
            Ok(event) => self.take_event(&event).await,
            // Some were missed: look for what they may have said.
            Err(RecvError::Lagged(_)) => match self.fresh_caller_is_alive().await {
                true => self.tell_changed(Listed::ALL),
                false => self.end(),
            },
            Err(RecvError::Closed) => self.end(),
        }
    }

    async fn take_event(&mut self, event: &Delivered) {
        let id = &*event.stream.id;
        let covers = self.caller.session.opened_at() <= event.place.position;
        let server = self.caller.server();
        match &event.event {
            Event::Session(SessionEvent::SessionRevoked { .. }) if id == self.caller.session_id.as_str() => {
                self.end();
            }
            Event::Subject(SubjectEvent::SubjectSessionsCut { .. } | SubjectEvent::SubjectBlocked { .. })
                if covers && id == self.caller.terms.subject.as_str() =>
            {
                self.end();
            }
            Event::VirtualServer(
                VirtualServerEvent::VirtualServerSessionsCut { .. }
                | VirtualServerEvent::VirtualServerRetired { .. },
            ) if covers && id == server.as_str() => self.end(),
            Event::VirtualServer(VirtualServerEvent::VirtualServerRevised { .. })
                if id == server.as_str() =>
            {
                self.wait_for_server(event.sequence).await;
                self.tell_changed(Listed::ALL);
            }
            Event::Connection(change) if changes_lists(change) && self.shows(id).await => {
                let directory = &self.proctor.directory;
                // At worst the list that is asked for now is the old one.
                let _ = directory.state_at_least::<Connection>(id, event.sequence).await;
                self.tell_changed(changed_lists(change));
            }
            Event::Connection(_)
            | Event::VirtualServer(_)
            | Event::Subject(_)
            | Event::UserConnection(_)
            | Event::Session(_)
            | Event::IdentityProvider(_)
            | Event::ApiKey(_)
            | Event::PurposeKeys(_)
            | Event::Watch(_)
            | Event::Webhook(_) => {}
        }
    }

    async fn wait_for_server(&self, version: u64) {
        let directory = &self.proctor.directory;
        let _ = directory.state_at_least::<VirtualServer>(self.caller.server().as_str(), version).await;
    }

    async fn shows(&self, connection: &str) -> bool {
        let server = self.proctor.directory.state::<VirtualServer>(self.caller.server().as_str()).await;
        // Once too often does no harm.
        server.map_or(true, |server| {
            server.definition().connections().iter().any(|name| name.as_str() == connection)
        })
    }

    async fn fresh_caller_is_alive(&mut self) -> bool {
        let id = self.caller.session_id.clone();
        if let Ok(session) = self.proctor.directory.fresh(id.as_str()).await {
            self.caller.session = session;
        }
        match self.caller.check_alive(&self.proctor).await {
            Ok(_) => true,
            Err(fault) => fault.status == StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn tell_changed(&mut self, lists: impl IntoIterator<Item = Listed>) {
        for list in lists {
            if let Some(changed) = self.words.changed.get(&list)
                && !self.waiting.contains(changed)
            {
                self.waiting.push_back(changed.clone());
            }
        }
    }

    fn end(&mut self) {
        self.over = true;
        self.waiting.extend(self.words.last.take());
    }
}

/// Whether what a virtual server shows may be another after this.
fn changes_lists(event: &ConnectionEvent) -> bool {
    match event {
        ConnectionEvent::CatalogRefreshed { .. }
        | ConnectionEvent::CatalogObserved { .. }
        | ConnectionEvent::CatalogAccepted { .. }
        | ConnectionEvent::CatalogApproved { .. }
        | ConnectionEvent::ConnectionRetired { .. } => true,
        ConnectionEvent::ConnectionRegistered { .. }
        | ConnectionEvent::ConnectionReconfigured { .. }
        | ConnectionEvent::ConnectionTested { .. }
        | ConnectionEvent::ConnectionSessionsCut { .. } => false,
    }
}

/// Which lists that may be; all where it is not said.
fn changed_lists(event: &ConnectionEvent) -> BTreeSet<Listed> {
    let lists: BTreeSet<Listed> = match event {
        ConnectionEvent::CatalogObserved { offered, .. } => offered.names().map(Listed::of).collect(),
        ConnectionEvent::CatalogAccepted { tools, .. } | ConnectionEvent::CatalogApproved { tools, .. } => {
            tools.keys().map(Listed::of).collect()
        }
        _ => BTreeSet::new(),
    };
    if lists.is_empty() { Listed::ALL.into() } else { lists }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_has_a_bounded_number_of_streams_and_gets_their_places_back() {
        let streams = Streams::default();
        let mut places: Vec<Place> =
            (0..STREAMS_PER_SESSION_MAX).map(|_| streams.take(&"ses_1".into()).unwrap()).collect();
        let refused = streams.take(&"ses_1".into()).map(drop).unwrap_err();
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        assert!(streams.take(&"ses_2".into()).is_ok());
        places.pop();
        assert!(streams.take(&"ses_1".into()).is_ok());
        places.clear();
        assert!(streams.0.is_empty());
    }
}
