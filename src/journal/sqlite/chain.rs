//! Streams: each event names the position of the one before it, and `streams` where each one ends.
//!
//! An index over streams and sequences would have a leaf for every busy stream: a commit would write
//! as many pages as there are sessions in it, each of 4 KiB for an event of a few hundred bytes. The
//! ends of all busy streams fit in a page or two.
//!
//! **Invariants.** A stream's sequences are 1, 2, 3, …: a chain that says otherwise is never read as
//! if it were whole.

use std::ops::ControlFlow;

use proctor_domain::{Position, StreamId};
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::{COLUMNS, database};
use crate::journal::store::{StoreError, Tip};

const READING: &str = "read a stream";

/// Where a stream ends.
pub(super) fn tip(connection: &Connection, stream: &StreamId) -> Result<Tip, StoreError> {
    let (kind, id) = (stream.kind, &*stream.id);
    let tip = tip_of(connection, kind, id).map_err(|error| database(READING, error))?;
    if tip.sequence > 0 {
        // The journal is never changed, `streams` is: what it says is believed when the journal says so.
        link(connection, kind, id, tip, |_| Ok(()))?;
    }
    Ok(tip)
}

pub(super) fn tip_of(connection: &Connection, kind: &str, id: &str) -> rusqlite::Result<Tip> {
    let sql = "SELECT sequence, position FROM streams WHERE aggregate_type = ?1 AND aggregate_id = ?2";
    let tip = connection.prepare_cached(sql)?.query_row((kind, id), |row| {
        let sequence = row.get::<_, i64>(0)?.cast_unsigned();
        Ok(Tip { sequence, position: Position(row.get::<_, i64>(1)?.cast_unsigned()) })
    });
    Ok(tip.optional()?.unwrap_or_default())
}

/// Makes `end` the end of a stream that ended at `previous`.
pub(super) fn move_tip(
    connection: &Connection,
    kind: &str,
    id: &str,
    previous: Position,
    end: Tip,
) -> Result<(), StoreError> {
    let doing = "move a stream's end";
    let sql = "INSERT INTO streams (aggregate_type, aggregate_id, sequence, position) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT DO UPDATE SET sequence = excluded.sequence, position = excluded.position
               WHERE position = ?5 AND sequence = excluded.sequence - 1";
    let values =
        (kind, id, end.sequence.cast_signed(), end.position.0.cast_signed(), previous.0.cast_signed());
    let moved = connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute(values))
        .map_err(|error| database(doing, error))?;
    if moved == 1 {
        return Ok(());
    }
    Err(StoreError::Database { doing, reason: format!("{kind}/{id} does not end at position {previous}") })
}

/// Reads what comes after sequence `after` in a stream, oldest first; `read` takes the columns of
/// [`COLUMNS`]. All of it is read in one transaction.
pub(super) fn walk<T>(
    connection: &Connection,
    kind: &str,
    id: &str,
    after: u64,
    mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    walk_until(connection, kind, id, after, |row| read(row).map(ControlFlow::Continue))
}

/// The same, but nothing before the event at which `read`, which goes from the newest back, breaks off.
pub(super) fn walk_until<T>(
    connection: &Connection,
    kind: &str,
    id: &str,
    after: u64,
    mut read: impl FnMut(&Row<'_>) -> Result<ControlFlow<T, T>, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let failed = |error| database(READING, error);
    // Within the appender's transaction there is one already.
    let transaction = match connection.is_autocommit() {
        true => Some(connection.unchecked_transaction().map_err(failed)?),
        false => None,
    };
    let mut next = tip_of(connection, kind, id).map_err(failed)?;
    let mut found = Vec::new();
    while next.sequence > after {
        let (event, previous) = link(connection, kind, id, next, &mut read)?;
        match event {
            ControlFlow::Continue(event) => found.push(event),
            ControlFlow::Break(event) => {
                found.push(event);
                break;
            }
        }
        next = Tip { sequence: next.sequence - 1, position: previous };
    }
    drop(transaction);
    found.reverse();
    Ok(found)
}

/// Reads the event at a place of a chain, and the position of the one before it.
fn link<T>(
    connection: &Connection,
    kind: &str,
    id: &str,
    at: Tip,
    read: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
) -> Result<(T, Position), StoreError> {
    let failed = |error| database(READING, error);
    let sql = format!("SELECT {COLUMNS}, previous FROM events WHERE position = ?1");
    let mut statement = connection.prepare_cached(&sql).map_err(failed)?;
    let mut rows = statement.query((at.position.0.cast_signed(),)).map_err(failed)?;
    let row = rows.next().map_err(failed)?.filter(|row| is_link(row, kind, id, at.sequence));
    let Some(row) = row else {
        let reason = format!("event {} of {kind}/{id} is not at position {}", at.sequence, at.position);
        return Err(StoreError::Database { doing: READING, reason });
    };
    let previous = row.get::<_, i64>("previous").map_err(failed)?;
    Ok((read(row)?, Position(previous.cast_unsigned())))
}

fn is_link(row: &Row<'_>, kind: &str, id: &str, sequence: u64) -> bool {
    let is = |column: &str, text: &str| {
        row.get_ref(column).is_ok_and(|value| value.as_str().is_ok_and(|found| found == text))
    };
    is("aggregate_type", kind)
        && is("aggregate_id", id)
        && row.get::<_, i64>("sequence").is_ok_and(|found| found.cast_unsigned() == sequence)
}
