//! `PUT /virtual-servers/{name}`: makes a new version, unless nothing changes.

use actix_web::{HttpResponse, web};
use proctor_domain::virtual_server::{VirtualServer, VirtualServerCommand};

use super::super::answer;
use super::super::body::Body;
use super::super::caller::Caller;
use super::super::problem::{Code, Problem};
use super::check;
use super::definition::DefinitionBody;
use crate::proctor::Proctor;

pub(in crate::api) async fn revise(
    proctor: web::Data<Proctor>,
    caller: Caller,
    name: web::Path<String>,
    Body(body): Body<DefinitionBody>,
) -> Result<HttpResponse, Problem> {
    let name = super::named(&name)?;
    if body.name.as_ref().is_some_and(|named| *named != name) {
        let detail =
            format!("the body names another virtual server than the address, which is for \"{name}\"");
        return Err(Problem::new(Code::InvalidBody, detail));
    }
    let definition = body.into_definition()?;
    let events = caller
        .act::<VirtualServer, _>(&proctor, name.as_str(), || {
            check::prepare(&proctor, &definition, |connections| VirtualServerCommand::Revise {
                by: caller.by(),
                definition: definition.clone(),
                connections,
            })
        })
        .await?;
    let position = proctor.directory.position_of(&events);
    let state = super::fresh(&proctor, &name).await?;
    Ok(answer::ok(position, &super::shown(name.as_str(), &state)))
}
