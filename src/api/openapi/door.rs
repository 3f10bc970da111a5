//! Where the document and the pages to browse it stand.
//!
//! Neither asks for a key: the document says what any copy of this program says, and nothing of this
//! installation; a browser that is to show it could send none.
//!
//! **Invariants.** The pages load nothing from elsewhere, and cannot be framed.

use std::sync::{Arc, LazyLock};

use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, LOCATION, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use actix_web::{HttpRequest, HttpResponse, ResponseError as _, web};
use utoipa_swagger_ui::{Config, serve};

use super::super::not_found;
use super::super::problem::{Code, Problem};
use super::super::routes::PREFIX;

/// What the pages load is named by no version, so that a browser asks again after a while.
const CACHE: &str = "public, max-age=300";
/// The pages' own script draws them, and sets styles as it does.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
                      img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

static DOCUMENT: LazyLock<String> = LazyLock::new(|| super::document().to_string());

static PAGES: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
    Arc::new(
        Config::from("../openapi.json")
            .use_base_layout()
            .deep_linking(true)
            .display_operation_id(true)
            .doc_expansion("list")
            .filter(true)
            .default_models_expand_depth(0)
            // Otherwise it sends the document to somebody who says whether it is valid.
            .validator_url("none"),
    )
});

pub(in crate::api) fn configure(config: &mut web::ServiceConfig) {
    config
        .service(
            web::resource(format!("{PREFIX}/openapi.json"))
                .route(web::get().to(document))
                .default_service(web::to(only_get)),
        )
        .service(
            web::resource([format!("{PREFIX}/docs"), format!("{PREFIX}/docs/{{file:.*}}")])
                .route(web::get().to(page))
                .default_service(web::to(only_get)),
        );
}

async fn document() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, CACHE))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .content_type("application/json")
        .body(DOCUMENT.as_str())
}

async fn page(request: HttpRequest) -> HttpResponse {
    let Some(file) = request.match_info().get("file") else {
        // The pages name their files by where they stand in their folder.
        return HttpResponse::PermanentRedirect().insert_header((LOCATION, "docs/")).finish();
    };
    match serve(file, Arc::clone(&PAGES)) {
        Ok(Some(found)) => {
            let mut answer = HttpResponse::Ok();
            answer
                .insert_header((CACHE_CONTROL, CACHE))
                .insert_header((CONTENT_SECURITY_POLICY, POLICY))
                .insert_header((REFERRER_POLICY, "no-referrer"))
                .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
                .content_type(found.content_type);
            if found.gzpipped {
                // As every browser takes it.
                answer.insert_header((CONTENT_ENCODING, "gzip"));
            }
            answer.body(found.bytes.into_owned())
        }
        Ok(None) => not_found(request).await,
        Err(error) => Problem::internal("show a page of the reference", &*error).error_response(),
    }
}

async fn only_get(request: HttpRequest) -> HttpResponse {
    let detail = format!("{} does not take {}: use GET", request.path(), request.method());
    Problem::new(Code::MethodNotAllowed, detail).allowing(&["GET"]).error_response()
}
