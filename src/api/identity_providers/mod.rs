//! Identity providers, whose access tokens virtual servers may take: registered, set anew, retired.

mod list;
pub(super) mod operations;
mod register;
mod retire;
mod revise;
mod settings;
mod show;

use std::sync::Arc;

use proctor_domain::Name;
use proctor_domain::identity_provider::{Algorithm, IdentityProvider};
use serde::Serialize;
use utoipa::ToSchema;

pub(super) use list::list;
pub(super) use register::register;
pub(super) use retire::retire;
pub(super) use revise::revise;
pub(super) use show::show;

use super::openapi::words;
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

/// An identity provider.
#[derive(Serialize, ToSchema)]
#[schema(as = IdentityProvider)]
struct Shown<'a> {
    #[schema(value_type = words::Name)]
    name: &'a str,
    #[schema(value_type = words::InUse)]
    state: &'static str,
    /// As its tokens name it.
    issuer: Option<&'a str>,
    /// What its tokens may be for, beside the URL of the virtual server.
    audience: Option<&'a str>,
    /// The claim that says who the user is.
    user_claim: Option<&'a str>,
    #[schema(value_type = Option<Vec<words::Algorithm>>)]
    algorithms: Option<&'a [Algorithm]>,
    /// What clients are told to ask it for.
    scopes: Option<&'a [String]>,
    /// Whether it is in a private network.
    private_network: bool,
}

fn shown<'a>(name: &'a str, provider: &'a IdentityProvider) -> Shown<'a> {
    let settings = provider.settings();
    Shown {
        name,
        state: if provider.is_retired() { "retired" } else { "registered" },
        issuer: settings.map(|settings| settings.issuer.as_str()),
        audience: settings.and_then(|settings| settings.audience.as_deref()),
        user_claim: settings.map(|settings| settings.user_claim.as_str()),
        algorithms: settings.map(|settings| settings.algorithms.as_slice()),
        scopes: settings.map(|settings| settings.scopes.as_slice()),
        private_network: settings.is_some_and(|settings| settings.private_network),
    }
}
