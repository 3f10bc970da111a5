//! How users connect accounts: authorization servers, hosted links and their pages, and tokens that
//! stay fresh.
//!
//! **Invariants.** An account comes into force only when the product's backend confirms who was in
//! the browser. No token, code, secret or verifier is part of an error, a log line, an event or a
//! page. Whatever an authorization server says is text from outside: it is checked, or shown escaped.

mod authorize;
mod callback;
mod client;
mod discovery;
mod documents;
mod giving_back;
mod link;
mod metadata;
mod pages;
mod refresh;
mod registration;
mod show;
mod start;
mod ticket;

use actix_web::web;
use proctor_domain::Name;
use proctor_domain::environment::{VALUE_BYTES_MAX, VARIABLES_MAX};

pub use authorize::{Confirmed, NotConfirmed, confirm};
pub use client::revoke;
pub use discovery::{Discovered, DiscoveryError, Wanted, discover};
pub use giving_back::{Leftovers, in_force, replaced};
pub use link::{NewLink, ReturnUrlError, checked_return_url};
pub use refresh::{Due, Renewed, due, renew, renew_soon};

use crate::proctor::Proctor;

/// Longest form that is read, in bytes: each byte of a value may be sent as three, and names are short.
const FORM_BYTES_MAX: usize = VARIABLES_MAX * (3 * VALUE_BYTES_MAX + 1_024);

/// The people's door.
pub fn configure(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/connect/callback/{connection}").route(web::get().to(callback::callback)))
        .service(web::resource("/connect/client/{connection}").route(web::get().to(documents::client)))
        .service(
            web::resource("/connect/{link}")
                .app_data(web::FormConfig::default().limit(FORM_BYTES_MAX))
                .route(web::get().to(show::show))
                .route(web::post().to(start::start)),
        );
}

/// Where an authorization server sends people back to. Each connection has its own, so that the
/// answer of one authorization server is never taken for another's (RFC 9700, section 4.4.2.2).
fn redirect_uri(proctor: &Proctor, connection: &Name) -> String {
    proctor.public_url.at(&format!("/connect/callback/{connection}"))
}
