//! The audit trail: tool calls, and administrative acts.
//!
//! **Invariants.** Every read is on the record before it is answered, with the user's reference in
//! the place of the user.

mod acts;
mod tool_call;
mod tool_calls;

use std::collections::BTreeMap;

use proctor_domain::watch::{Notice, Watch, WatchEvent};
use serde_json::{Value, json};

pub(super) use acts::acts;
pub(super) use tool_call::tool_call;
pub(super) use tool_calls::tool_calls;

use super::caller::Caller;
use super::opened::Opener;
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

/// A tool call as a list shows it; `asked` is what is sealed beside its beginning.
async fn shown(
    opener: &mut Opener<'_>,
    row: &ToolCallRow,
    asked: Option<&Asked<'_>>,
) -> Result<Value, Problem> {
    let session = row.session.as_str();
    Ok(json!({
        "call_id": row.call,
        "position": row.position,
        "started_at": time::shown(row.started_at),
        "ended_at": row.ended_at.map(time::shown),
        "ended_position": row.ended_position,
        "duration_ms": row.duration_us.map(|us| us as f64 / MICROS_PER_MILLI),
        "user": opener.user(&row.subject).await?,
        "subject": row.subject,
        "session_id": session,
        "labels": opener.labels_of(session, &row.subject).await?,
        "virtual_server": row.virtual_server,
        "version": row.version,
        "connection": row.connection,
        "tool": row.tool,
        "upstream_tool": row.upstream_tool,
        "definition_digest": row.definition,
        "catalog_digest": row.catalog,
        "generation": row.generation,
        "user_generation": row.user_generation,
        "replica": row.replica,
        "outcome": row.outcome.code(),
        "reason": row.reason,
        "repeats": row.repeats,
        "late": row.late,
        "arguments_bytes": row.arguments_bytes,
        "result_bytes": row.result_bytes,
        "client_address": asked.and_then(|asked| asked.address.as_deref()),
        "client_name": row.client_name,
        "client_version": row.client_version,
        "protocol_version": row.protocol_version,
        "trace_id": row.trace_id,
    }))
}
