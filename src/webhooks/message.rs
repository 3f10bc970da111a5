//! What a message says, put together from its event when it is sent.
//!
//! **Invariants.** Never a secret. The user is named as the backend knows it, or not at all once it
//! was erased: nothing about a person is kept here.

use chrono::{DateTime, SecondsFormat};
use proctor_domain::connection::ConnectionEvent;
use proctor_domain::session::{Access, SessionEvent};
use proctor_domain::subject::SubjectEvent;
use proctor_domain::user_connection::UserConnectionEvent;
use proctor_domain::virtual_server::VirtualServerEvent;
use proctor_domain::{Event, Micros, Recorded, SessionId, SubjectId};
use serde_json::{Map, Value, json};

use crate::actors::KeyringError;
use crate::proctor::Proctor;
use crate::views::WAIT_MAX;

/// A message that cannot be put together now.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// The user cannot be looked up.
    #[error("failed to look up the user of an event")]
    User(#[from] KeyringError),
    /// The session cannot be looked up.
    #[error("failed to look up the session of an event: {0}")]
    Session(String),
}

/// The body of a message of the type `topic` about `event`.
///
/// # Errors
/// When what it needs cannot be read now.
pub async fn body(proctor: &Proctor, topic: &str, recorded: &Recorded) -> Result<Value, MessageError> {
    let mut data = Map::new();
    data.insert("event_id".to_owned(), json!(recorded.event_id));
    data.insert("position".to_owned(), json!(recorded.place.position));
    if let Value::Object(about) = about(proctor, recorded).await? {
        data.extend(about);
    }
    Ok(json!({ "type": topic, "timestamp": shown(recorded.place.recorded_at), "data": data }))
}

fn shown(at: Micros) -> String {
    DateTime::from_timestamp_micros(at.0).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Micros, true)
}

async fn about(proctor: &Proctor, recorded: &Recorded) -> Result<Value, MessageError> {
    let id = &*recorded.stream.id;
    Ok(match &recorded.event {
        Event::UserConnection(event) => {
            // The stream's identifier is the user and the connection.
            let (subject, connection) = id.split_once('.').unwrap_or((id, ""));
            let user = user(proctor, &subject.into()).await?;
            match event {
                UserConnectionEvent::UserConnectionActivated { kind, generation, .. } => json!({
                    "user": user, "connection": connection, "kind": kind.code(), "generation": generation,
                }),
                UserConnectionEvent::UserConnectionExpired { generation, reason } => json!({
                    "user": user, "connection": connection, "generation": generation, "reason": reason,
                }),
                UserConnectionEvent::UserConnectionDisconnected { reason, .. } => {
                    json!({ "user": user, "connection": connection, "reason": reason })
                }
                UserConnectionEvent::UserConnectionLinkIssued { .. }
                | UserConnectionEvent::UserConnectionAuthorizationStarted { .. }
                | UserConnectionEvent::UserConnectionCodeTaken { .. }
                | UserConnectionEvent::UserConnectionAuthorized { .. }
                | UserConnectionEvent::UserConnectionAuthorizationFailed { .. }
                | UserConnectionEvent::UserConnectionRefreshClaimed { .. }
                | UserConnectionEvent::UserConnectionRefreshed { .. }
                | UserConnectionEvent::UserConnectionRefreshFailed { .. }
                | UserConnectionEvent::UserConnectionCarriedOver { .. } => {
                    json!({ "user": user, "connection": connection })
                }
            }
        }
        Event::Session(SessionEvent::SessionOpened { terms, version, .. }) => json!({
            "user": user(proctor, &terms.subject).await?,
            "session": id,
            "virtual_server": terms.virtual_server,
            "version": version,
            "access": match terms.access {
                Access::Full => "full",
                Access::ReadOnly => "read_only",
            },
            "expires_at": shown(terms.expires_at),
            "calls_max": terms.calls_max,
            "calls_per_minute_max": terms.calls_per_minute_max,
        }),
        Event::Session(SessionEvent::SessionRevoked { reason, .. }) => {
            let (subject, virtual_server) = session(proctor, recorded).await?;
            let user = user(proctor, &subject).await?;
            json!({ "user": user, "session": id, "virtual_server": virtual_server, "reason": reason })
        }
        Event::Subject(SubjectEvent::SubjectSessionsCut { reason, .. }) => {
            json!({ "cut": "user", "cause": "revoked", "user": user(proctor, &id.into()).await?, "reason": reason })
        }
        Event::Subject(SubjectEvent::SubjectBlocked { reason, .. }) => {
            json!({ "cut": "user", "cause": "blocked", "user": user(proctor, &id.into()).await?, "reason": reason })
        }
        Event::VirtualServer(VirtualServerEvent::VirtualServerSessionsCut { reason, .. }) => {
            json!({ "cut": "virtual_server", "cause": "revoked", "virtual_server": id, "reason": reason })
        }
        Event::VirtualServer(VirtualServerEvent::VirtualServerRetired { reason, .. }) => {
            json!({ "cut": "virtual_server", "cause": "retired", "virtual_server": id, "reason": reason })
        }
        Event::Connection(ConnectionEvent::ConnectionSessionsCut { reason, .. }) => {
            json!({ "cut": "connection", "cause": "revoked", "connection": id, "reason": reason })
        }
        Event::Connection(ConnectionEvent::ConnectionRetired { reason, .. }) => {
            json!({ "cut": "connection", "cause": "retired", "connection": id, "reason": reason })
        }
        Event::Connection(ConnectionEvent::CatalogObserved { offered, .. }) => json!({
            "connection": id,
            "digest": offered.digest,
            "changed": offered.changed.keys().collect::<Vec<_>>(),
            "new": offered.new.keys().collect::<Vec<_>>(),
            "gone": offered.gone,
        }),
        Event::Webhook(_) => json!({ "webhook": id }),
        // Nobody can subscribe to these: see `Topic::of`.
        Event::Session(_)
        | Event::Subject(_)
        | Event::VirtualServer(_)
        | Event::Connection(_)
        | Event::IdentityProvider(_)
        | Event::ApiKey(_)
        | Event::PurposeKeys(_)
        | Event::Watch(_) => json!({}),
    })
}

/// The user's own identifier; nothing once it was erased.
async fn user(proctor: &Proctor, subject: &SubjectId) -> Result<Option<String>, MessageError> {
    match proctor.keyring.user_of(subject).await {
        Ok(user) => Ok(Some(user.to_string())),
        Err(KeyringError::Gone(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whose session it is, and on which virtual server: what it was opened with, and never changes.
async fn session(proctor: &Proctor, recorded: &Recorded) -> Result<(SubjectId, String), MessageError> {
    let failed = |error: &dyn std::error::Error| MessageError::Session(error.to_string());
    let views = &proctor.views;
    views.wait_for(recorded.place.position, WAIT_MAX).await.map_err(|error| failed(&error))?;
    let row = views.session(SessionId::from(&*recorded.stream.id)).await.map_err(|error| failed(&error))?;
    let row = row.ok_or_else(|| MessageError::Session(format!("{} is not in the views", recorded.stream)))?;
    Ok((row.subject, row.virtual_server))
}
