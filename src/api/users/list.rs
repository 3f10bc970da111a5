//! `GET /users/{user}/connections`: a user's accounts, one for each connection that needs one.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use proctor_domain::Name;
use proctor_domain::connection::Connection;
use proctor_domain::user_connection::UserConnection;

use super::super::answer;
use super::super::page::{self, Page};
use super::super::problem::Problem;
use super::shown;
use crate::proctor::Proctor;

const LIST: &str = "user-connections";

pub(in crate::api) async fn list(
    proctor: web::Data<Proctor>,
    user: web::Path<String>,
    query: web::Query<Page>,
) -> Result<HttpResponse, Problem> {
    let limit = page::limit(query.limit.as_deref())?;
    let after: Option<String> = page::after(&proctor, LIST, query.cursor.as_deref())?;
    let position = proctor.journal.confirm().await?;
    let subject = proctor.keyring.subject_of(&user).await?;
    let mut of_each_user = Vec::new();
    for id in proctor.journal.reader().stream_ids("connection").await? {
        let connection = proctor.directory.state::<Connection>(&id).await?;
        if connection.is_usable() && connection.takes().is_some() {
            of_each_user.push((id, connection));
        }
    }
    let names = of_each_user.iter().map(|(id, _)| id.clone()).collect();
    let (names, more) = page::of_names(names, after.as_deref(), limit);
    let mut accounts = Vec::new();
    for (id, connection) in of_each_user.iter().filter(|(id, _)| names.contains(id)) {
        let Ok(name) = Name::new(id) else { continue };
        let state: Arc<UserConnection> = match &subject {
            Some(subject) => proctor.directory.state(&UserConnection::id(subject, &name)).await?,
            None => Arc::default(),
        };
        accounts.push((name, connection, state));
    }
    let items = accounts.iter().map(|(name, connection, state)| shown(&user, name, connection, state));
    let items = items.collect();
    let cursor = page::cursor(&proctor, LIST, names.last().filter(|_| more))?;
    Ok(answer::ok(position, &page::shown(items, cursor.as_deref(), position)))
}
