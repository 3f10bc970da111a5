//! What the journal says, laid out for questions: recorded event in, row changes out. Pure.
//!
//! **Invariants.** No I/O, no clock, no SQL. The same events give the same rows, however they are
//! split into batches. Nothing personal stands in a row: a user is a reference, a label a blind index.

mod acts;
mod cuts;
mod facts;
pub mod manifest;
mod manifests_served;
mod row;
mod sessions;
mod tables;
mod tool_calls;
mod usage;

use proctor_domain::{Event, Position, Recorded};

pub use facts::{CallFacts, Known, Needs, SessionFacts, needs};
pub use row::{Change, RowChange, Value};
pub use tables::{Kind, Table, column};
pub use tool_calls::CallOutcome;

/// Counts the meanings that projections have given to the journal. Raise it with every change of
/// what is written, so that views made before are made anew.
pub const MEANING: u32 = 2;

/// An event that speaks of something the journal never mentioned before it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event at position {position} speaks of the {what} {id}, which no event before it mentions")]
pub struct Unfounded {
    /// The event.
    pub position: Position,
    /// What kind of thing.
    pub what: &'static str,
    /// Which.
    pub id: String,
}

/// Appends to `changes` what `recorded` changes in all projections. `known` holds what [`needs`]
/// asks for.
///
/// # Errors
/// When `known` lacks something that the event rests on.
pub fn project<'a>(
    recorded: &'a Recorded,
    known: Known<'_>,
    changes: &mut Vec<RowChange<'a>>,
) -> Result<(), Unfounded> {
    acts::project(recorded, known, changes)?;
    cuts::project(recorded, changes);
    if let Event::Session(event) = &recorded.event {
        sessions::project(recorded, event, known, changes)?;
        tool_calls::project(recorded, event, known, changes)?;
        manifests_served::project(recorded, event, known, changes)?;
        usage::project(recorded, event, known, changes)?;
    }
    Ok(())
}
