//! `POST /users/{user}/connections/{connection}/verify`: the product's backend says that the code came
//! with this user's browser, which puts the account in force.

use std::cell::RefCell;

use actix_web::{HttpResponse, web};
use proctor_domain::user_connection::UserConnection;
use serde::Deserialize;
use utoipa::ToSchema;

use super::super::answer;
use super::super::body::Body;
use super::super::caller::Caller;
use super::super::problem::{Code, Problem};
use super::{of_each_user, shown};
use crate::actors::AskError;
use crate::connect::{self, Confirmed, NotConfirmed, confirm};
use crate::proctor::Proctor;

/// What came back with the user's browser.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Verification {
    /// From the address that the browser was sent back to.
    code: String,
}

pub(in crate::api) async fn verify(
    proctor: web::Data<Proctor>,
    caller: Caller,
    path: web::Path<(String, String)>,
    Body(body): Body<Verification>,
) -> Result<HttpResponse, Problem> {
    let (user, name) = path.into_inner();
    let (name, connection) = of_each_user(&proctor, &name).await?;
    let subject = proctor.keyring.subject_of(&user).await?;
    let confirm = || confirm(&proctor, caller.by(), subject.as_ref(), &name, &body.code);
    // Looked at once before, since somebody else's account has another stream.
    let subject = match confirm().await? {
        Confirmed::SomebodyElse { id, prepared, credential } => {
            let once = RefCell::new(Some(*prepared));
            caller
                .act::<UserConnection, _>(&proctor, &id, || {
                    let prepared = once.borrow_mut().take();
                    async move { prepared.ok_or_else(changed) }
                })
                .await?;
            if let Some(credential) = credential {
                connect::revoke(&proctor, &name, &connection, &credential).await;
            }
            let detail = "this code belongs to another user: the person who authorized is not the one who was to \
                          connect the account, so nothing was connected, and what was authorized is thrown away";
            return Err(Problem::new(Code::VerificationFailed, detail));
        }
        Confirmed::Account(_) => subject.as_ref().ok_or_else(changed)?,
    };
    let id = UserConnection::id(subject, &name);
    let before = proctor.directory.state::<UserConnection>(&id).await?;
    let replaced = connect::replaced(&proctor, subject, &name, &before, &connection).await?;
    let events = caller
        .act::<UserConnection, _>(&proctor, &id, || async {
            match confirm().await? {
                Confirmed::Account(prepared) => Ok(*prepared),
                Confirmed::SomebodyElse { .. } => Err(changed()),
            }
        })
        .await?;
    let state = proctor.directory.state::<UserConnection>(&id).await?;
    let mut shown = shown(&user, &name, &connection, &state);
    if let Some(credential) = replaced.filter(|_| !events.is_empty()) {
        let revoked = connect::revoke(&proctor, &name, &connection, &credential).await;
        shown.revoked_at_provider = Some(revoked);
    }
    Ok(answer::ok(proctor.directory.position_of(&events), &shown))
}

fn changed() -> Problem {
    Problem::new(Code::WrittenMeanwhile, "what the code confirms has changed meanwhile: try again")
}

impl From<NotConfirmed> for Problem {
    fn from(error: NotConfirmed) -> Self {
        match error {
            NotConfirmed::Code(error) => error.into(),
            NotConfirmed::Key(error) => error.into(),
            NotConfirmed::Ask(error) => AskError::into(error),
            NotConfirmed::Connection(error) => AskError::into(error),
        }
    }
}
