//! `POST /identity-providers`: makes an identity provider known.

use actix_web::{HttpResponse, web};
use proctor_domain::identity_provider::{IdentityProvider, IdentityProviderCommand};

use super::super::answer;
use super::super::body::Body;
use super::super::caller::Caller;
use super::super::problem::{Code, Problem};
use super::settings::ProviderBody;
use crate::proctor::Proctor;

pub(in crate::api) async fn register(
    proctor: web::Data<Proctor>,
    caller: Caller,
    Body(body): Body<ProviderBody>,
) -> Result<HttpResponse, Problem> {
    let Some(name) = body.name.clone() else {
        return Err(Problem::new(Code::InvalidBody, "failed to read the body: missing field `name`"));
    };
    let command = IdentityProviderCommand::Register { by: caller.by(), settings: body.settings()? };
    let events = caller.tell::<IdentityProvider>(&proctor, name.as_str(), command).await?;
    let position = proctor.directory.position_of(&events);
    let state = super::fresh(&proctor, &name).await?;
    let shown = super::shown(name.as_str(), &state);
    Ok(answer::created(position, &format!("/api/v1/identity-providers/{name}"), &shown))
}
