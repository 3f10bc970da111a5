//! `POST /connections`: makes an upstream known, and looks at once what it offers.

use std::future::ready;

use actix_web::{HttpResponse, web};
use proctor_domain::connection::{Connection, ConnectionCommand};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::answer;
use super::super::body::Body;
use super::super::caller::Caller;
use super::super::problem::{Code, Problem};
use super::settings::ConnectionBody;
use super::{Shown, discovery};
use crate::actors::Prepared;
use crate::journal::SideWrite;
use crate::proctor::Proctor;

/// The generation of a connection's first settings.
const FIRST_GENERATION: u32 = 1;

/// A connection that was registered.
#[derive(Serialize, ToSchema)]
#[schema(as = RegisteredConnection)]
pub(super) struct Registered<'a> {
    #[serde(flatten)]
    #[schema(inline)]
    connection: Shown<'a>,
    /// Why its catalog could not be read at once; it can be later.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    catalog_error: Option<String>,
}

pub(in crate::api) async fn register(
    proctor: web::Data<Proctor>,
    caller: Caller,
    Body(body): Body<ConnectionBody>,
) -> Result<HttpResponse, Problem> {
    let Some(name) = body.name.clone() else {
        return Err(Problem::new(Code::InvalidBody, "failed to read the body: missing field `name`"));
    };
    let discovered = body.discover(&proctor, &name, None).await?;
    let (settings, secrets) = body.settings(None, discovered.as_ref())?;
    let sealed = proctor.targets.seal(&name, FIRST_GENERATION, &secrets);
    let registered = caller
        .act::<Connection, _>(&proctor, name.as_str(), || {
            let command = ConnectionCommand::Register { by: caller.by(), settings: settings.clone() };
            let secret = SideWrite::ConnectionSecret {
                connection: name.to_string(),
                generation: FIRST_GENERATION,
                sealed: sealed.clone(),
            };
            ready(Ok(Prepared { side_writes: vec![secret], ..Prepared::alone(command) }))
        })
        .await?;
    // It is registered, whatever becomes of this: its catalog can be refreshed later.
    let found = discovery::refresh(&proctor, &caller, &name, None).await;
    let state = super::fresh(&proctor, &name).await?;
    let connection = super::shown(name.as_str(), &state);
    let (position, catalog_error) = match found {
        Ok(found) => (found.position, None),
        Err(problem) => (proctor.directory.position_of(&registered), Some(problem.detail)),
    };
    let shown = Registered { connection, catalog_error };
    Ok(answer::created(position, &format!("/api/v1/connections/{name}"), &shown))
}
