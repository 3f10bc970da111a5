//! Moves an installation from one store to another: everything that is not computed from the rest.
//!
//! The destination takes all of it in one transaction, in which it is read again and compared with
//! the source before it is committed. So a copy that was interrupted, or that differs, leaves nothing
//! behind that a server would start on. Meanwhile the source's append lock is held, and no lease can
//! be renewed there: nobody can add what the copy would lack.
//!
//! The source is then marked as moved, in the transaction that holds its lock: from the moment at
//! which it would be free again, it refuses whoever has slept through all this.
//!
//! **Invariants.** Nothing is committed that was not compared. Nothing is written to a destination in
//! which anything stands, and to the source nothing but the mark, once the destination has committed.
//! Only a store that holds no mark is copied.

mod error;
mod reopen;
mod table;
#[cfg(test)]
mod tests;
mod there;
mod verify;

use async_trait::async_trait;
use proctor_domain::{Micros, Position};

use super::moved::MovedAway;
use super::store::StoreError;
pub use error::{CopyError, Difference};
pub use reopen::reopen;
pub use table::{Cell, Cells, EVENTS, Kind, PAYLOADS, Table, tables};

/// One of the two stores, through a connection of its own. What it does stands in one transaction.
#[async_trait(?Send)]
pub trait End {
    /// What a person calls it: without user and password.
    fn place(&self) -> String;

    /// The same text for every end of the same store, and of no other.
    async fn identity(&mut self) -> Result<String, StoreError>;

    /// Takes the append lock and begins. Until the end no lease is renewed either.
    async fn begin(&mut self) -> Result<(), StoreError>;

    /// The database's time.
    async fn now(&mut self) -> Result<Micros, StoreError>;

    /// The journal's last position.
    async fn head(&mut self) -> Result<Position, StoreError>;

    /// Where the installation has gone, if it is not here any more.
    async fn moved(&mut self) -> Result<Option<MovedAway>, StoreError>;

    /// Says that it has gone, or, without a place, that this store is open again.
    async fn mark(&mut self, at: Micros, to: Option<&str>) -> Result<(), StoreError>;

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

    /// The same, and lets go of the store.
    async fn close(&mut self);
}

/// What a copy does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Rows are written.
    Copying,
    /// Both stores are read and compared.
    Comparing,
    /// The destination makes it durable.
    Committing,
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

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// What the destination holds.
    pub outcome: Outcome,
    /// What the source says from now on; nothing when it was left open.
    pub moved: Option<MovedAway>,
}

/// What the destination holds in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All of the source: it was copied, compared and committed.
    Copied(Copied),
    /// All of the source, from before: it was compared.
    WasThere(Copied),
    /// All events of the source, from before, and some that were written there since.
    HasGoneOn {
        /// Where the source ends.
        head: Position,
        /// Where the destination ends.
        there: Position,
    },
}

/// What was found to be the same in both.
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

/// What is to be said of the source in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// That the installation has gone: nobody starts on it.
    MarkMoved,
    /// Nothing: it is what a rehearsal was made from.
    LeaveOpen,
}

/// Copies everything, compares it, commits, and marks the source as moved. Where the destination
/// holds all of it already, that is found out instead, and the source marked as well: what was
/// interrupted is brought to its end by doing it again.
///
/// # Errors
/// When nothing was copied, and the destination is as it was; or as [`CopyError::Unknown`] and
/// [`CopyError::NotMarked`] say.
pub async fn copy(
    source: &mut dyn End,
    destination: &mut dyn End,
    then: Then,
    watch: &mut dyn FnMut(Progress),
) -> Result<Done, CopyError> {
    let done = copy_locked(source, destination, then, watch).await;
    destination.close().await;
    source.close().await;
    done
}

async fn copy_locked(
    source: &mut dyn End,
    destination: &mut dyn End,
    then: Then,
    watch: &mut dyn FnMut(Progress),
) -> Result<Done, CopyError> {
    let identity = source.identity().await.map_err(CopyError::Source)?;
    if destination.identity().await.map_err(CopyError::Destination)? == identity {
        return Err(CopyError::SameStore);
    }
    destination.begin().await.map_err(CopyError::Destination)?;
    if let Some(moved) = destination.moved().await.map_err(CopyError::Destination)? {
        return Err(CopyError::DestinationMoved(moved));
    }
    let there = destination.head().await.map_err(CopyError::Destination)?;
    if there > Position(0) {
        // Whoever serves there is not to wait while it is compared, and events do not change.
        destination.rollback().await;
        begin_at(source).await?;
        let outcome = there::examine(source, destination, there, watch).await?;
        let moved = mark(source, &destination.place(), then).await.map_err(CopyError::Source)?;
        source.commit().await.map_err(CopyError::Source)?;
        return Ok(Done { outcome, moved });
    }
    refuse_what_is_there(destination).await?;
    begin_at(source).await?;
    if let Some(moved) = source.moved().await.map_err(CopyError::Source)? {
        return Err(CopyError::SourceMoved(moved));
    }
    let copied = copy_rows(source, destination, watch).await?;
    // Before the destination commits: whoever may not write the mark is told while there is nothing to
    // be put right, and a source whose lock was lost meanwhile does not answer. It holds, and can be
    // seen, only once the source commits.
    let moved = mark(source, &destination.place(), then).await.map_err(CopyError::Source)?;
    destination.commit().await.map_err(CopyError::Unknown)?;
    source.commit().await.map_err(CopyError::NotMarked)?;
    Ok(Done { outcome: Outcome::Copied(copied), moved })
}

async fn begin_at(source: &mut dyn End) -> Result<(), CopyError> {
    source.begin().await.map_err(CopyError::Source)?;
    refuse_use(source).await
}

async fn copy_rows(
    source: &mut dyn End,
    destination: &mut dyn End,
    watch: &mut dyn FnMut(Progress),
) -> Result<Copied, CopyError> {
    let rows_total = rows_of(source).await.map_err(CopyError::Source)?;
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
    watch(Progress { stage: Stage::Committing, ..progress });
    Ok(copied)
}

async fn rows_of(end: &mut dyn End) -> Result<u64, StoreError> {
    let mut rows = 0;
    for table in tables() {
        rows += end.count(table).await?;
    }
    Ok(rows)
}

/// What the source says of its move; one that it tells of already stays as it is.
async fn mark(source: &mut dyn End, place: &str, then: Then) -> Result<Option<MovedAway>, StoreError> {
    let moved = source.moved().await?;
    if moved.is_some() || then == Then::LeaveOpen {
        return Ok(moved);
    }
    let at = source.now().await?;
    source.mark(at, Some(place)).await?;
    Ok(Some(MovedAway { to: place.to_owned(), at }))
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
