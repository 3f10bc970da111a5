//! Users' own accounts at connections: set, listed, disconnected.

mod all;
mod block;
mod credential;
mod disconnect;
mod link;
mod list;
mod show;
mod user;
mod verify;

use std::sync::Arc;

use proctor_domain::connection::{Connection, CredentialKind, Takes};
use proctor_domain::subject::Subject;
use proctor_domain::user_connection::{Status, UserConnection};
use proctor_domain::{Name, SubjectId};
use serde_json::{Value, json};

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

/// A user's account as it is shown: without its credential.
fn shown(user: &str, name: &Name, connection: &Connection, account: &UserConnection) -> Value {
    let takes = connection.credential_kind();
    let status = connection.takes().map_or(Status::Missing, |takes| status(account, takes));
    let known = account.generation() > 0;
    let is_active = status == Status::Active;
    json!({
        "user": user,
        "connection": name,
        "state": status,
        "takes": takes,
        "generation": known.then(|| account.generation()),
        "since": known.then(|| time::shown(account.since())),
        "reason": account.reason().filter(|_| !is_active),
        "scopes": (is_active && takes == Some(CredentialKind::Oauth2)).then(|| account.scopes()),
        "expires_at": account.expires_at().filter(|_| is_active).map(time::shown),
    })
}

/// The account's status as it is shown: one waits only as long as its link can be used.
pub(super) fn status(account: &UserConnection, takes: Takes<'_>) -> Status {
    match account.status_for(takes) {
        Status::Pending if !account.link().is_some_and(|link| link.is_pending(now())) => Status::Missing,
        status => status,
    }
}
