//! What the domain promises: decisions, states, stored forms and leaves. No I/O but fixtures.

#![expect(clippy::unwrap_used, reason = "a test's own functions may panic as its body may")]

mod api_key;
mod connection;
mod connection_drift;
mod connection_restless;
mod environment;
mod forms;
mod identity_provider;
mod leaf;
mod names;
mod narrowing;
mod purpose_keys;
mod resources;
mod scene;
mod session;
mod subject;
mod tool_names;
mod user_connection;
mod user_connection_carried;
mod user_connection_links;
mod user_connection_refresh;
mod virtual_server;
mod watch;
mod webhook;
