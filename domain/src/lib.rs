//! What Proctor decides and why: aggregates, commands, events. Pure.
//!
//! **Invariants.** No I/O, no clock, no randomness: time, identifiers and the facts of other streams
//! arrive inside commands. A refusal that an auditor would want to see is an event; errors are for
//! nonsense. State changes only in [`Decider::evolve`].

pub mod api_key;
pub mod connection;
mod decider;
pub mod environment;
mod event;
pub mod identity_provider;
mod ids;
pub mod leaf;
pub mod limits;
pub mod oauth2;
pub mod purpose_keys;
mod recorded;
pub mod session;
pub mod subject;
mod time;
pub mod user_connection;
pub mod virtual_server;
pub mod watch;
pub mod webhook;

pub use decider::Decider;
pub use event::{Event, UnreadableEvent};
pub use ids::{By, CallId, InvalidName, KeyId, Name, ReplicaId, SessionId, StreamId, SubjectId};
pub use recorded::Recorded;
pub use time::{Micros, Place, Position};

/// Longest reason that a person may give for a revocation or a retirement, in characters.
pub const REASON_CHARS_MAX: usize = 500;
