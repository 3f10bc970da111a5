//! Reads both stores in order and compares what they hold.
//!
//! **Invariants.** What is passed over unread is not called the same.

use std::collections::VecDeque;

use proctor_domain::leaf::leaf_hash;
use proctor_domain::{Event, Micros, Place, Position, Recorded, StreamId};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::table::{self, OTHERS};
use super::{
    Cell, Cells, Copied, CopiedTable, CopyError, Difference, EVENTS, End, PAYLOADS, Progress, Stage, Table,
};

/// Both stores, and how far the comparison is.
pub(super) struct Comparison<'a> {
    pub(super) source: &'a mut dyn End,
    pub(super) destination: &'a mut dyn End,
    pub(super) progress: Progress,
    pub(super) watch: &'a mut dyn FnMut(Progress),
}

/// Compares everything.
pub(super) async fn verify(
    source: &mut dyn End,
    destination: &mut dyn End,
    rows_total: u64,
    watch: &mut dyn FnMut(Progress),
) -> Result<Copied, CopyError> {
    let progress = Progress { stage: Stage::Comparing, rows: 0, rows_total, events: 0 };
    let mut stores = Comparison { source, destination, progress, watch };
    let (mut events, mut payloads) = (Walk::new(&EVENTS), Walk::new(&PAYLOADS));
    let (mut head, mut head_leaf, mut sealed) = (Position(0), [0; 32], 0);
    let mut beside = payloads.next(&mut stores).await?;
    while let Some(row) = events.next(&mut stores).await? {
        let event = recorded(&row)?;
        let position = event.place.position;
        if position.0 != head.0 + 1 {
            return Err(differs(format!("the source is damaged: after position {head} comes {position}")));
        }
        (head, head_leaf) = (position, leaf_hash(&event));
        if let Some(bytes) = beside.as_deref().and_then(|payload| sealed_at(payload, position)) {
            if named_in(&event) != Some(hex::encode(Sha256::digest(bytes))) {
                return Err(differs(format!(
                    "the source is damaged: what is sealed beside the event at position {position} is not \
                     what its metadata names"
                )));
            }
            sealed += 1;
            beside = payloads.next(&mut stores).await?;
        }
    }
    if let Some(payload) = beside {
        let which = PAYLOADS.name_of(&payload);
        return Err(differs(format!("the source is damaged: {which} stands beside no event")));
    }
    if head == Position(0) {
        return Err(CopyError::NothingThere);
    }
    let mut tables = vec![events.finish(), payloads.finish()];
    for table in &OTHERS {
        let mut rows = Walk::new(table);
        while rows.next(&mut stores).await?.is_some() {}
        tables.push(rows.finish());
    }
    Ok(Copied { head, head_leaf, sealed, tables })
}

fn differs(what: String) -> CopyError {
    CopyError::Differs(Difference(what))
}

/// One table of both stores, read side by side.
pub(super) struct Walk {
    table: &'static Table,
    source: VecDeque<Cells>,
    destination: VecDeque<Cells>,
    after: Option<Cells>,
    rows: u64,
    hash: Sha256,
}

impl Walk {
    pub(super) fn new(table: &'static Table) -> Self {
        let (source, destination) = Default::default();
        Self { table, source, destination, after: None, rows: 0, hash: Sha256::new() }
    }

    /// The next row, which is the same in both.
    pub(super) async fn next(&mut self, stores: &mut Comparison<'_>) -> Result<Option<Cells>, CopyError> {
        let after = self.after.as_deref();
        if self.source.is_empty() {
            let page = stores.source.rows(self.table, after).await.map_err(CopyError::Source)?;
            stores.progress.add(self.table, page.len());
            (stores.watch)(stores.progress);
            self.source = page.into();
        }
        if self.destination.is_empty() {
            let page = stores.destination.rows(self.table, after).await.map_err(CopyError::Destination)?;
            self.destination = page.into();
        }
        let row = match (self.source.pop_front(), self.destination.pop_front()) {
            (None, None) => return Ok(None),
            (Some(source), Some(destination)) => {
                same(self.table, &source, &destination)?;
                destination
            }
            (Some(source), None) => {
                return Err(differs(format!("{} is missing in the copy", self.table.name_of(&source))));
            }
            (None, Some(destination)) => {
                let which = self.table.name_of(&destination);
                return Err(differs(format!("{which} stands in the copy alone")));
            }
        };
        self.rows += 1;
        table::digest(&mut self.hash, &row);
        self.after = Some(row[..self.table.key_columns].to_vec());
        Ok(Some(row))
    }

    fn finish(self) -> CopiedTable {
        CopiedTable { name: self.table.name, rows: self.rows, sha256: self.hash.finalize().into() }
    }
}

fn same(table: &Table, source: &[Cell], destination: &[Cell]) -> Result<(), CopyError> {
    if table.name == EVENTS.name {
        let (source, destination) = (recorded(source)?, recorded(destination)?);
        if leaf_hash(&source) != leaf_hash(&destination) {
            let position = source.place.position;
            return Err(differs(format!(
                "the event at position {position} has another leaf hash in the copy"
            )));
        }
    }
    if source != destination {
        return Err(differs(format!("{} is another one in the copy", table.name_of(source))));
    }
    Ok(())
}

/// The event in a row.
fn recorded(row: &[Cell]) -> Result<Recorded, CopyError> {
    let [
        Cell::Integer(position),
        Cell::Integer(recorded_at),
        Cell::Text(event_id),
        Cell::Text(kind),
        Cell::Text(id),
        Cell::Integer(sequence),
        Cell::Text(event_type),
        Cell::Text(version),
        Cell::Text(payload),
        Cell::Text(metadata),
    ] = row
    else {
        return Err(differs("an event has other columns than events have".to_owned()));
    };
    let event = Event::read(kind, event_type, version, payload)
        .map_err(|error| differs(format!("the event at position {position} cannot be read: {error}")))?;
    Ok(Recorded {
        place: Place { position: Position(position.cast_unsigned()), recorded_at: Micros(*recorded_at) },
        event_id: event_id.as_str().into(),
        stream: StreamId { kind: event.kind(), id: id.as_str().into() },
        sequence: sequence.cast_unsigned(),
        event,
        payload: payload.as_str().into(),
        metadata: metadata.as_str().into(),
    })
}

/// The bytes of a payload, when it stands at this position.
fn sealed_at(payload: &[Cell], position: Position) -> Option<&[u8]> {
    match payload {
        [Cell::Integer(at), Cell::Bytes(sealed)] if at.cast_unsigned() == position.0 => Some(sealed),
        _ => None,
    }
}

#[derive(Deserialize)]
struct Metadata {
    sealed: Option<String>,
}

/// The digest that an event's metadata names.
fn named_in(event: &Recorded) -> Option<String> {
    serde_json::from_str::<Metadata>(&event.metadata).ok()?.sealed
}
