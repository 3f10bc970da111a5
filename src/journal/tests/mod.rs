//! What the journal promises, on real SQLite files and PostgreSQL databases of their own.

mod appending;
mod carried_streams;
mod deciding_again;
mod deliveries;
mod failing;
mod faulty;
mod head_file;
mod keys;
mod leases;
mod note;
mod postgres_at_once;
mod postgres_database;
mod postgres_outages;
mod postgres_primary;
mod repository;
mod resealing;
mod several;
pub(crate) mod site;
mod sqlite_file;

pub(crate) use faulty::{Fault, Faulty, Script};
use note::Became;
pub(crate) use note::{note, proposal, stream};
pub(crate) use site::{Site, on_both_stores};
