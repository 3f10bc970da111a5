//! Who writes: whoever holds the schema's advisory lock. Everybody else watches.

use proctor_domain::Position;

use super::line::{Dial, Line};
use super::schema::{Schema, first};
use super::write::Leader;
use crate::views::error::ViewsError;
use crate::views::projector::Part;
use crate::views::record::Broken;
use crate::views::write::Writer;

/// Connects, and writes if nobody else does.
pub(in crate::views) fn open(dial: &Dial) -> Result<Part, ViewsError> {
    let schema = Schema::own();
    let line = Line::open(dial, &schema.name)
        .map_err(ViewsError::doing("connect to the database of the audit views"))?;
    Watch { line, schema }.take_over()
}

/// Writes, whoever else does: as somebody who has lost the lock and does not know it yet.
#[cfg(test)]
pub(in crate::views) fn usurp(dial: &Dial) -> Result<Writer, ViewsError> {
    let schema = Schema::own();
    let line = Line::open(dial, &schema.name).map_err(ViewsError::doing("connect"))?;
    Ok(Writer::new(Leader::new(line, schema)))
}

/// The views while another process writes them.
pub(in crate::views) struct Watch {
    line: Line,
    schema: Schema,
}

impl Watch {
    /// How far the rows are.
    pub(in crate::views) fn position(&mut self) -> Result<Position, ViewsError> {
        let failed = ViewsError::doing("read how far the audit views are");
        self.line.check_whereabouts().map_err(&failed)?;
        let asked = self.line.rows(sqlx::query("SELECT position FROM checkpoints WHERE name = 'views'"));
        let position = match asked {
            Ok(rows) => first::<i64>(&rows),
            // Whoever writes has not made them yet.
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(error),
        };
        let position = position.map_err(failed)?;
        Ok(Position(position.and_then(|position| u64::try_from(position).ok()).unwrap_or_default()))
    }

    /// Writes from here on, unless somebody else does.
    pub(in crate::views) fn take_over(mut self) -> Result<Part, ViewsError> {
        let failed = ViewsError::doing("ask who writes the audit views");
        let lock = sqlx::query("SELECT pg_try_advisory_lock($1)").bind(self.schema.lock);
        let taken = self.line.rows(lock).and_then(|rows| first::<bool>(&rows)).map_err(&failed)?;
        if taken != Some(true) {
            return Ok(Part::Watches(self));
        }
        let Self { mut line, schema } = self;
        schema.make(&mut line)?;
        tracing::info!(schema = schema.name, "this process writes the audit views");
        Ok(Part::Writes(Writer::new(Leader::new(line, schema))))
    }
}

/// Whether the database says that there is no such table.
fn is_missing(error: &Broken) -> bool {
    const UNDEFINED_TABLE: &str = "42P01";
    let error = error.downcast_ref::<sqlx::Error>().and_then(sqlx::Error::as_database_error);
    error.and_then(|error| error.code()).is_some_and(|code| code == UNDEFINED_TABLE)
}
