//! The addresses that need no key: is the process alive, is it ready, which keys sign its tokens.

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use serde_json::json;

use crate::proctor::Proctor;
use crate::views::Health;

/// How long clients may keep the public keys, in seconds: a new key signs only after it was shown
/// for longer.
pub(super) const JWKS_AGE_SECONDS_MAX: u32 = 300;

pub(super) fn configure(config: &mut web::ServiceConfig) {
    config
        .route("/healthz", web::get().to(healthz))
        .route("/readyz", web::get().to(readyz))
        .route("/.well-known/jwks.json", web::get().to(jwks));
}

async fn healthz() -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(json!({ "status": "alive" }))
}

async fn readyz(proctor: web::Data<Proctor>) -> HttpResponse {
    let reasons = reasons(&proctor).await;
    let (mut answer, status) = match reasons.is_empty() {
        true => (HttpResponse::Ok(), "ready"),
        false => (HttpResponse::ServiceUnavailable(), "not_ready"),
    };
    answer
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(json!({ "status": status, "reasons": reasons, "position": proctor.journal.head().position() }))
}

/// Why this process does not serve now; none when it does.
async fn reasons(proctor: &Proctor) -> Vec<String> {
    let mut reasons = Vec::new();
    if proctor.is_stopping() {
        reasons.push("Proctor is stopping".to_owned());
    }
    if let Err(error) = proctor.journal.confirm().await {
        reasons.push(error.to_string());
    }
    let head = proctor.journal.head();
    if !head.is_halted() && !head.is_fresh() {
        // The lease is renewed by writing, so this is also how a store shows that takes no writes.
        reasons.push(
            "the journal's head is not confirmed, or this process's lease could not be renewed".to_owned(),
        );
    }
    if head.is_full() {
        reasons.push("the database's disk is full: make room, and Proctor goes on by itself".to_owned());
    }
    match proctor.views.health() {
        // Lists wait for the views; agents need none of them.
        Health::CatchingUp { .. } | Health::Following => {}
        Health::Failing { because } => reasons.push(format!("the audit views stand still: {because}")),
        Health::Stopped => reasons.push("the audit views are stopped".to_owned()),
    }
    reasons
}

async fn jwks(proctor: web::Data<Proctor>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, format!("public, max-age={JWKS_AGE_SECONDS_MAX}")))
        .json(proctor.vault.tokens().jwks())
}
