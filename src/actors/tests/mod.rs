//! What the entities promise, on a real journal.

mod calls;
mod carrying;
mod entities;
mod failing;
mod history;
mod serial;
mod sweeping;
mod world;
