//! One row per session, and which of them carry a label.

use proctor_domain::session::{Access, SessionEvent};
use proctor_domain::{By, Recorded};

use crate::column::sessions as column;
use crate::facts::position;
use crate::{Change, Known, RowChange, SessionFacts, Table, Unfounded, Value};

pub(crate) fn project<'a>(
    recorded: &'a Recorded,
    event: &'a SessionEvent,
    known: Known<'_>,
    changes: &mut Vec<RowChange<'a>>,
) -> Result<(), Unfounded> {
    let at = recorded.place.recorded_at.0;
    match event {
        SessionEvent::SessionOpened { by, terms, version } => {
            let (by_kind, by_id) = by_columns(by);
            let labels = SessionFacts::of(recorded).map(|facts| facts.label_indexes).unwrap_or_default();
            let tools = terms.tools.as_ref().map(|tools| serde_json::Value::from(tools.clone()).to_string());
            changes.push(RowChange {
                change: Change::Insert,
                table: Table::Sessions,
                key: vec![position(recorded).into()],
                columns: vec![
                    (column::id, Value::from(&*recorded.stream.id)),
                    (column::opened_at_us, at.into()),
                    (column::by_kind, by_kind),
                    (column::by_id, by_id),
                    (column::subject, terms.subject.as_str().into()),
                    (column::virtual_server, terms.virtual_server.as_str().into()),
                    (column::version, (*version).into()),
                    (column::access, access_code(terms.access).into()),
                    (column::expires_at_us, terms.expires_at.0.into()),
                    (column::calls_max, terms.calls_max.into()),
                    (column::calls_per_minute_max, terms.calls_per_minute_max.into()),
                    (column::tools, tools.into()),
                    (column::label_indexes, labels.join(" ").into()),
                    (column::calls_admitted, 0_i64.into()),
                    (column::calls_refused, 0_i64.into()),
                ],
            });
            for label in &labels {
                changes.push(RowChange {
                    change: Change::Insert,
                    table: Table::SessionLabels,
                    key: vec![label.into(), position(recorded).into()],
                    columns: Vec::new(),
                });
            }
        }
        SessionEvent::ToolCallAdmitted { .. } => {
            let columns = vec![(column::calls_admitted, 1_i64.into())];
            changes.push(change(Change::Add, known.session_of(recorded)?, columns));
        }
        SessionEvent::ToolCallRefused { .. } => {
            let columns = vec![(column::calls_refused, 1_i64.into())];
            changes.push(change(Change::Add, known.session_of(recorded)?, columns));
        }
        SessionEvent::ToolCallRefusedAgain { times, .. } => {
            let columns = vec![(column::calls_refused, Value::count(*times))];
            changes.push(change(Change::Add, known.session_of(recorded)?, columns));
        }
        SessionEvent::SessionRevoked { by, reason } => {
            let (by_kind, by_id) = by_columns(by);
            let columns = vec![
                (column::revoked_position, position(recorded).into()),
                (column::revoked_at_us, at.into()),
                (column::revoked_by_kind, by_kind),
                (column::revoked_by_id, by_id),
                (column::revoked_reason, reason.as_str().into()),
            ];
            changes.push(change(Change::Update, known.session_of(recorded)?, columns));
        }
        SessionEvent::ManifestServed { .. }
        | SessionEvent::ToolCallCancelRequested { .. }
        | SessionEvent::InputRequested { .. }
        | SessionEvent::InputGiven { .. }
        | SessionEvent::LogLevelSet { .. }
        | SessionEvent::ToolCallEnded { .. }
        | SessionEvent::ToolCallAbandoned { .. } => {}
    }
    Ok(())
}

fn change<'a>(change: Change, session: &SessionFacts, columns: Vec<(usize, Value<'a>)>) -> RowChange<'a> {
    RowChange { change, table: Table::Sessions, key: vec![session.position.into()], columns }
}

/// Who did something, as two columns.
pub(crate) fn by_columns(by: &By) -> (Value<'_>, Value<'_>) {
    match by {
        By::Key(key) => ("key".into(), key.as_str().into()),
        By::Replica(replica) => ("replica".into(), replica.as_str().into()),
        By::Login(provider) => ("login".into(), provider.as_str().into()),
    }
}

pub(crate) fn access_code(access: Access) -> &'static str {
    match access {
        Access::Full => "full",
        Access::ReadOnly => "read_only",
    }
}
