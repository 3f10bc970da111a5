//! `PUT /identity-providers/{name}`: sets an identity provider anew. What its tokens were found to be
//! before counts no more.

use actix_web::{HttpResponse, web};
use proctor_domain::identity_provider::{IdentityProvider, IdentityProviderCommand};

use super::super::answer;
use super::super::body::Body;
use super::super::caller::Caller;
use super::super::problem::{Code, Problem};
use super::settings::ProviderBody;
use crate::proctor::Proctor;

pub(in crate::api) async fn revise(
    proctor: web::Data<Proctor>,
    caller: Caller,
    name: web::Path<String>,
    Body(body): Body<ProviderBody>,
) -> Result<HttpResponse, Problem> {
    let name = super::named(&name)?;
    if body.name.as_ref().is_some_and(|named| *named != name) {
        let detail =
            format!("the body names another identity provider than the address, which is for \"{name}\"");
        return Err(Problem::new(Code::InvalidBody, detail));
    }
    let command = IdentityProviderCommand::Revise { by: caller.by(), settings: body.settings()? };
    let events = caller.tell::<IdentityProvider>(&proctor, name.as_str(), command).await?;
    let position = proctor.directory.position_of(&events);
    let state = super::fresh(&proctor, &name).await?;
    Ok(answer::ok(position, &super::shown(name.as_str(), &state)))
}
