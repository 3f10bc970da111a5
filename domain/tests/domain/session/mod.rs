//! Session: every command and every refusal; then what holds for any sequence of commands.

mod calls;
mod coalescing;
mod inputs;
mod limits;
mod methods;
mod model;
mod opening;
mod outcomes;
mod properties;
