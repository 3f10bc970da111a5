//! Proctor: virtual MCP servers with an event-sourced, audited core.

pub mod actors;
pub mod api;
pub mod cli;
pub mod config;
pub mod connect;
pub mod credential;
pub mod difference;
pub mod drift;
pub mod journal;
pub mod login;
pub mod manifests;
pub mod mcp;
pub mod named_server;
pub mod opening;
pub mod payload;
pub mod proctor;
pub mod server;
pub mod targets;
pub mod token_count;
pub mod traces;
pub mod upstream;
pub mod vault;
pub mod views;
pub mod webhooks;
