//! `POST /purpose-keys/{purpose}/rotate`: makes a new key for a purpose, which every replica takes in
//! before any of them signs or seals with it.

use std::future::ready;

use actix_web::{HttpResponse, web};
use proctor_domain::purpose_keys::{PurposeKeys, PurposeKeysCommand};
use serde::Deserialize;
use utoipa::ToSchema;

use super::super::answer;
use super::super::body::BodyOrNothing;
use super::super::caller::Caller;
use super::super::health::JWKS_AGE_SECONDS_MAX;
use super::super::problem::{Code, Problem};
use crate::actors::Prepared;
use crate::journal::SideWrite;
use crate::proctor::Proctor;
use crate::vault::{Purpose, Use};

/// After so long a new key comes into force when nothing is said: any replica that answers anything has
/// heard of it long before.
const SECONDS_DEFAULT: u32 = 30;
/// The same for a key that signs tokens: whoever keeps the public keys has fetched them anew by then.
const TOKEN_SIGNING_SECONDS_DEFAULT: u32 = JWKS_AGE_SECONDS_MAX + 60;
/// A replica that has not read the journal for half a second sends nothing; this is a few times that.
const SECONDS_MIN: u32 = 2;
/// A week.
const SECONDS_MAX: u32 = 604_800;

/// When the key comes into force.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = KeyRotation)]
pub(in crate::api) struct Rotation {
    /// After how many seconds: so many that every replica knows it by then, when left out.
    #[schema(minimum = 2, maximum = 604_800)]
    after_seconds: Option<u32>,
}

pub(in crate::api) async fn rotate(
    proctor: web::Data<Proctor>,
    caller: Caller,
    purpose: web::Path<String>,
    BodyOrNothing(body): BodyOrNothing<Rotation>,
) -> Result<HttpResponse, Problem> {
    let purpose = Purpose::from_name(&purpose).ok_or_else(|| {
        let known = Purpose::ALL.map(Purpose::name).join(", ");
        Problem::new(Code::PurposeNotFound, format!("there is no such purpose: choose one of {known}"))
    })?;
    let after_seconds = body.after_seconds.unwrap_or(match purpose {
        Purpose::TokenSigning => TOKEN_SIGNING_SECONDS_DEFAULT,
        Purpose::Digests
        | Purpose::BlindIndexes
        | Purpose::Cursors
        | Purpose::McpSessions
        | Purpose::Connect
        | Purpose::Answers => SECONDS_DEFAULT,
    });
    if !(SECONDS_MIN..=SECONDS_MAX).contains(&after_seconds) {
        let detail = format!("after_seconds is {after_seconds}: choose {SECONDS_MIN} to {SECONDS_MAX}");
        return Err(Problem::new(Code::InvalidRotation, detail));
    }
    // The database's time, by which every replica puts it in force.
    let at = proctor.journal.reader().now().await?;
    let active_at = at.plus_seconds(after_seconds);
    let row = proctor.vault.new_purpose_key(purpose, at.0, active_at.0);
    let events = caller
        .act::<PurposeKeys, _>(&proctor, purpose.name(), || {
            let (by, kid) = (caller.by(), row.kid.clone());
            let command = PurposeKeysCommand::Rotate { by, at, kid, active_at };
            let key = SideWrite::PurposeKey(row.clone());
            ready(Ok(Prepared { side_writes: vec![key], ..Prepared::alone(command) }))
        })
        .await?;
    let position = proctor.directory.position_of(&events);
    Ok(answer::ok(position, &super::shown(&row, Use::Waits)))
}
