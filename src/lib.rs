//! Proctor: virtual MCP servers with an event-sourced, audited core.

pub mod journal;
pub mod vault;
