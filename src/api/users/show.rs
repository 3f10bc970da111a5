//! `GET /users/{user}/connections/{connection}`: one account of a user.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use proctor_domain::user_connection::UserConnection;

use super::super::answer;
use super::super::problem::Problem;
use super::{of_each_user, shown};
use crate::proctor::Proctor;

pub(in crate::api) async fn show(
    proctor: web::Data<Proctor>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let (user, name) = path.into_inner();
    let (name, connection) = of_each_user(&proctor, &name).await?;
    let state = match proctor.keyring.subject_of(&user).await? {
        Some(subject) => proctor.directory.fresh(&UserConnection::id(&subject, &name)).await?,
        None => Arc::default(),
    };
    Ok(answer::ok(proctor.journal.head().position(), &shown(&user, &name, &connection, &state)))
}
