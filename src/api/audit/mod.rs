//! The audit trail: tool calls, and administrative acts.
//!
//! **Invariants.** Every read is on the record before it is answered, with the user's reference in
//! the place of the user.

mod acts;
pub(super) mod operations;
mod tool_call;
mod tool_calls;

use std::collections::BTreeMap;

use proctor_domain::watch::{Notice, Watch, WatchEvent};
use proctor_domain::{CallId, Position, ReplicaId, SubjectId};
use serde::Serialize;
use utoipa::ToSchema;

pub(super) use acts::acts;
pub(super) use tool_call::tool_call;
pub(super) use tool_calls::tool_calls;

use super::caller::Caller;
use super::openapi::words;
use super::opened::{Labels, Opener};
use super::problem::Problem;
use super::time;
use crate::actors::{day, now};
use crate::payload::Asked;
use crate::proctor::Proctor;
use crate::views::ToolCallRow;

/// Microseconds in the milliseconds that durations are shown in.
const MICROS_PER_MILLI: f64 = 1_000.0;

/// Writes down that `caller` reads `what`, with these filters.
pub(super) async fn on_the_record(
    proctor: &Proctor,
    caller: &Caller,
    what: &str,
    filters: BTreeMap<String, String>,
    rows: usize,
) -> Result<(), Problem> {
    let event = WatchEvent::AuditTrailRead {
        by: caller.by(),
        what: what.to_owned(),
        filters,
        rows: u32::try_from(rows).unwrap_or(u32::MAX),
    };
    let stream = format!("reads:{}:{}", caller.key, day(now()));
    caller.tell::<Watch>(proctor, &stream, Notice(event)).await?;
    Ok(())
}

/// A tool call, as a list shows it.
#[derive(Serialize, ToSchema)]
#[schema(as = ToolCall)]
struct Shown<'a> {
    #[schema(value_type = String)]
    call_id: &'a CallId,
    /// Where its admission or refusal stands.
    #[schema(value_type = u64)]
    position: Position,
    #[schema(format = DateTime)]
    started_at: String,
    #[schema(format = DateTime)]
    ended_at: Option<String>,
    #[schema(value_type = Option<u64>)]
    ended_position: Option<Position>,
    duration_ms: Option<f64>,
    /// As your product knows them; `null` once that was erased.
    user: Option<String>,
    /// The reference by which the journal knows them.
    #[schema(value_type = String)]
    subject: &'a SubjectId,
    session_id: &'a str,
    #[schema(value_type = BTreeMap<String, String>)]
    labels: Labels,
    #[schema(value_type = words::Name)]
    virtual_server: &'a str,
    version: Option<u32>,
    #[schema(value_type = Option<words::Name>)]
    connection: Option<&'a str>,
    /// The call that it goes on from, where it brought the input that that one's upstream wanted.
    #[schema(value_type = Option<String>)]
    continues: Option<&'a CallId>,
    #[schema(value_type = words::Method)]
    method: &'static str,
    /// The tool or prompt as the agent named it; of a resource, the URI or template that exposes it; empty
    /// for a list.
    tool: &'a str,
    /// Its name at the connection.
    upstream_tool: Option<&'a str>,
    definition_digest: Option<&'a str>,
    catalog_digest: Option<&'a str>,
    /// Of the connection's settings.
    generation: Option<u32>,
    /// Of the user's credential.
    user_generation: Option<u32>,
    /// The process that made it.
    #[schema(value_type = Option<String>)]
    replica: Option<&'a ReplicaId>,
    #[schema(value_type = words::Outcome)]
    outcome: &'static str,
    /// Why it was refused, failed or was cancelled, as a stable code.
    reason: Option<&'a str>,
    /// How many more just like it were refused in that minute.
    repeats: u64,
    /// Whether its outcome came after it was given up.
    late: bool,
    arguments_bytes: u64,
    result_bytes: Option<u64>,
    client_address: Option<String>,
    client_name: &'a str,
    client_version: &'a str,
    protocol_version: &'a str,
    trace_id: Option<&'a str>,
}

/// A tool call as a list shows it; `asked` is what is sealed beside its beginning.
async fn shown<'a>(
    opener: &mut Opener<'_>,
    row: &'a ToolCallRow,
    asked: Option<&Asked<'_>>,
) -> Result<Shown<'a>, Problem> {
    let session = row.session.as_str();
    Ok(Shown {
        call_id: &row.call,
        position: row.position,
        started_at: time::shown(row.started_at),
        ended_at: row.ended_at.map(time::shown),
        ended_position: row.ended_position,
        duration_ms: row.duration_us.map(|us| us as f64 / MICROS_PER_MILLI),
        user: opener.user(&row.subject).await?,
        subject: &row.subject,
        session_id: session,
        labels: opener.labels_of(session, &row.subject).await?,
        virtual_server: &row.virtual_server,
        version: row.version,
        connection: row.connection.as_deref(),
        continues: row.continues.as_ref(),
        method: row.method.name(),
        tool: &row.tool,
        upstream_tool: row.upstream_tool.as_deref(),
        definition_digest: row.definition.as_deref(),
        catalog_digest: row.catalog.as_deref(),
        generation: row.generation,
        user_generation: row.user_generation,
        replica: row.replica.as_ref(),
        outcome: row.outcome.code(),
        reason: row.reason.as_deref(),
        repeats: row.repeats,
        late: row.late,
        arguments_bytes: row.arguments_bytes,
        result_bytes: row.result_bytes,
        client_address: asked.and_then(|asked| asked.address.as_deref()).map(str::to_owned),
        client_name: &row.client_name,
        client_version: &row.client_version,
        protocol_version: &row.protocol_version,
        trace_id: row.trace_id.as_deref(),
    })
}
