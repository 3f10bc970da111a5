//! Every request that the reference shows is made, one after the other, and what is answered has the
//! form of what the reference shows.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use url::form_urlencoded::Serializer;

use crate::agent::Agent;
use crate::connect::browser::{Browser, parameter};
use crate::documented::Operation;
use crate::http::{Request, Response};
use crate::real_upstreams::{Sample, python_program, root};
use crate::receiver::{Answers, Receiver};
use crate::rest::Session;
use crate::world::{ADMIN_KEY, PUBLIC_URL, World};

const RECORDED: &str = "src/api/openapi/examples.json";
/// Set to write down anew what is answered.
const RECORD: &str = "PROCTOR_TEST_RECORD_EXAMPLES";
/// What the examples call this server.
const SHOWN_URL: &str = "https://proctor.example.com";
/// How long what happens by itself may take.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// Tokens and secrets, by how they begin: what is shown of them is nobody's.
const NOBODYS: [(&str, &str); 3] =
    [("eyJ", "eyJ0eXAiOiJKV1QiLCJhbGciOiJFZERTQSJ9.…"), ("whsec_", "whsec_…"), ("proctor_", "proctor_…")];
/// Of a list of definitions so many are shown.
const SHOWN_MAX: usize = 2;

/// What the examples name, and what is meant here: identifiers, tokens, addresses.
struct Names(BTreeMap<String, Value>);

impl Names {
    /// What is meant by an example.
    fn meant(&self, shown: &Value) -> Value {
        match shown {
            Value::String(text) => self.0.get(text).unwrap_or(shown).clone(),
            Value::Array(items) => items.iter().map(|item| self.meant(item)).collect(),
            Value::Object(members) => {
                Value::Object(members.iter().map(|(name, value)| (name.clone(), self.meant(value))).collect())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => shown.clone(),
        }
    }

    fn meant_by(&self, shown: &Map<String, Value>) -> Map<String, Value> {
        shown.iter().map(|(name, value)| (name.clone(), self.meant(value))).collect()
    }

    /// Learns from an answer what the one that is shown is about.
    fn learn(&mut self, shown: &Value, real: &Value) {
        match (shown, real) {
            (Value::String(text), Value::String(_)) if shown != real => {
                self.0.entry(text.clone()).or_insert_with(|| real.clone());
            }
            (Value::Array(shown), Value::Array(real)) => {
                shown.iter().zip(real).for_each(|(shown, real)| self.learn(shown, real));
            }
            (Value::Object(shown), Value::Object(real)) => {
                for (name, shown) in shown {
                    self.learn(shown, real.get(name).unwrap_or(&Value::Null));
                }
            }
            _ => {}
        }
    }
}

/// Whether an answer has the members and kinds of values that are shown. Of a list, one item says for all
/// what there can be.
fn has_form_of(shown: &Value, real: &Value) -> bool {
    match (shown, real) {
        (Value::Object(shown), Value::Object(real)) => {
            shown.keys().eq(real.keys()) && shown.iter().all(|(name, shown)| has_form_of(shown, &real[name]))
        }
        (Value::Array(shown), Value::Array(real)) => {
            shown.is_empty() == real.is_empty()
                && shown.iter().all(|shown| real.iter().any(|real| has_form_of(shown, real)))
        }
        (Value::String(_), Value::String(_))
        | (Value::Number(_), Value::Number(_))
        | (Value::Bool(_), Value::Bool(_))
        | (Value::Null, Value::Null) => true,
        _ => false,
    }
}

/// The world that the examples are about.
struct Story {
    world: World,
    names: Names,
}

impl Story {
    fn send(&self, example: &Value) -> Response {
        let operation = Operation::named(example["operation"].as_str().unwrap());
        let none = Map::new();
        let path = operation.address(&self.names.meant_by(example["path"].as_object().unwrap_or(&none)));
        let mut query = Serializer::new(String::new());
        for (name, value) in self.names.meant_by(example["query"].as_object().unwrap_or(&none)) {
            query.append_pair(&name, value.as_str().unwrap_or(&value.to_string()));
        }
        let query = query.finish();
        let path = if query.is_empty() { path } else { format!("{path}?{query}") };
        let request =
            Request::new(&operation.method(), &path).header("Authorization", format!("Bearer {ADMIN_KEY}"));
        let content = operation.described()["requestBody"]["content"].as_object();
        let request = match (content.and_then(|content| content.keys().next()), example.get("body")) {
            (Some(kind), Some(body)) => {
                let body = self.names.meant(body);
                let text = match kind.as_str() {
                    "application/json" => body.to_string(),
                    _ => {
                        let fields = body.as_object().unwrap().iter();
                        let fields = fields.map(|(name, value)| (name, value.as_str().unwrap()));
                        Serializer::new(String::new()).extend_pairs(fields).finish()
                    }
                };
                request.header("Content-Type", kind).body(text)
            }
            _ => request,
        };
        request.send(self.world.address)
    }

    /// What comes between two requests by other ways than this door.
    fn before(&mut self, example: &Value) {
        match example["operation"].as_str().unwrap() {
            "verifyAccount" => {
                let link =
                    self.names.0.values().filter_map(Value::as_str).find(|text| text.contains("/connect/"));
                let link = link.unwrap().to_owned();
                let mut browser = Browser::new(&self.world);
                let page = browser.open(&link);
                let back = browser.submit(&page, &[("token", "t-of-ada")]).url;
                let brought = parameter(&back, "proctor_code");
                let shown = example["body"]["code"].as_str().unwrap().to_owned();
                self.names.0.insert(shown, brought.into());
            }
            "searchToolCalls" => {
                let session = Session::of(
                    &self
                        .world
                        .post(
                            "/api/v1/sessions",
                            &json!({
                                "virtual_server": "assistant", "user": "ada",
                            }),
                        )
                        .expect(201),
                );
                Agent::modern(&self.world, &session).call("notes_search", r#"{"query":"trip"}"#).result();
            }
            _ => {}
        }
    }

    /// What is shown of an answer.
    fn shown(&self, real: &Value) -> Value {
        match real {
            Value::String(text) => {
                let nobodys = NOBODYS.iter().find(|(start, _)| text.starts_with(start));
                // Whatever the examples call by an address of their own keeps it.
                let mut named = self.names.0.iter().filter(|(shown, meant)| {
                    *meant == real && (shown.contains("internal") || shown.starts_with("mcp-server"))
                });
                match (nobodys, named.next()) {
                    (Some((_, nobodys)), _) => json!(nobodys),
                    (None, Some((shown, _))) => json!(shown),
                    (None, None) => json!(text.replace(PUBLIC_URL, SHOWN_URL)),
                }
            }
            Value::Array(items) => {
                let defines = items.iter().any(|item| item.get("definition").is_some());
                let most = if defines { SHOWN_MAX } else { items.len() };
                items.iter().take(most).map(|item| self.shown(item)).collect()
            }
            Value::Object(members) => {
                Value::Object(members.iter().map(|(name, value)| (name.clone(), self.shown(value))).collect())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => real.clone(),
        }
    }
}

fn recorded() -> Vec<Value> {
    let text = std::fs::read_to_string(root().join(RECORDED)).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn every_request_that_the_reference_shows_is_answered_as_it_shows() {
    let office = Sample::start();
    let receiver = Receiver::start(&[Answers::Status(204)]);
    let names = [
        ("http://office.internal:8080/mcp", office.url()),
        ("http://backend.internal:9000/hooks", receiver.url()),
        ("mcp-server-time", python_program("mcp-server-time")),
    ];
    let names = names.map(|(shown, meant)| (shown.to_owned(), meant.into()));
    let mut story = Story { world: World::start_behind_url(&[]), names: Names(BTreeMap::from(names)) };
    let records = std::env::var_os(RECORD).is_some();
    let mut examples = recorded();
    for example in &mut examples {
        let what = format!("{} ({})", example["operation"], example["name"]);
        story.before(example);
        let end = Instant::now() + WAIT_MAX;
        let real = loop {
            // Held against the document's schemas as any answer.
            let real = story.send(example).ok();
            // What is only read is read again until what happens by itself has happened.
            let again = Operation::named(example["operation"].as_str().unwrap()).method() == "GET";
            let is_there = match records {
                true => real["items"] != json!([]),
                false => has_form_of(&example["answer"], &real),
            };
            if is_there {
                break real;
            }
            assert!(
                again && Instant::now() < end,
                "{what} is answered with {real:#}, and shown is {:#}",
                example["answer"]
            );
            std::thread::sleep(Duration::from_millis(50));
        };
        story.names.learn(&example["answer"], &real);
        if records {
            let shown = story.shown(&real);
            story.names.learn(&shown, &real);
            example["answer"] = shown;
            for part in ["path", "body", "query"] {
                if let Some(asked) = example.get(part) {
                    let asked = story.names.meant(asked);
                    example[part] = story.shown(&asked);
                }
            }
        }
    }
    if records {
        let text = serde_json::to_string_pretty(&examples).unwrap();
        std::fs::write(root().join(RECORDED), text + "\n").unwrap();
    }
}

/// The examples are what the document shows, all of them, and every operation has one.
#[test]
fn every_operation_of_the_reference_shows_an_example() {
    let document = proctor::api::document();
    let examples = recorded();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let id = &operation["operationId"];
            let of_it: Vec<_> = examples.iter().filter(|example| example["operation"] == *id).collect();
            assert!(!of_it.is_empty(), "{method} {path} has no example: add one to {RECORDED}");
            let answers = operation["responses"].as_object().unwrap();
            let answer = answers.iter().find(|(status, _)| status.starts_with('2')).unwrap().1;
            for example in of_it {
                let name = example["name"].as_str().unwrap();
                let shown = &answer["content"]["application/json"]["examples"][name]["value"];
                assert_eq!(*shown, example["answer"], "{method} {path} {name}");
            }
        }
    }
    for example in &examples {
        Operation::named(example["operation"].as_str().unwrap());
    }
}
