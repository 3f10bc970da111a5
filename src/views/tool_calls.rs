//! The audit trail's tool calls.

use proctor_domain::virtual_server::Method;
use proctor_domain::{CallId, Micros, Position, ReplicaId, SessionId, SubjectId};
use proctor_projections::CallOutcome;

use super::record::{Broken, Record};
use super::select::{Bound, Condition, Index, Label, Page, Question, Statement};
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
    /// By this method.
    pub method: Option<Method>,
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
    /// The call that it goes on from, where it brought the input that that one's upstream wanted.
    pub continues: Option<CallId>,
    /// By which method.
    pub method: Method,
    /// The tool or prompt as the agent named it; of a resource, what exposes it; empty for a list.
    pub tool: String,
    /// What it is called at the connection.
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
    /// Which of the user's own credentials it was sent with, where every user brings one.
    pub user_generation: Option<u32>,
}

macro_rules! columns {
    () => {
        "t.position, t.call_id, t.started_at_us, t.ended_at_us, t.ended_position, t.subject, \
         t.session, t.virtual_server, t.version, t.connection, t.tool, t.upstream_tool, t.definition, \
         t.catalog, t.generation, t.replica, t.outcome, t.reason, t.duration_us, t.arguments_bytes, \
         t.result_bytes, t.client_name, t.client_version, t.protocol_version, t.trace_id, t.repeats, \
         t.late, t.user_generation, t.method, t.continues"
    };
}

impl ToolCallFilter {
    pub(super) fn page(&self, subject: Option<&str>, before: Option<Position>, limit: usize) -> Page {
        let rare = self.outcome.filter(|outcome| *outcome != CallOutcome::Succeeded);
        let common = self.outcome.filter(|outcome| *outcome == CallOutcome::Succeeded);
        let rare_method = self.method.filter(|method| !method.is_tools_call());
        let common_method = self.method.filter(Method::is_tools_call);
        // The narrowest first. Most calls are of tools and succeed: no index leads to those.
        let conditions = vec![
            Condition::new("t.session", self.session.as_ref().map(SessionId::as_str)),
            Condition::new("t.subject", subject),
            Condition {
                column: "t.outcome",
                index: Index::Where("t.outcome <> 'succeeded'"),
                value: rare.map(|outcome| outcome.code().to_owned()),
            },
            Condition::new("t.tool", self.tool.as_deref()),
            Condition {
                column: "t.method",
                index: Index::Where("t.method <> 'tools/call'"),
                value: rare_method.map(|method| method.name().to_owned()),
            },
            Condition::new("t.connection", self.connection.as_deref()),
            Condition::new("t.virtual_server", self.virtual_server.as_deref()),
            Condition::without_index("t.method", common_method.map(Method::name)),
            Condition::without_index("t.outcome", common.map(CallOutcome::code)),
        ];
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
            .page(
                filter.subjects.as_deref(),
                limit,
                |subject| filter.page(subject, before, limit),
                tool_call,
                |row| row.position,
            )
            .await
    }

    /// One tool call.
    ///
    /// # Errors
    /// When the views cannot be read.
    pub async fn tool_call(&self, call: CallId) -> Result<Option<ToolCallRow>, ViewsError> {
        let sql = concat!("SELECT ", columns!(), " FROM tool_calls t WHERE t.call_id = $1").to_owned();
        let statements = vec![Statement { sql, values: vec![Bound::Text(call.as_str().to_owned())] }];
        Ok(self.pool.ask(Question { statements, row: tool_call }).await?.pop())
    }

    /// The calls that a process has admitted and not ended, oldest first.
    ///
    /// # Errors
    /// When the views cannot be read.
    pub async fn open_calls_of(&self, replica: ReplicaId) -> Result<Vec<(SessionId, CallId)>, ViewsError> {
        let values = vec![Bound::Text(replica.as_str().to_owned())];
        let statements = vec![Statement { sql: OPEN_CALLS_SQL.to_owned(), values }];
        let row = |row: &Record<'_>| Ok((row.text(0)?.into(), row.text(1)?.into()));
        self.pool.ask(Question { statements, row }).await
    }
}

/// `outcome <> 'succeeded'` says that the index of unusual outcomes will do.
pub(super) const OPEN_CALLS_SQL: &str = "SELECT t.session, t.call_id FROM tool_calls t
     WHERE t.outcome = 'in_flight' AND t.outcome <> 'succeeded' AND t.replica = $1 ORDER BY t.position";

fn tool_call(row: &Record<'_>) -> Result<ToolCallRow, Broken> {
    let outcome = row.text(16)?;
    let outcome = CallOutcome::from_code(&outcome)
        .ok_or_else(|| format!("no outcome is called \"{}\"", outcome.escape_debug()))?;
    let method = row.text(28)?;
    let method =
        Method::named(&method).ok_or_else(|| format!("no method is called \"{}\"", method.escape_debug()))?;
    Ok(ToolCallRow {
        position: row.position(0)?,
        call: row.text(1)?.into(),
        started_at: Micros(row.integer(2)?),
        ended_at: row.maybe_integer(3)?.map(Micros),
        ended_position: row.maybe_position(4)?,
        subject: row.text(5)?.into(),
        session: row.text(6)?.into(),
        virtual_server: row.text(7)?,
        version: row.maybe_number(8)?,
        connection: row.maybe_text(9)?,
        tool: row.text(10)?,
        upstream_tool: row.maybe_text(11)?,
        definition: row.maybe_text(12)?,
        catalog: row.maybe_text(13)?,
        generation: row.maybe_number(14)?,
        replica: row.maybe_text(15)?.map(ReplicaId::from),
        outcome,
        reason: row.maybe_text(17)?,
        duration_us: row.maybe_count(18)?,
        arguments_bytes: row.count(19)?,
        result_bytes: row.maybe_count(20)?,
        client_name: row.text(21)?,
        client_version: row.text(22)?,
        protocol_version: row.text(23)?,
        trace_id: row.maybe_text(24)?,
        repeats: row.count(25)?,
        late: row.integer(26)? != 0,
        user_generation: row.maybe_number(27)?,
        method,
        continues: row.maybe_text(29)?.map(CallId::from),
    })
}
