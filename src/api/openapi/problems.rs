//! What goes wrong, as the document has it: one schema, and for each operation the codes that it can
//! answer with.

use std::collections::BTreeMap;

use actix_web::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use serde_json::{Value, json};
use utoipa::openapi::response::Response;
use utoipa::openapi::schema::{AllOfBuilder, ObjectBuilder, Ref, Schema, Type};
use utoipa::openapi::{ContentBuilder, RefOr, ResponseBuilder};

use super::super::problem::{Code, PROBLEM_JSON};
use super::operation::header;

/// The schema's name.
pub(super) const SCHEMA: &str = "Problem";

/// Answers that many operations share, by name.
const COMMON: &[(&str, &[Code])] = &[
    ("NotAuthenticated", &[Code::Unauthenticated, Code::ApiKeyExpired]),
    ("Forbidden", &[Code::Forbidden]),
    ("InvalidQuery", &[Code::InvalidQuery]),
    ("InvalidPage", &[Code::InvalidQuery, Code::InvalidCursor]),
    ("NotJson", &[Code::MalformedJson, Code::DuplicateKey, Code::TooDeep]),
    ("BodyTooLarge", &[Code::BodyTooLarge]),
    ("WrongContentType", &[Code::WrongContentType]),
    ("Failed", &[Code::Internal]),
    (
        "Unavailable",
        &[Code::JournalUnavailable, Code::InDoubt, Code::JournalHalted, Code::Busy, Code::Stopping],
    ),
    (
        "UnavailableOrBehind",
        &[
            Code::JournalUnavailable,
            Code::InDoubt,
            Code::JournalHalted,
            Code::Busy,
            Code::ViewsBehind,
            Code::Stopping,
        ],
    ),
];

/// A problem document of any kind.
pub(super) fn schema() -> Value {
    let codes: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    let kinds: Vec<_> = codes.iter().map(|code| format!("urn:proctor:problem:{code}")).collect();
    json!({
        "type": "object",
        "description": "What went wrong (RFC 9457). Some kinds have further members for programs.",
        "required": ["type", "title", "status", "detail", "code"],
        "properties": {
            "type": { "type": "string", "description": "The kind, as a URN of its code.", "enum": kinds },
            "title": { "type": "string", "description": "The kind, for a person." },
            "status": { "type": "integer", "description": "The status of the answer.", "minimum": 400, "maximum": 599 },
            "detail": {
                "type": "string",
                "description": "What was attempted, what was wrong and what to do, for a person.",
            },
            "code": {
                "type": "string",
                "description": "The kind, for programs. A code never changes its meaning or its status.",
                "enum": codes,
            },
        },
    })
}

/// The answers that stand among the components.
pub(super) fn common_responses() -> impl Iterator<Item = (&'static str, Response)> {
    COMMON.iter().map(|(name, codes)| (*name, response(codes)))
}

/// The answers to what can go wrong, by status.
pub(super) fn responses(codes: &[Code]) -> impl Iterator<Item = (u16, RefOr<Response>)> {
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    // In the order of the table, each once.
    for code in Code::ALL.iter().filter(|code| codes.contains(code)) {
        by_status.entry(code.status()).or_default().push(*code);
    }
    by_status.into_iter().map(|(status, codes)| {
        let common = COMMON.iter().find(|(_, common)| *common == codes);
        let response = match common {
            Some((name, _)) => RefOr::Ref(Ref::from_response_name(*name)),
            None => RefOr::T(response(&codes)),
        };
        (status, response)
    })
}

fn response(codes: &[Code]) -> Response {
    let titles = codes.iter().map(|code| format!("{} (`{}`)", code.title(), code.as_str()));
    let of_these = ObjectBuilder::new().property(
        "code",
        ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(codes.iter().map(|code| code.as_str()))),
    );
    let schema = AllOfBuilder::new().item(Ref::from_schema_name(SCHEMA)).item(of_these).build();
    let mut response = ResponseBuilder::new()
        .description(titles.collect::<Vec<_>>().join("; "))
        .content(PROBLEM_JSON, ContentBuilder::new().schema(Some(Schema::AllOf(schema))).build());
    match codes.first().map(|code| code.status()) {
        Some(401) => {
            let description = "How to say who asks.";
            response = response.header(WWW_AUTHENTICATE.as_str(), header(Type::String, description));
        }
        Some(503) => {
            let description = "In how many seconds to ask again.";
            response = response.header(RETRY_AFTER.as_str(), header(Type::Integer, description));
        }
        _ => {}
    }
    response.build()
}
