//! What can go wrong with the views.

use proctor_domain::Position;
use proctor_projections::Unfounded;

use super::record::Broken;

/// A failure of the views. They follow from the journal, so none of these loses anything.
#[derive(Debug, thiserror::Error)]
pub enum ViewsError {
    /// The database refused.
    #[error("failed to {doing}: {source}")]
    Database {
        /// What was attempted.
        doing: &'static str,
        /// What it said.
        #[source]
        source: Broken,
    },
    /// The journal contradicts itself, or the views do not belong to it.
    #[error(
        "failed to bring the audit views up to date: {0}; delete views.db, or drop the schemas proctor_views_*, to build them anew"
    )]
    Unfounded(#[from] Unfounded),
    /// A row to change that is not there.
    #[error(
        "failed to bring the audit views up to date: no row of {table} to change; delete views.db, or drop the schemas proctor_views_*, to build them anew"
    )]
    NoRow {
        /// Where.
        table: &'static str,
    },
    /// Another process moved the checkpoint under this one's feet.
    #[error("failed to move the audit views on from position {0}: another process has already done so")]
    Overtaken(Position),
    /// Another version of the program made the tables anew while this one ran.
    #[error(
        "failed to bring the audit views up to date: another version of Proctor has taken over views.db; restart this one on the same version"
    )]
    OtherShape,
    /// The journal left out events.
    #[error("failed to bring the audit views up to date: the journal gave position {found} after {after}")]
    Gap {
        /// The last event known.
        after: Position,
        /// The one that came.
        found: Position,
    },
    /// The journal could not be read.
    #[error("failed to read the journal after position {after} for the audit views: {source}")]
    Journal {
        /// Where reading began.
        after: Position,
        /// What it said.
        #[source]
        source: Broken,
    },
    /// The server is shutting down.
    #[error("failed to read: the server is shutting down")]
    Stopped,
    /// The thread that writes cannot be started.
    #[error("failed to start the thread of the audit views: {0}")]
    Thread(#[source] std::io::Error),
}

impl ViewsError {
    pub(super) fn doing<E: Into<Broken>>(doing: &'static str) -> impl Fn(E) -> Self {
        move |source| Self::Database { doing, source: source.into() }
    }
}

/// The views have not reached a position in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the audit views are at position {at} and the journal was at {wanted}{}: try again shortly",
    .because.as_deref().map(|why| format!(" ({why})")).unwrap_or_default()
)]
pub struct NotCaughtUp {
    /// How far they are.
    pub at: Position,
    /// How far they should have been.
    pub wanted: Position,
    /// What holds them up, if it is more than time.
    pub because: Option<String>,
}
