//! Why an installation was not moved.

use std::fmt;

use crate::journal::MovedAway;
use crate::journal::store::StoreError;

/// Why nothing was copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The store that is copied from failed.
    #[error("the source: {0}")]
    Source(#[source] StoreError),
    /// The store that is copied to failed.
    #[error("the destination: {0}")]
    Destination(#[source] StoreError),
    /// What it answered to the commit was lost.
    #[error(
        "the destination did not say whether it has committed: {0}; run the same command again, before \
         anything is started: it finds out"
    )]
    Unknown(#[source] StoreError),
    /// It was copied, and whether the source says so is not known.
    #[error(
        "everything was copied, compared and committed, but the source may not be marked as moved: {0}; run \
         the same command again, before anything is started: it makes up for it"
    )]
    NotMarked(#[source] StoreError),
    /// Both are one.
    #[error("--from and --to name the same store: nothing was done")]
    SameStore,
    /// The source is only what was left behind.
    #[error(
        "the source was {0}: copy from there. Should that be lost, run `proctor store reopen` on the source first"
    )]
    SourceMoved(MovedAway),
    /// The destination is what another move has left behind.
    #[error("the destination is an old store, which was itself {0}: name a new file or an empty database")]
    DestinationMoved(MovedAway),
    /// The destination holds events, and not those of the source.
    #[error("the destination is not empty: {0}; name a new file or an empty database")]
    Another(String),
    /// The destination holds no events, and yet something.
    #[error("the destination is not empty ({found}): name a new file or an empty database")]
    NotEmpty {
        /// The tables with rows.
        found: String,
    },
    /// The source holds nothing.
    #[error("the source holds no events: is it the right one?")]
    NothingThere,
    /// Somebody works on the source.
    #[error(
        "the source is in use by {replica}: stop every Proctor that runs on it and try again; one that \
         was killed counts as alive for {seconds} s more"
    )]
    InUse {
        /// A replica that is alive.
        replica: String,
        /// How long its lease holds.
        seconds: i64,
    },
    /// The copy is not what was copied.
    #[error("the copy was given up, and the destination left empty: {0}")]
    Differs(Difference),
}

/// What the comparison found.
#[derive(Debug, PartialEq, Eq)]
pub struct Difference(pub String);

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
