//! The keys that Proctor makes for its own purposes: listed and rotated, never shown.

mod list;
mod rotate;

use serde_json::{Value, json};

pub(super) use list::list;
pub(super) use rotate::rotate;

use super::time;
use crate::vault::{PurposeKeyRow, Use};
use proctor_domain::Micros;

/// A key as it is shown: its name, and how it is used.
fn shown(key: &PurposeKeyRow, how: Use) -> Value {
    // One that was there from the first was in force when it was made.
    let active_at_us = if key.active_at_us == 0 { key.created_at_us } else { key.active_at_us };
    json!({
        "purpose": key.purpose,
        "kid": key.kid,
        "state": how.code(),
        "created_at": time::shown(Micros(key.created_at_us)),
        "active_at": time::shown(Micros(active_at_us)),
    })
}
