//! The audit trail's tool calls.

use proctor_domain::{CallId, Micros, Position, ReplicaId, SessionId, SubjectId};
use proctor_projections::CallOutcome;
use rusqlite::types::Type;
use rusqlite::{OptionalExtension as _, Row};

use super::select::{Condition, Label, Page, count, maybe_position, per_subject, position};
use super::{Views, ViewsError};

/// Which tool calls. What is not set does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolCallFilter {
    /// Made for one of these users; an empty list finds nothing.
    pub subjects: Option<Vec<SubjectId>>,
    /// Made in this session.
    pub session: Option<SessionId>,
    /// Made in a session that carries this label, by its blind index.
    pub label_index: Option<String>,
    /// Made on this virtual server.
    pub virtual_server: Option<String>,
    /// Bound for this connection.
    pub connection: Option<String>,
    /// Of this tool, as the agent named it.
    pub tool: Option<String>,
    /// That stand so.
    pub outcome: Option<CallOutcome>,
    /// Admitted or refused at this time or later.
    pub from_us: Option<Micros>,
    /// Admitted or refused before this time.
    pub to_us: Option<Micros>,
}

/// One tool call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolCallRow {
    /// Where its admission or refusal stands in the journal. Arguments are sealed beside it.
    pub position: Position,
    /// The call.
    pub call: CallId,
    /// When it was admitted or refused.
    pub started_at: Micros,
    /// When its end was recorded.
    pub ended_at: Option<Micros>,
    /// Where its end stands in the journal. The result is sealed beside it.
    pub ended_position: Option<Position>,
    /// The user.
    pub subject: SubjectId,
    /// The session.
    pub session: SessionId,
    /// The virtual server.
    pub virtual_server: String,
    /// Its version; nothing where the call had no route.
    pub version: Option<u32>,
    /// The connection.
    pub connection: Option<String>,
    /// The tool as the agent named it.
    pub tool: String,
    /// The tool as it was sent.
    pub upstream_tool: Option<String>,
    /// SHA-256 of the tool's definition.
    pub definition: Option<String>,
    /// SHA-256 of the connection's catalog.
    pub catalog: Option<String>,
    /// The generation of the connection's settings and secrets.
    pub generation: Option<u32>,
    /// The process that made it.
    pub replica: Option<ReplicaId>,
    /// How it stands.
    pub outcome: CallOutcome,
    /// The code of the refusal, the failure, or the cause of the cancellation.
    pub reason: Option<String>,
    /// From admission to end, in microseconds.
    pub duration_us: Option<u64>,
    /// Size of the arguments.
    pub arguments_bytes: u64,
    /// Size of the result.
    pub result_bytes: Option<u64>,
    /// The agent's software, as it says of itself.
    pub client_name: String,
    /// Its version.
    pub client_version: String,
    /// The protocol revision it speaks.
    pub protocol_version: String,
    /// W3C trace id.
    pub trace_id: Option<String>,
    /// How often the same was refused again within its minute.
    pub repeats: u64,
    /// Whether it ended after it had been given up.
    pub late: bool,
}

macro_rules! columns {
    () => {
        "t.position, t.call_id, t.started_at_us, t.ended_at_us, t.ended_position, t.subject, \
         t.session, t.virtual_server, t.version, t.connection, t.tool, t.upstream_tool, t.definition, \
         t.catalog, t.generation, t.replica, t.outcome, t.reason, t.duration_us, t.arguments_bytes, \
         t.result_bytes, t.client_name, t.client_version, t.protocol_version, t.trace_id, t.repeats, \
         t.late"
    };
}

impl ToolCallFilter {
    pub(super) fn page(&self, subject: Option<&str>, before: Option<Position>, limit: usize) -> Page {
        let rare = self.outcome.filter(|outcome| *outcome != CallOutcome::Succeeded);
        let common = self.outcome.filter(|outcome| *outcome == CallOutcome::Succeeded);
        // The narrowest first. Most calls succeed: no index leads to those.
        let mut conditions = vec![
            Condition::new("t.session", self.session.as_ref().map(SessionId::as_str)),
            Condition::new("t.subject", subject),
            Condition {
                column: "t.outcome",
                index_only_where: "t.outcome <> 'succeeded'",
                value: rare.map(|outcome| outcome.code().to_owned()),
            },
            Condition::new("t.tool", self.tool.as_deref()),
            Condition::new("t.connection", self.connection.as_deref()),
            Condition::new("t.virtual_server", self.virtual_server.as_deref()),
        ];
        conditions.push(Condition::new("t.outcome", common.map(CallOutcome::code)));
        Page {
            columns: columns!(),
            table: "tool_calls",
            time: "started_at_us",
            label: self.label_index.clone().map(|index| Label {
                table: "call_labels",
                index,
                // A session's calls are fewer than a label's.
                leads: self.session.is_none(),
            }),
            conditions,
            from: self.from_us,
            to: self.to_us,
            before,
            limit,
        }
    }
}

impl Views {
    /// Tool calls, newest first, before a position.
    ///
    /// # Errors
    /// When the views cannot be read.
    pub async fn tool_calls(
        &self,
        filter: ToolCallFilter,
        before: Option<Position>,
        limit: usize,
    ) -> Result<Vec<ToolCallRow>, ViewsError> {
        self.pool
            .read(move |rows| {
                per_subject(
                    filter.subjects.as_deref(),
                    limit,
                    |row: &ToolCallRow| row.position,
                    |subject| {
                        filter.page(subject.map(SubjectId::as_str), before, limit).read(rows, tool_call)
                    },
                )
            })
            .await
    }

    /// One tool call.
    ///
    /// # Errors
    /// When the views cannot be read.
    pub async fn tool_call(&self, call: CallId) -> Result<Option<ToolCallRow>, ViewsError> {
        self.pool
            .read(move |rows| {
                rows.prepare_cached(concat!(
                    "SELECT ",
                    columns!(),
                    " FROM tool_calls t WHERE t.call_id = $1"
                ))?
                .query_row([call.as_str()], tool_call)
                .optional()
            })
            .await
    }

    /// The calls that a process has admitted and not ended, oldest first.
    ///
    /// # Errors
    /// When the views cannot be read.
    pub async fn open_calls_of(&self, replica: ReplicaId) -> Result<Vec<(SessionId, CallId)>, ViewsError> {
        self.pool
            .read(move |rows| {
                rows.prepare_cached(OPEN_CALLS_SQL)?
                    .query_map([replica.as_str()], |row| {
                        Ok((row.get::<_, String>(0)?.into(), row.get::<_, String>(1)?.into()))
                    })?
                    .collect()
            })
            .await
    }
}

/// `outcome <> 'succeeded'` says that the index of unusual outcomes will do.
pub(super) const OPEN_CALLS_SQL: &str = "SELECT t.session, t.call_id FROM tool_calls t
     WHERE t.outcome = 'in_flight' AND t.outcome <> 'succeeded' AND t.replica = $1 ORDER BY t.position";

fn tool_call(row: &Row<'_>) -> rusqlite::Result<ToolCallRow> {
    let outcome: String = row.get(16)?;
    let outcome = CallOutcome::from_code(&outcome).ok_or_else(|| {
        let unknown = format!("no outcome is called \"{}\"", outcome.escape_debug());
        rusqlite::Error::FromSqlConversionFailure(16, Type::Text, unknown.into())
    })?;
    let maybe_count = |column: usize| {
        Ok::<_, rusqlite::Error>(
            row.get::<_, Option<i64>>(column)?.map(|n| u64::try_from(n).unwrap_or_default()),
        )
    };
    Ok(ToolCallRow {
        position: position(row, 0)?,
        call: row.get::<_, String>(1)?.into(),
        started_at: Micros(row.get(2)?),
        ended_at: row.get::<_, Option<i64>>(3)?.map(Micros),
        ended_position: maybe_position(row, 4)?,
        subject: row.get::<_, String>(5)?.into(),
        session: row.get::<_, String>(6)?.into(),
        virtual_server: row.get(7)?,
        version: row.get(8)?,
        connection: row.get(9)?,
        tool: row.get(10)?,
        upstream_tool: row.get(11)?,
        definition: row.get(12)?,
        catalog: row.get(13)?,
        generation: row.get(14)?,
        replica: row.get::<_, Option<String>>(15)?.map(ReplicaId::from),
        outcome,
        reason: row.get(17)?,
        duration_us: maybe_count(18)?,
        arguments_bytes: count(row, 19)?,
        result_bytes: maybe_count(20)?,
        client_name: row.get(21)?,
        client_version: row.get(22)?,
        protocol_version: row.get(23)?,
        trace_id: row.get(24)?,
        repeats: count(row, 25)?,
        late: row.get(26)?,
    })
}
