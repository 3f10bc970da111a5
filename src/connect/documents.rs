//! `GET /connect/client/{connection}`: who Proctor is, for authorization servers that look it up
//! (OAuth client ID metadata documents).

use actix_web::{HttpResponse, web};
use proctor_domain::Name;
use serde_json::json;

use super::redirect_uri;
use crate::proctor::Proctor;

/// The document's address, which is also the client's name.
pub(super) fn client_url(proctor: &Proctor, connection: &Name) -> String {
    proctor.public_url.at(&format!("/connect/client/{connection}"))
}

pub(super) async fn client(proctor: web::Data<Proctor>, connection: web::Path<String>) -> HttpResponse {
    let Ok(connection) = Name::new(&connection) else { return HttpResponse::NotFound().finish() };
    // The same for any name: whether there is such a connection is nobody's business here.
    HttpResponse::Ok().json(json!({
        "client_id": client_url(&proctor, &connection),
        "client_name": proctor.config.app_name,
        "client_uri": proctor.public_url.as_str(),
        "redirect_uris": [redirect_uri(&proctor, &connection)],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    }))
}
