//! Session: every command and every refusal; then what holds for any sequence of commands.

mod calls;
mod coalescing;
mod opening;
mod outcomes;
