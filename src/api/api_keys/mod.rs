//! Keys to this door: created, listed, shown, revoked.
//!
//! **Invariants.** A key is shown once, in the answer to its creation; what is kept of it is its
//! SHA-256, which is its identifier.

mod create;
mod list;
pub(super) mod operations;
mod revoke;
mod show;

use std::sync::Arc;

use proctor_domain::api_key::ApiKey;
use proctor_domain::{By, KeyId, Micros};
use serde::Serialize;
use utoipa::ToSchema;

pub(super) use create::create;
pub(super) use list::list;
pub(super) use revoke::revoke;
pub(super) use show::show;

use super::caller::role_name;
use super::openapi::words;
use super::problem::{Code, Problem};
use super::time;
use crate::actors::now;
use crate::proctor::Proctor;

/// Hexadecimal digits of a SHA-256.
const ID_CHARS: usize = 64;

/// The key as all processes have made it so far.
async fn fresh(proctor: &Proctor, id: &str) -> Result<Arc<ApiKey>, Problem> {
    let unknown = || Problem::new(Code::ApiKeyNotFound, "there is no such API key: list them, or create it");
    // What cannot be an identifier starts no entity.
    if id.len() != ID_CHARS || !id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(unknown());
    }
    let state = proctor.directory.fresh::<ApiKey>(id).await?;
    if state.grant().is_none() {
        return Err(unknown());
    }
    Ok(state)
}

/// A key as it is shown: without the key.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiKey)]
struct Shown<'a> {
    /// SHA-256 of the key.
    id: &'a str,
    name: Option<&'a str>,
    #[schema(value_type = Option<words::Role>)]
    role: Option<&'static str>,
    #[schema(value_type = words::KeyState)]
    state: &'static str,
    #[schema(format = DateTime)]
    created_at: Option<String>,
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// Within a minute or so.
    #[schema(format = DateTime)]
    last_used_at: Option<String>,
    #[schema(format = DateTime)]
    revoked_at: Option<String>,
    #[schema(value_type = Option<words::By>)]
    revoked_by: Option<&'a By>,
    revoked_reason: Option<&'a str>,
}

fn shown<'a>(id: &'a str, key: &'a ApiKey, last_used_at: Option<Micros>) -> Shown<'a> {
    let grant = key.grant();
    let revocation = key.revocation();
    Shown {
        id,
        name: grant.map(|grant| grant.name.as_str()),
        role: grant.map(|grant| role_name(grant.role)),
        state: key.standing(now()).code(),
        created_at: grant.map(|grant| time::shown(grant.created_at)),
        expires_at: grant.and_then(|grant| grant.expires_at).map(time::shown),
        last_used_at: last_used_at.map(time::shown),
        revoked_at: revocation.map(|revocation| time::shown(revocation.at)),
        revoked_by: revocation.map(|revocation| &revocation.by),
        revoked_reason: revocation.map(|revocation| revocation.reason.as_str()),
    }
}

/// One key as it is shown, with when it was last used.
async fn shown_alone<'a>(proctor: &Proctor, id: &'a str, key: &'a ApiKey) -> Result<Shown<'a>, Problem> {
    let last_used = proctor.api_keys.last_used().await?;
    Ok(shown(id, key, last_used.get(&KeyId::from(id)).copied()))
}
