//! Does the document say what there is?

use std::collections::{BTreeSet, HashSet};

use proctor_domain::limits::{
    CALLS_IN_FLIGHT_MOST, CALLS_MAX_MOST, CALLS_PER_MINUTE_MOST, DEADLINE_MS_MOST, RESULT_BYTES_LEAST,
    RESULT_BYTES_MOST, SESSION_CALLS_PER_MINUTE_MOST,
};
use proctor_domain::session::{TTL_SECONDS_MAX, TTL_SECONDS_MIN};
use proctor_domain::user_connection::{LINK_SECONDS_MAX, LINK_SECONDS_MIN};
use proctor_domain::webhook::{
    DESCRIPTION_CHARS_MAX as WEBHOOK_CHARS_MAX, OVERLAP_SECONDS_MAX, PATTERNS_MAX,
};
use proctor_domain::{REASON_CHARS_MAX, virtual_server};
use serde_json::{Value, json};

use super::super::page::ITEMS_MAX;
use super::super::problem::Code;
use super::super::routes::{Needs, TABLE};
use super::document;
use crate::opening::USER_CHARS_MAX;

/// Every operation, with its pattern and method.
fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let methods = paths.iter().flat_map(|(path, methods)| {
        methods
            .as_object()
            .unwrap()
            .iter()
            .map(move |(method, operation)| (path.clone(), method.to_ascii_uppercase(), operation))
    });
    methods.collect()
}

#[test]
fn every_route_stands_in_the_document_and_nothing_else() {
    let document = document();
    let described: BTreeSet<_> =
        operations(&document).into_iter().map(|(path, method, _)| (path, method)).collect();
    let there: BTreeSet<_> = TABLE
        .iter()
        .flat_map(|(path, methods)| methods.iter().map(|route| ((*path).to_owned(), route.method.to_owned())))
        .collect();
    assert_eq!(described, there);
}

#[test]
fn an_operation_says_what_it_is_who_may_ask_and_what_is_answered() {
    let document = document();
    let tags: Vec<_> = document["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
    let mut ids = HashSet::new();
    for (path, method, operation) in operations(&document) {
        let what = format!("{method} {path}");
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id.to_owned()), "{what} is called {id} as another is");
        for member in ["summary", "description"] {
            assert!(operation[member].as_str().is_some_and(|text| !text.is_empty()), "{what}: {member}");
        }
        let [tag] = operation["tags"].as_array().unwrap().as_slice() else { panic!("{what}: one tag") };
        assert!(tags.contains(&tag), "{what}: {tag}");

        let route = TABLE.iter().find(|(known, _)| *known == path).unwrap().1;
        let needs = route.iter().find(|route| route.method == method).unwrap().needs;
        let roles: &[&str] = match needs {
            Needs::Admin => &["admin"],
            Needs::Minter => &["admin", "minter"],
            Needs::Auditor => &["admin", "auditor"],
            Needs::MinterOrAuditor => &["admin", "minter", "auditor"],
        };
        let keys: Vec<_> = roles.iter().map(|role| json!({ "api_key": [role] })).collect();
        assert_eq!(operation["security"], json!(keys), "{what}");
        assert!(operation["description"].as_str().unwrap().contains(&needs.to_string()), "{what}");

        let answers = operation["responses"].as_object().unwrap();
        let good: Vec<_> = answers.keys().filter(|status| status.starts_with('2')).collect();
        assert_eq!(good.len(), 1, "{what}");
        for status in ["401", "403", "500", "503"] {
            assert!(answers.contains_key(status), "{what}: {status}");
        }
        let takes_a_body = operation.get("requestBody").is_some();
        for status in ["415", "422"] {
            assert!(!takes_a_body || answers.contains_key(status), "{what}: {status}");
        }
        assert!(method != "PUT" || takes_a_body, "{what} takes nothing");
        assert!(method != "GET" || !takes_a_body, "{what} takes a body");
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let described = parameter["description"].as_str().is_some_and(|text| !text.is_empty());
            let explained =
                described || parameter["schema"].get("enum").is_some() || is_told_by_its_name(parameter);
            assert!(explained, "{what}: {parameter}");
        }
    }
}

/// Filters by what a thing is called.
fn is_told_by_its_name(parameter: &Value) -> bool {
    const NAMES: [&str; 6] = ["user", "session", "virtual_server", "connection", "tool", "object_id"];
    parameter["in"] == "query" && NAMES.iter().any(|name| parameter["name"] == *name)
}

/// Whatever a text refers to is there.
#[test]
fn every_reference_leads_somewhere_and_everything_is_referred_to() {
    let document = document();
    let mut named = BTreeSet::new();
    references(&document, &mut named);
    for place in &named {
        assert!(document.pointer(place.trim_start_matches('#')).is_some(), "{place}");
    }
    for kind in ["schemas", "responses"] {
        for name in document["components"][kind].as_object().unwrap().keys() {
            assert!(
                named.contains(&format!("#/components/{kind}/{name}")),
                "nothing refers to {kind}/{name}"
            );
        }
    }
}

fn references(value: &Value, named: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            named.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
            // What an example refers to is within itself.
            let described = members.iter().filter(|(member, _)| *member != "examples");
            described.for_each(|(_, inside)| references(inside, named));
        }
        Value::Array(items) => items.iter().for_each(|inside| references(inside, named)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn a_problem_is_one_of_the_codes_that_there_are() {
    let document = document();
    let schema = &document["components"]["schemas"]["Problem"];
    let codes: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(schema["properties"]["code"]["enum"], json!(codes));
    let mut said = BTreeSet::new();
    let answers = operations(&document)
        .into_iter()
        .flat_map(|(.., operation)| operation["responses"].as_object().unwrap().values().collect::<Vec<_>>());
    for answer in answers.chain(document["components"]["responses"].as_object().unwrap().values()) {
        let of_these = &answer["content"]["application/problem+json"]["schema"]["allOf"][1];
        let codes = of_these["properties"]["code"]["enum"].as_array();
        said.extend(codes.into_iter().flatten().map(|code| code.as_str().unwrap().to_owned()));
    }
    // Another method, or another address, is no operation's answer.
    let never = ["method_not_allowed"];
    let unsaid: Vec<_> =
        codes.iter().filter(|code| !said.contains(**code) && !never.contains(code)).collect();
    assert!(unsaid.is_empty(), "no operation fails with {unsaid:?}");
}

/// What can be `null` is always there.
#[test]
fn what_an_answer_may_lack_is_never_null() {
    let document = document();
    let session = &document["components"]["schemas"]["Session"];
    let required = session["required"].as_array().unwrap();
    for member in ["session_id", "ended", "user", "tools", "labels"] {
        assert!(required.contains(&json!(member)), "{member}");
    }
    let key = &document["components"]["schemas"]["NewApiKey"];
    assert_eq!(key["required"], json!(["name", "role"]));
}

/// A bound in the document is the one by which it is decided.
#[test]
fn a_bound_is_said_as_it_is_kept() {
    let document = document();
    let bounds: [(&str, &str, &str, Value); 22] = [
        ("Limits", "calls_in_flight_max", "maximum", json!(CALLS_IN_FLIGHT_MOST)),
        ("Limits", "calls_per_minute_max", "maximum", json!(CALLS_PER_MINUTE_MOST)),
        ("Limits", "result_bytes_max", "minimum", json!(RESULT_BYTES_LEAST)),
        ("Limits", "result_bytes_max", "maximum", json!(RESULT_BYTES_MOST)),
        ("Limits", "deadline_ms", "maximum", json!(DEADLINE_MS_MOST)),
        ("SessionLimits", "calls_max", "maximum", json!(CALLS_MAX_MOST)),
        ("SessionLimits", "calls_per_minute_max", "maximum", json!(SESSION_CALLS_PER_MINUTE_MOST)),
        ("NewSession", "ttl_seconds", "minimum", json!(TTL_SECONDS_MIN)),
        ("NewSession", "ttl_seconds", "maximum", json!(TTL_SECONDS_MAX)),
        ("NewSession", "user", "maxLength", json!(USER_CHARS_MAX)),
        ("NewSession", "tools", "maxItems", json!(virtual_server::TOOLS_MAX)),
        ("NewLink", "ttl_seconds", "minimum", json!(LINK_SECONDS_MIN)),
        ("NewLink", "ttl_seconds", "maximum", json!(LINK_SECONDS_MAX)),
        ("Definition", "description", "maxLength", json!(virtual_server::DESCRIPTION_CHARS_MAX)),
        ("Definition", "instructions", "maxLength", json!(virtual_server::INSTRUCTIONS_CHARS_MAX)),
        ("Definition", "tools", "maxItems", json!(virtual_server::TOOLS_MAX)),
        ("WebhookSettings", "events", "maxItems", json!(PATTERNS_MAX)),
        ("WebhookSettings", "description", "maxLength", json!(WEBHOOK_CHARS_MAX)),
        ("SecretRotation", "overlap_seconds", "maximum", json!(OVERLAP_SECONDS_MAX)),
        ("Reason", "reason", "maxLength", json!(REASON_CHARS_MAX)),
        ("ReasonIfAny", "reason", "maxLength", json!(REASON_CHARS_MAX)),
        ("Revocation", "reason", "maxLength", json!(REASON_CHARS_MAX)),
    ];
    for (schema, member, bound, kept) in bounds {
        let said = &document["components"]["schemas"][schema]["properties"][member][bound];
        assert_eq!(*said, kept, "{bound} of {member} in {schema}");
    }
    let mut lists = 0;
    for (path, method, operation) in operations(&document) {
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        for limit in parameters.filter(|parameter| parameter["name"] == "limit") {
            assert_eq!(limit["schema"]["maximum"], json!(ITEMS_MAX), "{method} {path}");
            lists += 1;
        }
    }
    assert!(lists > 5, "{lists} lists");
}
