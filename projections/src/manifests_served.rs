//! What lists showed to whom, by the manifest's hash.

use proctor_domain::Recorded;
use proctor_domain::session::SessionEvent;

use crate::column::manifests_served as column;
use crate::facts::position;
use crate::{Change, Known, RowChange, Table, Unfounded, Value};

pub(crate) fn project<'a>(
    recorded: &'a Recorded,
    event: &'a SessionEvent,
    known: Known<'_>,
    changes: &mut Vec<RowChange<'a>>,
) -> Result<(), Unfounded> {
    if let SessionEvent::ManifestServed { list, manifest, version, tools, client, times } = event {
        let session = known.session_of(recorded)?;
        changes.push(RowChange {
            change: Change::Insert,
            table: Table::ManifestsServed,
            key: vec![position(recorded).into()],
            columns: vec![
                (column::served_at_us, recorded.place.recorded_at.0.into()),
                (column::session, Value::from(&*recorded.stream.id)),
                (column::subject, (&session.subject).into()),
                (column::virtual_server, (&session.virtual_server).into()),
                (column::version, (*version).into()),
                (column::list, list.code().into()),
                (column::manifest, manifest.as_str().into()),
                (column::tools, (*tools).into()),
                (column::times, Value::count(*times)),
                (column::client_name, client.name.as_str().into()),
                (column::client_version, client.version.as_str().into()),
                (column::protocol_version, client.protocol.as_str().into()),
            ],
        });
    }
    Ok(())
}
