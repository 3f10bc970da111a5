//! Proctor: virtual MCP servers with an event-sourced, audited core.

pub mod config;
pub mod journal;
pub mod upstream;
pub mod vault;
