//! `proctor openapi`: the reference of the REST API, as `GET /api/v1/openapi.json` shows it.

use super::Failure;

pub(super) fn run() -> Result<(), Failure> {
    println!("{}", serde_json::to_string_pretty(&crate::api::document())?);
    Ok(())
}
