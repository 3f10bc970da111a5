//! `POST /api-keys/{id}/revoke`: ends a key for good.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use proctor_domain::api_key::{ApiKey, ApiKeyCommand};
use proctor_domain::{Decider as _, StreamId};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::answer;
use super::super::body::Body;
use super::super::caller::Caller;
use super::super::confirmation::{Confirmation, Wait, confirmed};
use super::super::problem::Problem;
use super::super::reason::Reason;
use super::Shown;
use crate::actors::Prepared;
use crate::proctor::Proctor;

/// A key that counts no more.
#[derive(Serialize, ToSchema)]
#[schema(as = RevokedApiKey)]
pub(super) struct Revoked<'a> {
    #[serde(flatten)]
    #[schema(inline)]
    shown: Shown<'a>,
    #[serde(flatten)]
    #[schema(inline)]
    confirmation: Confirmation,
}

pub(in crate::api) async fn revoke(
    proctor: web::Data<Proctor>,
    caller: Caller,
    id: web::Path<String>,
    wait: web::Query<Wait>,
    Body(body): Body<Reason>,
) -> Result<HttpResponse, Problem> {
    super::fresh(&proctor, &id).await?;
    let reason = body.checked()?;
    let events = caller
        .act::<ApiKey, _>(&proctor, &id, || async {
            let (remaining, grounds) = remaining(&proctor, &caller, &id).await?.unzip();
            let command = ApiKeyCommand::Revoke { by: caller.by(), reason: reason.clone(), remaining };
            Ok(Prepared { grounds: grounds.into_iter().collect(), ..Prepared::alone(command) })
        })
        .await?;
    let position = proctor.directory.position_of(&events);
    let state = super::fresh(&proctor, &id).await?;
    let shown = super::shown_alone(&proctor, &id, &state).await?;
    let confirmation = confirmed(&proctor, &wait, position).await?;
    Ok(answer::ok(position, &Revoked { shown, confirmation }))
}

/// A key of an administrator that remains, and where it stood: of two that are revoked at the same time,
/// each by way of the other, one is looked at anew.
async fn remaining(
    proctor: &Proctor,
    caller: &Caller,
    id: &str,
) -> Result<Option<(Arc<ApiKey>, (StreamId, u64))>, Problem> {
    let key = proctor.directory.state::<ApiKey>(id).await?;
    if !key.is_endless_administrator() {
        return Ok(None);
    }
    // The caller's own is the likeliest.
    let all = proctor.journal.reader().stream_ids("api_key").await?;
    for other in [caller.key.as_str()].into_iter().chain(all.iter().map(String::as_str)) {
        let state = proctor.directory.state::<ApiKey>(other).await?;
        if other != id && state.is_endless_administrator() {
            let ground = (StreamId::of::<ApiKey>(other), state.version());
            return Ok(Some((state, ground)));
        }
    }
    Ok(None)
}
