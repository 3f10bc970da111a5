//! A small notes and calendar MCP server that speaks both protocol eras over streamable HTTP.
//!
//! It is the upstream of `proctor demo` and of the tests: real enough to be worth guarding (some
//! tools only read, some destroy), small enough to start in a millisecond. Everything is held in
//! memory and is gone when the server stops.

mod calendar;
mod desk;
mod notes;
mod serve;
mod server;

pub use serve::serve;
