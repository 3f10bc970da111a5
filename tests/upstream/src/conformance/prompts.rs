//! The prompts, and completion of their arguments.

use serde_json::{Value, json};

use super::call::{Call, Step};
use super::inputs::{ask, elicitation};
use super::resources::TEMPLATE;
use super::tools::PNG;
use super::wire::{Fault, INVALID_PARAMS};

/// What an argument can be completed to.
const WORDS: &[&str] = &["paris", "park", "party", "test", "testing"];

/// All prompts, as they are listed.
pub fn prompts(with_changing: bool) -> Vec<Value> {
    let argument = |name, description| json!({ "name": name, "description": description, "required": true });
    let mut prompts = vec![
        json!({ "name": "test_simple_prompt", "description": "Says one thing." }),
        json!({
            "name": "test_prompt_with_arguments", "description": "Says what it is told.",
            "arguments": [argument("arg1", "First test argument"), argument("arg2", "Second test argument")],
        }),
        json!({
            "name": "test_prompt_with_embedded_resource", "description": "Holds a resource.",
            "arguments": [argument("resourceUri", "URI of the resource to embed")],
        }),
        json!({ "name": "test_prompt_with_image", "description": "Holds an image." }),
        json!({ "name": "test_input_required_result_prompt", "description": "Asks for a context." }),
    ];
    if with_changing {
        prompts.push(json!({ "name": "test_changing_prompt", "description": "Is not always there." }));
    }
    prompts
}

/// Makes a prompt, or asks for what it needs.
pub fn step(name: &str, call: &Call<'_>, with_changing: bool) -> Step {
    let known = prompts(with_changing).into_iter().find(|prompt| prompt["name"] == name);
    let Some(prompt) = known else {
        return Step::Fault(Fault::new(INVALID_PARAMS, format!("unknown prompt: {name}")));
    };
    for argument in prompt["arguments"].as_array().into_iter().flatten() {
        let argument = argument["name"].as_str().unwrap_or_default();
        if !call.arguments[argument].is_string() {
            return Step::Fault(Fault::new(INVALID_PARAMS, format!("the argument {argument} is missing")));
        }
    }
    let said = |text: &str| json!({ "type": "text", "text": text });
    match name {
        "test_prompt_with_arguments" => {
            let (first, second) = (call.text("arg1"), call.text("arg2"));
            messages([said(&format!("Prompt with arguments: arg1='{first}', arg2='{second}'"))])
        }
        "test_prompt_with_embedded_resource" => messages([
            json!({
                "type": "resource",
                "resource": {
                    "uri": call.text("resourceUri"), "mimeType": "text/plain",
                    "text": "Embedded resource content for testing.",
                },
            }),
            said("Please process the embedded resource above."),
        ]),
        "test_prompt_with_image" => messages([
            json!({ "type": "image", "data": PNG, "mimeType": "image/png" }),
            said("Please analyze the image above."),
        ]),
        "test_input_required_result_prompt" => match call.elicited("user_context") {
            None => {
                let properties = json!({ "context": { "type": "string" } });
                let message = "What context should the prompt use?";
                ask("user_context", elicitation(message, &properties, &["context"]))
            }
            Some(_) => {
                let context = call.entered("user_context", "context").and_then(Value::as_str);
                messages([said(&format!("Prompt with context: {}", context.unwrap_or("none")))])
            }
        },
        _ => messages([said("This is a simple prompt for testing.")]),
    }
}

fn messages<const COUNT: usize>(contents: [Value; COUNT]) -> Step {
    let messages: Vec<Value> =
        contents.into_iter().map(|content| json!({ "role": "user", "content": content })).collect();
    Step::Done(json!({ "messages": messages }))
}

/// Answers `completion/complete`.
pub fn complete(params: &Value) -> Result<Value, Fault> {
    let reference = &params["ref"];
    let argument = &params["argument"]["name"];
    let known = match reference["type"].as_str() {
        Some("ref/prompt") => prompts(true).iter().any(|prompt| {
            let arguments = prompt["arguments"].as_array();
            prompt["name"] == reference["name"]
                && arguments.is_some_and(|arguments| arguments.iter().any(|known| known["name"] == *argument))
        }),
        Some("ref/resource") => reference["uri"] == TEMPLATE && *argument == "id",
        _ => false,
    };
    if !known {
        return Err(Fault::new(INVALID_PARAMS, "nothing has such an argument"));
    }
    let begun = params["argument"]["value"].as_str().unwrap_or_default();
    let values: Vec<&str> = WORDS.iter().copied().filter(|word| word.starts_with(begun)).collect();
    Ok(json!({ "completion": { "total": values.len(), "values": values, "hasMore": false } }))
}
