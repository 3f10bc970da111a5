//! Watches what upstreams offer, and has each connection hold what is offered otherwise than it is in
//! force.
//!
//! Each connection is looked at by one replica, on a schedule, and at once when its upstream says that
//! its tools have changed. Several replicas may look all the same: who sees what was seen before writes
//! nothing.
//!
//! **Invariants.** Nothing is decided here: what is held, accepted or let go is the connection's to say.
//! Looking calls no tool. A failure to look changes nothing of what is in force or held.

mod look;
mod pace;
mod seen;
mod watcher;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use proctor_domain::connection::ConnectionEvent;
use proctor_domain::{Event, Name};
use tokio::sync::Notify;

pub use seen::{Seen, cataloged, observation};
pub use watcher::run;

use crate::journal::{Delivered, Listener};

/// What has become known of connections, until the watcher takes it.
#[derive(Default)]
pub struct Drifts {
    news: Mutex<BTreeMap<String, News>>,
    bell: Notify,
    form_read_by_all: AtomicU32,
}

/// What has become known of one connection since it was last taken.
#[derive(Debug, Default, PartialEq, Eq)]
struct News {
    /// It is new, or set anew, or retired.
    is_other: bool,
    /// Its upstream says that its tools have changed, or may have said so unheard.
    hinted: bool,
    /// With which generation of its settings it was looked at, and whether its upstream says when its
    /// tools change.
    speaks: Option<(u32, bool)>,
}

impl Drifts {
    /// Somebody has looked at a connection's upstream, with this generation of its settings.
    pub fn found(&self, connection: &Name, generation: u32, list_changed: bool) {
        self.put(connection.as_str(), |news| news.speaks = Some((generation, list_changed)));
    }

    /// The newest form of events that every live replica reads, as far as that was found out.
    #[must_use]
    pub fn form_read_by_all(&self) -> u32 {
        self.form_read_by_all.load(Ordering::Relaxed)
    }

    /// A connection's upstream is to be looked at soon.
    fn hint(&self, connection: &str) {
        self.put(connection, |news| news.hinted = true);
    }

    fn put(&self, connection: &str, change: impl FnOnce(&mut News)) {
        change(self.lock().entry(connection.to_owned()).or_default());
        self.bell.notify_one();
    }

    fn take(&self) -> BTreeMap<String, News> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, News>> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener for Drifts {
    fn deliver(&self, events: &[Delivered], _: bool) {
        for event in events {
            if let Event::Connection(
                ConnectionEvent::ConnectionRegistered { .. }
                | ConnectionEvent::ConnectionReconfigured { .. }
                | ConnectionEvent::ConnectionRetired { .. },
            ) = &event.event
            {
                self.put(&event.stream.id, |news| news.is_other = true);
            }
        }
    }
}
