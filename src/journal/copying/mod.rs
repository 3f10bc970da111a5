//! Moves an installation from one store to another: everything that is not computed from the rest.
//!
//! The destination takes all of it in one transaction, in which it is read again and compared with
//! the source before it is committed. So a copy that was interrupted, or that differs, leaves nothing
//! behind that a server would start on. Meanwhile the source's append lock is held: nobody can add
//! what the copy would lack.
//!
//! **Invariants.** Nothing is committed that was not compared. Nothing is written to the source, nor
//! to a destination in which anything stands.

mod table;
#[cfg(test)]
mod tests;
mod verify;

use std::fmt;

use async_trait::async_trait;
use proctor_domain::{Micros, Position};

use super::store::StoreError;
pub use table::{Cell, Cells, EVENTS, Kind, PAYLOADS, Table, tables};

/// One of the two stores, through a connection of its own. What it does stands in one transaction.
#[async_trait(?Send)]
pub trait End {
    /// Takes the append lock and begins.
    async fn begin(&mut self) -> Result<(), StoreError>;

    /// The database's time.
    async fn now(&mut self) -> Result<Micros, StoreError>;

    /// How many rows a table has.
    async fn count(&mut self, table: &'static Table) -> Result<u64, StoreError>;

    /// Rows after a key, in the order of their keys; none when there are no more.
    async fn rows(&mut self, table: &'static Table, after: Option<&[Cell]>)
    -> Result<Vec<Cells>, StoreError>;

    /// Adds rows.
    async fn insert(&mut self, table: &'static Table, rows: &[Cells]) -> Result<(), StoreError>;

    /// Tells the database that much has come, before that is read.
    async fn settle(&mut self) -> Result<(), StoreError>;

    /// Makes durable what was added and gives the lock back.
    async fn commit(&mut self) -> Result<(), StoreError>;

    /// Forgets what was added and gives the lock back, as far as there is anything to forget.
    async fn rollback(&mut self);
}

/// Why nothing was copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The store that is copied from failed.
    #[error("the source: {0}")]
    Source(#[source] StoreError),
    /// The store that is copied to failed.
    #[error("the destination: {0}")]
    Destination(#[source] StoreError),
    /// What it answered to the commit was lost.
    #[error(
        "the destination did not say whether it has committed: {0}; run the same command again: it \
         refuses a destination that holds something, and that is then the complete and compared copy"
    )]
    Unknown(#[source] StoreError),
    /// The destination holds something.
    #[error("the destination is not empty ({found}): name a new file or an empty database")]
    NotEmpty {
        /// The tables with rows.
        found: String,
    },
    /// The source holds nothing.
    #[error("the source holds no events: is it the right one?")]
    NothingThere,
    /// Somebody works on the source.
    #[error(
        "the source is in use by {replica}: stop every Proctor that runs on it and try again; one that \
         was killed counts as alive for {seconds} s more"
    )]
    InUse {
        /// A replica that is alive.
        replica: String,
        /// How long its lease holds.
        seconds: i64,
    },
    /// The copy is not what was copied.
    #[error("the copy was given up, and the destination left empty: {0}")]
    Differs(Difference),
}

/// What the comparison found.
#[derive(Debug, PartialEq, Eq)]
pub struct Difference(pub String);

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a copy does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Rows are written.
    Copying,
    /// Both stores are read and compared.
    Comparing,
}

/// How far it is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// What it does.
    pub stage: Stage,
    /// Rows that are done.
    pub rows: u64,
    /// All rows.
    pub rows_total: u64,
    /// Events among those that are done.
    pub events: u64,
}

/// What was copied and found to be the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// The last position.
    pub head: Position,
    /// The leaf hash of the event there.
    pub head_leaf: [u8; 32],
    /// Sealed payloads whose SHA-256 is the one in their event's metadata.
    pub sealed: u64,
    /// All tables.
    pub tables: Vec<CopiedTable>,
}

/// One table of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopiedTable {
    /// Its name.
    pub name: &'static str,
    /// How many rows it has.
    pub rows: u64,
    /// SHA-256 over all cells of all rows, in the order of their keys.
    pub sha256: [u8; 32],
}

/// Copies everything, compares it, and commits.
///
/// # Errors
/// When nothing was copied; the destination is as empty as it was.
pub async fn copy(
    source: &mut dyn End,
    destination: &mut dyn End,
    watch: &mut dyn FnMut(Progress),
) -> Result<Copied, CopyError> {
    let copied = copy_locked(source, destination, watch).await;
    destination.rollback().await;
    source.rollback().await;
    copied
}

async fn copy_locked(
    source: &mut dyn End,
    destination: &mut dyn End,
    watch: &mut dyn FnMut(Progress),
) -> Result<Copied, CopyError> {
    // The destination first: should both be the same, that it is not empty is what has to be said.
    destination.begin().await.map_err(CopyError::Destination)?;
    refuse_what_is_there(destination).await?;
    source.begin().await.map_err(CopyError::Source)?;
    refuse_use(source).await?;

    let mut rows_total = 0;
    for table in tables() {
        rows_total += source.count(table).await.map_err(CopyError::Source)?;
    }
    let mut progress = Progress { stage: Stage::Copying, rows: 0, rows_total, events: 0 };
    for table in tables() {
        let mut after: Option<Cells> = None;
        loop {
            let page = source.rows(table, after.as_deref()).await.map_err(CopyError::Source)?;
            let Some(last) = page.last() else { break };
            after = Some(last[..table.key_columns].to_vec());
            destination.insert(table, &page).await.map_err(CopyError::Destination)?;
            progress.add(table, page.len());
            watch(progress);
        }
    }
    destination.settle().await.map_err(CopyError::Destination)?;
    let copied = verify::verify(source, destination, rows_total, watch).await?;
    destination.commit().await.map_err(CopyError::Unknown)?;
    Ok(copied)
}

impl Progress {
    fn add(&mut self, table: &Table, rows: usize) {
        self.rows += rows as u64;
        if table.name == EVENTS.name {
            self.events += rows as u64;
        }
    }
}

async fn refuse_what_is_there(destination: &mut dyn End) -> Result<(), CopyError> {
    let mut found = Vec::new();
    for table in tables() {
        let rows = destination.count(table).await.map_err(CopyError::Destination)?;
        if rows > 0 {
            found.push(format!("{}: {rows} rows", table.name));
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    Err(CopyError::NotEmpty { found: found.join(", ") })
}

async fn refuse_use(source: &mut dyn End) -> Result<(), CopyError> {
    let now = source.now().await.map_err(CopyError::Source)?;
    let leases = tables().find(|table| table.name == "leases");
    let mut after: Option<Cells> = None;
    while let Some(table) = leases {
        let page = source.rows(table, after.as_deref()).await.map_err(CopyError::Source)?;
        let Some(last) = page.last() else { break };
        after = Some(last[..table.key_columns].to_vec());
        for lease in &page {
            let [Cell::Text(replica), Cell::Integer(ends_at), ..] = &lease[..] else { continue };
            if *ends_at > now.0 {
                let seconds = (ends_at - now.0) / 1_000_000 + 1;
                return Err(CopyError::InUse { replica: replica.clone(), seconds });
            }
        }
    }
    Ok(())
}
