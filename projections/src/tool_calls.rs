//! The audit trail's first half: one row per tool call or other request for an upstream.

use proctor_domain::session::{Cause, Client, Outcome, Route, SessionEvent};
use proctor_domain::virtual_server::Method;
use proctor_domain::{CallId, Recorded};

use crate::column::tool_calls as column;
use crate::facts::position;
use crate::{CallFacts, Change, Known, RowChange, SessionFacts, Table, Unfounded, Value};

/// How a tool call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallOutcome {
    /// Admitted, not ended.
    InFlight,
    /// Not admitted.
    Refused,
    /// The upstream gave a result.
    Succeeded,
    /// It did not, or the result says that the tool failed.
    Failed,
    /// It was stopped on the way.
    Cancelled,
    /// The process that made it is gone; what became of it is not known.
    Abandoned,
    /// The upstream wants input first; another call goes on from it.
    InputRequired,
}

impl CallOutcome {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::InFlight,
        Self::Refused,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
        Self::Abandoned,
        Self::InputRequired,
    ];

    /// The stable code, as stored and shown.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::InFlight => "in_flight",
            Self::Refused => "refused",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Abandoned => "abandoned",
            Self::InputRequired => "input_required",
        }
    }

    /// The outcome of that code, if there is one.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|outcome| outcome.code() == code)
    }

    /// What an ended call came to, and the reason where one is given.
    pub(crate) fn of(outcome: &Outcome) -> (Self, Option<&str>) {
        match outcome {
            Outcome::Succeeded => (Self::Succeeded, None),
            Outcome::InputRequired => (Self::InputRequired, None),
            Outcome::Failed(code) => (Self::Failed, Some(code)),
            Outcome::Cancelled(cause) => (
                Self::Cancelled,
                Some(match cause {
                    Cause::Agent => "agent",
                    Cause::Revocation => "revocation",
                    Cause::Shutdown => "shutdown",
                }),
            ),
        }
    }
}

/// What admission and refusal have in common.
struct Begun<'a> {
    call: &'a str,
    method: Method,
    tool: &'a str,
    route: Option<&'a Route>,
    client: &'a Client,
    trace: Option<&'a str>,
    arguments_bytes: u64,
}

pub(crate) fn project<'a>(
    recorded: &'a Recorded,
    event: &'a SessionEvent,
    known: Known<'_>,
    changes: &mut Vec<RowChange<'a>>,
) -> Result<(), Unfounded> {
    let at = Value::Integer(recorded.place.recorded_at.0);
    match event {
        SessionEvent::ToolCallAdmitted {
            call,
            method,
            tool,
            route,
            replica,
            request: _,
            client,
            trace,
            arguments_bytes,
            continues,
        } => {
            let begun = Begun {
                call: call.as_str(),
                method: *method,
                tool,
                route: Some(route),
                client,
                trace: trace.as_deref(),
                arguments_bytes: *arguments_bytes,
            };
            let session = known.session_of(recorded)?;
            let mut row = begin(recorded, session, &begun, changes);
            row.push((column::replica, replica.as_str().into()));
            row.push((column::continues, continues.as_ref().map(CallId::as_str).into()));
            row.push((column::outcome, CallOutcome::InFlight.code().into()));
            changes.push(insert(recorded, row));
        }
        SessionEvent::ToolCallRefused {
            call,
            method,
            tool,
            reason,
            route,
            client,
            trace,
            arguments_bytes,
            ..
        } => {
            let begun = Begun {
                call: call.as_str(),
                method: *method,
                tool,
                route: route.as_ref(),
                client,
                trace: trace.as_deref(),
                arguments_bytes: *arguments_bytes,
            };
            let session = known.session_of(recorded)?;
            let mut row = begin(recorded, session, &begun, changes);
            row.push((column::outcome, CallOutcome::Refused.code().into()));
            row.push((column::reason, reason.code().into()));
            changes.push(insert(recorded, row));
        }
        SessionEvent::ToolCallRefusedAgain { times, .. } => {
            let columns = vec![(column::repeats, Value::count(*times))];
            changes.push(change(Change::Add, known.call_of(recorded)?, columns));
        }
        SessionEvent::ToolCallEnded { call: _, outcome, duration_us, result_bytes, late } => {
            let (outcome, reason) = CallOutcome::of(outcome);
            let columns = vec![
                (column::outcome, outcome.code().into()),
                (column::reason, reason.into()),
                (column::ended_at_us, at),
                (column::ended_position, position(recorded).into()),
                (column::duration_us, Value::count(*duration_us)),
                (column::result_bytes, Value::count(*result_bytes)),
                (column::late, i64::from(*late).into()),
            ];
            changes.push(change(Change::Update, known.call_of(recorded)?, columns));
        }
        SessionEvent::ToolCallAbandoned { .. } => {
            let columns = vec![
                (column::outcome, CallOutcome::Abandoned.code().into()),
                (column::ended_at_us, at),
                (column::ended_position, position(recorded).into()),
            ];
            changes.push(change(Change::Update, known.call_of(recorded)?, columns));
        }
        SessionEvent::SessionOpened { .. }
        | SessionEvent::ManifestServed { .. }
        | SessionEvent::ToolCallCancelRequested { .. }
        | SessionEvent::InputRequested { .. }
        | SessionEvent::InputGiven { .. }
        | SessionEvent::LogLevelSet { .. }
        | SessionEvent::SessionRevoked { .. } => {}
    }
    Ok(())
}

fn begin<'a>(
    recorded: &'a Recorded,
    session: &SessionFacts,
    begun: &Begun<'a>,
    changes: &mut Vec<RowChange<'a>>,
) -> Vec<(usize, Value<'a>)> {
    for label in &session.label_indexes {
        changes.push(RowChange {
            change: Change::Insert,
            table: Table::CallLabels,
            key: vec![label.into(), position(recorded).into()],
            columns: Vec::new(),
        });
    }
    let mut row = Vec::with_capacity(Table::ToolCalls.columns().len());
    row.extend([
        (column::call_id, begun.call.into()),
        (column::started_at_us, recorded.place.recorded_at.0.into()),
        (column::subject, (&session.subject).into()),
        (column::session, Value::from(&*recorded.stream.id)),
        (column::virtual_server, (&session.virtual_server).into()),
        (column::method, begun.method.name().into()),
        (column::tool, begun.tool.into()),
        (column::arguments_bytes, Value::count(begun.arguments_bytes)),
        (column::client_name, begun.client.name.as_str().into()),
        (column::client_version, begun.client.version.as_str().into()),
        (column::protocol_version, begun.client.protocol.as_str().into()),
        (column::trace_id, begun.trace.into()),
        (column::repeats, 0_i64.into()),
        (column::late, 0_i64.into()),
    ]);
    if let Some(route) = begun.route {
        row.extend([
            (column::version, route.version.into()),
            (column::connection, route.connection.as_str().into()),
            (column::upstream_tool, route.tool.as_str().into()),
            (column::definition, route.definition.as_deref().into()),
            (column::catalog, route.catalog.as_str().into()),
            (column::generation, route.generation.into()),
        ]);
        if let Some(generation) = route.user_generation {
            row.push((column::user_generation, generation.into()));
        }
    }
    row
}

fn insert<'a>(recorded: &Recorded, columns: Vec<(usize, Value<'a>)>) -> RowChange<'a> {
    let key = vec![position(recorded).into()];
    RowChange { change: Change::Insert, table: Table::ToolCalls, key, columns }
}

fn change<'a>(change: Change, call: &CallFacts, columns: Vec<(usize, Value<'a>)>) -> RowChange<'a> {
    RowChange { change, table: Table::ToolCalls, key: vec![call.position.into()], columns }
}
