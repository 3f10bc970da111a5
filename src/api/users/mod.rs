//! Users' own accounts at connections: set, listed, disconnected.

mod all;
mod block;
mod credential;
mod disconnect;
mod link;
mod list;
pub(super) mod operations;
mod show;
mod user;
mod verify;

use std::sync::Arc;

use proctor_domain::connection::{Connection, CredentialKind, Takes};
use proctor_domain::subject::Subject;
use proctor_domain::user_connection::{Status, UserConnection};
use proctor_domain::{Name, SubjectId};
use serde::Serialize;
use utoipa::ToSchema;

pub(super) use all::all;
pub(super) use block::{block, unblock};
pub(super) use credential::set;
pub(super) use disconnect::disconnect;
pub(super) use link::{issue, link, return_url};
pub(super) use list::list;
pub(super) use show::show;
pub(super) use user::user;
pub(super) use verify::verify;

use super::caller::Caller;
use super::openapi::words;
use super::problem::{Code, Problem};
use super::time;
use crate::actors::now;
use crate::opening::{self, Registration};
use crate::proctor::Proctor;

/// The reference of a user, who is given one when seen for the first time.
pub(super) async fn reference(proctor: &Proctor, caller: &Caller, user: &str) -> Result<SubjectId, Problem> {
    opening::reference(&proctor.keyring, caller.by(), user, async |registration: &Registration| {
        let prepare = || async { Ok(registration.prepared(&proctor.directory, &proctor.keyring).await?) };
        match caller.act::<Subject, _>(proctor, registration.subject(), prepare).await {
            Ok(_) => Ok(true),
            Err(problem) if problem.code == Code::WrittenMeanwhile => Ok(false),
            Err(problem) => Err(problem),
        }
    })
    .await
}

/// The connection, to which each user brings something.
async fn of_each_user(proctor: &Proctor, name: &str) -> Result<(Name, Arc<Connection>), Problem> {
    let unknown = || {
        let detail = format!("there is no connection \"{}\" in use: list them", name.escape_debug());
        Problem::new(Code::ConnectionNotFound, detail)
    };
    let name = Name::new(name).map_err(|_| unknown())?;
    let connection = proctor.directory.fresh::<Connection>(name.as_str()).await?;
    if !connection.is_usable() {
        return Err(unknown());
    }
    if connection.takes().is_none() {
        let detail =
            format!("connection \"{name}\" takes no credential of each user: reconfigure its auth first");
        return Err(Problem::new(Code::InvalidCredential, detail));
    }
    Ok((name, connection))
}

/// A user's own account at a connection. Its credential is never shown.
#[derive(Serialize, ToSchema)]
#[schema(as = Account)]
pub(super) struct Shown<'a> {
    user: &'a str,
    #[schema(value_type = words::Name)]
    connection: &'a Name,
    #[schema(value_type = words::AccountState)]
    state: Status,
    /// What is to be brought.
    #[schema(value_type = Option<words::Credential>)]
    takes: Option<CredentialKind>,
    /// Of the credential: each one that is put in force has the next.
    generation: Option<u32>,
    /// Since when it is as it is.
    #[schema(format = DateTime)]
    since: Option<String>,
    /// Why it is not active.
    reason: Option<&'a str>,
    /// What was authorized, where an authorization server said so.
    scopes: Option<&'a [String]>,
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// Whether the tokens that it replaced were given back to their authorization server; said by whoever
    /// replaced some.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = words::GivenBack, required = false)]
    revoked_at_provider: Option<Option<bool>>,
}

fn shown<'a>(
    user: &'a str,
    name: &'a Name,
    connection: &Connection,
    account: &'a UserConnection,
) -> Shown<'a> {
    let takes = connection.credential_kind();
    let state = connection.takes().map_or(Status::Missing, |takes| status(account, takes));
    let known = account.generation() > 0;
    let is_active = state == Status::Active;
    Shown {
        user,
        connection: name,
        state,
        takes,
        generation: known.then(|| account.generation()),
        since: known.then(|| time::shown(account.since())),
        reason: account.reason().filter(|_| !is_active),
        scopes: (is_active && takes == Some(CredentialKind::Oauth2)).then(|| account.scopes()),
        expires_at: account.expires_at().filter(|_| is_active).map(time::shown),
        revoked_at_provider: None,
    }
}

/// The account's status as it is shown: one waits only as long as its link can be used.
pub(super) fn status(account: &UserConnection, takes: Takes<'_>) -> Status {
    match account.status_for(takes) {
        Status::Pending if !account.link().is_some_and(|link| link.is_pending(now())) => Status::Missing,
        status => status,
    }
}
