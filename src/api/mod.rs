//! The administrators' door: the REST API under `/api/v1`, and the addresses that need no key.
//!
//! A request is authenticated and its role held against the table in `routes.rs`; its handler
//! prepares a command from what it says, has the entity decide, and answers with the position that
//! the journal gave it.
//!
//! **Invariants.** Nothing is decided here, and nothing is answered before it is durable. A secret
//! that came in never goes out again; one that was
//! made here goes out once, to whoever made it.

mod answer;
mod api_keys;
mod as_of;
mod audit;
mod body;
mod caller;
mod confirmation;
mod connections;
mod filters;
mod health;
mod idempotency;
mod identity_providers;
mod introspect;
mod metrics;
mod openapi;
mod opened;
mod page;
mod problem;
mod purpose_keys;
mod reason;
mod refusal;
mod revocations;
mod routes;
mod sessions;
mod time;
mod users;
mod virtual_servers;
mod webhooks;

use actix_web::{HttpRequest, HttpResponse, ResponseError as _, web};

pub use openapi::document;
pub use problem::{Code, Problem};

/// Puts the door into a server. The application holds a `web::Data<Proctor>`.
pub fn configure(config: &mut web::ServiceConfig) {
    config.app_data(web::QueryConfig::default().error_handler(|error, _| {
        Problem::new(Code::InvalidQuery, format!("failed to read the query: {error}")).into()
    }));
    config.app_data(web::PathConfig::default().error_handler(|_, request| unknown(request).into()));
    health::configure(config);
    metrics::configure(config);
    // Before the routes, whose scope would ask for a key.
    openapi::configure(config);
    routes::configure(config);
}

/// Answers a request that is for nothing here: for the application's default service.
pub async fn not_found(request: HttpRequest) -> HttpResponse {
    unknown(&request).error_response()
}

fn unknown(request: &HttpRequest) -> Problem {
    Problem::new(Code::NotFound, format!("nothing is at {}: check the address", request.path()))
}

#[cfg(test)]
mod tests;
