//! Hourly counts and latency sums, by virtual server, connection, tool and outcome.
//!
//! A call counts in the hour of its start, once it has ended or was refused. A call without a route
//! counts under an empty connection and tool: its tool's name is whatever an agent made up, and must
//! not make rows.

use proctor_domain::Recorded;
use proctor_domain::session::SessionEvent;

use crate::column::usage as column;
use crate::{CallFacts, CallOutcome, Change, Known, RowChange, SessionFacts, Table, Unfounded, Value};

/// Microseconds in an hour.
const HOUR_US: i64 = 3_600_000_000;

/// What one event adds.
#[derive(Default)]
struct Sums {
    calls: i64,
    duration_us: i64,
    arguments_bytes: i64,
    result_bytes: i64,
}

pub(crate) fn project<'a>(
    recorded: &'a Recorded,
    event: &SessionEvent,
    known: Known<'_>,
    changes: &mut Vec<RowChange<'a>>,
) -> Result<(), Unfounded> {
    let integer = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    match event {
        SessionEvent::ToolCallRefused { .. } => {
            if let Some((_, call)) = CallFacts::of(recorded) {
                let sums = Sums { calls: 1, arguments_bytes: call.arguments_bytes, ..Sums::default() };
                changes.push(add(known.session_of(recorded)?, &call, CallOutcome::Refused, &sums));
            }
        }
        SessionEvent::ToolCallRefusedAgain { times, .. } => {
            let sums = Sums { calls: integer(*times), ..Sums::default() };
            let (session, call) = (known.session_of(recorded)?, known.call_of(recorded)?);
            changes.push(add(session, call, CallOutcome::Refused, &sums));
        }
        SessionEvent::ToolCallEnded { call: _, outcome, duration_us, result_bytes, late } => {
            let (session, call) = (known.session_of(recorded)?, known.call_of(recorded)?);
            if *late {
                // It was counted as abandoned, and is not any more.
                let sums = Sums { calls: -1, arguments_bytes: -call.arguments_bytes, ..Sums::default() };
                changes.push(add(session, call, CallOutcome::Abandoned, &sums));
            }
            let sums = Sums {
                calls: 1,
                duration_us: integer(*duration_us),
                arguments_bytes: call.arguments_bytes,
                result_bytes: integer(*result_bytes),
            };
            changes.push(add(session, call, CallOutcome::of(outcome).0, &sums));
        }
        SessionEvent::ToolCallAbandoned { .. } => {
            let (session, call) = (known.session_of(recorded)?, known.call_of(recorded)?);
            let sums = Sums { calls: 1, arguments_bytes: call.arguments_bytes, ..Sums::default() };
            changes.push(add(session, call, CallOutcome::Abandoned, &sums));
        }
        SessionEvent::SessionOpened { .. }
        | SessionEvent::ManifestServed { .. }
        | SessionEvent::ToolCallAdmitted { .. }
        | SessionEvent::ToolCallCancelRequested { .. }
        | SessionEvent::InputRequested { .. }
        | SessionEvent::InputGiven { .. }
        | SessionEvent::LogLevelSet { .. }
        | SessionEvent::SessionRevoked { .. } => {}
    }
    Ok(())
}

fn add<'a>(session: &SessionFacts, call: &CallFacts, outcome: CallOutcome, sums: &Sums) -> RowChange<'a> {
    let (connection, tool) = match &call.route {
        Some((connection, tool)) => (Value::from(connection), Value::from(tool)),
        None => (Value::from(""), Value::from("")),
    };
    RowChange {
        change: Change::Add,
        table: Table::Usage,
        key: vec![
            call.started_at_us.div_euclid(HOUR_US).into(),
            (&session.virtual_server).into(),
            connection,
            tool,
            outcome.code().into(),
        ],
        columns: vec![
            (column::calls, sums.calls.into()),
            (column::duration_us, sums.duration_us.into()),
            (column::arguments_bytes, sums.arguments_bytes.into()),
            (column::result_bytes, sums.result_bytes.into()),
        ],
    }
}
