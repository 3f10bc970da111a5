//! What the journal promises, on real SQLite files in folders of their own.

mod appending;
mod deciding_again;
mod failing;
mod faulty;
mod folder;
mod head_file;
mod leases;
mod note;
mod repository;
mod several;
mod sqlite;

pub(crate) use faulty::{Fault, Faulty, Script};
pub(crate) use folder::Folder;
use note::{Became, note, stream};
