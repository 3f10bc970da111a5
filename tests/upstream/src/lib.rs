//! An MCP upstream for tests: it shows what reached it, byte for byte, and misbehaves on request.
//!
//! It is written on HTTP and raw JSON, without MCP model types, because those drop what they do
//! not know, and what must be shown is that nothing was dropped. It runs on a thread of its own,
//! so that a test may block.
//!
//! Besides, the crate holds the program `fast-upstream`, which is made for load, and
//! [`conformance`], which is made for the official conformance suite.

mod answer;
mod catalog;
mod check;
pub mod conformance;
mod guard;
mod ledger;
mod listening;
mod rpc;
mod server;
mod tools;

pub use guard::Protection;
pub use ledger::{Cancelled, Ledger, Received, Record};
pub use server::{Answers, Eras, Options, Upstream};
pub use tools::UNKNOWN_RESULT_FIELDS;

/// The newest protocol revision, without sessions.
pub const MODERN: &str = "2026-07-28";

/// The revision that a legacy `initialize` is answered with.
pub const LEGACY: &str = "2025-11-25";
