//! The real server, seen from outside: by a backend, by agents, and by what reaches its upstreams.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod agent;
mod api_keys;
mod as_of;
mod asking_for_accounts;
mod audit;
mod blocking;
mod cli;
mod connect;
mod connections;
mod crash;
mod demo;
mod dice;
mod documented;
mod door_bad_input;
mod door_legacy;
mod door_modern;
mod drift;
mod environment;
mod http;
mod idempotency;
mod introspection;
mod isolation;
mod limits;
mod login;
mod master_key;
mod openapi;
mod past;
mod purpose_keys;
mod real_clients;
mod real_upstreams;
mod receiver;
mod replicas;
mod rest;
mod revocation;
mod routes;
mod sessions;
mod store_copy;
mod store_moved;
mod traces;
mod two_processes;
mod user_connections;
mod virtual_servers;
mod webhooks;
mod world;
