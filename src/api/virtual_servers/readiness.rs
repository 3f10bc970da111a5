//! `GET /virtual-servers/{name}/users/{user}/readiness`: whether a session could be minted, and what
//! the user has to connect first.

use actix_web::{HttpResponse, web};
use proctor_domain::Name;
use proctor_domain::connection::CredentialKind;
use proctor_domain::subject::Subject;
use proctor_domain::user_connection::Status;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::answer;
use super::super::openapi::words;
use super::super::problem::Problem;
use super::super::users::status;
use crate::opening;
use crate::proctor::Proctor;

/// Whether a session could be minted.
#[derive(Serialize, ToSchema)]
pub(super) struct Readiness {
    #[schema(value_type = words::Name)]
    virtual_server: Name,
    user: String,
    /// Whether it could be.
    ready: bool,
    /// Whether the user may have no sessions.
    blocked: bool,
    /// The accounts that the virtual server's tools need.
    connections: Vec<NeededAccount>,
}

/// An account that is needed.
#[derive(Serialize, ToSchema)]
struct NeededAccount {
    #[schema(value_type = words::Name)]
    connection: Name,
    #[schema(value_type = words::Credential)]
    takes: CredentialKind,
    #[schema(value_type = words::AccountState)]
    state: Status,
}

pub(in crate::api) async fn readiness(
    proctor: web::Data<Proctor>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let (name, user) = path.into_inner();
    let name = super::named(&name)?;
    let server = super::fresh(&proctor, &name).await?;
    let subject = proctor.keyring.subject_of(&user).await?;
    let (accounts, _) = opening::accounts::<Problem>(&proctor.directory, subject.as_ref(), &server).await?;
    let is_blocked = match &subject {
        Some(subject) => proctor.directory.state::<Subject>(subject.as_str()).await?.is_blocked(),
        None => false,
    };
    let connections: Vec<_> = accounts
        .iter()
        .filter_map(|account| {
            let takes = account.connection.takes()?;
            let state = status(&account.user_connection, takes);
            Some(NeededAccount { connection: account.name.clone(), takes: takes.kind, state })
        })
        .collect();
    let shown = Readiness {
        virtual_server: name,
        user,
        ready: !server.is_retired()
            && !is_blocked
            && connections.iter().all(|account| account.state == Status::Active),
        blocked: is_blocked,
        connections,
    };
    Ok(answer::ok(proctor.journal.head().position(), &shown))
}
