//! `POST /connections/{name}/test`: tries to reach an upstream, and writes down how it went.

use actix_web::{HttpResponse, web};
use proctor_domain::connection::{Connection, ConnectionCommand};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::super::answer;
use super::super::caller::Caller;
use super::super::openapi::words;
use super::super::problem::Problem;
use super::AsUser;
use super::discovery::unprobed;
use crate::proctor::Proctor;
use crate::upstream::Era;

/// What was found at an upstream.
#[derive(Serialize, ToSchema)]
#[schema(as = ConnectionTest)]
pub(super) struct Found<'a> {
    #[schema(value_type = words::Name)]
    connection: &'a str,
    ok: bool,
    #[schema(value_type = words::Era)]
    era: &'a str,
    protocol_version: &'a str,
    /// As it names itself.
    #[schema(value_type = Value, required)]
    server_info: Option<&'a RawValue>,
    /// What it tells its clients.
    instructions: Option<&'a str>,
}

pub(in crate::api) async fn test(
    proctor: web::Data<Proctor>,
    caller: Caller,
    name: web::Path<String>,
    query: web::Query<AsUser>,
) -> Result<HttpResponse, Problem> {
    let name = super::named(&name)?;
    let state = super::fresh(&proctor, &name).await?;
    let target = unprobed(&proctor, &name, &state, query.user.as_deref()).await?;
    let probed = proctor.upstreams.probe(&target).await;
    let failure = probed.as_ref().err().map(|error| error.kind.as_str().to_owned());
    let command = ConnectionCommand::RecordTest { by: caller.by(), failure };
    let events = caller.tell::<Connection>(&proctor, name.as_str(), command).await?;
    let probed = probed?;
    let found = Found {
        connection: name.as_str(),
        ok: true,
        era: match probed.era {
            Era::Legacy => "legacy",
            Era::Modern => "modern",
        },
        protocol_version: probed.protocol_version,
        server_info: probed.server_info.as_deref(),
        instructions: probed.instructions.as_deref(),
    };
    Ok(answer::ok(proctor.directory.position_of(&events), &found))
}
