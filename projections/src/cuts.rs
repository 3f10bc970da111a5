//! What ended all sessions opened so far of a subject, a virtual server or a connection, so that a
//! list of sessions can say so. For showing only: permission is decided by the aggregates.

use proctor_domain::connection::ConnectionEvent;
use proctor_domain::subject::SubjectEvent;
use proctor_domain::virtual_server::VirtualServerEvent;
use proctor_domain::{Event, Recorded};

use crate::column::cuts as column;
use crate::facts::position;
use crate::{Change, RowChange, Table, Value};

pub(crate) fn project<'a>(recorded: &'a Recorded, changes: &mut Vec<RowChange<'a>>) {
    let cause = match &recorded.event {
        Event::Subject(event) => match event {
            SubjectEvent::SubjectSessionsCut { .. } => "cut",
            // A session opened before the block stays ended after it.
            SubjectEvent::SubjectBlocked { .. } => "blocked",
            SubjectEvent::SubjectRegistered { .. } | SubjectEvent::SubjectUnblocked { .. } => return,
        },
        Event::VirtualServer(event) => match event {
            VirtualServerEvent::VirtualServerSessionsCut { .. } => "cut",
            VirtualServerEvent::VirtualServerRetired { .. } => "retired",
            VirtualServerEvent::VirtualServerDefined { .. }
            | VirtualServerEvent::VirtualServerRevised { .. } => return,
        },
        Event::Connection(event) => match event {
            ConnectionEvent::ConnectionSessionsCut { .. } => "cut",
            ConnectionEvent::ConnectionRetired { .. } => "retired",
            ConnectionEvent::ConnectionRegistered { .. }
            | ConnectionEvent::ConnectionReconfigured { .. }
            | ConnectionEvent::CatalogRefreshed { .. }
            | ConnectionEvent::CatalogObserved { .. }
            | ConnectionEvent::CatalogAccepted { .. }
            | ConnectionEvent::CatalogApproved { .. }
            | ConnectionEvent::ConnectionTested { .. } => return,
        },
        Event::IdentityProvider(_)
        | Event::UserConnection(_)
        | Event::Session(_)
        | Event::ApiKey(_)
        | Event::PurposeKeys(_)
        | Event::Watch(_)
        | Event::Webhook(_) => return,
    };
    changes.push(RowChange {
        change: Change::Insert,
        table: Table::Cuts,
        key: vec![recorded.stream.kind.into(), Value::from(&*recorded.stream.id), position(recorded).into()],
        columns: vec![
            (column::recorded_at_us, recorded.place.recorded_at.0.into()),
            (column::cause, cause.into()),
        ],
    });
}
