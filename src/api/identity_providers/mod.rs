//! Identity providers, whose access tokens virtual servers may take: registered, set anew, retired.

mod list;
mod register;
mod retire;
mod revise;
mod settings;
mod show;

use std::sync::Arc;

use proctor_domain::Name;
use proctor_domain::identity_provider::IdentityProvider;
use serde_json::{Value, json};

pub(super) use list::list;
pub(super) use register::register;
pub(super) use retire::retire;
pub(super) use revise::revise;
pub(super) use show::show;

use super::problem::{Code, Problem};
use crate::proctor::Proctor;

/// The name of an identity provider in an address.
fn named(name: &str) -> Result<Name, Problem> {
    Name::new(name).map_err(|error| {
        Problem::new(Code::IdentityProviderNotFound, format!("there is no such identity provider: {error}"))
    })
}

/// The identity provider as all processes have made it so far.
async fn fresh(proctor: &Proctor, name: &Name) -> Result<Arc<IdentityProvider>, Problem> {
    let state = proctor.directory.fresh::<IdentityProvider>(name.as_str()).await?;
    if state.settings().is_none() {
        let detail = format!("there is no identity provider \"{name}\": list them, or register it");
        return Err(Problem::new(Code::IdentityProviderNotFound, detail));
    }
    Ok(state)
}

/// An identity provider as it is shown.
fn shown(name: &str, provider: &IdentityProvider) -> Value {
    let settings = provider.settings();
    json!({
        "name": name,
        "state": if provider.is_retired() { "retired" } else { "registered" },
        "issuer": settings.map(|settings| &settings.issuer),
        "audience": settings.and_then(|settings| settings.audience.as_ref()),
        "user_claim": settings.map(|settings| &settings.user_claim),
        "algorithms": settings.map(|settings| &settings.algorithms),
        "scopes": settings.map(|settings| &settings.scopes),
        "private_network": settings.is_some_and(|settings| settings.private_network),
    })
}
