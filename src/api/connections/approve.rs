//! `POST /connections/{name}/approve`: puts in force what is held, as it was shown.

use std::collections::BTreeSet;

use actix_web::{HttpResponse, web};
use proctor_domain::connection::{Connection, ConnectionCommand, Feature};
use serde::Deserialize;
use utoipa::ToSchema;

use super::super::answer;
use super::super::body::Body;
use super::super::caller::Caller;
use super::super::problem::Problem;
use super::diff;
use crate::proctor::Proctor;

/// What is approved.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Approval {
    /// These of what is held or gone, as the difference names them; all when absent.
    #[schema(value_type = Option<Vec<String>>)]
    tools: Option<BTreeSet<Feature>>,
    /// The digest of what was offered when the difference was shown.
    digest: String,
}

pub(in crate::api) async fn approve(
    proctor: web::Data<Proctor>,
    caller: Caller,
    name: web::Path<String>,
    Body(body): Body<Approval>,
) -> Result<HttpResponse, Problem> {
    let name = super::named(&name)?;
    let Approval { tools, digest } = body;
    let command = ConnectionCommand::ApproveCatalog { by: caller.by(), tools, digest };
    let events = caller.tell::<Connection>(&proctor, name.as_str(), command).await?;
    Ok(answer::ok(proctor.directory.position_of(&events), &diff::shown(&proctor, &name).await?))
}
