//! Which tools there are, and what is known of them before they run.

use serde_json::{Value, json};

/// No arguments.
const NONE: &str = r#"{"type":"object","properties":{}}"#;

/// Name, description and input schema, in the order in which they are listed.
const TOOLS: &[(&str, &str, &str)] = &[
    ("test_simple_text", "Answers with text.", NONE),
    ("test_image_content", "Answers with an image.", NONE),
    ("test_audio_content", "Answers with a sound.", NONE),
    ("test_embedded_resource", "Answers with a resource.", NONE),
    ("test_multiple_content_types", "Answers with text, an image and a resource.", NONE),
    ("test_tool_with_logging", "Writes three log messages while it runs.", NONE),
    ("test_logging_tool", "Writes a log message, if those are wanted.", NONE),
    ("test_tool_with_progress", "Says how far it is while it runs.", NONE),
    ("test_error_handling", "Always fails.", NONE),
    (
        "test_sampling",
        "Has the client's model answer a prompt.",
        r#"{"type":"object","properties":{"prompt":{"type":"string"}},"required":["prompt"]}"#,
    ),
    (
        "test_elicitation",
        "Asks the user for a name and an address.",
        r#"{"type":"object","properties":{"message":{"type":"string"}},"required":["message"]}"#,
    ),
    ("test_elicitation_sep1034_defaults", "Asks with a default for every kind of value.", NONE),
    ("test_elicitation_sep1330_enums", "Asks with every form of choice.", NONE),
    ("test_streaming_elicitation", "Asks for a confirmation on a stream.", NONE),
    ("test_missing_capability", "Needs a client that offers a model.", NONE),
    ("test_reconnection", "Closes its stream before it has answered.", NONE),
    ("test_trigger_tool_change", "Adds a tool, or takes it away again.", NONE),
    ("test_trigger_prompt_change", "Adds a prompt, or takes it away again.", NONE),
    ("test_trigger_resource_update", "Says that the watched resource has changed.", NONE),
    ("test_input_required_result_elicitation", "Asks for a name.", NONE),
    ("test_input_required_result_sampling", "Asks the client's model.", NONE),
    ("test_input_required_result_list_roots", "Asks for the client's roots.", NONE),
    ("test_input_required_result_request_state", "Asks, and has state remembered.", NONE),
    ("test_input_required_result_multiple_inputs", "Asks three things at once.", NONE),
    ("test_input_required_result_multi_round", "Asks twice, one after the other.", NONE),
    ("test_input_required_result_tampered_state", "Trusts only the state that it gave away.", NONE),
    ("test_input_required_result_capabilities", "Asks only what the client can answer.", NONE),
    (
        "test_custom_header",
        "Wants its region in a header, too.",
        r#"{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"},"urgent":{"type":"boolean","x-mcp-header":"Urgent"}},"required":["region"]}"#,
    ),
    (
        "json_schema_2020_12_tool",
        "Tool with JSON Schema 2020-12 features",
        r##"{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","$defs":{"address":{"$anchor":"addressDef","type":"object","properties":{"street":{"type":"string"},"city":{"type":"string"}}}},"properties":{"name":{"type":"string"},"address":{"$ref":"#/$defs/address"},"contactMethod":{"type":"string","enum":["phone","email"]},"phone":{"type":"string"},"email":{"type":"string"}},"allOf":[{"anyOf":[{"required":["phone"]},{"required":["email"]}]}],"if":{"properties":{"contactMethod":{"const":"phone"}},"required":["contactMethod"]},"then":{"required":["phone"]},"else":{"required":["email"]},"additionalProperties":false}"##,
    ),
    (
        "greet",
        "Greets somebody.",
        r#"{"type":"object","properties":{"name":{"type":"string"}},"required":["name"]}"#,
    ),
    (
        "slow_compute",
        "Takes a while.",
        r#"{"type":"object","properties":{"seconds":{"type":"number"},"label":{"type":"string"}}}"#,
    ),
    ("failing_job", "Fails after a second.", NONE),
    ("protocol_error_job", "Breaks down.", NONE),
    (
        "confirm_delete",
        "Deletes a file, if the user agrees.",
        r#"{"type":"object","properties":{"filename":{"type":"string"}},"required":["filename"]}"#,
    ),
    ("multi_input", "Asks two things at once.", NONE),
    ("test_tool_with_task", "Asks for a name, and goes on as a task.", NONE),
];

/// The tool that comes and goes.
const CHANGING: (&str, &str, &str) = ("test_changing_tool", "Is not always there.", NONE);

fn definition((name, description, schema): &(&str, &str, &str)) -> Value {
    let schema: Value = serde_json::from_str(schema).expect("a schema written above");
    json!({ "name": name, "description": description, "inputSchema": schema })
}

/// All tools, as they are listed.
pub fn tools(with_changing: bool) -> Vec<Value> {
    TOOLS.iter().chain(with_changing.then_some(&CHANGING)).map(definition).collect()
}

/// Whether there is a tool with this name.
pub fn is_tool(name: &str, with_changing: bool) -> bool {
    TOOLS.iter().chain(with_changing.then_some(&CHANGING)).any(|tool| tool.0 == name)
}

pub fn input_schema(name: &str) -> Option<Value> {
    TOOLS.iter().find(|tool| tool.0 == name).map(|tool| definition(tool)["inputSchema"].take())
}

/// Whether a call runs as a task where the client knows tasks, and from when on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tasks {
    Never,
    FromTheBeginning,
    /// After it has asked what it has to ask.
    AfterAsking,
}

pub fn tasks(tool: &str, arguments: &Value) -> Tasks {
    match tool {
        // What takes no time is answered at once.
        "slow_compute" if arguments["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0) => {
            Tasks::FromTheBeginning
        }
        "confirm_delete" | "multi_input" | "failing_job" | "protocol_error_job" => Tasks::FromTheBeginning,
        "test_tool_with_task" => Tasks::AfterAsking,
        _ => Tasks::Never,
    }
}

/// Whether a tool runs only as a task in the modern era.
pub fn needs_tasks(tool: &str) -> bool {
    matches!(tool, "failing_job" | "protocol_error_job" | "test_tool_with_task")
}

/// Whether a call may have something to say before its result, in the era with requests to the
/// client or in the one without.
pub fn speaks(name: &str, modern: bool) -> bool {
    match name {
        "test_tool_with_logging"
        | "test_logging_tool"
        | "test_tool_with_progress"
        | "test_streaming_elicitation" => true,
        "test_sampling"
        | "test_elicitation"
        | "test_missing_capability"
        | "test_reconnection"
        | "confirm_delete"
        | "multi_input"
        | "test_tool_with_task" => !modern,
        name => {
            !modern && (name.starts_with("test_elicitation_") || name.starts_with("test_input_required_"))
        }
    }
}
