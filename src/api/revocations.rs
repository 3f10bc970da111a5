//! `POST /revocations`: ends all sessions opened so far of a user, a virtual server or a connection.

use actix_web::{HttpResponse, web};
use proctor_domain::Name;
use proctor_domain::connection::{Connection, ConnectionCommand};
use proctor_domain::subject::{Subject, SubjectCommand};
use proctor_domain::virtual_server::{VirtualServer, VirtualServerCommand};
use serde::Deserialize;
use serde_json::json;

use super::answer;
use super::body::Body;
use super::caller::Caller;
use super::confirmation::{Wait, confirmed};
use super::filters::views_at_head;
use super::problem::{Code, Problem};
use super::reason;
use crate::actors::now;
use crate::proctor::Proctor;
use crate::views::SessionsOf;

/// What is revoked: exactly one of the three.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Revocation {
    user: Option<String>,
    virtual_server: Option<Name>,
    connection: Option<Name>,
    reason: String,
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
    let mut shown = json!({ "sessions": sessions, "position": position });
    confirmed(&proctor, &wait, position, &mut shown).await?;
    Ok(answer::ok(position, &shown))
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
        if server.definition().tools.iter().any(|tool| tool.connection == *connection) {
            exposing.extend(Name::new(&id));
        }
    }
    Ok(exposing)
}
