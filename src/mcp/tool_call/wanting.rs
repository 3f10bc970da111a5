//! What a request of an agent asks of an upstream, as far as its parameters say.

use std::borrow::Cow;

use proctor_domain::Name;
use proctor_domain::virtual_server::{Method, Wanted};
use serde_json::value::{RawValue, to_raw_value};

use super::rounds::{self, Continued};
use crate::mcp::Knock;
use crate::mcp::answer::{Fault, codes};
use crate::mcp::envelope::Params;
use crate::mcp::members::{is_object, members, shown, text};
use crate::upstream::{Ask, Completed};

/// What is asked for, and what goes with it.
pub(super) struct Wants<'a> {
    pub what: Wanted,
    sends: Sends<'a>,
    /// What the upstream had wanted, where the agent brings it.
    pub input: Option<Cow<'a, RawValue>>,
    /// The call that it goes on from.
    pub continued: Option<Continued>,
}

#[derive(Clone)]
enum Sends<'a> {
    Arguments(Option<&'a RawValue>),
    Uri,
    Cursor(Option<String>),
    Completion { reference: &'a RawValue, argument: &'a RawValue, context: Option<&'a RawValue> },
}

fn wrong(message: &'static str) -> Fault {
    Fault::new(codes::INVALID_PARAMS, message)
}

impl<'a> Wants<'a> {
    /// What the parameters of this method ask for.
    ///
    /// # Errors
    /// Which of them is missing or wrong.
    pub fn of(method: Method, params: &Params<'a>) -> Result<Self, Fault> {
        let name = || params.name.and_then(text).map(Cow::into_owned);
        match method {
            Method::ToolsCall => {
                let name = name().ok_or_else(|| wrong("params.name must be a string"))?;
                Ok(Self::new(Wanted::Tool(name), Sends::Arguments(params.arguments)))
            }
            Method::PromptsGet => {
                let name = name().ok_or_else(|| wrong("params.name must be a string"))?;
                Ok(Self::new(Wanted::Prompt(name), Sends::Arguments(params.arguments)))
            }
            Method::ResourcesRead => {
                let uri = params.uri.and_then(text).ok_or_else(|| wrong("params.uri must be a string"))?;
                Ok(Self::new(Wanted::Resource(uri.into_owned()), Sends::Uri))
            }
            Method::CompletionComplete => Self::completion(params),
            Method::ResourcesList => Err(wrong("a list is asked for by its connection")),
        }
    }

    fn new(what: Wanted, sends: Sends<'a>) -> Self {
        Self { what, sends, input: None, continued: None }
    }

    /// The same with the input that a modern agent brings.
    ///
    /// # Errors
    /// When it does not go on from where it says.
    pub fn with_input(mut self, knock: &Knock, params: &Params<'a>) -> Result<Self, Fault> {
        let several = matches!(self.what, Wanted::Tool(_) | Wanted::Prompt(_) | Wanted::Resource(_));
        if !several {
            return Ok(self);
        }
        self.input = params.input_responses.map(Cow::Borrowed);
        if let Some(state) = params.request_state {
            let request = (&self.what, self.arguments());
            self.continued = Some(rounds::continued(knock, request, state)?);
        }
        Ok(self)
    }

    /// The same, going on from a call with the input that its upstream wanted.
    pub fn going_on(&self, continued: Continued, input: Box<RawValue>) -> Self {
        Self {
            what: self.what.clone(),
            sends: self.sends.clone(),
            input: Some(Cow::Owned(input)),
            continued: Some(continued),
        }
    }

    /// The resources of this connection, from the upstream's own cursor on.
    pub fn resources(connection: Name, cursor: Option<String>) -> Self {
        Self::new(Wanted::ResourceList(connection), Sends::Cursor(cursor))
    }

    fn completion(params: &Params<'a>) -> Result<Self, Fault> {
        let needs =
            "params.ref must be an object with the type ref/prompt and a name, or ref/resource and a uri";
        let reference = params.reference.filter(|raw| is_object(raw)).ok_or_else(|| wrong(needs))?;
        let (mut kind, mut name, mut uri) = (None, None, None);
        members(reference.get(), |key, value| match key {
            "type" => kind = text(value),
            "name" => name = text(value),
            "uri" => uri = text(value),
            _ => {}
        })
        .map_err(|_| wrong(needs))?;
        let what = match (kind.as_deref(), name, uri) {
            (Some("ref/prompt"), Some(name), _) => Wanted::PromptCompletion(name.into_owned()),
            (Some("ref/resource"), _, Some(uri)) => Wanted::TemplateCompletion(uri.into_owned()),
            _ => return Err(wrong(needs)),
        };
        let needs = "params.argument must be an object with a name and a value";
        let argument = params.argument.filter(|raw| is_object(raw)).ok_or_else(|| wrong(needs))?;
        if params.context.is_some_and(|context| !is_object(context)) {
            return Err(wrong("params.context must be an object"));
        }
        Ok(Self::new(what, Sends::Completion { reference, argument, context: params.context }))
    }

    /// The arguments of a tool or a prompt, as they came.
    pub fn arguments(&self) -> Option<&'a RawValue> {
        match &self.sends {
            Sends::Arguments(arguments) => *arguments,
            Sends::Uri | Sends::Cursor(_) | Sends::Completion { .. } => None,
        }
    }

    /// What is on the record of all else.
    pub fn recorded(&self) -> Option<Box<RawValue>> {
        #[derive(serde::Serialize)]
        struct Completion<'a> {
            #[serde(rename = "ref")]
            reference: &'a RawValue,
            argument: &'a RawValue,
            #[serde(skip_serializing_if = "Option::is_none")]
            context: Option<&'a RawValue>,
        }
        let raw = match &self.sends {
            Sends::Arguments(_) | Sends::Cursor(None) => return None,
            Sends::Uri => to_raw_value(&serde_json::json!({ "uri": self.what.name() })),
            Sends::Cursor(cursor) => to_raw_value(&serde_json::json!({ "cursor": cursor })),
            Sends::Completion { reference, argument, context } => {
                to_raw_value(&Completion { reference, argument, context: *context })
            }
        };
        Some(raw.expect("text, and JSON, are always JSON"))
    }

    /// What the upstream is asked, by what it calls it and with these arguments.
    pub fn ask<'s>(&'s self, name: &'s str, arguments: Option<&'s RawValue>) -> Ask<'s> {
        match (&self.what, &self.sends) {
            (Wanted::PromptCompletion(_), Sends::Completion { argument, context, .. }) => {
                Ask::Completion { of: Completed::Prompt(name), argument, context: *context }
            }
            (_, Sends::Completion { argument, context, .. }) => {
                Ask::Completion { of: Completed::ResourceTemplate(name), argument, context: *context }
            }
            (_, Sends::Cursor(cursor)) => Ask::ResourceList { cursor: cursor.as_deref() },
            (_, Sends::Uri) => Ask::Resource { uri: name },
            (Wanted::Prompt(_), Sends::Arguments(_)) => Ask::Prompt { name, arguments },
            (_, Sends::Arguments(_)) => Ask::Tool { name, arguments },
        }
    }

    /// What an agent is told that does not know it.
    pub fn unknown(&self, is_modern: bool, call: &str) -> Fault {
        let name = shown(self.what.name());
        let (code, message, kind) = match &self.what {
            Wanted::Tool(_) => (codes::INVALID_PARAMS, format!("Unknown tool: {name}"), "unknown_tool"),
            Wanted::Prompt(_) | Wanted::PromptCompletion(_) => {
                (codes::INVALID_PARAMS, format!("Unknown prompt: {name}"), "unknown_prompt")
            }
            Wanted::TemplateCompletion(_) => (
                codes::INVALID_PARAMS,
                format!("Unknown resource template: {name}"),
                "unknown_resource_template",
            ),
            Wanted::Resource(_) | Wanted::ResourceList(_) if is_modern => {
                (codes::INVALID_PARAMS, format!("Resource not found: {name}"), "unknown_resource")
            }
            Wanted::Resource(_) | Wanted::ResourceList(_) => {
                (codes::RESOURCE_NOT_FOUND, format!("Resource not found: {name}"), "unknown_resource")
            }
        };
        let fault = Fault::new(code, message).with_code(kind, Some(call));
        match &self.what {
            Wanted::Resource(uri) => fault.with_member("uri", uri),
            _ => fault,
        }
    }
}
