//! Is the reference true? Whatever any test asks the administrators' door is held against it: the
//! status, the code of a problem, the headers and every member of the answer, and what was asked where it
//! was done.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use jsonschema::Validator;
use serde_json::{Map, Value, json};

use crate::http::{Request, Response};

const PREFIX: &str = "/api/v1";
/// The one header that not every answer has.
const ONLY_WHEN_REPLAYED: &str = "idempotency-replayed";

/// The document as it is, for what is asked.
static DOCUMENT: LazyLock<Value> = LazyLock::new(proctor::api::document);
/// The same with no room for members that it does not name, for what is answered.
static CLOSED: LazyLock<Value> = LazyLock::new(|| {
    let mut document = DOCUMENT.clone();
    close(&mut document["components"]["schemas"], false);
    document
});
static VALIDATORS: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);

/// An operation of the document, and where it stands there.
pub struct Operation {
    path: String,
    method: String,
}

impl Operation {
    /// The one that a request is for; none when it is for something else.
    fn of(method: &str, path: &str) -> Option<Self> {
        let path = path.strip_prefix(PREFIX)?;
        let method = method.to_ascii_lowercase();
        let paths = DOCUMENT["paths"].as_object()?;
        let fits = paths.keys().filter(|pattern| is_named_by(path, pattern));
        // An address that is written out goes before one that leaves something open.
        let path = fits.min_by_key(|pattern| pattern.matches('{').count())?;
        paths[path].get(&method)?;
        Some(Self { path: path.clone(), method })
    }

    /// The one of this identifier.
    pub fn named(id: &str) -> Self {
        for (path, methods) in DOCUMENT["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                if operation["operationId"] == id {
                    return Self { path: path.clone(), method: method.clone() };
                }
            }
        }
        panic!("the document has no operation {id}");
    }

    pub fn method(&self) -> String {
        self.method.to_ascii_uppercase()
    }

    /// Its address, with these values in it.
    pub fn address(&self, values: &Map<String, Value>) -> String {
        let fill = |path: String, (name, value): (&String, &Value)| {
            path.replace(&format!("{{{name}}}"), value.as_str().unwrap())
        };
        format!("{PREFIX}{}", values.iter().fold(self.path.clone(), fill))
    }

    pub fn described(&self) -> &'static Value {
        &DOCUMENT["paths"][&self.path][&self.method]
    }
}

fn is_named_by(path: &str, pattern: &str) -> bool {
    let (parts, pattern): (Vec<_>, Vec<_>) = (path.split('/').collect(), pattern.split('/').collect());
    let fits =
        |(part, named): (&&str, &&str)| if named.starts_with('{') { !part.is_empty() } else { part == named };
    parts.len() == pattern.len() && parts.iter().zip(&pattern).all(fits)
}

/// Holds an answer against the document.
#[track_caller]
pub fn check(request: &Request, response: &Response) {
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let Some(operation) = Operation::of(&request.method, path) else { return };
    // What is no HTTP is answered before anybody looks for an address.
    if response.status == 400 && response.body.is_empty() {
        return;
    }
    let what = format!("{} {}", request.method, request.path);
    let described = operation.described();
    let answers = &described["responses"];
    let Some(answer) = answers.get(response.status.to_string()) else {
        panic!(
            "{what} is answered with {}, which the document does not know: {}",
            response.status,
            response.text()
        );
    };
    let answer = resolved(answer);
    let headers = answer["headers"].as_object().into_iter().flatten().map(|(header, _)| header);
    for header in headers.filter(|header| *header != ONLY_WHEN_REPLAYED) {
        assert!(
            response.header(&header.to_ascii_lowercase()).is_some(),
            "{what} is answered without {header}"
        );
    }
    let kind = response.header("content-type").unwrap_or_default().split(';').next().unwrap_or_default();
    let Some(content) = answer["content"].get(kind) else {
        panic!("{what} is answered with {kind:?}, which the document does not know");
    };
    let name = format!("answer {} {} {}", operation.path, operation.method, response.status);
    hold(&name, &content["schema"], &CLOSED, &response.json(), &what);
    if (200..300).contains(&response.status) {
        check_request(&operation, request, query, &what);
    }
}

/// Holds what was done against what the document says can be asked.
#[track_caller]
fn check_request(operation: &Operation, request: &Request, query: &str, what: &str) {
    let described = operation.described();
    let parameters = described["parameters"].as_array();
    let known = |name: &str| {
        parameters
            .is_some_and(|known| known.iter().any(|known| known["in"] == "query" && known["name"] == name))
    };
    for (name, _) in url::form_urlencoded::parse(query.as_bytes()) {
        assert!(known(&name), "{what} takes {name}, which the document does not know");
    }
    let Ok(body) = serde_json::from_slice::<Value>(&request.body) else { return };
    let asked = described["requestBody"]["content"].get("application/json");
    match asked {
        Some(asked) => {
            let name = format!("request {} {}", operation.path, operation.method);
            hold(&name, &asked["schema"], &DOCUMENT, &body, what);
        }
        // Some send an empty object to whatever takes nothing.
        None => assert!(body == json!({}) || body.is_string(), "{what} takes a body, says nobody: {body}"),
    }
}

#[track_caller]
fn hold(name: &str, schema: &Value, document: &Value, value: &Value, what: &str) {
    let validator = {
        let mut validators = VALIDATORS.lock().unwrap();
        let made = validators.entry(name.to_owned()).or_insert_with(|| {
            let mut schema = schema.clone();
            schema["components"] = document["components"].clone();
            Arc::new(jsonschema::draft202012::new(&schema).unwrap())
        });
        Arc::clone(made)
    };
    let wrong: Vec<_> =
        validator.iter_errors(value).map(|error| format!("{} ({})", error, error.instance_path())).collect();
    assert!(wrong.is_empty(), "{what}: the document says otherwise of {value:#}:\n{}", wrong.join("\n"));
}

fn resolved(answer: &'static Value) -> &'static Value {
    match answer["$ref"].as_str() {
        Some(place) => DOCUMENT.pointer(place.trim_start_matches('#')).unwrap(),
        None => answer,
    }
}

/// Leaves no room for members that a schema does not name. Parts of one that is put together say
/// together what there is.
fn close(schema: &mut Value, is_part: bool) {
    match schema {
        Value::Object(members) => {
            let is_problem = members
                .get("properties")
                .is_some_and(|named| named.get("detail").is_some() && named.get("code").is_some());
            let names =
                members.get("properties").is_some_and(Value::is_object) && members.get("type").is_some();
            let is_open = !members.contains_key("additionalProperties");
            for (member, inside) in members.iter_mut() {
                close(inside, member == "allOf");
            }
            if members.contains_key("allOf") && !is_part {
                members.insert("unevaluatedProperties".to_owned(), json!(false));
            } else if names && is_open && !is_part && !is_problem {
                members.insert("additionalProperties".to_owned(), json!(false));
            }
        }
        Value::Array(parts) => parts.iter_mut().for_each(|part| close(part, is_part)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
