//! What the entities promise, on a real journal.

mod calls;
mod carrying;
mod entities;
mod failing;
mod history;
mod serial;
mod shares;
mod sweeping;
mod world;
