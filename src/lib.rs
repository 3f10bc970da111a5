//! Proctor: virtual MCP servers with an event-sourced, audited core.
