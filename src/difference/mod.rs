//! What differs between two definitions of a tool, for people who decide about it, and what is
//! suspicious in the newer one.
//!
//! **Invariants.** Pure: definitions in, words out. Nothing of what an upstream sends steers whatever
//! shows it: texts that are made for reading have what is invisible escaped. The number of changes and
//! warnings is bounded.

mod compare;
mod hidden;
mod warnings;

pub use compare::{Change, Kind, Part, Piece, compare};
pub use hidden::visible;
pub use warnings::{Code, Neighbour, Warning, name_of, warnings};

/// Changes of one tool that are listed.
pub const CHANGES_MAX: usize = 500;
/// Warnings of one tool that are listed.
pub const WARNINGS_MAX: usize = 100;
