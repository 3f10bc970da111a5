//! The keys that Proctor makes for its own purposes: listed and rotated, never shown.

mod list;
pub(super) mod operations;
mod rotate;

use serde::Serialize;
use utoipa::ToSchema;

pub(super) use list::list;
pub(super) use rotate::rotate;

use super::openapi::words;
use super::time;
use crate::vault::{PurposeKeyRow, Use};
use proctor_domain::Micros;

/// A key as it is shown: its name, and how it is used.
#[derive(Serialize, ToSchema)]
#[schema(as = PurposeKey)]
struct Shown<'a> {
    #[schema(value_type = words::KeyPurpose)]
    purpose: &'a str,
    kid: &'a str,
    #[schema(value_type = words::KeyUse)]
    state: &'static str,
    #[schema(format = DateTime)]
    created_at: String,
    /// From when on it signs and seals.
    #[schema(format = DateTime)]
    active_at: String,
}

fn shown(key: &PurposeKeyRow, how: Use) -> Shown<'_> {
    // One that was there from the first was in force when it was made.
    let active_at_us = if key.active_at_us == 0 { key.created_at_us } else { key.active_at_us };
    Shown {
        purpose: &key.purpose,
        kid: &key.kid,
        state: how.code(),
        created_at: time::shown(Micros(key.created_at_us)),
        active_at: time::shown(Micros(active_at_us)),
    }
}
