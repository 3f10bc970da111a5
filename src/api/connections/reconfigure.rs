//! `PUT /connections/{name}`: sets a connection anew. Secrets that are left out are kept.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use proctor_domain::Name;
use proctor_domain::connection::{Connection, ConnectionCommand, Settings};

use super::super::answer;
use super::super::body::Body;
use super::super::caller::Caller;
use super::super::problem::{Code, Problem};
use super::settings::ConnectionBody;
use crate::actors::Prepared;
use crate::connect::Discovered;
use crate::journal::{Delivered, SideWrite};
use crate::proctor::Proctor;
use crate::targets::Secrets;

/// How often it is tried again because somebody else set the same connection anew.
const ATTEMPTS_MAX: usize = 8;

pub(in crate::api) async fn reconfigure(
    proctor: web::Data<Proctor>,
    caller: Caller,
    name: web::Path<String>,
    Body(body): Body<ConnectionBody>,
) -> Result<HttpResponse, Problem> {
    let name = super::named(&name)?;
    if body.name.as_ref().is_some_and(|named| *named != name) {
        let detail = format!("the body names another connection than the address, which is for \"{name}\"");
        return Err(Problem::new(Code::InvalidBody, detail));
    }
    let before = before(&proctor, &name).await?;
    let known = before.as_ref().map(|(settings, secrets)| (&**settings, secrets));
    let discovered = body.discover(&proctor, &name, known).await?;
    let events = until_alone(&proctor, &caller, &name, &body, discovered.as_ref()).await?;
    if !events.is_empty() {
        // What was opened with the settings before serves nobody any more.
        proctor.upstreams.retire(name.as_str());
    }
    let position = proctor.directory.position_of(&events);
    let state = super::fresh(&proctor, &name).await?;
    Ok(answer::ok(position, &super::shown(name.as_str(), &state)))
}

/// Every generation has its own row of secrets, so that of two that are made at the same time one
/// finds the row there, and is made again on top of the other.
async fn until_alone(
    proctor: &Proctor,
    caller: &Caller,
    name: &Name,
    body: &ConnectionBody,
    discovered: Option<&Discovered>,
) -> Result<Vec<Delivered>, Problem> {
    let mut attempt = 1;
    loop {
        let answer = caller
            .act::<Connection, _>(proctor, name.as_str(), || prepare(proctor, caller, name, body, discovered))
            .await;
        match answer {
            Err(problem) if problem.code == Code::WrittenMeanwhile && attempt < ATTEMPTS_MAX => attempt += 1,
            answer => return answer,
        }
    }
}

/// How the connection is set now.
async fn before(proctor: &Proctor, name: &Name) -> Result<Option<(Arc<Settings>, Secrets)>, Problem> {
    let state = super::fresh(proctor, name).await?;
    Ok(match state.settings() {
        Some(settings) => {
            Some((Arc::clone(settings), proctor.targets.secrets(name, state.generation()).await?))
        }
        None => None,
    })
}

async fn prepare(
    proctor: &Proctor,
    caller: &Caller,
    name: &Name,
    body: &ConnectionBody,
    discovered: Option<&Discovered>,
) -> Result<Prepared<Connection>, Problem> {
    let before = before(proctor, name).await?;
    let state = super::fresh(proctor, name).await?;
    let before = before.as_ref().map(|(settings, secrets)| (&**settings, secrets));
    let (settings, secrets) = body.settings(before, discovered)?;
    let generation = state.generation() + 1;
    let secret = SideWrite::ConnectionSecret {
        connection: name.to_string(),
        generation,
        sealed: proctor.targets.seal(name, generation, &secrets),
    };
    let new_secrets = body.brings_secrets();
    let command = ConnectionCommand::Reconfigure { by: caller.by(), settings, new_secrets };
    Ok(Prepared { side_writes: vec![secret], ..Prepared::alone(command) })
}
