//! Users' own accounts at connections: set, listed, disconnected.

mod credential;
mod disconnect;
mod link;
mod list;
mod show;
mod verify;

use std::sync::Arc;

use proctor_domain::connection::{Connection, CredentialKind};
use proctor_domain::subject::{Subject, SubjectCommand, SubjectError};
use proctor_domain::user_connection::{Status, UserConnection};
use proctor_domain::{Name, SubjectId};
use serde_json::{Value, json};

pub(super) use credential::set;
pub(super) use disconnect::disconnect;
pub(super) use link::{issue, link, return_url};
pub(super) use list::list;
pub(super) use show::show;
pub(super) use verify::verify;

use super::caller::Caller;
use super::problem::{Code, Problem};
use super::time;
use crate::actors::{Prepared, now, registration};
use crate::opening;
use crate::proctor::Proctor;

/// The reference of a user, who is given one when seen for the first time.
pub(super) async fn reference(proctor: &Proctor, caller: &Caller, user: &str) -> Result<SubjectId, Problem> {
    if let Some(subject) = proctor.keyring.subject_of(user).await? {
        return Ok(subject);
    }
    let (subject, row) = opening::new_subject(&proctor.vault, user);
    let registered = caller
        .act::<Subject, _>(proctor, &subject, || async {
            let command = SubjectCommand::Register { by: caller.by() };
            let (side_writes, ground) =
                registration::<SubjectError>(&proctor.directory, &proctor.keyring, user, &row).await?;
            Ok(Prepared { side_writes, grounds: vec![ground], ..Prepared::alone(command) })
        })
        .await;
    match registered {
        Ok(_) => Ok(subject.into()),
        // Another request for the same user was faster.
        Err(problem) if problem.code == Code::WrittenMeanwhile => {
            proctor.keyring.subject_of(user).await?.ok_or(problem)
        }
        Err(problem) => Err(problem),
    }
}

/// The connection, and what each user brings to it.
async fn of_each_user(
    proctor: &Proctor,
    name: &str,
) -> Result<(Name, Arc<Connection>, CredentialKind), Problem> {
    let unknown = || {
        let detail = format!("there is no connection \"{}\" in use: list them", name.escape_debug());
        Problem::new(Code::ConnectionNotFound, detail)
    };
    let name = Name::new(name).map_err(|_| unknown())?;
    let connection = proctor.directory.fresh::<Connection>(name.as_str()).await?;
    if !connection.is_usable() {
        return Err(unknown());
    }
    let takes = connection.credential_kind().ok_or_else(|| {
        let detail =
            format!("connection \"{name}\" takes no credential of each user: reconfigure its auth first");
        Problem::new(Code::InvalidCredential, detail)
    })?;
    Ok((name, connection, takes))
}

/// A user's account as it is shown: without its credential.
fn shown(user: &str, connection: &Name, takes: CredentialKind, account: &UserConnection) -> Value {
    let status = status(account, takes);
    let known = account.generation() > 0;
    let is_active = status == Status::Active;
    json!({
        "user": user,
        "connection": connection,
        "state": status,
        "takes": takes,
        "generation": known.then(|| account.generation()),
        "since": known.then(|| time::shown(account.since())),
        "reason": account.reason().filter(|_| !is_active),
        "scopes": (is_active && takes == CredentialKind::Oauth2).then(|| account.scopes()),
        "expires_at": account.expires_at().filter(|_| is_active).map(time::shown),
    })
}

/// The account's status as it is shown: one waits only as long as its link can be used.
pub(super) fn status(account: &UserConnection, takes: CredentialKind) -> Status {
    match account.status_for(takes) {
        Status::Pending if !account.link().is_some_and(|link| link.is_pending(now())) => Status::Missing,
        status => status,
    }
}
