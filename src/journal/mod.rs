//! The append-only log of all events: one appender per process, one store behind it.
//!
//! **Invariants.** Positions have no gap, and commit order is position order. Nothing is delivered
//! that is not durable. An append whose grounds have moved is never written. Only this room makes a
//! [`Delivered`].

mod append;
mod appender;
pub mod copying;
mod deliveries;
mod delivery;
mod handle;
mod head;
mod head_file;
mod idempotent_requests;
mod key_uses;
mod measures;
mod moved;
mod pending;
pub mod postgres;
mod resealing;
mod rows;
pub mod sqlite;
mod store;
#[cfg(test)]
pub(crate) mod tests;

pub use append::{AppendError, Decision, Proposal, SideWrite, Stale};
pub use deliveries::{Attempt, Deliveries, Delivery, DeliveryState, NEXT_OF_MAX, Step, Waiting};
pub use delivery::{Delivered, Listener};
pub use handle::{Journal, JournalConfig};
pub use head::{HEAD_AGE_MS_MAX, Head};
pub use idempotent_requests::{Begun, IdempotentRequests};
pub use key_uses::KeyUses;
pub use measures::Measures;
pub use moved::MovedAway;
pub use pending::{Brought, PendingCredentials};
pub use resealing::{Resealed, SealedKind, SealedRows, Survey};
pub use rows::Rows;
pub use store::{AppendFailure, Appended, Batch, Lease, Reader, Row, Store, StoreError, SubjectRow, Tip};
