//! The audit trail's administrative acts.

use proctor_domain::{Micros, Position, SubjectId};

use super::record::{Broken, Record};
use super::select::{Condition, Index, Page};
use super::{Views, ViewsError};

/// Which acts. What is not set does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActFilter {
    /// About one of these users; an empty list finds nothing.
    pub subjects: Option<Vec<SubjectId>>,
    /// Done by the key or process of this identifier.
    pub by: Option<String>,
    /// Of this kind, such as `connection_registered`.
    pub kind: Option<String>,
    /// Done to a thing of this kind, such as `connection`.
    pub object_kind: Option<String>,
    /// Done to the thing of this identifier.
    pub object_id: Option<String>,
    /// Recorded at this time or later.
    pub from_us: Option<Micros>,
    /// Recorded before this time.
    pub to_us: Option<Micros>,
}

/// One act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActRow {
    /// Where it stands in the journal.
    pub position: Position,
    /// When it was recorded.
    pub recorded_at: Micros,
    /// `key` or `replica`; nothing where nobody did it.
    pub by_kind: Option<String>,
    /// The key's or the process's identifier.
    pub by_id: Option<String>,
    /// What was done, such as `connection_registered`.
    pub kind: String,
    /// The kind of thing it was done to.
    pub object_kind: String,
    /// The thing it was done to.
    pub object_id: String,
    /// The user it was about.
    pub subject: Option<SubjectId>,
    /// Why.
    pub reason: Option<String>,
    /// A JSON object with what else the event says, shortened.
    pub details: String,
}

impl ActFilter {
    pub(super) fn page(&self, subject: Option<&str>, before: Option<Position>, limit: usize) -> Page {
        Page {
            columns: "t.position, t.recorded_at_us, t.by_kind, t.by_id, t.kind, t.object_kind, \
                     t.object_id, t.subject, t.reason, t.details",
            table: "admin_acts",
            time: "recorded_at_us",
            label: None,
            conditions: vec![
                Condition {
                    column: "t.subject",
                    index: Index::Where("t.subject IS NOT NULL"),
                    value: subject.map(str::to_owned),
                },
                Condition::new("t.object_id", self.object_id.as_deref()),
                Condition::new("t.kind", self.kind.as_deref()),
                Condition::new("t.by_id", self.by.as_deref()),
                Condition::without_index("t.object_kind", self.object_kind.as_deref()),
            ],
            from: self.from_us,
            to: self.to_us,
            before,
            limit,
        }
    }
}

impl Views {
    /// Administrative acts, newest first, before a position.
    ///
    /// # Errors
    /// When the views cannot be read.
    pub async fn acts(
        &self,
        filter: ActFilter,
        before: Option<Position>,
        limit: usize,
    ) -> Result<Vec<ActRow>, ViewsError> {
        self.pool
            .page(
                filter.subjects.as_deref(),
                limit,
                |subject| filter.page(subject, before, limit),
                act,
                |row| row.position,
            )
            .await
    }
}

fn act(row: &Record<'_>) -> Result<ActRow, Broken> {
    Ok(ActRow {
        position: row.position(0)?,
        recorded_at: Micros(row.integer(1)?),
        by_kind: row.maybe_text(2)?,
        by_id: row.maybe_text(3)?,
        kind: row.text(4)?,
        object_kind: row.text(5)?,
        object_id: row.text(6)?,
        subject: row.maybe_text(7)?.map(SubjectId::from),
        reason: row.maybe_text(8)?,
        details: row.text(9)?,
    })
}
