//! `POST /revocations`: ends all sessions opened so far of a user, a virtual server or a connection.

use actix_web::{HttpResponse, web};
use proctor_domain::connection::{Connection, ConnectionCommand};
use proctor_domain::subject::{Subject, SubjectCommand};
use proctor_domain::virtual_server::{VirtualServer, VirtualServerCommand};
use proctor_domain::{Name, Position};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer;
use super::body::Body;
use super::caller::Caller;
use super::confirmation::{Confirmation, Wait, confirmed};
use super::filters::views_at_head;
use super::openapi::words;
use super::problem::{Code, Problem};
use super::reason;
use crate::actors::now;
use crate::proctor::Proctor;
use crate::views::SessionsOf;

/// What is revoked: exactly one of the three.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Revocation {
    user: Option<String>,
    #[schema(value_type = Option<words::Name>)]
    virtual_server: Option<Name>,
    #[schema(value_type = Option<words::Name>)]
    connection: Option<Name>,
    /// Why, for whoever reads the audit trail.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// What a revocation came to.
#[derive(Serialize, ToSchema)]
struct Revoked {
    /// How many sessions were open; `null` when that could not be told.
    sessions: Option<u64>,
    #[schema(value_type = u64)]
    position: Position,
    #[serde(flatten)]
    #[schema(inline)]
    confirmation: Confirmation,
}

pub(super) async fn revoke_all(
    proctor: web::Data<Proctor>,
    caller: Caller,
    wait: web::Query<Wait>,
    Body(body): Body<Revocation>,
) -> Result<HttpResponse, Problem> {
    let (by, reason) = (caller.by(), reason::checked(body.reason)?);
    let (sessions, events) = match (body.user, body.virtual_server, body.connection) {
        (Some(user), None, None) => {
            let subject = proctor.keyring.subject_of(&user).await?.ok_or_else(|| {
                Problem::new(Code::UserNotFound, "no such user has had a session here: check the identifier")
            })?;
            let sessions = count(&proctor, SessionsOf::Subject(subject.clone())).await;
            let command = SubjectCommand::CutSessions { by, reason };
            (sessions, caller.tell::<Subject>(&proctor, subject.as_str(), command).await?)
        }
        (None, Some(name), None) => {
            let sessions = count(&proctor, SessionsOf::VirtualServer(name.clone())).await;
            let command = VirtualServerCommand::CutSessions { by, reason };
            (sessions, caller.tell::<VirtualServer>(&proctor, name.as_str(), command).await?)
        }
        (None, None, Some(name)) => {
            let sessions = count_of_connection(&proctor, &name).await;
            let command = ConnectionCommand::CutSessions { by, reason };
            (sessions, caller.tell::<Connection>(&proctor, name.as_str(), command).await?)
        }
        _ => {
            let detail = "name exactly one of user, virtual_server and connection";
            return Err(Problem::new(Code::InvalidBody, detail));
        }
    };
    let position = proctor.directory.position_of(&events);
    let confirmation = confirmed(&proctor, &wait, position).await?;
    Ok(answer::ok(position, &Revoked { sessions, position, confirmation }))
}

pub(super) mod operations {
    use super::super::openapi::{Operation, Tag};
    use super::{Code, Revocation, Revoked, Wait};

    pub(in crate::api) fn revoke_all() -> Operation {
        Operation::new(
            Tag::Sessions,
            "revokeSessions",
            "End many sessions at once",
            "Ends all sessions opened so far of a user, a virtual server or a connection, and cancels their \
             calls. New ones can be opened afterwards.",
        )
        .query::<Wait>()
        .takes::<Revocation>()
        .answers::<Revoked>(200, "They have ended.")
        .fails(&[
            Code::UserNotFound,
            Code::VirtualServerNotFound,
            Code::VirtualServerRetired,
            Code::ConnectionNotFound,
            Code::ConnectionRetired,
        ])
    }
}

/// How many sessions are open that the cut is about to end. Nothing when the views cannot say: a
/// revocation does not wait for them to come back.
pub(super) async fn count(proctor: &Proctor, of: SessionsOf) -> Option<u64> {
    let counted = async {
        views_at_head(proctor).await?;
        Ok::<_, Problem>(proctor.views.count_open_sessions(of, now()).await?)
    };
    counted
        .await
        .inspect_err(|error| tracing::warn!(%error, "a revocation could not be counted beforehand"))
        .ok()
}

async fn count_of_connection(proctor: &Proctor, name: &Name) -> Option<u64> {
    let virtual_servers = exposing(proctor, name)
        .await
        .inspect_err(|error| tracing::warn!(%error, "a revocation could not be counted beforehand"))
        .ok()?;
    count(proctor, SessionsOf::Connection { name: name.clone(), virtual_servers }).await
}

/// The virtual servers that expose a tool of the connection.
async fn exposing(proctor: &Proctor, connection: &Name) -> Result<Vec<Name>, Problem> {
    let mut exposing = Vec::new();
    for id in proctor.journal.reader().stream_ids("virtual_server").await? {
        let server = proctor.directory.state::<VirtualServer>(&id).await?;
        if server.definition().connections().contains(connection) {
            exposing.extend(Name::new(&id));
        }
    }
    Ok(exposing)
}
