//! What lists showed to whom.

use proctor_domain::session::List;
use proctor_domain::{Micros, Position, SessionId, SubjectId};

use super::record::{Broken, Record};
use super::select::{Condition, Page};
use super::{Views, ViewsError};

/// Which answers to lists. What is not set does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ManifestFilter {
    /// Given on behalf of one of these users; an empty list finds nothing.
    pub subjects: Option<Vec<SubjectId>>,
    /// Given in this session.
    pub session: Option<SessionId>,
    /// Given on this virtual server.
    pub virtual_server: Option<String>,
    /// Recorded at this time or later.
    pub from_us: Option<Micros>,
    /// Recorded before this time.
    pub to_us: Option<Micros>,
}

/// Answers to a list that were recorded together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestRow {
    /// Where they stand in the journal.
    pub position: Position,
    /// When they were recorded.
    pub served_at: Micros,
    /// The session.
    pub session: SessionId,
    /// The user.
    pub subject: SubjectId,
    /// The virtual server.
    pub virtual_server: String,
    /// Its version.
    pub version: u32,
    /// Which list.
    pub list: List,
    /// SHA-256 over what was shown.
    pub manifest: String,
    /// How many definitions were shown.
    pub tools: u32,
    /// How many answers.
    pub times: u64,
    /// The agent's software, as it says of itself.
    pub client_name: String,
    /// Its version.
    pub client_version: String,
    /// The protocol revision it speaks.
    pub protocol_version: String,
}

impl ManifestFilter {
    pub(super) fn page(&self, subject: Option<&str>, before: Option<Position>, limit: usize) -> Page {
        Page {
            columns: "t.position, t.served_at_us, t.session, t.subject, t.virtual_server, \
                     t.version, t.manifest, t.tools, t.times, t.client_name, t.client_version, \
                     t.protocol_version, t.list",
            table: "manifests_served",
            time: "served_at_us",
            label: None,
            conditions: vec![
                Condition::new("t.session", self.session.as_ref().map(SessionId::as_str)),
                Condition::new("t.subject", subject),
                Condition::without_index("t.virtual_server", self.virtual_server.as_deref()),
            ],
            from: self.from_us,
            to: self.to_us,
            before,
            limit,
        }
    }
}

impl Views {
    /// Recorded answers to lists, newest first, before a position.
    ///
    /// # Errors
    /// When the views cannot be read.
    pub async fn manifests_served(
        &self,
        filter: ManifestFilter,
        before: Option<Position>,
        limit: usize,
    ) -> Result<Vec<ManifestRow>, ViewsError> {
        self.pool
            .page(
                filter.subjects.as_deref(),
                limit,
                |subject| filter.page(subject, before, limit),
                manifest,
                |row| row.position,
            )
            .await
    }
}

fn list(code: &str) -> Result<List, Broken> {
    let found = List::ALL.into_iter().find(|list| list.code() == code);
    found.ok_or_else(|| format!("no list is called \"{}\"", code.escape_debug()).into())
}

fn manifest(row: &Record<'_>) -> Result<ManifestRow, Broken> {
    Ok(ManifestRow {
        position: row.position(0)?,
        served_at: Micros(row.integer(1)?),
        session: row.text(2)?.into(),
        subject: row.text(3)?.into(),
        virtual_server: row.text(4)?,
        version: row.number(5)?,
        manifest: row.text(6)?,
        tools: row.number(7)?,
        times: row.count(8)?,
        client_name: row.text(9)?,
        client_version: row.text(10)?,
        protocol_version: row.text(11)?,
        list: list(&row.text(12)?)?,
    })
}
