//! Answers: JSON with the journal's position that they have seen.

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use proctor_domain::Position;
use serde::Serialize;

/// The header that says which position an answer has seen.
pub(super) const POSITION_HEADER: &str = "Proctor-Position";

/// What was asked for.
pub(super) fn ok(position: Position, body: &impl Serialize) -> HttpResponse {
    with(StatusCode::OK, position, body)
}

/// What was made, and where it is.
pub(super) fn created(position: Position, location: &str, body: &impl Serialize) -> HttpResponse {
    let mut answer = with(StatusCode::CREATED, position, body);
    if let Ok(location) = location.parse() {
        answer.headers_mut().insert(header::LOCATION, location);
    }
    answer
}

/// What is going to be done.
pub(super) fn accepted(position: Position, body: &impl Serialize) -> HttpResponse {
    with(StatusCode::ACCEPTED, position, body)
}

fn with(status: StatusCode, position: Position, body: &impl Serialize) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((POSITION_HEADER, position.to_string()))
        // Answers hold what is personal, and tokens.
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(body)
}
