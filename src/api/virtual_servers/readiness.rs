//! `GET /virtual-servers/{name}/users/{user}/readiness`: whether a session could be minted, and what
//! the user has to connect first.

use actix_web::{HttpResponse, web};
use proctor_domain::subject::Subject;
use proctor_domain::user_connection::Status;
use serde_json::{Value, json};

use super::super::answer;
use super::super::problem::Problem;
use super::super::users::status;
use crate::opening;
use crate::proctor::Proctor;

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
    let connections: Vec<(Value, Status)> = accounts
        .iter()
        .filter_map(|account| {
            let takes = account.connection.takes()?;
            let status = status(&account.user_connection, takes);
            Some((json!({ "connection": account.name, "takes": takes.kind, "state": status }), status))
        })
        .collect();
    let shown = json!({
        "virtual_server": name,
        "user": user,
        "ready": !server.is_retired()
            && !is_blocked
            && connections.iter().all(|(_, status)| *status == Status::Active),
        "blocked": is_blocked,
        "connections": connections.into_iter().map(|(shown, _)| shown).collect::<Vec<_>>(),
    });
    Ok(answer::ok(proctor.journal.head().position(), &shown))
}
