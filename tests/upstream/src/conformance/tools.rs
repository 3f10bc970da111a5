//! What the tools do.

use std::time::Duration;

use serde_json::{Value, json};

use super::call::{Call, Step};
use super::changes::Change;
use super::inputs::{ask, ask_all, elicitation, enumeration, roots, sampling, titled};
use super::resources;
use super::wire::Fault;

/// Between two things that a tool says.
const PAUSE: Duration = Duration::from_millis(50);

/// A red pixel.
pub const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";
/// A header, and no sound.
const WAV: &str = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=";

fn text(text: impl Into<String>) -> Step {
    Step::Done(json!({ "content": [{ "type": "text", "text": text.into() }] }))
}

fn content(content: Value) -> Step {
    Step::Done(json!({ "content": content }))
}

fn failed(text: &str) -> Step {
    Step::Done(json!({ "content": [{ "type": "text", "text": text }], "isError": true }))
}

fn image() -> Value {
    json!({ "type": "image", "data": PNG, "mimeType": "image/png" })
}

/// Runs a tool until it has a result or needs an answer.
pub async fn step(tool: &str, call: &Call<'_>) -> Step {
    match tool {
        "test_simple_text" => text("This is a simple text response for testing."),
        "test_image_content" => content(json!([image()])),
        "test_audio_content" => content(json!([{ "type": "audio", "data": WAV, "mimeType": "audio/wav" }])),
        "test_embedded_resource" => content(json!([{
            "type": "resource",
            "resource": {
                "uri": "test://embedded-resource", "mimeType": "text/plain",
                "text": "This is an embedded resource content.",
            },
        }])),
        "test_multiple_content_types" => content(json!([
            { "type": "text", "text": "Multiple content types test:" },
            image(),
            {
                "type": "resource",
                "resource": {
                    "uri": "test://mixed-content-resource", "mimeType": "application/json",
                    "text": r#"{"test":"data","value":123}"#,
                },
            },
        ])),
        "test_error_handling" => failed("This tool intentionally returns an error for testing"),
        "test_tool_with_logging" => logging(call).await,
        "test_logging_tool" => {
            call.voice.log("info", "Logging tool called");
            text("Logged what was wanted.")
        }
        "test_tool_with_progress" => progress(call).await,
        "test_reconnection" => {
            call.voice.let_go();
            tokio::time::sleep(PAUSE).await;
            text("Reconnection test completed successfully")
        }
        "test_trigger_tool_change" => changed(call, Change::Tools),
        "test_trigger_prompt_change" => changed(call, Change::Prompts),
        "test_trigger_resource_update" => changed(call, Change::Resource(resources::WATCHED)),
        "test_changing_tool" => text("Still there."),
        "test_custom_header" => text(format!("Region: {}", call.text("region"))),
        "json_schema_2020_12_tool" => text(call.arguments.to_string()),
        "greet" => text(format!("Hello, {}!", call.text("name"))),
        "slow_compute" => slow(call).await,
        "failing_job" => {
            tokio::time::sleep(Duration::from_secs(1)).await;
            failed("The job has failed.")
        }
        "protocol_error_job" => Step::Fault(Fault::new(-32603, "the job broke down")),
        _ => asking(tool, call),
    }
}

async fn logging(call: &Call<'_>) -> Step {
    for (number, said) in
        ["Tool execution started", "Tool processing data", "Tool execution completed"].iter().enumerate()
    {
        if number > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        call.voice.log("info", said);
    }
    text("Tool with logging executed successfully")
}

async fn progress(call: &Call<'_>) -> Step {
    for progress in [0, 50, 100] {
        if progress > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        call.voice.progress(progress, 100);
    }
    text("Tool with progress executed successfully")
}

fn changed(call: &Call<'_>, change: Change<'_>) -> Step {
    (call.change)(change);
    text(format!("Sent to whoever wants it: {}", change.method()))
}

async fn slow(call: &Call<'_>) -> Step {
    let seconds = call.arguments["seconds"].as_f64().unwrap_or_default();
    let Ok(time) = Duration::try_from_secs_f64(seconds) else {
        return failed("seconds must be a duration");
    };
    tokio::time::sleep(time).await;
    text(format!("Computed {} for {seconds} s", call.text("label")))
}

/// The tools that need to know something.
fn asking(tool: &str, call: &Call<'_>) -> Step {
    match tool {
        "test_sampling" => match call.sampled("sampled") {
            Some(sampled) => text(format!("LLM response: {sampled}")),
            None => ask("sampled", sampling(call.text("prompt"), 100)),
        },
        "test_missing_capability" => match call.sampled("sampled") {
            Some(sampled) => text(sampled),
            None => ask("sampled", sampling("Say something.", 100)),
        },
        "test_elicitation" => completed(call, "User response", || {
            let properties = json!({
                "username": { "type": "string", "description": "User's response" },
                "email": { "type": "string", "description": "User's email address" },
            });
            elicitation(call.text("message"), &properties, &["username", "email"])
        }),
        "test_streaming_elicitation" => {
            call.voice.progress(0, 1);
            completed(call, "Elicitation completed", || {
                elicitation("Go on?", &json!({ "ok": { "type": "boolean" } }), &["ok"])
            })
        }
        "test_elicitation_sep1034_defaults" => completed(call, "Elicitation completed", || {
            let status = json!({
                "type": "string", "enum": ["active", "inactive", "pending"], "default": "active",
            });
            let properties = json!({
                "name": { "type": "string", "default": "John Doe" },
                "age": { "type": "integer", "default": 30 },
                "score": { "type": "number", "default": 95.5 },
                "status": status,
                "verified": { "type": "boolean", "default": true },
            });
            elicitation("Please check these values", &properties, &[])
        }),
        "test_elicitation_sep1330_enums" => completed(call, "Elicitation completed", choices),
        "confirm_delete" => match call.elicited("confirm") {
            None => {
                let message = format!("Delete {}?", call.text("filename"));
                ask(
                    "confirm",
                    elicitation(&message, &json!({ "confirm": { "type": "boolean" } }), &["confirm"]),
                )
            }
            Some(_) if call.entered("confirm", "confirm").is_some_and(|confirm| *confirm == true) => {
                text(format!("Deleted {}.", call.text("filename")))
            }
            Some(_) => text(format!("Kept {}.", call.text("filename"))),
        },
        "multi_input" => {
            if call.elicited("first").is_some() && call.elicited("second").is_some() {
                return text("Both answers are there.");
            }
            let name = |message| elicitation(message, &json!({ "name": { "type": "string" } }), &["name"]);
            ask_all([("first", name("The first name?")), ("second", name("The second name?"))], None)
        }
        "test_tool_with_task" => named(call, |name| text(format!("Done for {name}."))),
        _ => input_required(tool, call),
    }
}

/// The tools that are made to show what a call can ask.
fn input_required(tool: &str, call: &Call<'_>) -> Step {
    match tool.strip_prefix("test_input_required_result_").unwrap_or_default() {
        "elicitation" => named(call, |name| text(format!("Hello, {name}!"))),
        "sampling" => match call.sampled("capital_question") {
            Some(answer) => text(answer),
            None => ask("capital_question", sampling("What is the capital of France?", 100)),
        },
        "list_roots" => match call.listed_roots("client_roots") {
            Some(listed) => text(format!("Roots: {}", json!(listed))),
            None => ask("client_roots", roots()),
        },
        "request_state" | "tampered_state" => match (call.elicited("confirm"), call.state) {
            (Some(_), Some(_)) => text("state-ok"),
            _ => {
                let request = elicitation("Please confirm", &json!({ "ok": { "type": "boolean" } }), &["ok"]);
                ask_all([("confirm", request)], Some(json!({ "round": 1 })))
            }
        },
        "multiple_inputs" => {
            let greeting = call.sampled("greeting").zip(call.listed_roots("client_roots"));
            if let (Some(_), Some((greeting, listed))) = (call.elicited("user_name"), greeting) {
                return text(format!("{greeting} {} root(s)", listed.len()));
            }
            let requests = [
                ("user_name", user_name()),
                ("greeting", sampling("Generate a greeting", 50)),
                ("client_roots", roots()),
            ];
            ask_all(requests, Some(json!({ "round": 1 })))
        }
        "multi_round" => multi_round(call),
        "capabilities" => {
            if call.elicited("user_name").is_some() || call.sampled("greeting").is_some() {
                return text("Answered.");
            }
            match (call.capabilities["elicitation"].is_object(), call.capabilities["sampling"].is_object()) {
                (true, true) => ask_all(
                    [("user_name", user_name()), ("greeting", sampling("Generate a greeting", 50))],
                    None,
                ),
                (true, false) => ask("user_name", user_name()),
                (false, true) => ask("greeting", sampling("Generate a greeting", 50)),
                (false, false) => text("The client can answer nothing."),
            }
        }
        _ => Step::Fault(Fault::new(super::wire::INVALID_PARAMS, format!("unknown tool: {tool}"))),
    }
}

fn multi_round(call: &Call<'_>) -> Step {
    let second = |name: &str| {
        let properties = json!({ "color": { "type": "string" } });
        let request = elicitation("Step 2: What is your favorite color?", &properties, &["color"]);
        ask_all([("step2", request)], Some(json!({ "round": 2, "name": name })))
    };
    let round = call.state.map(|state| (&state["round"], state["name"].as_str().unwrap_or_default()));
    match round {
        Some((round, _)) if *round == 1 && call.elicited("step1").is_some() => {
            second(call.entered("step1", "name").and_then(Value::as_str).unwrap_or("nobody"))
        }
        Some((round, name)) if *round == 2 => match call.elicited("step2") {
            Some(_) => {
                let color = call.entered("step2", "color").and_then(Value::as_str).unwrap_or("no color");
                text(format!("{name} likes {color}."))
            }
            None => second(name),
        },
        _ => {
            let properties = json!({ "name": { "type": "string" } });
            let request = elicitation("Step 1: What is your name?", &properties, &["name"]);
            ask_all([("step1", request)], Some(json!({ "round": 1 })))
        }
    }
}

fn user_name() -> Value {
    elicitation("What is your name?", &json!({ "name": { "type": "string" } }), &["name"])
}

/// Asks for a name, and goes on with it.
fn named(call: &Call<'_>, then: impl FnOnce(&str) -> Step) -> Step {
    match call.elicited("user_name") {
        None => ask("user_name", user_name()),
        Some(_) => match call.entered("user_name", "name").and_then(Value::as_str) {
            Some(name) => then(name),
            None => text("No name was given."),
        },
    }
}

/// Asks once, and says what came.
fn completed(call: &Call<'_>, prefix: &str, request: impl FnOnce() -> Value) -> Step {
    match call.elicited("response") {
        Some(answer) => {
            let content = answer.get("content").unwrap_or(&Value::Null);
            let action = answer["action"].as_str().unwrap_or_default();
            text(format!("{prefix}: action={action}, content={content}"))
        }
        None => ask("response", request()),
    }
}

fn choices() -> Value {
    let options = ["option1", "option2", "option3"];
    let values = |first, second, third| titled(&[("value1", first), ("value2", second), ("value3", third)]);
    let properties = json!({
        "untitledSingle": enumeration(&options),
        "titledSingle": {
            "type": "string", "oneOf": values("First Option", "Second Option", "Third Option"),
        },
        "legacyEnum": {
            "type": "string", "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": { "type": "array", "items": enumeration(&options) },
        "titledMulti": {
            "type": "array",
            "items": { "anyOf": values("First Choice", "Second Choice", "Third Choice") },
        },
    });
    elicitation("Please choose", &properties, &[])
}
