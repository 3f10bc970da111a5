//! Users' own accounts at connections: set, listed, disconnected.

mod credential;
mod disconnect;
mod link;
mod list;
mod show;
mod verify;

use std::collections::BTreeSet;
use std::future::ready;
use std::sync::Arc;

use proctor_domain::connection::{Connection, CredentialKind};
use proctor_domain::session::UserGrounds;
use proctor_domain::subject::{Subject, SubjectCommand};
use proctor_domain::user_connection::{Status, UserConnection};
use proctor_domain::virtual_server::VirtualServer;
use proctor_domain::{Decider as _, Name, StreamId, SubjectId};
use rand::Rng as _;
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
use crate::actors::{Prepared, now};
use crate::journal::{SideWrite, SubjectRow};
use crate::proctor::Proctor;

/// Longest identifier of a user, in characters.
pub(super) const USER_CHARS_MAX: usize = 512;
/// Random bytes in a user's reference.
const SUBJECT_BYTES: usize = 16;

/// Whether a user can be called so.
pub(super) fn fits(user: &str) -> bool {
    (1..=USER_CHARS_MAX).contains(&user.chars().count())
}

/// The reference of a user, who is given one when seen for the first time.
pub(super) async fn reference(proctor: &Proctor, caller: &Caller, user: &str) -> Result<SubjectId, Problem> {
    if let Some(subject) = proctor.keyring.subject_of(user).await? {
        return Ok(subject);
    }
    let mut random = [0; SUBJECT_BYTES];
    rand::rng().fill_bytes(&mut random);
    let subject = format!("sub_{}", hex::encode(random));
    let (key, wrapped_key) = proctor.vault.new_subject_key(&subject);
    let row = SubjectRow {
        user_index: proctor.vault.user_index(user).to_vec(),
        user_sealed: key.seal_user(&subject, user),
        subject: subject.clone(),
        wrapped_key,
    };
    let registered = caller
        .act::<Subject, _>(proctor, &subject, || {
            let command = SubjectCommand::Register { by: caller.by() };
            let row = SideWrite::Subject(row.clone());
            ready(Ok(Prepared { side_writes: vec![row], ..Prepared::alone(command) }))
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

/// The user's accounts at those connections of a virtual server for which every user brings a
/// credential, with everything that was looked at.
pub(super) async fn accounts(
    proctor: &Proctor,
    subject: Option<&SubjectId>,
    server: &VirtualServer,
) -> Result<(Vec<UserGrounds>, Vec<(StreamId, u64)>), Problem> {
    let names: BTreeSet<&Name> = server.definition().tools.iter().map(|tool| &tool.connection).collect();
    let (mut accounts, mut looked_at) = (Vec::new(), Vec::new());
    for name in names {
        let connection = proctor.directory.state::<Connection>(name.as_str()).await?;
        looked_at.push((StreamId::of::<Connection>(name.as_str()), connection.version()));
        if connection.credential_kind().is_none() {
            continue;
        }
        let user_connection = match subject {
            Some(subject) => {
                let id = UserConnection::id(subject, name);
                let state = proctor.directory.state::<UserConnection>(&id).await?;
                looked_at.push((StreamId::of::<UserConnection>(&id), state.version()));
                state
            }
            None => Arc::default(),
        };
        accounts.push(UserGrounds { name: name.clone(), connection, user_connection });
    }
    Ok((accounts, looked_at))
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
