//! `POST /virtual-servers`: defines a virtual server, as its version 1.

use actix_web::{HttpResponse, web};
use proctor_domain::virtual_server::{VirtualServer, VirtualServerCommand};

use super::super::answer;
use super::super::body::Body;
use super::super::caller::Caller;
use super::super::problem::{Code, Problem};
use super::check;
use super::definition::DefinitionBody;
use crate::proctor::Proctor;

pub(in crate::api) async fn define(
    proctor: web::Data<Proctor>,
    caller: Caller,
    Body(body): Body<DefinitionBody>,
) -> Result<HttpResponse, Problem> {
    let Some(name) = body.name.clone() else {
        return Err(Problem::new(Code::InvalidBody, "failed to read the body: missing field `name`"));
    };
    let definition = body.into_definition()?;
    let events = caller
        .act::<VirtualServer, _>(&proctor, name.as_str(), || {
            check::prepare(&proctor, &definition, |connections| VirtualServerCommand::Define {
                by: caller.by(),
                definition: definition.clone(),
                connections,
            })
        })
        .await?;
    let position = proctor.directory.position_of(&events);
    let state = super::fresh(&proctor, &name).await?;
    let shown = super::shown(name.as_str(), &state);
    Ok(answer::created(position, &format!("/api/v1/virtual-servers/{name}"), &shown))
}
