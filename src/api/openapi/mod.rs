//! The reference of this door: an OpenAPI 3.1 document, made from the table of routes and from the types
//! that requests are read into and answers are written from; and the pages to browse it with.
//!
//! A new route stands in the table of `routes.rs`, and without a function of its handler's name in its
//! resource's module `operations` it does not compile. That function says what the route takes, answers
//! and fails with; what all routes have in common (the key, its role, the journal's troubles, what is
//! wrong with a body or a query) is added here. An example of it goes into `examples.json`, in the order
//! in which such requests can be made: the tests send them.
//!
//! **Invariants.** Nothing in the document depends on the installation that shows it.

mod door;
mod examples;
mod operation;
mod problems;
pub(super) mod words;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use utoipa::openapi::path::{PathItemBuilder, PathsBuilder};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{ComponentsBuilder, HttpMethod, InfoBuilder, License, OpenApi, OpenApiBuilder, Server};

pub(super) use door::configure;
use examples::Examples;
pub(super) use operation::{Operation, Schemas, Tag};

use super::routes::{self, PREFIX};

/// The name of the one way in which callers say who they are.
const KEY: &str = "api_key";

const ABOUT: &str = "Proctor hosts virtual MCP servers: scoped, user-bound, audited endpoints in front of \
real MCP servers. This is the API of those who administer it, of backends that mint sessions, and of those \
who read the audit trail.

Every request carries an API key, whose role says what it may do: `admin` everything; `minter` opens and ends \
sessions and connects users' accounts; `auditor` reads.

Whatever goes wrong is told by a problem document (RFC 9457) with a stable `code`. Answers say in \
`Proctor-Position` which place of the journal they have seen; what a write has done is there durably, and \
every later read sees it.";

/// The document, as it is sent: its text never changes while a process runs.
#[must_use]
pub fn document() -> Value {
    let mut schemas = Schemas::default();
    let paths = paths(&mut schemas);
    let mut document = serde_json::to_value(skeleton(paths)).unwrap_or_default();
    for operation in document["paths"].as_object_mut().into_iter().flat_map(Map::values_mut) {
        for operation in operation.as_object_mut().into_iter().flat_map(Map::values_mut) {
            let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
            if let Some(parameters) = parameters {
                say_how_an_address_is_written(parameters);
            }
        }
    }
    document["components"]["schemas"] = Value::Object(components(schemas));
    leave_out_what_nothing_names(&mut document);
    document
}

fn paths(schemas: &mut Schemas) -> utoipa::openapi::Paths {
    let examples = Examples::read();
    let mut paths = PathsBuilder::new();
    for (pattern, methods) in routes::TABLE {
        let mut item = PathItemBuilder::new();
        for route in *methods {
            let Some(method) = method(route.method) else { continue };
            let operation = (route.operation)().described(route, pattern, &examples, schemas);
            item = item.operation(method, operation);
        }
        paths = paths.path(*pattern, item.build());
    }
    paths.build()
}

fn method(name: &str) -> Option<HttpMethod> {
    match name {
        "GET" => Some(HttpMethod::Get),
        "POST" => Some(HttpMethod::Post),
        "PUT" => Some(HttpMethod::Put),
        "PATCH" => Some(HttpMethod::Patch),
        "DELETE" => Some(HttpMethod::Delete),
        _ => None,
    }
}

/// Everything but the schemas.
fn skeleton(paths: utoipa::openapi::Paths) -> OpenApi {
    let key = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("An API key: the first administrator's, or one that `POST /api-keys` made."))
        .build();
    let components = ComponentsBuilder::new()
        .security_scheme(KEY, SecurityScheme::Http(key))
        .responses_from_iter(problems::common_responses());
    let tag = |tag: &Tag| TagBuilder::new().name(tag.name()).description(Some(tag.description())).build();
    let license = License::builder().name("Apache-2.0").identifier(Some("Apache-2.0")).build();
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Proctor")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(ABOUT))
                .license(Some(license))
                .build(),
        )
        // Relative to where the document is: it stands in the same folder.
        .servers(Some([Server::new(PREFIX)]))
        .tags(Some(Tag::ALL.iter().map(tag)))
        .paths(paths)
        .components(Some(components.build()))
        .build()
}

/// The schemas, and in those that are only answered all that is always there marked as such.
fn components(schemas: Schemas) -> Map<String, Value> {
    let Schemas { asked, answered } = schemas;
    let mut all: BTreeMap<String, Value> = BTreeMap::new();
    for (name, schema) in answered {
        if !asked.contains_key(&name) {
            let mut schema = serde_json::to_value(schema).unwrap_or_default();
            mark_what_is_always_there(&mut schema);
            all.insert(name, schema);
        }
    }
    for (name, schema) in asked {
        all.insert(name, serde_json::to_value(schema).unwrap_or_default());
    }
    all.insert(problems::SCHEMA.to_owned(), problems::schema());
    all.into_iter().collect()
}

/// In an answer, what can be `null` is always there, and what can be missing is never `null`.
fn mark_what_is_always_there(schema: &mut Value) {
    for composed in ["allOf", "oneOf", "anyOf"] {
        for part in schema.get_mut(composed).and_then(Value::as_array_mut).into_iter().flatten() {
            mark_what_is_always_there(part);
        }
    }
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return };
    let mut always = Vec::new();
    for (name, property) in properties {
        if can_be_null(property) {
            always.push(json!(name));
        }
        mark_what_is_always_there(property);
    }
    if let Some(Value::Array(required)) = schema.get_mut("required") {
        always.retain(|name| !required.contains(name));
        required.append(&mut always);
    } else if !always.is_empty() {
        schema["required"] = Value::Array(always);
    }
}

/// What is said of parameters in a way that the types have no words for.
fn say_how_an_address_is_written(parameters: &mut [Value]) {
    let is_list = parameters.iter().any(|parameter| parameter["name"] == "cursor");
    for parameter in parameters {
        cannot_be_null(&mut parameter["schema"]);
        // Of a list: a filter that says nothing filters nothing.
        if is_list && parameter["in"] == "query" {
            parameter["allowEmptyValue"] = Value::Bool(true);
        }
    }
}

/// An address has no way to say `null`.
fn cannot_be_null(schema: &mut Value) {
    if let Some(Value::Array(kinds)) = schema.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [kind] = kinds.as_slice() {
            schema["type"] = kind.clone();
        }
    }
    if let Some(Value::Array(parts)) = schema.get_mut("oneOf") {
        parts.retain(|part| !can_be_null(part));
        if let [part] = parts.as_slice() {
            *schema = part.clone();
        }
    }
}

/// What is written out where it is used needs no place of its own.
fn leave_out_what_nothing_names(document: &mut Value) {
    loop {
        let text = document.to_string();
        let Some(schemas) = document["components"]["schemas"].as_object_mut() else { return };
        let before = schemas.len();
        schemas.retain(|name, _| text.contains(&format!("\"#/components/schemas/{name}\"")));
        if schemas.len() == before {
            return;
        }
    }
}

fn can_be_null(schema: &Value) -> bool {
    let is_null = |kind: &Value| kind == "null";
    let of_its_own = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().any(is_null),
        Some(kind) => is_null(kind),
        None => false,
    };
    of_its_own
        || ["oneOf", "anyOf"].iter().any(|composed| {
            schema.get(composed).and_then(Value::as_array).is_some_and(|parts| parts.iter().any(can_be_null))
        })
}
