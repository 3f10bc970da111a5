//! `POST /identity-providers/{name}/retire`: takes an identity provider out of use for good. None of
//! its tokens is taken any more.

use actix_web::{HttpResponse, web};
use proctor_domain::identity_provider::{IdentityProvider, IdentityProviderCommand};

use super::super::answer;
use super::super::body::BodyOrNothing;
use super::super::caller::Caller;
use super::super::problem::Problem;
use super::super::reason::ReasonIfAny;
use crate::proctor::Proctor;

pub(in crate::api) async fn retire(
    proctor: web::Data<Proctor>,
    caller: Caller,
    name: web::Path<String>,
    BodyOrNothing(body): BodyOrNothing<ReasonIfAny>,
) -> Result<HttpResponse, Problem> {
    let name = super::named(&name)?;
    let command = IdentityProviderCommand::Retire { by: caller.by(), reason: body.checked()? };
    let events = caller.tell::<IdentityProvider>(&proctor, name.as_str(), command).await?;
    let position = proctor.directory.position_of(&events);
    let state = super::fresh(&proctor, &name).await?;
    Ok(answer::ok(position, &super::shown(name.as_str(), &state)))
}
